// SPDX-License-Identifier: Apache-2.0
// The page's elements. Text from anywhere only ever becomes a text node.

export const $ = (id) => document.getElementById(id);

/** An element with properties, data-* and aria-* attributes, and children (text becomes text nodes). */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element && !name.includes("-")) element[name] = value;
    else if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Show a sentence in an element, or hide it. */
export function say(element, text) {
  element.textContent = text;
  element.hidden = !text;
}

export const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** What the page itself remembers over a reload: view, tab, last sources. */
export const memory = {
  get(name, otherwise) {
    try {
      return JSON.parse(localStorage.getItem("modaltrack." + name)) ?? otherwise;
    } catch {
      return otherwise;
    }
  },
  set(name, value) {
    try {
      localStorage.setItem("modaltrack." + name, JSON.stringify(value));
    } catch { /* private windows have no memory */ }
  },
};
