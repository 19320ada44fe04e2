/** JSON as a tree that folds. Strings stay what they are: marked where bytes were lost, cut where they are long. */

import { button, el, put } from "./dom.js";
import { bytes, counted } from "./format.js";
import { bytesOf, escaped, visible } from "./text.js";

const OPEN_DEPTH = 2;
const LONG_TEXT = 2000;
const MANY = 100;
const PREVIEW = 160;

/** The tree of a value; `depth` levels are open. */
export function jsonTree(value, depth = OPEN_DEPTH) {
  return el("div", { class: "json" }, node(null, value, depth, null));
}

function node(key, value, depth, siblings) {
  if (value !== null && typeof value === "object") return branch(key, value, depth);
  return el("div", { class: "leaf" }, ...name(key), leaf(value), ...note(key, value, siblings));
}

function name(key) {
  return key === null ? [] : [el("span", { class: "key" }, visible(String(key))), el("span", { class: "dim" }, ": ")];
}

function branch(key, value, depth) {
  const isList = Array.isArray(value);
  const count = isList ? value.length : Object.keys(value).length;
  const [open, close] = isList ? "[]" : "{}";
  if (!count) return el("div", { class: "leaf" }, ...name(key), el("span", { class: "dim" }, open + close));
  const what = isList ? counted(count, "item") : counted(count, "key");
  const inside = el("div", { class: "inside" });
  const folded = el(
    "details",
    { open: depth > 0 },
    el("summary", {}, ...name(key), el("span", { class: "dim" }, `${open} ${what} ${close}`)),
    inside,
  );
  const unfold = () => {
    if (folded.open && !inside.childNodes.length) grow(inside, Object.entries(value), 0, depth - 1, isList, value);
  };
  folded.addEventListener("toggle", unfold);
  unfold();
  return folded;
}

/** Adds the next entries, and a button for those after them. */
function grow(inside, entries, from, depth, isList, siblings) {
  const until = Math.min(from + MANY, entries.length);
  for (const [key, value] of entries.slice(from, until)) {
    inside.append(
      node(key, value, isList ? Math.min(depth, entries.length > 12 ? 0 : depth) : depth, isList ? null : siblings),
    );
  }
  if (until === entries.length) return;
  const more = button(
    `Show ${Math.min(MANY, entries.length - until)} more of ${entries.length - until}`,
    () => {
      more.remove();
      grow(inside, entries, until, depth, isList, siblings);
    },
    { class: "small" },
  );
  inside.append(more);
}

function leaf(value) {
  if (typeof value === "string") return text(value);
  return el("span", { class: value === null ? "null" : typeof value }, String(value));
}

/** A string: its line ends are shown, and also end the line on the screen. */
function text(value) {
  const shown = el("span", { class: "string" });
  put(shown, ...quoted(value.slice(0, LONG_TEXT)));
  if (value.length <= LONG_TEXT) return shown;
  const all = button(
    `Show all ${value.length.toLocaleString("en-GB")} characters`,
    () => put(shown, ...quoted(value)),
    { class: "small" },
  );
  shown.append("… ", all);
  return shown;
}

function quoted(value) {
  const lines = value.split(/(?<=\n)/u);
  return ['"', ...lines.flatMap(line), '"'];
}

function line(whole) {
  const end = /\r?\n$/u.exec(whole)?.[0] ?? "";
  const words = visible(whole.slice(0, whole.length - end.length).replaceAll("\t", "→\t"));
  if (!end) return [words];
  return [words, el("span", { class: "line-end", "aria-hidden": "true" }, end === "\n" ? "\\n" : "\\r\\n"), "\n"];
}

/** What a base64 value stands for. */
function note(key, value, siblings) {
  if (typeof value !== "string" || siblings === null || !/(^|_)base64$/u.test(key ?? "")) return [];
  const about = key === "base64" ? null : key.slice(0, -"_base64".length);
  const size = bytes(bytesOf(value).length);
  const what =
    about !== null && about in siblings
      ? `the exact bytes of “${about}”, which are no UTF-8`
      : "bytes that are no UTF-8 text";
  const start = escaped(value.slice(0, PREVIEW));
  return [
    el(
      "span",
      { class: "note" },
      ` ← ${what} (${size}): `,
      el("code", {}, start + (value.length > PREVIEW ? "…" : "")),
    ),
  ];
}
