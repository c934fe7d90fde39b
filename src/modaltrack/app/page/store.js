// SPDX-License-Identifier: Apache-2.0
// What the page knows: a copy of the server's workspace, kept up to date by its messages.

export const store = {
  clip: null,
  targets: [],
  lanes: {},
  player: null,
  choices: { models: [], runtimes: [], modalities: [] },
  speed: 1,
  busy: "",
  recording: null, // {folder, seconds, instants} of the recording that goes on
  recorded: "", // folder of the newest one
  opened: 0, // number of the newest opening that became a clip
  notices: [],
  present: new Map(), // frame -> sensors with an image
  missing: new Map(), // frame -> sensors without one
  time: new Map(),
  rows: new Map(), // "A/1" -> Map(frame -> {box, score, status, phase})
  selected: null, // number of a target; null: the next box is a new one
  connected: false,
};

const listeners = new Map();

export function on(kind, act) {
  if (!listeners.has(kind)) listeners.set(kind, []);
  listeners.get(kind).push(act);
}

export function tell(kind, detail) {
  for (const act of listeners.get(kind) ?? []) act(detail);
}

const rowsOf = (lane, target) => {
  const key = `${lane}/${target}`;
  if (!store.rows.has(key)) store.rows.set(key, new Map());
  return store.rows.get(key);
};

/** What is believed of a target in a frame: a person's box before the tracker's. */
export function mark(lane, target, frame) {
  const key = target.keys[frame];
  if (key !== undefined) return { box: key, score: null, status: key ? "tracking" : "absent", phase: null, own: true };
  return store.rows.get(`${lane}/${target.id}`)?.get(frame) ?? null;
}

export const rows = (lane, target) => store.rows.get(`${lane}/${target.id}`) ?? new Map();
export const target = (id) => store.targets.find((t) => t.id === id) ?? null;
export const selected = () => target(store.selected);
export const length = () => store.clip?.length ?? Math.max(1, ...[...store.present.keys()].map((f) => f + 1));

export function take(messages) {
  const changed = new Set();
  for (const message of messages) {
    const act = acts[message.type];
    if (act) for (const kind of act(message) ?? []) changed.add(kind);
  }
  for (const kind of changed) tell(kind);
}

const acts = {
  state(m) {
    if (m.clip?.number !== store.clip?.number) {
      store.present.clear();
      store.missing.clear();
      store.time.clear();
      store.rows.clear();
      store.selected = null;
    }
    Object.assign(store, { clip: m.clip, targets: m.targets, lanes: m.lanes, player: m.player, speed: m.speed });
    Object.assign(store, { opened: m.opened, busy: m.busy, choices: m.choices, recording: m.recording, recorded: m.recorded });
    if (!target(store.selected)) store.selected = null;
    if (store.selected === null && store.targets.length && !store.choosingNew) store.selected = store.targets.at(-1).id;
    const known = new Set(store.targets.map((t) => String(t.id)));
    for (const key of store.rows.keys()) if (!known.has(key.split("/")[1])) store.rows.delete(key);
    return ["state", "busy", "at", "recording"];
  },
  rows(m) {
    for (const [lane, id, frame, box, score, status, phase] of m.rows) {
      rowsOf(lane, id).set(frame, { box, score, status, phase });
    }
    return ["rows"];
  },
  drop(m) {
    for (const [key, kept] of store.rows) {
      const [lane, id] = key.split("/");
      if (Number(id) !== m.target || (m.lane && lane !== m.lane)) continue;
      for (const frame of [...kept.keys()]) if (frame >= m.from && frame < m.to) kept.delete(frame);
    }
    return ["rows"];
  },
  at(m) {
    store.present.set(m.index, m.present);
    store.missing.set(m.index, m.missing);
    store.time.set(m.index, m.time);
    if (store.player) store.player.index = m.index;
    if (store.clip && m.length !== null) store.clip.length = m.length;
    for (const [name, facts] of Object.entries(m.lanes)) if (store.lanes[name]) Object.assign(store.lanes[name], facts);
    if (store.clip?.live && store.present.size > 4000) {
      for (const map of [store.present, store.missing, store.time]) map.delete(map.keys().next().value);
    }
    return ["at"];
  },
  player(m) {
    store.player = m;
    if (store.clip && m.length !== null) store.clip.length = m.length;
    for (const [name, lane] of Object.entries(m.lanes)) store.lanes[name] = lane;
    return ["player", "at"];
  },
  busy(m) {
    store.busy = m.text;
    return ["busy"];
  },
  recording(m) {
    store.recording = m.recording;
    return ["recording"];
  },
  notice(m) {
    if (!store.notices.some((n) => n.number === m.number && n.text === m.text)) store.notices.push(m);
    store.notices = store.notices.slice(-20);
    return ["notices"];
  },
  "not opened"(m) {
    tell("not opened", m);
  },
};
