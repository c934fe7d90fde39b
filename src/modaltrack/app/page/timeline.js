// SPDX-License-Identifier: Apache-2.0
// Score and status over the frames of the clip; a click goes there.

import { command } from "./api.js";
import { $, css } from "./dom.js";
import { colour } from "./looks.js";
import { length, on, rows, selected, store } from "./store.js";

const LIVE_WINDOW = 600; // frames of a live clip that are shown
const BAND = 8; // screen pixels of the status band of a lane

const canvas = $("timeline");
let drawing = 0;
let seeking = false;
let asked = null;

/** First and last + 1 of the frames that are shown. */
function range() {
  const end = Math.max(2, length());
  return store.clip?.live ? [Math.max(0, end - LIVE_WINDOW), end] : [0, end];
}

function draw() {
  drawing ||= requestAnimationFrame(() => {
    drawing = 0;
    paint();
  });
}

function paint() {
  const dense = window.devicePixelRatio || 1;
  const { width: wide, height: high } = canvas.getBoundingClientRect();
  canvas.width = Math.round(wide * dense);
  canvas.height = Math.round(high * dense);
  const context = canvas.getContext("2d");
  context.scale(dense, dense);
  if (!store.clip) return;
  const [start, end] = range();
  const x = (frame) => ((frame - start + 0.5) / (end - start)) * wide;
  const step = wide / (end - start);
  const lanes = Object.keys(store.lanes).sort();
  const bottom = high - BAND * lanes.length - 3;
  ruler(context, start, end, x, bottom);
  const chosen = selected();
  for (const target of store.targets) if (target !== chosen) curve(context, target, "A", x, bottom, start, end, 0.3);
  if (chosen) {
    lanes.forEach((lane, number) => {
      band(context, chosen, lane, x, step, high - BAND * (lanes.length - number), start, end);
      curve(context, chosen, lane, x, bottom, start, end, lane === "A" ? 1 : 0.75, lane === "B" ? [4, 3] : []);
    });
    for (const [first, last] of chosen.accepted) {
      context.fillStyle = css("--good");
      context.fillRect(x(first) - step / 2, 0, (last - first + 1) * step, 3);
    }
    for (const key of Object.keys(chosen.keys)) diamond(context, x(Number(key)), 8, colour(chosen.id), chosen.keys[key] === null);
  }
  const here = x(store.player?.index ?? 0);
  context.fillStyle = css("--text");
  context.fillRect(here - 1, 0, 2, high);
  canvas.setAttribute("aria-valuemax", String(end - 1));
  canvas.setAttribute("aria-valuenow", String(store.player?.index ?? 0));
  canvas.setAttribute("aria-valuetext", `frame ${store.player?.index ?? 0} of ${end}`);
}

function ruler(context, start, end, x, bottom) {
  context.strokeStyle = css("--line");
  context.fillStyle = css("--quiet");
  context.font = "10px system-ui, sans-serif";
  context.lineWidth = 1;
  context.beginPath();
  for (const level of [0, 0.5, 1]) {
    const y = 4 + (bottom - 8) * (1 - level) + 0.5;
    context.moveTo(0, y);
    context.lineTo(context.canvas.width, y);
  }
  context.stroke();
  const step = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000].find((s) => x(start + s) - x(start) > 56) ?? 10000;
  for (let frame = Math.ceil(start / step) * step; frame < end; frame += step) {
    context.fillText(String(frame), x(frame) + 3, bottom - 1);
    context.fillRect(x(frame), bottom - 6, 1, 6);
  }
}

function band(context, target, lane, x, step, top, start, end) {
  const colours = { tracking: css("--good"), uncertain: css("--doubt"), lost: css("--bad") };
  context.fillStyle = css("--hole");
  context.fillRect(0, top, context.canvas.width, BAND - 1);
  for (const [frame, found] of rows(lane, target)) {
    if (frame < start || frame >= end) continue;
    context.fillStyle = colours[found.status] ?? css("--quiet");
    context.fillRect(x(frame) - step / 2, top, Math.max(1, step + 0.5), BAND - 1);
  }
  for (const [key, box] of Object.entries(target.keys)) {
    context.fillStyle = box ? colour(target.id) : css("--quiet");
    context.fillRect(x(Number(key)) - Math.max(1, step / 2), top, Math.max(2, step), BAND - 1);
  }
}

function curve(context, target, lane, x, bottom, start, end, strength, dash = []) {
  const frames = [...rows(lane, target).keys()].filter((f) => f >= start && f < end).sort((a, b) => a - b);
  if (!frames.length) return;
  context.strokeStyle = colour(target.id);
  context.globalAlpha = strength;
  context.lineWidth = 1.5;
  context.setLineDash(dash);
  context.beginPath();
  let last = null;
  for (const frame of frames) {
    const score = rows(lane, target).get(frame).score;
    if (score === null) continue;
    const y = 4 + (bottom - 8) * (1 - Math.max(0, Math.min(1, score)));
    if (last === null || (frame - last > 1 && !store.clip.live)) context.moveTo(x(frame), y);
    else context.lineTo(x(frame), y);
    last = frame;
  }
  context.stroke();
  context.setLineDash([]);
  context.globalAlpha = 1;
}

function diamond(context, x, y, fill, hollow) {
  context.beginPath();
  context.moveTo(x, y - 5);
  context.lineTo(x + 5, y);
  context.lineTo(x, y + 5);
  context.lineTo(x - 5, y);
  context.closePath();
  context.lineWidth = 1.5;
  context.strokeStyle = hollow ? fill : "#000";
  if (!hollow) {
    context.fillStyle = fill;
    context.fill();
  }
  context.stroke();
}

/** Go to a frame; while one request is under way only the newest wish is kept. */
export async function seek(index) {
  asked = index;
  if (seeking) return;
  seeking = true;
  while (asked !== null) {
    const next = asked;
    asked = null;
    await command("seek", { index: next });
  }
  seeking = false;
}

function frameAt(event) {
  const place = canvas.getBoundingClientRect();
  const [start, end] = range();
  const share = Math.max(0, Math.min(0.99999, (event.clientX - place.left) / place.width));
  return start + Math.floor(share * (end - start));
}

export function start() {
  canvas.addEventListener("pointerdown", (event) => {
    if (!store.clip || event.button) return;
    canvas.setPointerCapture(event.pointerId);
    seek(frameAt(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    if (store.clip && canvas.hasPointerCapture(event.pointerId)) seek(frameAt(event));
  });
  new ResizeObserver(draw).observe(canvas);
  for (const kind of ["state", "rows", "at", "player", "selected"]) on(kind, draw);
}
