/** How each webhook does, at a glance. */

import { el, put } from "./dom.js";
import { clock, counted, exactly, lasting } from "./format.js";
import { visible } from "./text.js";

/** The card; `show(webhooks)` brings it up to date. */
export function healthCard() {
  const list = el("ul", { class: "webhooks" });
  const card = el(
    "section",
    { class: "card", "aria-labelledby": "health-title" },
    el("h2", { id: "health-title" }, "Webhooks"),
    list,
  );
  return {
    card,
    show: (webhooks) =>
      put(list, ...(webhooks.length ? webhooks.map(row) : [el("li", { class: "dim" }, "None is configured.")])),
  };
}

/** In a word: what the last call says. */
export function stateOf({ calls, last_ok: ok, last_failure: failure }) {
  if (!calls) return ["idle", "not asked yet"];
  if (failure && (!ok || failure.time > ok)) return ["bad", "failing"];
  return failure ? ["warn", "well again"] : ["good", "well"];
}

function row(webhook) {
  const [kind, word] = stateOf(webhook);
  const { calls, failures, last_failure: failure, p50_ms: p50, p95_ms: p95, last_ok: ok } = webhook;
  return el(
    "li",
    {},
    el(
      "p",
      {},
      el("span", { class: `lamp ${kind}`, "aria-hidden": "true" }),
      el("b", {}, webhook.name),
      " ",
      el("span", { class: `state ${kind}` }, word),
      " ",
      el("span", { class: "dim url" }, visible(webhook.urls.join(", "))),
    ),
    el(
      "p",
      { class: "dim" },
      `${counted(calls, "call")}, `,
      failures ? el("span", { class: "bad-number" }, `${failures} failed`) : "none failed",
      calls ? ` · half within ${lasting(p50)}, 95% within ${lasting(p95)}` : "",
      ok ? [" · last answer ", el("time", { title: exactly(ok) }, clock(ok))].map((item) => item) : "",
    ),
    failure
      ? el(
          "p",
          { class: "last-failure" },
          "Last failure ",
          el("time", { title: exactly(failure.time) }, clock(failure.time)),
          ": ",
          visible(failure.reason),
        )
      : null,
  );
}
