// SPDX-License-Identifier: Apache-2.0
// The dialog that opens clips.

import { ask, send } from "./api.js";
import { $, make, memory, say } from "./dom.js";
import { words } from "./looks.js";
import { on, store, tell } from "./store.js";

const OPTIONS = ["depth_scale", "fps", "event_size", "event_unit", "align"];
const dialog = $("open-dialog");
let tab = memory.get("tab", "scene");
let waiting = null; // number of the opening whose outcome the dialog waits for
const files = {};
const failures = new Map(); // number of an opening -> why it failed

export function show(wish) {
  build();
  choose(wish ?? tab);
  say($("open-error"), "");
  if (!dialog.open) dialog.showModal();
}

function build() {
  if ($("source-fields").children.length) return;
  const last = memory.get("sources", {});
  for (const sensor of store.choices.modalities) {
    const field = make("input", { type: "text", id: `source-${sensor}`, value: last[sensor] ?? "", spellcheck: false, autocomplete: "off", placeholder: sensor === "rgb" ? "clip/rgb, video.mp4, 0, rtsp://…" : "" });
    $("source-fields").append(make("label", {}, `${words.sensor[sensor]} `, field));
    const upload = make("input", { type: "file", multiple: true, id: `upload-${sensor}` });
    upload.onchange = () => { files[sensor] = [...upload.files]; };
    $("upload-fields").append(make("label", {}, `${words.sensor[sensor]} `, upload));
    if (sensor !== "rgb") $("aux").append(make("option", { value: sensor }, words.sensor[sensor]));
  }
  $("folder").value = memory.get("folder", "");
  $("aux").value = memory.get("aux", "");
}

function choose(name) {
  tab = name;
  memory.set("tab", name);
  for (const button of $("tabs").children) button.setAttribute("aria-selected", String(button.dataset.tab === name));
  for (const pane of dialog.querySelectorAll("[data-pane]")) pane.hidden = pane.dataset.pane !== name;
  $("more").hidden = name === "scene";
}

function request() {
  const options = Object.fromEntries(OPTIONS.map((name) => [name, $(name).value.trim()]).filter(([, value]) => value));
  if (tab === "scene") return scene(Number($("scene-seed").value), Number($("scene-length").value), $("scene-hard").checked);
  if (tab === "folder") {
    memory.set("folder", $("folder").value);
    memory.set("aux", $("aux").value);
    return { folder: $("folder").value.trim(), aux: $("aux").value, ...options };
  }
  const sources = Object.fromEntries(store.choices.modalities.map((s) => [s, $(`source-${s}`).value.trim()]).filter(([, v]) => v));
  memory.set("sources", sources);
  return { sources, ...options };
}

export const scene = (seed = 0, length = 120, hard = true) => ({ scene: { seed, length, hard } });

async function upload() {
  const group = [...crypto.getRandomValues(new Uint8Array(8))].map((b) => b.toString(16).padStart(2, "0")).join("");
  const chosen = Object.entries(files).filter(([, list]) => list.length);
  if (!chosen.length) throw new Error("No file is chosen; choose at least one sensor's files.");
  const total = chosen.flatMap(([, list]) => list).reduce((sum, file) => sum + file.size, 0);
  const bar = $("upload-progress");
  bar.hidden = false;
  let done = 0;
  try {
    for (const [sensor, list] of chosen) {
      for (const file of list) {
        await send(`${group}/${sensor}`, file, (bytes) => { bar.value = (done + bytes) / total; });
        done += file.size;
      }
    }
  } finally {
    bar.hidden = true;
    bar.value = 0;
  }
  return { upload: Object.fromEntries(chosen.map(([sensor]) => [sensor, `${group}/${sensor}`])) };
}

/** The outcome of an opening; it may come before the answer that says which one it is. */
function settle() {
  if (waiting === null) return;
  const text = failures.get(waiting);
  if (text === undefined && store.opened < waiting) return;
  waiting = null;
  $("open-yes").disabled = false;
  if (text === undefined) dialog.close();
  else if (dialog.open) say($("open-error"), text);
}

/** Open a clip; the dialog, where it is open, waits for the outcome. */
export async function open(wish) {
  say($("open-error"), "");
  $("open-yes").disabled = true;
  try {
    const options = tab === "upload" && !wish ? { ...request(), sources: undefined } : {};
    const answer = await ask("open", wish ?? (tab === "upload" ? { ...options, ...(await upload()) } : request()));
    waiting = answer.opening;
    settle();
  } catch (error) {
    $("open-yes").disabled = false;
    if (dialog.open) say($("open-error"), error.message);
    else tell("failed", error.message);
  }
}

const HINTS = { thermal: /therm|infra|\bir\b|_ir|tir/i, depth: /depth/i, event: /event|dvs|\.(aedat4|raw|dat|es)$/i };

/** Files that are dropped on the page, by what their names say of the sensor. */
function dropped(list) {
  show("upload");
  for (const sensor of store.choices.modalities) files[sensor] = [];
  for (const file of list) {
    const sensor = Object.keys(HINTS).find((s) => HINTS[s].test(file.name)) ?? "rgb";
    files[sensor].push(file);
  }
  for (const sensor of store.choices.modalities) {
    const transfer = new DataTransfer();
    for (const file of files[sensor]) transfer.items.add(file);
    $(`upload-${sensor}`).files = transfer.files;
  }
}

export function start() {
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files.length) dropped(event.dataTransfer.files);
  });
  for (const button of $("tabs").children) button.onclick = () => choose(button.dataset.tab);
  for (const id of ["open", "open-first"]) $(id).onclick = () => show();
  $("scene-first").onclick = () => open(scene());
  $("open-no").onclick = () => dialog.close();
  dialog.addEventListener("close", () => {
    if (waiting !== null && store.busy) ask("cancel").catch(() => {});
    waiting = null;
    $("open-yes").disabled = false;
  });
  $("open-form").onsubmit = (event) => {
    event.preventDefault();
    open();
  };
  on("state", () => {
    build();
    settle();
  });
  on("busy", () => { $("open-yes").textContent = waiting !== null && store.busy ? "Opening …" : "Open"; });
  on("not opened", (message) => {
    failures.set(message.opening, message.text);
    settle();
  });
}
