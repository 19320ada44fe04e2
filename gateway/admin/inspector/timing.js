/** Bars for time: of calls one after the other, of webhooks, of attempts. */

import { el, svg } from "./dom.js";
import { counted, lasting } from "./format.js";

const WIDTH = 100;
const LEAST = 0.8;

/** A bar from `start` to `start + length` on a line of `whole` milliseconds. */
export function bar(start, length, whole, kind) {
  const scale = whole > 0 ? WIDTH / whole : 0;
  const width = Math.max(LEAST, length * scale);
  const x = Math.min(start * scale, WIDTH - width);
  return svg(
    "svg",
    { class: `bar-line ${kind}`, viewBox: `0 0 ${WIDTH} 8`, preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { class: "track", x: 0, y: 0, width: WIDTH, height: 8 }),
    svg("rect", { class: "fill", x, y: 0, width, height: 8 }),
  );
}

/** Time and failures of each webhook, as a table with bars. */
export function webhookTimes(exchanges) {
  const totals = new Map();
  for (const { webhook, elapsed_ms, failure, attempts } of exchanges) {
    const sum = totals.get(webhook) ?? { time: 0, calls: 0, failures: 0, attempts: 0 };
    totals.set(webhook, {
      time: sum.time + elapsed_ms,
      calls: sum.calls + 1,
      failures: sum.failures + (failure ? 1 : 0),
      attempts: sum.attempts + attempts,
    });
  }
  const longest = Math.max(...[...totals.values()].map((sum) => sum.time), 0);
  return el(
    "ul",
    { class: "times", "aria-label": "Time in each webhook" },
    ...[...totals].map(([name, sum]) =>
      el(
        "li",
        {},
        el("span", { class: "who" }, name),
        bar(0, sum.time, longest, sum.failures ? "bad" : "good"),
        el("span", { class: "number" }, lasting(sum.time)),
        el("span", { class: "dim" }, summary(sum)),
      ),
    ),
  );
}

function summary({ calls, failures, attempts }) {
  const words = [counted(calls, "call")];
  if (attempts > calls) words.push(counted(attempts, "attempt"));
  if (failures) words.push(`${failures} failed`);
  return words.join(", ");
}

/** The attempts of one call, with the pauses between them. */
export function attemptTimes(exchange) {
  const { tries, elapsed_ms: whole } = exchange;
  if (!tries.length) return null;
  const pause =
    Math.max(0, whole - tries.reduce((sum, item) => sum + item.elapsed_ms, 0)) / Math.max(1, tries.length - 1);
  let start = 0;
  const rows = tries.map((item) => {
    const drawn = bar(start, item.elapsed_ms, whole, item.error ? "bad" : "good");
    start += item.elapsed_ms + (tries.length > 1 ? pause : 0);
    return el(
      "li",
      {},
      el("span", { class: "who" }, `attempt ${item.number}`),
      drawn,
      el("span", { class: "number" }, lasting(item.elapsed_ms)),
      el("span", { class: "dim" }, item.error ?? `status ${item.status}`, " · ", el("bdi", {}, item.url)),
    );
  });
  return el("ul", { class: "times", "aria-label": "Attempts" }, ...rows);
}
