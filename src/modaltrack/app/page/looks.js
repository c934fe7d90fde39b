// SPDX-License-Identifier: Apache-2.0
// Colours of targets (Okabe and Ito's, apart for the colour-blind) and words for what is believed of them.

const COLOURS = ["#f0b400", "#56b4e9", "#2fc28f", "#ff8c42", "#e78ac3", "#f0e442", "#9aa8ff", "#d0d4dc"];

export const colour = (id) => COLOURS[(id - 1) % COLOURS.length];

const FOUND_FRAMES = 15; // for which "found again" is said

export const words = {
  sensor: { rgb: "visible", thermal: "thermal", depth: "depth", event: "events" },

  /** What is believed of a target: following, unsure, lost (in that frame), searching (after it), found again. */
  status(found, kept, frame) {
    if (!found) return "";
    if (found.status === "absent") return "absent";
    const phase = found.phase ?? found.status;
    if (phase === "lost" || phase === "searching") return phase;
    if (phase === "uncertain") return "unsure";
    for (let back = 0; back < FOUND_FRAMES; back++) {
      const before = kept.get(frame - back);
      if (before?.phase === "found") return "found again";
      if (before && before.status !== "tracking") break;
    }
    return "following";
  },
};

export const number = (value, digits = 0) => (value === null || value === undefined || !Number.isFinite(value) ? "–" : value.toFixed(digits));

/** Overlap of two xywh boxes. */
export function overlap(a, b) {
  const w = Math.min(a[0] + a[2], b[0] + b[2]) - Math.max(a[0], b[0]);
  const h = Math.min(a[1] + a[3], b[1] + b[3]) - Math.max(a[1], b[1]);
  const inner = Math.max(0, w) * Math.max(0, h);
  return inner / (a[2] * a[3] + b[2] * b[3] - inner || 1);
}
