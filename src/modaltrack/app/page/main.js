// SPDX-License-Identifier: Apache-2.0
// Transport, downloads, keys, and the wiring of everything.

import * as align from "./align.js";
import { command, connect, download } from "./api.js";
import { $, make, say } from "./dom.js";
import { number } from "./looks.js";
import * as opening from "./open.js";
import * as side from "./side.js";
import * as stage from "./stage.js";
import { length, on, store, tell } from "./store.js";
import * as timeline from "./timeline.js";

// transport

const toggle = () => store.clip && command(store.player?.playing ? "pause" : "play");
const step = (by) => store.clip && command("seek", { by });
/** One frame on, followed: the server plays a single frame. */
const stepOn = () => store.clip && command("step");

function transport() {
  const clip = store.clip;
  const playing = Boolean(store.player?.playing);
  $("play").classList.toggle("playing", playing);
  $("play").setAttribute("aria-label", playing ? "Pause" : "Play");
  for (const button of document.querySelectorAll(".transport button")) button.disabled = !clip;
  $("again").disabled = !store.targets.length;
  $("take").disabled = !store.targets.length && !store.recorded;
  $("speed").disabled = !clip || clip.live;
  $("speed").value = String(store.speed);
  $("clip-name").textContent = clip?.name ?? "Open a clip";
  document.title = clip ? `${clip.name} – modaltrack` : "modaltrack";
  $("clip-facts").textContent = clip
    ? `${clip.size[0]} × ${clip.size[1]}, ${clip.live ? "live" : `${clip.length ?? "?"} frames, ${number(clip.fps, 1)} per second`}`
    : "";
}

function where() {
  const index = store.player?.index;
  const time = store.time.get(index);
  const back = store.player?.back ? "◀ back, " : "";
  const of = store.clip?.live ? "" : ` / ${length() - 1}`; // of a live clip the newest is shown
  $("place").textContent = store.clip ? `${back}frame ${index}${of}${time === null || time === undefined ? "" : `  ${time.toFixed(2)} s`}` : "";
  const lane = store.lanes.A;
  const facts = [];
  if (store.clip && lane?.seconds) facts.push(`${number(1 / lane.seconds, 1)} frames/s`, `${number(1000 * lane.seconds)} ms`);
  if (store.clip && lane?.latency !== null && lane?.latency !== undefined) facts.push(`image to box ${number(1000 * lane.latency)} ms`);
  $("speed-facts").textContent = facts.join(" · ");
}

function busy() {
  $("busy").hidden = !store.busy;
  $("busy-text").textContent = store.busy;
}

/** Begin to record the sources of a live clip, or end it. */
async function record() {
  if (!store.clip?.live) return;
  const answer = await command(store.recording ? "stop recording" : "record");
  if (answer?.said) tell("note", answer.said);
}

function recording() {
  const now = store.recording;
  $("record").hidden = !store.clip?.live;
  $("record").classList.toggle("running", Boolean(now));
  $("record").title = now ? `Recording to ${now.folder}; click to stop (K)` : "Keep all images of all sources on the machine that runs modaltrack (K)";
  $("record-text").textContent = now ? `Stop ${Math.floor(now.seconds / 60)}:${String(Math.floor(now.seconds % 60)).padStart(2, "0")}` : "Record";
}

// sentences

let bannerGoes = 0;

function banner(text, level = "error", seconds = 8) {
  const element = $("banner");
  say(element, text);
  element.className = level;
  clearTimeout(bannerGoes);
  if (seconds) bannerGoes = setTimeout(() => say(element, ""), 1000 * seconds);
}

let said = 0;
function notices() {
  const fresh = store.notices.filter((n) => !n.old && n.number > said && n.level === "error");
  if (!fresh.length) return;
  said = Math.max(...fresh.map((n) => n.number));
  banner(fresh.at(-1).text);
}

function connection() {
  if (store.connected) say($("banner"), "");
  else banner("The connection is lost; trying again. Is modaltrack app still running?", "error", 0);
}

// downloads

const TAKE = [
  ["boxes", "Boxes", "x, y, width, height per frame; one text file per target"],
  ["json", "Result (JSON)", "boxes, scores, status and what made them"],
  ["video", "Video (MP4)", "all sensors with their boxes"],
  ["clip", "Labels: clip folder", "pictures and boxes.txt, to train and score with modaltrack"],
  ["coco", "Labels: COCO video", "JSON with tracks"],
  ["mot", "Labels: MOT", "MOTChallenge rows, gt.txt"],
  ["cvat", "Labels: CVAT for video", "XML 1.1"],
];

const TAKE_RECORDING = ["recording", "Recording (ZIP)", "all images of all sources, as the last recording kept them"];

function showTake() {
  if ($("take").disabled) return;
  say($("take-error"), "");
  $("take-lane-label").hidden = Object.keys(store.lanes).length < 2;
  const known = [...(store.targets.length ? TAKE : []), ...(store.recorded ? [TAKE_RECORDING] : [])];
  $("take-list").replaceChildren(...known.map(([what, title, about]) => {
    const button = make("button", { className: "entry", id: `take-${what}` }, make("strong", {}, title), make("span", { className: "quiet" }, about));
    button.onclick = () => take(what, button);
    return button;
  }));
  $("take-dialog").showModal();
}

async function take(what, button) {
  say($("take-error"), "");
  button.disabled = true;
  button.classList.add("working");
  try {
    await download(what, { lane: $("take-lane-label").hidden ? "A" : $("take-lane").value });
  } catch (error) {
    say($("take-error"), error.message);
  }
  button.disabled = false;
  button.classList.remove("working");
}

// keys

const KEYS = [
  [["Space", "Enter"], "play and follow, pause", toggle, [" "]],
  [["→", "←"], "one frame on (followed), one back", null],
  [["Shift →", "Shift ←"], "ten frames", null],
  [["Home", "End"], "first and last frame", null],
  [["B"], "draw a box by keyboard: arrows move, Alt + arrows size, Enter takes it", () => stage.beginEdit()],
  [["Shift + drag"], "a new target; a drag alone gives the chosen one a better box", null],
  [["N"], "the next box is a new target", () => side.chooseNew()],
  [["1", "…", "9"], "choose a target", null],
  [["G"], "follow again from the first boxes", () => store.targets.length && command("again")],
  [["R"], "follow backwards from here", () => side.label("back")],
  [["A"], "absent from here on", () => side.label("absent")],
  [["C"], "accept every box up to here", () => side.label("accept")],
  [["X"], "next frame to look at", () => side.label("next")],
  [["Backspace"], "forget your box in this frame", () => side.label("no key")],
  [["V"], "side by side or blended", () => stage.toggleView()],
  [["Alt 1", "…", "Alt 4"], "switch a sensor of model A off or on", null],
  [["K"], "record a live clip, stop recording", record],
  [["L"], "align the sensors", () => align.show()],
  [["O"], "open a clip", () => opening.show()],
  [["D"], "download", showTake],
  [["?"], "these keys", () => $("help-dialog").showModal()],
];

function key(event) {
  if (document.querySelector("dialog[open]") || event.target.closest("input, select, textarea")) return;
  if (stage.editKey(event)) return void event.preventDefault();
  if (event.ctrlKey || event.metaKey) return;
  if ((event.key === " " || event.key === "Enter") && event.target.closest("button")) return;
  const digit = /^Digit([1-9])$/.exec(event.code)?.[1];
  const moves = { ArrowRight: event.shiftKey ? 10 : 1, ArrowLeft: event.shiftKey ? -10 : -1 };
  let act = null;
  if (digit && event.altKey) act = () => store.clip?.modalities[digit - 1] && side.toggleSensor("A", store.clip.modalities[digit - 1]);
  else if (event.altKey) return;
  else if (digit) act = () => store.targets[digit - 1] && side.choose(store.targets[digit - 1].id);
  else if (event.key in moves) act = () => (moves[event.key] === 1 ? stepOn() : step(moves[event.key]));
  else if (event.key === "Home" || event.key === "End") act = () => store.clip && timeline.seek(event.key === "Home" ? 0 : length() - 1);
  else if (event.key === " " || event.key === "Enter") act = toggle;
  else if (event.key === "Delete") act = () => side.label("no key");
  else act = KEYS.find(([names, , what]) => what && names.some((n) => n.toLowerCase() === event.key.toLowerCase()))?.[2];
  if (!act) return;
  event.preventDefault();
  act();
}

function start() {
  $("play").onclick = toggle;
  $("first").onclick = () => timeline.seek(0);
  $("back10").onclick = () => step(-10);
  $("back1").onclick = () => step(-1);
  $("next1").onclick = stepOn;
  $("next10").onclick = () => step(10);
  $("speed").onchange = () => command("speed", { speed: Number($("speed").value) });
  $("take").onclick = showTake;
  $("record").onclick = record;
  $("take-no").onclick = () => $("take-dialog").close();
  $("help").onclick = () => $("help-dialog").showModal();
  $("help-no").onclick = () => $("help-dialog").close();
  $("banner").onclick = () => say($("banner"), "");
  $("cancel").onclick = () => command("cancel");
  $("keys").replaceChildren(...KEYS.flatMap(([names, about]) => [
    make("dt", {}, ...names.map((name) => (name === "…" ? "…" : make("kbd", {}, name)))), make("dd", {}, about)]));
  document.addEventListener("keydown", key);
  on("state", () => { transport(); where(); });
  on("player", transport);
  on("selected", transport);
  on("at", where);
  on("busy", busy);
  on("recording", recording);
  on("notices", notices);
  on("connection", connection);
  on("failed", (text) => banner(text));
  on("note", (text) => banner(text, "note"));
  for (const part of [stage, timeline, side, opening, align]) part.start();
  transport();
  connect();
}

start();
