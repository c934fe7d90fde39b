// SPDX-License-Identifier: Apache-2.0
// The cards beside the pictures: targets with their labels, models with their sensors, messages.

import { ask, command } from "./api.js";
import { $, make } from "./dom.js";
import { colour, number, overlap, words } from "./looks.js";
import { shownFrame } from "./stage.js";
import { length, mark, on, rows, store, target as find, tell } from "./store.js";

// targets

const parts = new Map(); // target -> elements that change from frame to frame

function buildTargets() {
  parts.clear();
  const list = store.targets.map(targetRow);
  if (!list.length) list.push(make("p", { className: "quiet" }, store.clip ? "None yet: drag a box around one." : "Open a clip first."));
  $("targets").replaceChildren(...list);
  $("new").disabled = !store.clip;
  $("new").setAttribute("aria-pressed", String(Boolean(store.choosingNew)));
  updateTargets();
}

function targetRow(target) {
  const chosen = target.id === store.selected && !store.choosingNew;
  const dot = make("span", { className: "dot" });
  dot.style.background = colour(target.id);
  const name = make("input", { className: "name", value: target.name, maxLength: 80, "aria-label": "Name of the target", spellcheck: false });
  name.onchange = () => command("rename", { target: target.id, name: name.value });
  name.onfocus = () => choose(target.id);
  const state = make("span", { className: "pill" });
  const remove = make("button", { className: "icon small", title: "Remove the target", "aria-label": `Remove ${target.name}` }, "×");
  remove.onclick = () => command("remove", { target: target.id });
  const lanes = Object.keys(store.lanes).sort().map((lane) => {
    const bar = make("span", { className: "bar-fill" });
    const value = make("span", { className: "value" });
    const head = Object.keys(store.lanes).length > 1 ? make("span", { className: "lane-name" }, lane) : null;
    return { lane, bar, value, row: make("div", { className: "score" }, head, make("span", { className: "bar-track" }, bar), value) };
  });
  const box = make("div", { className: "box quiet" });
  const row = make("div", { className: "target" + (chosen ? " chosen" : "") },
    make("div", { className: "line" }, dot, name, state, remove), ...lanes.map((l) => l.row), box);
  row.onclick = (event) => event.target.closest("button, input") || choose(target.id);
  const own = { state, lanes, box };
  if (chosen) row.append(labelTools(target, own));
  parts.set(target.id, own);
  return row;
}

function labelTools(target, own) {
  const tool = (text, title, what, more = {}) => {
    const button = make("button", { className: "small", title }, text);
    button.onclick = () => label(what, target.id, more);
    return button;
  };
  own.progress = make("span", { className: "bar-fill good" });
  own.count = make("span", { className: "quiet" });
  own.unkey = tool("Undo box", "Forget your box in this frame (Backspace)", "no key");
  return make("div", { className: "labels" },
    make("div", { className: "tools-row" },
      tool("← Track back", "Follow from here towards the beginning, up to your last box (R)", "back"),
      tool("Absent here", "The target is not in the picture, from this frame on (A)", "absent"),
      own.unkey,
      tool("Accept to here", "Agree with every box up to this frame (C)", "accept"),
      tool("Next doubt →", "Go to the next frame to look at (X)", "next")),
    make("div", { className: "line" }, make("span", { className: "bar-track thin" }, own.progress), own.count));
}

/** A command about labels of the chosen target in the frame that is shown. */
export async function label(what, id = store.selected) {
  const index = shownFrame();
  if (!find(id) || index === null) return;
  const answer = await command(what, { target: id, index });
  if (what === "next" && answer && answer.index === null) {
    tell("note", "Nothing is left to look at: every frame is accepted, tracked surely or labelled.");
  }
}

export function choose(id) {
  if (store.selected === id && !store.choosingNew) return;
  store.selected = id;
  store.choosingNew = false;
  tell("selected");
}

export function chooseNew() {
  if (!store.clip) return;
  store.choosingNew = !store.choosingNew;
  tell("selected");
}

function updateTargets() {
  const index = shownFrame();
  for (const target of store.targets) {
    const own = parts.get(target.id);
    if (!own) continue;
    const first = index === null ? null : mark("A", target, index);
    const state = first?.own && first.box ? "your box" : words.status(first, rows("A", target), index) || "no box here";
    own.state.textContent = state;
    own.state.dataset.state = first?.own ? "own" : state === "searching" ? "lost" : first?.status ?? "none";
    for (const { lane, bar, value } of own.lanes) {
      const found = index === null ? null : mark(lane, target, index);
      bar.style.width = `${100 * Math.max(0, Math.min(1, found?.score ?? 0))}%`;
      bar.dataset.state = found?.status ?? "none";
      value.textContent = number(found?.score, 2);
    }
    own.box.textContent = first?.box ? `x ${number(first.box[0], 1)}  y ${number(first.box[1], 1)}  w ${number(first.box[2], 1)}  h ${number(first.box[3], 1)}` : "";
    if (own.count) {
      const accepted = target.accepted.reduce((sum, [a, b]) => sum + b - a + 1, 0);
      own.progress.style.width = `${(100 * accepted) / length()}%`;
      own.count.textContent = `${accepted} of ${length()} accepted`;
      own.unkey.disabled = target.keys[index] === undefined;
    }
  }
}

// models

function buildLanes() {
  const lanes = Object.keys(store.lanes).sort().map(laneRow);
  if (!store.lanes.B) {
    const add = make("button", { className: "wide-button", title: "Follow the same targets with a second model" }, "+ Compare with a second model");
    add.onclick = () => command("lane", { lane: "B", model: store.lanes.A?.model ?? "" });
    lanes.push(add);
  }
  if (document.activeElement?.closest("#lanes")?.id === "lanes" && document.activeElement.tagName === "INPUT") return;
  $("lanes").replaceChildren(...lanes);
  updateLanes();
}

const laneParts = new Map();

function laneRow(name) {
  const lane = store.lanes[name];
  const known = store.choices.models;
  const model = make("select", { "aria-label": `Model ${name}` }, ...known.map((m) => make("option", { value: m }, m)));
  if (!known.includes(lane.model)) model.append(make("option", { value: lane.model }, lane.model));
  model.append(make("option", { value: "\n" }, "a file, or another name …"));
  model.value = lane.model;
  const runtime = make("select", { "aria-label": `Runtime of model ${name}` }, ...store.choices.runtimes.map((r) => make("option", { value: r === "torch" ? "" : r }, r)));
  runtime.value = lane.runtime === "torch" ? "" : lane.runtime;
  const other = make("input", { type: "text", placeholder: "weights file or name, then Enter", "aria-label": "Weights file or name", spellcheck: false, hidden: true });
  const change = async (chosen) => {
    model.disabled = runtime.disabled = true;
    try {
      await ask("lane", { lane: name, model: chosen, runtime: runtime.value });
    } catch (error) {
      tell("failed", error.message);
      buildLanes();
    }
  };
  model.onchange = () => {
    other.hidden = model.value !== "\n";
    if (other.hidden) change(model.value);
    else other.focus();
  };
  other.onchange = () => { const wish = other.value.trim(); other.blur(); if (wish) change(wish); else buildLanes(); };
  runtime.onchange = () => change(lane.model);
  const drop = name === "B" ? make("button", { className: "icon small", title: "Without the second model", "aria-label": "Without the second model" }, "×") : null;
  if (drop) drop.onclick = () => command("no lane");
  const sensors = make("div", { className: "chips", role: "group", "aria-label": `Sensors of model ${name}` }, ...(store.clip?.modalities ?? []).map((sensor) => {
    const chip = make("button", { className: "chip", "aria-pressed": String(!lane.off.includes(sensor)), title: `Show or hide ${words.sensor[sensor]} to model ${name}` }, words.sensor[sensor]);
    chip.dataset.sensor = sensor;
    chip.onclick = () => toggleSensor(name, sensor);
    return chip;
  }));
  const facts = make("div", { className: "quiet" });
  laneParts.set(name, { facts, sensors });
  return make("div", { className: "lane" }, make("div", { className: "line" }, make("span", { className: "lane-name" }, name), model, runtime, drop), other, sensors, facts);
}

export function toggleSensor(lane, sensor) {
  const off = new Set(store.lanes[lane]?.off ?? []);
  if (!off.delete(sensor)) off.add(sensor);
  command("sensors", { lane, off: [...off] });
}

let truthDue = 0;

function updateLanes() {
  const index = shownFrame();
  const missing = new Set(store.missing.get(index) ?? []);
  for (const [name, { facts, sensors }] of laneParts) {
    const lane = store.lanes[name];
    if (!lane) continue;
    for (const chip of sensors.children) chip.classList.toggle("missing", missing.has(chip.dataset.sensor));
    const text = [];
    if (lane.seconds) text.push(`${number(1 / lane.seconds, 1)} frames/s`, `${number(1000 * lane.seconds)} ms a frame`);
    if (lane.latency !== null && lane.latency !== undefined) text.push(`image to box ${number(1000 * lane.latency)} ms`);
    const agreed = meanOverlap(name);
    if (agreed !== null) text.push(`overlap with the truth ${number(agreed, 3)}`);
    facts.textContent = text.join(" · ");
  }
}

const agreement = new Map();
/** Mean overlap of the first target with the truth; counted twice a second at most. */
function meanOverlap(lane) {
  const truth = store.clip?.truth;
  const first = store.targets[0];
  if (!truth || !first) return null;
  if (performance.now() > truthDue) {
    truthDue = performance.now() + 500;
    agreement.clear();
  }
  if (!agreement.has(lane)) {
    const found = [...rows(lane, first)].filter(([frame, one]) => one.box && truth[frame]).map(([frame, one]) => overlap(one.box, truth[frame]));
    agreement.set(lane, found.length ? found.reduce((a, b) => a + b, 0) / found.length : null);
  }
  return agreement.get(lane);
}

// messages

function buildNotices() {
  $("notices-card").hidden = !store.notices.length;
  $("notices").replaceChildren(...store.notices.toReversed().map((n) => make("li", { className: n.level }, n.text)));
}

export function start() {
  $("new").onclick = chooseNew;
  $("again").onclick = () => command("again");
  $("clear").onclick = () => {
    store.notices = [];
    buildNotices();
  };
  on("state", () => { buildTargets(); buildLanes(); });
  on("selected", buildTargets);
  for (const kind of ["shown", "rows", "at"]) on(kind, () => { updateTargets(); updateLanes(); });
  on("player", updateLanes);
  on("notices", buildNotices);
}
