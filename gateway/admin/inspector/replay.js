/** A call sent again, and the answer of now beside the one of then. */

import { api } from "./api.js";
import { difference } from "./diff.js";
import { button, el, put } from "./dom.js";
import { lasting } from "./format.js";
import { announce } from "./notices.js";
import { visible } from "./text.js";

/** The form under a call. `urls`: those that are configured. */
export function replayForm(exchange, urls) {
  const list = `urls-${exchange.id}`;
  const url = el("input", {
    type: "url",
    name: "url",
    list,
    placeholder: exchange.url ?? "the configured URL",
    "aria-label": "URL to replay to; empty: the same",
    spellcheck: "false",
    autocomplete: "off",
  });
  const result = el("div", { class: "replay-result", "aria-live": "polite" });
  const send = el("button", { type: "submit", class: "primary" }, "Send again");
  const form = el(
    "form",
    { class: "replay", "aria-label": "Replay" },
    el(
      "p",
      {},
      "The same request goes out again, byte for byte: your backend cannot tell it from the first. Leave the field empty for the same URL; another must be a configured one, or on this machine.",
    ),
    el(
      "div",
      { class: "line-of-fields" },
      url,
      el("datalist", { id: list }, ...urls.map((item) => el("option", { value: item }))),
      send,
    ),
    result,
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    send.disabled = true;
    put(result, el("p", { class: "dim" }, "Waiting for the answer…"));
    put(result, ...(await outcome(exchange, url.value.trim())));
    send.disabled = false;
  });
  return form;
}

async function outcome(exchange, url) {
  try {
    const done = await api.replay(exchange.id, url);
    announce(done.same ? "The answer is the same" : "The answer differs");
    return shown(exchange, done);
  } catch (error) {
    return [el("p", { class: "failure", role: "alert" }, error.message)];
  }
}

function shown(exchange, done) {
  const verdict = done.same
    ? el("p", { class: "agrees" }, "The answer means the same as then.")
    : el(
        "div",
        {},
        el("p", { class: "differs" }, "The answer differs:"),
        el("ul", { class: "differences" }, ...done.differences.map((item) => el("li", {}, visible(item)))),
      );
  const steps = difference(lines(exchange), lines(done));
  return [
    verdict,
    el(
      "div",
      { class: "side-by-side" },
      answer(
        "Then",
        exchange,
        steps.filter((item) => item.kind !== "new"),
      ),
      answer(
        "Now",
        done,
        steps.filter((item) => item.kind !== "gone"),
      ),
    ),
  ];
}

function answer(title, { status, failure, elapsed_ms: time, url }, steps) {
  const facts = [status === null ? "no answer" : `status ${status}`, lasting(time)].join(" · ");
  return el(
    "section",
    { "aria-label": title },
    el("h4", {}, title, " ", el("span", { class: "dim" }, facts)),
    el("p", { class: "dim url" }, visible(url ?? "")),
    failure ? el("p", { class: "failure" }, visible(failure)) : null,
    el(
      "div",
      { class: "diff", role: "group", "aria-label": `Answer ${title.toLowerCase()}`, tabindex: "0" },
      ...steps.map(({ kind, line }) => el("div", { class: `line ${kind}` }, visible(line))),
    ),
  );
}

/** An answer as lines that can be compared. */
function lines({ response, response_base64: raw }) {
  if (raw) return [`base64: ${raw}`];
  if (response === null) return ["(empty)"];
  return (typeof response === "string" ? response : JSON.stringify(response, null, 2)).split("\n");
}

/** The button that opens the form. */
export function replayButton(exchange, urls, place) {
  const open = button(
    "Replay…",
    () => {
      const shownNow = place.childNodes.length > 0;
      put(place, ...(shownNow ? [] : [replayForm(exchange, urls)]));
      open.setAttribute("aria-expanded", String(!shownNow));
      if (!shownNow) place.querySelector("input").focus();
    },
    { "aria-expanded": "false" },
  );
  return open;
}
