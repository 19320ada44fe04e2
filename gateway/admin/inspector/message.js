/** The message as it came and as it was handed back: one text with what went and what came. */

import { button, el, put } from "./dom.js";
import { difference, withContext } from "./diff.js";
import { bytes, counted } from "./format.js";
import { jsonTree } from "./json.js";
import { bytesOf, escaped, visible } from "./text.js";

const MOST_LINES = 20_000;
const SHOWN_AT_ONCE = 400;

/** The section of a transaction. `whole` holds before and after, or null where they were not kept.
 *
 * `trial` is what a simulation answered: it knows the message after the changes in any case.
 */
export function messageSection(whole, recording, trial) {
  const section = el(
    "section",
    { class: "card", "aria-labelledby": "message-title" },
    el("h2", { id: "message-title" }, "Message"),
  );
  if (!whole.before || !whole.after) section.append(el("p", {}, ...absence(whole, recording)), ...told(trial));
  else section.append(...comparison(whole.before, whole.after));
  return section;
}

function told(trial) {
  if (!trial?.message) return [];
  const place = el("div", {
    class: "diff",
    role: "group",
    "aria-label": "The message after the changes",
    tabindex: "0",
  });
  draw(
    place,
    linesOf(trial.message).map((line) => ({ kind: "same", line })),
  );
  return [
    el("h3", {}, "What the changes were"),
    jsonTree(trial.changes, 3),
    el("h3", {}, "The message after them"),
    place,
  ];
}

function absence(whole, recording) {
  if (!whole.ended) return ["It is still on its way."];
  if (recording) return ["It was not kept: it did not come to its end, it was too large, or it lay on the disk."];
  return [
    "Messages are not recorded. To keep them in memory, set ",
    el("code", {}, "[admin] record = true"),
    " and start the gateway again.",
  ];
}

function comparison(before, after) {
  const lines = [linesOf(before), linesOf(after)];
  if (lines[0].length + lines[1].length > MOST_LINES) {
    return [el("p", {}, `It is too long to be compared here (${bytes(before.size)}): download both and use diff.`)];
  }
  const steps = difference(...lines, (line) => line.key);
  const changed = steps.filter((item) => item.kind !== "same").length;
  const place = el("div", { class: "diff", role: "group", "aria-label": "What was changed", tabindex: "0" });
  if (!changed) {
    draw(place, steps);
    return [el("p", { class: "dim" }, `Handed back as it came (${bytes(before.size)}).`), place];
  }
  const words = el(
    "p",
    { class: "dim" },
    `${bytes(before.size)} came, ${bytes(after.size)} went on; ${counted(changed, "line")} differ${changed === 1 ? "s" : ""}.`,
  );
  const short = withContext(steps);
  let all = false;
  const toggle = button(
    "Show the whole message",
    () => {
      all = !all;
      toggle.textContent = all ? "Show only what differs" : "Show the whole message";
      draw(place, all ? steps : short);
    },
    { class: "small" },
  );
  draw(place, short);
  return [words, toggle, place];
}

function draw(place, steps, shown = SHOWN_AT_ONCE) {
  put(place, ...steps.slice(0, shown).map(rowOf));
  if (steps.length > shown) {
    place.append(
      button(`Show ${steps.length - shown} more lines`, () => draw(place, steps, steps.length), { class: "small" }),
    );
  }
}

const SIGNS = { same: " ", gone: "-", new: "+" };
const WORDS = { gone: "removed: ", new: "added: " };

function rowOf({ kind, line, count }) {
  if (kind === "hidden") return el("div", { class: "hidden-lines" }, `${counted(count, "equal line")}`);
  return el(
    "div",
    { class: `line ${kind}` },
    el("span", { class: "sign", "aria-hidden": "true" }, SIGNS[kind]),
    WORDS[kind] ? el("span", { class: "unseen" }, WORDS[kind]) : null,
    el("span", { class: line.field ? "field" : "text" }, ...shown(line)),
  );
}

function shown(line) {
  const parts =
    line.name === undefined ? [visible(line.text)] : [el("b", {}, visible(line.name), ":"), " ", visible(line.text)];
  if (line.exact) parts.push(el("span", { class: "note" }, " ← exact bytes: ", el("code", {}, line.exact)));
  return parts;
}

/** A message as lines; `key` is what makes two lines equal: exact bytes where there are any. */
function linesOf(message) {
  return [...message.headers.map(fieldLine), { text: "", key: "\n" }, ...bodyLines(message.body)];
}

function fieldLine(field) {
  const { name, value } = field;
  const exact = field.field_base64 ?? field.value_base64 ?? field.name_base64;
  return { name, text: value, field: true, key: JSON.stringify(field), exact: exact && escaped(exact) };
}

function bodyLines(body) {
  if (!body) return [{ text: "(No webhook asked for the body, so the MTA did not send all of it.)", key: "\n\n" }];
  if (body.text !== undefined) return split(body.text);
  return split(latin(bytesOf(body.base64))).map(({ text }) => ({ text: escaped(btoa(text)), key: text }));
}

function split(text) {
  const lines = text.split("\r\n");
  if (lines.at(-1) === "") lines.pop();
  else if (lines.length)
    return [...lines.slice(0, -1), `${lines.at(-1)} \\ no CRLF at the end`].map((item) => ({ text: item, key: item }));
  return lines.map((item) => ({ text: item, key: item }));
}

function latin(raw) {
  let text = "";
  for (let from = 0; from < raw.length; from += 8192) text += String.fromCharCode(...raw.subarray(from, from + 8192));
  return text;
}
