/** One call in the timeline: a line that opens to its request and answer, its attempts, curl and replay. */

import { api } from "./api.js";
import { copy } from "./clipboard.js";
import { button, el, put } from "./dom.js";
import { bytes, clock, counted, exactly, lasting } from "./format.js";
import { jsonTree } from "./json.js";
import { replayButton } from "./replay.js";
import { visible } from "./text.js";
import { attemptTimes, bar } from "./timing.js";
import { EVENTS, factOf, failureMeaning, TELLING } from "./words.js";

/** The line: `node`, and `place(start, whole)`, which says where its bar stands on the line of time.
 *
 * `urlsOf` gives the configured URLs of a webhook; `trial` is what a simulation answered about this call;
 * `tells` asks for the request at once, to say what the line is about.
 */
export function exchangeRow(exchange, { urlsOf, trial, tells }) {
  const fact = el("span", { class: "fact" });
  const time = el("span", { class: "time-line" });
  const inside = el("div", { class: "exchange-inside" });
  const row = el("details", { class: `exchange${exchange.failure ? " failed" : ""}`, "data-id": exchange.id });
  row.append(
    el(
      "summary",
      {},
      el("span", { class: "event" }, el("b", {}, exchange.event), fact),
      el("span", { class: "who" }, exchange.webhook),
      el("span", { class: "result" }, ...result(exchange)),
      time,
      el("span", { class: "number" }, lasting(exchange.elapsed_ms)),
    ),
    inside,
  );
  const full = once(async () => told(await api.exchange(exchange.id), trial));
  row.addEventListener("toggle", async () => {
    if (row.open && !inside.childNodes.length) await open(inside, full, urlsOf);
  });
  if (tells && (exchange.recorded || trial) && TELLING.includes(exchange.event)) {
    full().then(
      ({ request }) => put(fact, visible(factOf(exchange.event, request))),
      () => {},
    );
  }
  const place = (start, whole) => put(time, bar(start, exchange.elapsed_ms, whole, exchange.failure ? "bad" : "good"));
  return { node: row, place };
}

/** What is not kept may have been told in the answer of the simulation. */
function told(exchange, trial) {
  if (exchange.recorded || !trial) return exchange;
  return { ...exchange, request: trial.request, response: trial.response, told: true };
}

function once(make) {
  let made;
  return () => (made ??= make());
}

function result(exchange) {
  if (exchange.failure) return [el("span", { class: "badge rejected" }, "failed"), " ", visible(exchange.failure)];
  const words = [el("span", { class: `badge ${exchange.action ?? "continue"}` }, exchange.action ?? "continue")];
  if (exchange.attempts > 1) words.push(` after ${counted(exchange.attempts, "attempt")}`);
  return words;
}

async function open(inside, full, urlsOf) {
  put(inside, el("p", { class: "dim" }, "Asking…"));
  try {
    const exchange = await full();
    put(inside, ...parts(exchange, urlsOf(exchange.webhook)));
  } catch (error) {
    put(inside, el("p", { class: "failure", role: "alert" }, error.message));
  }
}

function parts(exchange, urls) {
  return [
    el(
      "p",
      { class: "dim" },
      `${EVENTS[exchange.event] ?? ""} · `,
      el("time", { title: exactly(exchange.time) }, clock(exchange.time)),
      " · ",
      el("code", { class: "id" }, exchange.id),
    ),
    exchange.failure ? failure(exchange) : null,
    attemptTimes(exchange),
    actions(exchange, urls),
    exchange.recorded || exchange.told ? sides(exchange) : unrecorded(exchange),
  ];
}

function failure(exchange) {
  return el(
    "div",
    { class: "failure" },
    el("p", {}, el("b", {}, visible(exchange.failure))),
    el("p", {}, failureMeaning(exchange)),
  );
}

function actions(exchange, urls) {
  const place = el("div", {});
  if (!exchange.recorded) return null;
  const asCurl = button("Copy as curl", async () => {
    try {
      const done = await copy(await api.curl(exchange.id), line, "The curl command");
      if (done) flash(asCurl, "Copied");
    } catch (error) {
      put(place, el("p", { class: "failure", role: "alert" }, error.message));
    }
  });
  const line = el("div", { class: "actions" }, asCurl, replayButton(exchange, urls, place));
  return el("div", {}, line, place);
}

function flash(node, words) {
  const before = node.textContent;
  node.textContent = words;
  setTimeout(() => (node.textContent = before), 1500);
}

function sides(exchange) {
  return el(
    "div",
    { class: "side-by-side" },
    side("Request", bytes(exchange.request_bytes), exchange, "request", exchange.request_headers),
    side("Answer", answerFacts(exchange), exchange, "response", null),
  );
}

function side(title, facts, exchange, key, headers) {
  const heading = el("div", { class: "side-head" }, el("h4", {}, title, " ", el("span", { class: "dim" }, facts)));
  const content = exchange[`${key}_base64`] ? { [`${key}_base64`]: exchange[`${key}_base64`] } : exchange[key];
  const asText = typeof content === "string" ? content : JSON.stringify(content, null, 2);
  heading.append(
    button("Copy", (event) => copy(asText, heading, title).then((done) => done && flash(event.target, "Copied")), {
      class: "small",
      "aria-label": `Copy the ${title.toLowerCase()}`,
    }),
  );
  return el(
    "section",
    { "aria-label": title },
    heading,
    headers
      ? el(
          "details",
          { class: "fields" },
          el("summary", {}, counted(Object.keys(headers).length, "header field")),
          jsonTree(headers, 1),
        )
      : null,
    content === null ? el("p", { class: "dim" }, emptyWords(exchange)) : jsonTree(content, key === "request" ? 2 : 4),
  );
}

/** Of a call that failed, the last attempt knows the status. */
function answerFacts(exchange) {
  const status = exchange.status ?? exchange.tries.at(-1)?.status ?? null;
  return status === null ? "none" : `status ${status} · ${bytes(exchange.response_bytes)}`;
}

function emptyWords({ failure, tries, response_bytes: size }) {
  if (failure && !tries.at(-1)?.status) return "No answer came.";
  if (failure && !size) return "With this status the body counts for nothing, and is not kept.";
  return size ? "It was too large to be kept." : "Empty: go on.";
}

function unrecorded(exchange) {
  const why =
    exchange.request_bytes === null
      ? "it lay on the disk while it was sent"
      : "bodies are not recorded, or this one was too large";
  return el(
    "p",
    { class: "dim" },
    `Request (${bytes(exchange.request_bytes)}) and answer (${bytes(exchange.response_bytes)}) were not kept: ${why}. `,
    el("code", {}, "[admin] record = true"),
    " keeps them, for a while, in memory; then they can also be copied as curl and replayed.",
  );
}
