/** Keys for those who leave the mouse alone, and the page that tells of them. */

import { button, el, put } from "./dom.js";

const KEYS = [
  ["/", "search the list"],
  ["j, k", "next and previous mail (with one open: open that)"],
  ["Enter", "open the mail that has the focus"],
  ["Esc", "close what is open; in the search: clear it"],
  ["t", "try a message"],
  ["?", "this help"],
];

const TYPING = "input:not([type=checkbox]), textarea, select, [contenteditable]";

/** Calls `actions[key]` unless somebody types into a field. Escape is always heard. */
export function listenToKeys(actions) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (document.querySelector("dialog[open]")) return;
    const typing = event.target instanceof Element && event.target.matches(TYPING);
    const act = actions[event.key];
    if (!act || (typing && event.key !== "Escape")) return;
    if (act(event.target, typing) !== false) event.preventDefault();
  });
}

/** Fills the dialog; the answer opens it. */
export function helpDialog(dialog) {
  const rows = KEYS.map(([key, words]) =>
    el("tr", {}, el("th", { scope: "row" }, ...keyCaps(key)), el("td", {}, words)),
  );
  put(
    dialog,
    el("h2", { id: "help-title" }, "Keys"),
    el("table", {}, el("tbody", {}, ...rows)),
    el("h2", {}, "What this page shows"),
    el(
      "p",
      {},
      "Every mail that passes the gateway, as it happens: what was asked of each webhook, what it answered, and what became of the mail. All of it comes from the admin API, which is described under ",
      el("a", { href: "docs" }, "API"),
      ".",
    ),
    el(
      "p",
      {},
      "Latency is the time that all webhooks took together. “Decided by” is the webhook whose answer, or failure, made the verdict.",
    ),
    button("Close", () => dialog.close(), { class: "primary" }),
  );
  return () => dialog.showModal();
}

function keyCaps(text) {
  return text.split(", ").flatMap((key, at) => [at ? " " : "", el("kbd", {}, key)]);
}
