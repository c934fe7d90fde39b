// SPDX-License-Identifier: Apache-2.0
// The dialog that lays one sensor's picture on another's: matched points by mouse, touch or keyboard, or a search.

import { ask, download } from "./api.js";
import { $, css, make, memory, say } from "./dom.js";
import { colour, number, words } from "./looks.js";
import { on, store, tell } from "./store.js";

const LEAST = 4; // pairs
const REMEMBERED = 20; // clips whose points are kept
const GRIP = 12; // screen pixels around a point that take hold of it
const LOUPE = { side: 132, zoom: 5 }; // screen pixels, and of an image pixel

const dialog = $("align-dialog");
let taken = null; // {number, reference, sizes, instants}: the server's pictures
let sensor = "";
let instant = 0;
let pairs = []; // {own: [x, y] in the sensor's picture, there: [x, y] in the reference's}; one of them may be null
let found = null; // what the server made of them, or found by itself
let working = 0; // number of the newest question; an older answer is dropped
let sides = []; // the two canvases: {key, canvas, image, cursor, held}

const place = () => `${store.clip?.name}/${sensor}`;
const whole = () => pairs.filter((pair) => pair.own && pair.there);

export async function show() {
  if (!store.clip?.can_align) return;
  if (!dialog.open) dialog.showModal();
  await take();
}

async function take() {
  taken = found = null;
  refresh();
  const answer = await question("Taking pictures …", "align pictures", {});
  if (!answer) return;
  taken = answer;
  instant = 0;
  const others = Object.keys(taken.sizes).filter((name) => name !== taken.reference);
  await choose(others.includes(sensor) ? sensor : others[0]);
}

/** Ask the server; its error is a sentence in the dialog. Null where that failed or something newer was asked. */
async function question(text, what, details) {
  const mine = ++working;
  say($("align-error"), "");
  $("align-result").textContent = text;
  refresh();
  try {
    const answer = await ask(what, details);
    return mine === working ? answer : null;
  } catch (error) {
    if (mine !== working) return null;
    say($("align-error"), error.message);
    $("align-result").textContent = "";
    return null;
  } finally {
    if (mine === working) working = 0;
    refresh();
  }
}

async function choose(name) {
  sensor = name;
  found = null;
  pairs = memory.get("pairs", {})[place()] ?? [];
  $("align-sensors").replaceChildren(...Object.keys(taken.sizes).filter((one) => one !== taken.reference).map((one) => {
    const button = make("button", { "aria-pressed": String(one === sensor) }, words.sensor[one]);
    button.onclick = () => choose(one);
    return button;
  }));
  sides = [["there", taken.reference], ["own", sensor]].map(side);
  $("align-pictures").replaceChildren(...sides.map((one) => one.figure));
  await load();
  await compute();
}

function side([key, name]) {
  const canvas = make("canvas", { tabIndex: 0, "aria-label": `${words.sensor[name]}: click a point; by keyboard arrows move, Shift faster, Alt slower, Enter takes it` });
  const one = { key, name, canvas, image: null, cursor: null, held: null };
  one.figure = make("figure", { className: "panel" }, canvas, make("figcaption", {}, words.sensor[name]));
  canvas.addEventListener("pointerdown", (event) => press(event, one));
  canvas.addEventListener("pointermove", (event) => move(event, one));
  canvas.addEventListener("pointerup", (event) => release(event, one));
  canvas.addEventListener("pointercancel", () => { one.held = one.cursor = null; draw(); });
  canvas.addEventListener("pointerleave", () => { if (!one.held) one.cursor = null; draw(); });
  canvas.addEventListener("keydown", (event) => key_(event, one));
  return one;
}

async function load() {
  const here = sides;
  await Promise.all(here.map(async (one) => {
    const image = new Image();
    image.src = `align/${taken.number}/${instant}/${one.name}`;
    one.image = await image.decode().then(() => image, () => null);
  }));
  if (here === sides) refresh();
}

async function compute() {
  const remembered = { ...memory.get("pairs", {}), [place()]: whole() };
  memory.set("pairs", Object.fromEntries(Object.entries(remembered).slice(-REMEMBERED)));
  found = null;
  if (whole().length < LEAST) {
    const left = LEAST - whole().length;
    $("align-result").textContent = `${left} more ${left === 1 ? "pair" : "pairs"} to go.`;
    return refresh();
  }
  accept(await question("…", "align points", { sensor, pairs: whole().map((pair) => [...pair.own, ...pair.there]) }), "points");
}

async function search() {
  accept(await question("Searching; this takes some seconds …", "align search", { sensor }), "blocks of the picture");
}

function accept(answer, what) {
  if (!answer) return;
  found = answer;
  const residual = answer.residual_pixels === null ? "" : `residual ${number(answer.residual_pixels, 1)} px (95 %: ${number(answer.residual_pixels_95, 1)} px), `;
  $("align-result").textContent = `By ${answer.method}: ${residual}${Math.round(100 * answer.agreeing)} % of the ${what} agree.`;
  blend();
  refresh();
}

function blend() {
  if (found) $("align-blend").src = `align/${taken.number}/${instant}/${sensor}?blend=1&of=${encodeURIComponent(JSON.stringify(found.homography.flat().map((v) => Number(v.toPrecision(6)))))}`;
}

function refresh() {
  const ready = Boolean(taken) && !working;
  $("align-instant").textContent = taken ? `instant ${instant + 1} of ${taken.instants}` : "";
  $("align-before").disabled = !ready || instant === 0;
  $("align-after").disabled = !ready || instant + 1 >= taken.instants;
  $("align-search").disabled = $("align-fresh").disabled = Boolean(working);
  $("align-search").disabled ||= !taken;
  $("align-use").disabled = !ready || !found;
  $("align-save").disabled = !found && !store.clip?.aligned.length;
  $("align-drop").disabled = !store.clip?.aligned.includes(sensor);
  $("align-clear").disabled = !pairs.length;
  $("align-pictures").hidden = !taken;
  $("align-blend-figure").hidden = !found;
  $("align-remarks").replaceChildren(...(found?.remarks ?? []).map((text) => make("li", {}, text)));
  const all = whole();
  $("align-pairs").replaceChildren(...pairs.map((pair, index) => {
    const error = found?.errors?.[all.indexOf(pair)];
    const text = `${index + 1}${error === undefined ? "" : `: ${number(error, 1)} px`} ×`;
    const button = make("button", { title: `Remove pair ${index + 1}`, "aria-label": `Remove pair ${index + 1}` }, text);
    button.classList.toggle("off", error > Math.max(3, 3 * (found?.residual_pixels ?? 0)));
    button.onclick = () => { pairs.splice(index, 1); compute(); };
    return make("li", {}, button);
  }));
  draw();
}

// drawing

let drawing = 0;
function draw() {
  drawing ||= requestAnimationFrame(() => {
    drawing = 0;
    sides.forEach(paint);
  });
}

function paint(one) {
  const { canvas, image } = one;
  const [width, height] = taken?.sizes[one.name] ?? [4, 3];
  const dense = window.devicePixelRatio || 1;
  const wide = canvas.clientWidth;
  if (!wide) return;
  canvas.width = Math.round(wide * dense);
  canvas.height = Math.round((wide * height / width) * dense);
  const context = canvas.getContext("2d");
  context.scale(dense, dense);
  const scale = wide / width;
  context.fillStyle = css("--hole");
  context.fillRect(0, 0, wide, wide * height / width);
  if (!image) return;
  context.drawImage(image, 0, 0, wide, wide * height / width);
  pairs.forEach((pair, index) => pair[one.key] && cross(context, pair[one.key], scale, colour(index + 1), String(index + 1)));
  const other = sides.find((side) => side !== one)?.cursor;
  const linked = other && found ? mapped(other, one.key === "there" ? found.homography : inverse(found.homography)) : null;
  if (linked) cross(context, linked, scale, "#fff", "");
  if (one.cursor) loupe(context, one, scale, wide, height * scale);
}

/** Where the centre of pixel x, y is on the screen: pixel centres are whole numbers. */
const screen = ([x, y], scale) => [(x + 0.5) * scale, (y + 0.5) * scale];

function cross(context, point, scale, stroke, text) {
  const [x, y] = screen(point, scale);
  for (const [style, wide] of [["rgba(0,0,0,.7)", 3.5], [stroke, 1.5]]) {
    context.strokeStyle = style;
    context.lineWidth = wide;
    context.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      context.moveTo(x + 3 * dx, y + 3 * dy);
      context.lineTo(x + 9 * dx, y + 9 * dy);
    }
    context.stroke();
  }
  context.font = "600 12px system-ui, sans-serif";
  context.strokeStyle = "rgba(0,0,0,.7)";
  context.lineWidth = 3;
  context.strokeText(text, x + 7, y - 6);
  context.fillStyle = stroke;
  context.fillText(text, x + 7, y - 6);
}

/** The surroundings of the cursor, enlarged, in the corner that is farthest from it. */
function loupe(context, one, scale, wide, high) {
  const [x, y] = one.cursor;
  const [cx, cy] = screen(one.cursor, scale);
  const edge = Math.min(LOUPE.side, wide / 2.5);
  const left = cx < wide / 2 ? wide - edge - 6 : 6;
  const top = cy < high / 2 ? high - edge - 6 : 6;
  const side = edge / Math.max(LOUPE.zoom, 2 * scale);
  const [width, height] = taken.sizes[one.name];
  const dense = [one.image.naturalWidth / width, one.image.naturalHeight / height]; // large pictures come smaller
  context.fillStyle = "#000";
  context.fillRect(left - 1, top - 1, edge + 2, edge + 2);
  context.imageSmoothingEnabled = false;
  context.drawImage(one.image, (x + 0.5 - side / 2) * dense[0], (y + 0.5 - side / 2) * dense[1], side * dense[0], side * dense[1], left, top, edge, edge);
  context.imageSmoothingEnabled = true;
  context.strokeStyle = "#fff";
  context.lineWidth = 1;
  context.strokeRect(left - 0.5, top - 0.5, edge + 1, edge + 1);
  context.beginPath();
  for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
    context.moveTo(left + edge / 2 + 4 * dx, top + edge / 2 + 4 * dy);
    context.lineTo(left + edge / 2 + 16 * dx, top + edge / 2 + 16 * dy);
  }
  context.stroke();
  cross(context, one.cursor, scale, "#fff", "");
}

function mapped([x, y], [[a, b, c], [d, e, f], [g, h, i]]) {
  const w = g * x + h * y + i;
  return w > 0 ? [(a * x + b * y + c) / w, (d * x + e * y + f) / w] : null;
}

function inverse([[a, b, c], [d, e, f], [g, h, i]]) {
  const determinant = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
  const rows = [[e * i - f * h, c * h - b * i, b * f - c * e], [f * g - d * i, a * i - c * g, c * d - a * f], [d * h - e * g, b * g - a * h, a * e - b * d]];
  return rows.map((row) => row.map((value) => value / determinant));
}

// points

function at(event, one) {
  const box = one.canvas.getBoundingClientRect();
  const [width, height] = taken.sizes[one.name];
  const clamp = (value, most) => Math.max(0, Math.min(most - 1, value));
  return [clamp(((event.clientX - box.left) * width) / box.width - 0.5, width), clamp(((event.clientY - box.top) * height) / box.height - 0.5, height)];
}

function press(event, one) {
  if (event.button || !one.image) return;
  event.preventDefault();
  one.canvas.focus({ preventScroll: true });
  one.canvas.setPointerCapture(event.pointerId);
  one.cursor = at(event, one);
  const near = (GRIP * taken.sizes[one.name][0]) / one.canvas.clientWidth;
  const pair = pairs.find((p) => p[one.key] && Math.hypot(p[one.key][0] - one.cursor[0], p[one.key][1] - one.cursor[1]) < near);
  one.held = { pair };
  draw();
}

function move(event, one) {
  if (!one.image || (event.pointerType === "touch" && !one.held)) return;
  one.cursor = at(event, one);
  draw();
}

function release(event, one) {
  if (!one.held) return;
  const { pair } = one.held;
  one.held = null;
  set(one, at(event, one), pair);
  if (event.pointerType === "touch") one.cursor = null;
  draw();
}

/** A point of one picture: of a pair that is there, of the one that still lacks it, or of a new one. */
function set(one, point, pair = pairs.find((p) => !p.own || !p.there)) {
  if (!pair) pairs.push((pair = { own: null, there: null }));
  pair[one.key] = point.map((value) => Math.round(100 * value) / 100);
  if (pair.own && pair.there) compute();
  else {
    $("align-result").textContent = `Now the same point on the other picture (${words.sensor[sides.find((s) => s !== one).name]}).`;
    refresh();
  }
}

function key_(event, one) {
  const by = event.altKey ? 0.25 : event.shiftKey ? 10 : 1;
  const step = { ArrowLeft: [-by, 0], ArrowRight: [by, 0], ArrowUp: [0, -by], ArrowDown: [0, by] }[event.key];
  const [width, height] = taken.sizes[one.name];
  one.cursor ??= [width / 2, height / 2].map(Math.round);
  if (step) one.cursor = [Math.max(0, Math.min(width - 1, one.cursor[0] + step[0])), Math.max(0, Math.min(height - 1, one.cursor[1] + step[1]))];
  else if (event.key === "Enter" || event.key === " ") set(one, one.cursor);
  else if (event.key === "Backspace" || event.key === "Delete") { pairs.pop(); compute(); }
  else return;
  event.preventDefault();
  draw();
}

async function turn(by) {
  instant += by;
  await load();
  blend();
}

async function use(drop) {
  const answer = await question("", "align use", { sensor, ...(drop ? { drop: true } : {}) });
  if (!answer) return;
  dialog.close();
  const done = drop ? `${words.sensor[sensor]} is scaled to ${words.sensor[taken.reference]} again` : `${words.sensor[sensor]} lies on ${words.sensor[taken.reference]} now`;
  tell("note", `${done}; targets are followed anew from your boxes.`);
}

export function start() {
  $("align-open").onclick = show;
  $("align-fresh").onclick = take;
  $("align-search").onclick = search;
  $("align-before").onclick = () => turn(-1);
  $("align-after").onclick = () => turn(1);
  $("align-clear").onclick = () => { pairs = []; compute(); };
  $("align-use").onclick = () => use(false);
  $("align-drop").onclick = () => use(true);
  $("align-save").onclick = () => download("alignment", {}).catch((error) => say($("align-error"), error.message));
  $("align-no").onclick = () => dialog.close();
  dialog.addEventListener("close", () => { working += 1; });
  new ResizeObserver(draw).observe($("align-pictures"));
  on("state", () => {
    $("align-open").hidden = !store.clip?.can_align;
    if (dialog.open && !store.clip) dialog.close();
  });
}
