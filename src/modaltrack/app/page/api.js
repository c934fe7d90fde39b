// SPDX-License-Identifier: Apache-2.0
// Commands to the server, and its messages.

import { store, take, tell } from "./store.js";

const UNREACHED = "The server does not answer; is modaltrack app still running?";

async function answer(response) {
  let body = {};
  try {
    body = await response.json();
  } catch { /* no JSON: the status says enough */ }
  if (!response.ok) throw new Error(body.error ?? `The server answered ${response.status}.`);
  return body;
}

/** Have something done; rejects with a sentence. */
export async function ask(what, details = {}) {
  let response;
  try {
    response = await fetch("do", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ do: what, ...details }),
    });
  } catch {
    throw new Error(UNREACHED);
  }
  return answer(response);
}

/** The same, with its error among the messages. */
export async function command(what, details = {}) {
  try {
    return await ask(what, details);
  } catch (error) {
    take([{ type: "notice", level: "error", text: error.message, number: Date.now() }]);
    return null;
  }
}

/** Send a file; `progress` gets the bytes that have gone. XMLHttpRequest, since fetch does not tell them. */
export function send(group, file, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `upload?group=${encodeURIComponent(group)}&name=${encodeURIComponent(file.name)}`);
    request.upload.onprogress = (event) => progress(event.loaded);
    request.onerror = () => reject(new Error("The upload was cut off; try again."));
    request.onload = () => {
      if (request.status === 200) return resolve();
      let text = "";
      try {
        text = JSON.parse(request.responseText).error;
      } catch { /* no JSON */ }
      reject(new Error(text || `The server answered ${request.status}.`));
    };
    request.send(file);
  });
}

/** A file of the server, into the downloads folder. */
export async function download(what, details) {
  let response;
  try {
    response = await fetch(`download/${what}?${new URLSearchParams(details)}`);
  } catch {
    throw new Error(UNREACHED);
  }
  if (!response.ok) await answer(response);
  const name = /filename="([^"]*)"/.exec(response.headers.get("Content-Disposition") ?? "")?.[1] ?? what;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  return name;
}

let pause = 500;

/** Keep a connection open, whatever happens to it. */
export function connect() {
  const place = new URL("messages", location.href);
  place.protocol = place.protocol.replace("http", "ws");
  place.search = "";
  const socket = new WebSocket(place);
  socket.onmessage = (event) => {
    if (!store.connected) {
      store.connected = true;
      store.rows.clear(); // the first message holds them all
      pause = 500;
      tell("connection");
    }
    take(JSON.parse(event.data));
  };
  socket.onclose = () => {
    store.connected = false;
    tell("connection");
    setTimeout(connect, pause);
    pause = Math.min(2 * pause, 8000);
  };
}
