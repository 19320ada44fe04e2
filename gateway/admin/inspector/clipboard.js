/** Copying, with a way out where the browser does not allow it. */

import { button, el } from "./dom.js";
import { announce } from "./notices.js";

/** Copies the text; where that fails, shows it below `near`, ready to be copied by hand. */
export async function copy(text, near, what) {
  try {
    await navigator.clipboard.writeText(text);
    announce(`${what} copied`);
    return true;
  } catch {
    byHand(text, near, what);
    return false;
  }
}

function byHand(text, near, what) {
  near.parentNode.querySelector(".by-hand")?.remove();
  const field = el("textarea", { readonly: true, rows: 6, "aria-label": what }, text);
  const box = el(
    "div",
    { class: "by-hand" },
    el("p", {}, "The browser does not let this page copy (it does at https and at 127.0.0.1). Copy it from here:"),
    field,
    button("Close", () => box.remove(), { class: "small" }),
  );
  near.after(box);
  field.select();
}
