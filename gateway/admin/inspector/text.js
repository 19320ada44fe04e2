/** Text that strangers wrote, shown so that nobody is misled by what cannot be seen. */

import { el } from "./dom.js";

/** What has no shape of its own, or turns its neighbours around: controls, invisible spaces, direction marks. */
const ODD =
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufffd\ufff9-\ufffb]/u;
const ODD_ALL = new RegExp(ODD.source, "gu");
const LOST = "\ufffd";

/** The text, isolated, with marks in the place of odd characters. */
export function visible(text) {
  if (!ODD.test(text)) return el("bdi", {}, text);
  const parts = [];
  let from = 0;
  for (const match of text.matchAll(ODD_ALL)) {
    parts.push(text.slice(from, match.index), mark(match[0]));
    from = match.index + match[0].length;
  }
  return el("bdi", {}, ...parts, text.slice(from));
}

function mark(character) {
  if (character === LOST) {
    return el(
      "mark",
      { class: "lost", title: "These bytes are no UTF-8. The exact bytes are beside it, in …_base64." },
      LOST,
    );
  }
  const code = character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
  return el("mark", { class: "odd", title: "A character that cannot be seen" }, `U+${code}`);
}

/** Bytes in base64 as text: what is printable ASCII as it is, the rest as \xNN. */
export function escaped(base64) {
  return Array.from(bytesOf(base64), escapedByte).join("");
}

export function bytesOf(base64) {
  try {
    return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  } catch {
    return new Uint8Array();
  }
}

function escapedByte(byte) {
  if (byte === 0x5c) return "\\\\";
  if (byte >= 0x20 && byte < 0x7f) return String.fromCharCode(byte);
  return `\\x${byte.toString(16).padStart(2, "0")}`;
}
