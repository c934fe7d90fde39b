// SPDX-License-Identifier: Apache-2.0
// The pictures: one panel per sensor (or a blend), boxes over them, and boxes drawn by mouse, touch or keyboard.

import { command } from "./api.js";
import { $, css, make, memory } from "./dom.js";
import { colour, words } from "./looks.js";
import { handles, label, outline } from "./outlines.js";
import { mark, on, rows, selected, store, tell } from "./store.js";

const GAP = 8;
const HANDLE = 9; // screen pixels around a corner that take hold of it
const SMALLEST = 3; // image pixels of a drawn box
const KEPT = 150; // decoded pictures

const view = { mode: memory.get("view", "side"), mix: memory.get("mix", 50), apart: memory.get("apart", false) };
let panels = [];
let shown = null; // {clip, index, images}
let wanted = null;
let loading = false;
let drag = null; // {panel, kind, start, box, frame, resume}
const pictures = new Map();

// pictures

function picture(clip, index, sensor) {
  const place = `frames/${clip}/${index}/${sensor}`;
  if (!pictures.has(place)) {
    const image = new Image();
    image.src = place;
    pictures.set(place, image.decode().then(() => image, () => null));
    if (pictures.size > KEPT) pictures.delete(pictures.keys().next().value);
  }
  return pictures.get(place);
}

async function load() {
  if (loading) return;
  loading = true;
  while (wanted && (wanted.clip !== shown?.clip || wanted.index !== shown?.index)) {
    const { clip, index } = wanted;
    const sensors = store.present.get(index) ?? [];
    const loaded = await Promise.all(sensors.map((sensor) => picture(clip, index, sensor)));
    if (store.clip?.number !== clip) break;
    if (drag && drag.frame !== index) break; // the picture that is drawn on stays
    shown = { clip, index, images: Object.fromEntries(sensors.map((sensor, i) => [sensor, loaded[i]])) };
    $("panels").dataset.frame = index; // of the picture that is there, which follows the place named below it
    draw();
    tell("shown", shown);
  }
  loading = false;
}

export const shownFrame = () => (shown && shown.clip === store.clip?.number ? shown.index : null);

function follow() {
  if (!store.clip || !store.player) {
    shown = wanted = null;
    return draw();
  }
  if (!store.present.has(store.player.index)) return;
  wanted = { clip: store.clip.number, index: store.player.index };
  if (shown?.clip !== wanted.clip) delete $("panels").dataset.frame;
  load();
  draw();
}

// panels

function arrange() {
  const clip = store.clip;
  $("empty").hidden = Boolean(clip) || Boolean(store.busy);
  $("panels").hidden = !clip;
  const lanes = Object.keys(store.lanes).sort();
  $("apart").hidden = lanes.length < 2 || !clip;
  $("view").hidden = (clip?.modalities.length ?? 0) < 2;
  $("mix-label").hidden = view.mode !== "blend" || $("view").hidden;
  const groups = lanes.length > 1 && view.apart ? lanes.map((lane) => [lane]) : [lanes];
  const sets = !clip ? [] : view.mode === "blend" && clip.modalities.length > 1 ? [clip.modalities] : clip.modalities.map((m) => [m]);
  const asked = groups.flatMap((group) => sets.map((sensors) => ({ lanes: group, sensors })));
  const same = asked.length === panels.length
    && asked.every((one, i) => String(one.lanes) === String(panels[i].lanes) && String(one.sensors) === String(panels[i].sensors));
  if (!same) {
    panels = asked.map(panel);
    $("panels").replaceChildren(...panels.map((one) => one.figure));
  }
  resize();
}

function panel({ lanes, sensors }) {
  const canvas = make("canvas", { tabIndex: 0, "aria-label": `${sensors.join(" and ")}: drag a box around a target` });
  const caption = make("figcaption");
  const one = { lanes, sensors, canvas, caption, figure: make("figure", { className: "panel" }, canvas, caption) };
  canvas.addEventListener("pointerdown", (event) => press(event, one));
  canvas.addEventListener("pointermove", (event) => move(event, one));
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", giveUp);
  return one;
}

function resize() {
  const clip = store.clip;
  if (!clip || !panels.length) return;
  const place = $("panels").getBoundingClientRect();
  const narrow = matchMedia("(max-width: 800px)").matches;
  const aspect = clip.size[0] / clip.size[1];
  const room = narrow ? Math.max(220, innerHeight * 0.5) : place.height;
  const rows_ = view.apart && panels.some((p) => p.lanes.length === 1) && Object.keys(store.lanes).length > 1;
  let best = { width: 0, columns: 1 };
  for (let columns = 1; columns <= panels.length; columns++) {
    if (rows_ && panels.length % columns) continue;
    const lines = Math.ceil(panels.length / columns);
    const width = Math.min((place.width - GAP * (columns - 1)) / columns, ((room - GAP * (lines - 1)) / lines) * aspect);
    if (width > best.width) best = { width, columns };
  }
  if (narrow && best.width < place.width / 2.2) best = { width: place.width, columns: 1 };
  const width = Math.max(80, Math.floor(best.width));
  const height = Math.round(width / aspect);
  $("panels").style.gridTemplateColumns = `repeat(${best.columns}, ${width}px)`;
  const dense = window.devicePixelRatio || 1;
  for (const { canvas } of panels) {
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    canvas.width = Math.round(width * dense);
    canvas.height = Math.round(height * dense);
  }
  draw();
}

// drawing

let drawing = 0;
export function draw() {
  drawing ||= requestAnimationFrame(() => {
    drawing = 0;
    panels.forEach(paint);
    hint();
  });
}

function paint(one) {
  const context = one.canvas.getContext("2d");
  const { width, height } = one.canvas;
  context.fillStyle = css("--hole");
  context.fillRect(0, 0, width, height);
  const index = shownFrame();
  const titles = [];
  let laid = 0;
  for (const sensor of one.sensors) {
    const off = one.lanes.every((lane) => store.lanes[lane]?.off.includes(sensor));
    const image = index === null ? null : shown.images[sensor];
    titles.push(words.sensor[sensor] + (index !== null && !image ? ": no image" : off ? ": off" : ""));
    if (!image) continue;
    context.globalAlpha = off ? 0.25 : laid ? (view.mix / 100) / (laid === 1 ? 1 : laid) : 1;
    context.drawImage(image, 0, 0, width, height);
    laid += 1;
  }
  context.globalAlpha = 1;
  const models = Object.keys(store.lanes).length > 1 && one.lanes.length === 1 ? `${one.lanes[0]} · ` : "";
  one.caption.textContent = models + titles.join(" + ");
  if (index === null) return;
  const scale = width / store.clip.size[0];
  const truth = store.clip.truth?.[index];
  if (truth) outline(context, truth, scale, { colour: "#fff", width: 1.2 });
  for (const target of store.targets) for (const lane of one.lanes) paintTarget(context, target, lane, index, scale);
  const drawn = drag?.box && drag.kind ? drag.box : edit?.box;
  if (drawn) {
    outline(context, drawn, scale, { colour: "#fff", width: 2, dash: [6, 4] });
    if (edit) handles(context, drawn, scale, "#fff");
  }
}

function paintTarget(context, target, lane, index, scale) {
  const found = mark(lane, target, index);
  if (!found?.box) return;
  const chosen = target.id === store.selected;
  if (drag?.kind && chosen && drag.target === target.id) return;
  const dash = { tracking: [], uncertain: [8, 5], lost: [2, 5] }[found.status] ?? [];
  const style = { colour: colour(target.id), width: (chosen ? 2.6 : 2) - (lane === "B" ? 0.6 : 0), dash };
  if (lane === "B" && !found.own) Object.assign(style, { corners: true, dash: [] });
  outline(context, found.box, scale, style);
  if (chosen && lane === "A" && !store.player?.playing) handles(context, found.box, scale, style.colour);
  const several = Object.keys(store.lanes).length > 1 && !found.own;
  const state = words.status(found, rows(lane, target), index);
  const name = !several ? target.name : lane === "A" ? `A ${target.name}` : lane;
  const text = [name, found.own ? "" : state === "following" ? (found.score ?? 0).toFixed(2) : state];
  label(context, text.filter(Boolean).join(" · "), found.box, scale, style.colour, lane === "B");
}

function hint() {
  const chosen = selected();
  let text = "";
  if (edit) text = "Arrows move the box, Alt + arrows size it, Enter takes it, Esc gives up";
  else if (store.clip && chosen && !store.choosingNew) text = `A drag gives ${chosen.name} a new box here; + New adds a target`;
  else if (store.clip) text = "Drag a box around the target, on any picture (or press B)";
  if ($("hint").textContent !== text) $("hint").textContent = text;
}

// boxes by mouse, pen and touch

function at(event, one) {
  const place = one.canvas.getBoundingClientRect();
  const scale = store.clip.size[0] / place.width;
  const clamp = (value, most) => Math.max(0, Math.min(most, value));
  return [clamp((event.clientX - place.left) * scale, store.clip.size[0]), clamp((event.clientY - place.top) * scale, store.clip.size[1]), scale];
}

/** What a press takes hold of: a corner or the middle of the chosen target's box, else nothing. */
function hold([px, py, scale]) {
  const chosen = selected();
  const box = chosen && !store.choosingNew && !store.player?.playing ? mark("A", chosen, shown.index)?.box : null;
  if (!box) return null;
  const [x, y, w, h] = box;
  const near = Math.min(HANDLE * scale, Math.max(4 * scale, Math.min(w, h) / 4));
  const close = (a, b) => Math.hypot(px - a, py - b) <= near;
  for (const [cx, cy, ox, oy] of [[x, y, x + w, y + h], [x + w, y, x, y + h], [x, y + h, x + w, y], [x + w, y + h, x, y]]) {
    if (close(cx, cy)) return { kind: "corner", from: [ox, oy], box };
  }
  return close(x + w / 2, y + h / 2) ? { kind: "move", box } : null;
}

function press(event, one) {
  if (event.button || shownFrame() === null || drag) return;
  event.preventDefault();
  one.canvas.focus({ preventScroll: true });
  one.canvas.setPointerCapture(event.pointerId);
  const place = at(event, one);
  const held = event.shiftKey ? null : hold(place);
  const chosen = event.shiftKey || store.choosingNew ? null : selected();
  drag = {
    panel: one, start: place, frame: shown.index, target: chosen?.id ?? null, kind: null, box: null,
    ...(held ? { held } : {}), resume: Boolean(store.player?.playing) && !store.clip.live,
  };
  if (drag.resume) command("pause");
}

function move(event, one) {
  if (!drag) {
    if (shownFrame() !== null) one.canvas.style.cursor = hold(at(event, one)) ? "move" : "crosshair";
    return;
  }
  const [x, y, scale] = at(event, drag.panel);
  const [sx, sy] = drag.start;
  if (!drag.kind && Math.hypot(x - sx, y - sy) < 3 * scale) return;
  drag.kind = drag.held?.kind ?? "draw";
  if (drag.kind === "move") {
    const [bx, by, w, h] = drag.held.box;
    drag.box = [bx + x - sx, by + y - sy, w, h];
  } else {
    const [ax, ay] = drag.kind === "corner" ? drag.held.from : [sx, sy];
    drag.box = [Math.min(ax, x), Math.min(ay, y), Math.abs(x - ax), Math.abs(y - ay)];
  }
  draw();
}

async function release() {
  if (!drag) return;
  const { box, frame, target, resume, kind } = drag;
  const point = drag.start;
  drag = null;
  if (kind && box[2] >= SMALLEST && box[3] >= SMALLEST) await give(target, frame, box);
  else if (!kind) choose(point);
  if (resume) command("play");
  follow();
}

function giveUp() {
  if (drag?.resume) command("play");
  drag = null;
  follow();
}

/** A click chooses the smallest box under it. */
function choose([x, y]) {
  const under = store.targets
    .map((t) => ({ id: t.id, box: mark("A", t, shown.index)?.box }))
    .filter(({ box }) => box && x >= box[0] && y >= box[1] && x <= box[0] + box[2] && y <= box[1] + box[3])
    .sort((a, b) => a.box[2] * a.box[3] - b.box[2] * b.box[3]);
  if (under.length) {
    store.selected = under[0].id;
    store.choosingNew = false;
    tell("selected");
  }
}

async function give(target, index, box) {
  const done = await command("box", { target, index, box });
  if (!done) return;
  store.selected = done.target;
  store.choosingNew = false;
  tell("selected");
}

// boxes by keyboard

let edit = null;

export const editing = () => edit !== null;

export function beginEdit() {
  if (shownFrame() === null) return;
  if (store.player?.playing) command("pause");
  const [width, height] = store.clip.size;
  const chosen = store.choosingNew ? null : selected();
  const size = Math.min(width, height) / 5;
  const box = (chosen && mark("A", chosen, shown.index)?.box) ?? [(width - size) / 2, (height - size) / 2, size, size];
  edit = { box: [...box], frame: shown.index, target: chosen?.id ?? null };
  draw();
}

/** Keys while a box is being drawn by keyboard; whether the key was one of them. */
export function editKey(event) {
  if (!edit) return false;
  const by = (event.shiftKey ? 10 : 1) * Math.max(1, store.clip.size[0] / 320);
  const [dx, dy] = { ArrowLeft: [-by, 0], ArrowRight: [by, 0], ArrowUp: [0, -by], ArrowDown: [0, by] }[event.key] ?? [0, 0];
  if (event.key === "Escape") edit = null;
  else if (event.key === "Enter") {
    const { target, frame, box } = edit;
    edit = null;
    give(target, frame, box);
  } else if (dx || dy) {
    if (event.altKey || event.ctrlKey) {
      edit.box[2] = Math.max(SMALLEST, edit.box[2] + dx);
      edit.box[3] = Math.max(SMALLEST, edit.box[3] + dy);
    } else {
      edit.box[0] = Math.max(0, Math.min(store.clip.size[0] - edit.box[2], edit.box[0] + dx));
      edit.box[1] = Math.max(0, Math.min(store.clip.size[1] - edit.box[3], edit.box[1] + dy));
    }
  } else return false;
  draw();
  return true;
}

// wiring

function press_(group, name, value) {
  for (const button of $(group).children) button.setAttribute("aria-pressed", String(button.dataset[name] === value));
}

export function setView(mode) {
  view.mode = mode;
  memory.set("view", mode);
  press_("view", "view", mode);
  arrange();
}

export const toggleView = () => setView(view.mode === "side" ? "blend" : "side");

export function start() {
  for (const button of $("view").children) button.onclick = () => setView(button.dataset.view);
  for (const button of $("apart").children) {
    button.onclick = () => {
      view.apart = Boolean(button.dataset.apart);
      memory.set("apart", view.apart);
      press_("apart", "apart", button.dataset.apart);
      arrange();
    };
  }
  $("mix").value = view.mix;
  $("mix").oninput = () => {
    view.mix = Number($("mix").value);
    memory.set("mix", view.mix);
    draw();
  };
  press_("view", "view", view.mode);
  press_("apart", "apart", view.apart ? "1" : "");
  new ResizeObserver(resize).observe($("stage"));
  on("state", () => { arrange(); follow(); });
  on("busy", arrange);
  on("at", follow);
  on("rows", draw);
  on("selected", draw);
  arrange();
}
