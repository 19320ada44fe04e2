/** Rate, verdicts and latency of what is kept, drawn small, each with the same in words. */

import { el, put, svg } from "./dom.js";
import { counted, lasting, percentile } from "./format.js";
import { VERDICTS, verdictOf } from "./words.js";

const WIDTH = 240;
const HEIGHT = 56;
const MOST_BUCKETS = 40;
const LEAST_SPAN = 120_000;
const LONGEST_SPAN = 86_400_000;
const STEPS = [5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600].map((seconds) => seconds * 1000);
const ORDER = [...VERDICTS, "under way"];

/** Equal pieces of the time from the oldest that is kept until now. */
export function buckets(oldest, now) {
  const span = Math.min(LONGEST_SPAN, Math.max(LEAST_SPAN, now - oldest));
  const step = STEPS.find((item) => span / item <= MOST_BUCKETS) ?? STEPS.at(-1);
  const count = Math.ceil(span / step);
  const end = Math.ceil(now / step) * step;
  return { step, count, start: end - count * step, at: (time) => Math.floor((time - (end - count * step)) / step) };
}

/** The three cards; `show(rows, calls)` brings them up to date. */
export function chartCards() {
  const cards = [card("Rate"), card("Verdicts"), card("Latency")];
  const show = (rows, calls, now = Date.now()) => {
    const oldest = Math.min(now, ...[rows.at(-1)?.began].filter(Boolean).map(Date.parse));
    const time = buckets(oldest, now);
    put(cards[0].place, ...rate(rows, time));
    put(cards[1].place, ...verdicts(rows));
    put(cards[2].place, ...latency(calls, time));
  };
  return { cards: cards.map((item) => item.node), show };
}

function card(title) {
  const place = el("figure", {});
  const id = `chart-${title.toLowerCase()}`;
  return { node: el("section", { class: "card chart", "aria-labelledby": id }, el("h2", { id }, title), place), place };
}

function frame(label, ...children) {
  return svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
    svg("line", { class: "axis", x1: 0, x2: WIDTH, y1: HEIGHT - 0.5, y2: HEIGHT - 0.5 }),
    ...children,
  );
}

function rate(rows, time) {
  const pieces = Array.from({ length: time.count }, () => new Map());
  for (const row of rows) {
    const piece = pieces[time.at(Date.parse(row.began))];
    piece?.set(verdictOf(row), (piece.get(verdictOf(row)) ?? 0) + 1);
  }
  const sums = pieces.map((piece) => [...piece.values()].reduce((sum, count) => sum + count, 0));
  const most = Math.max(...sums, 1);
  const whole = sums.reduce((sum, count) => sum + count, 0);
  const words = `${counted(whole, "mail", "mails")} in ${spanWords(time.step * time.count)}; at most ${Math.max(...sums)} in ${spanWords(time.step)}`;
  const width = WIDTH / time.count;
  const bars = pieces.flatMap((piece, at) => {
    let top = HEIGHT - 1;
    return ORDER.filter((word) => piece.has(word)).map((word) => {
      const height = (piece.get(word) / most) * (HEIGHT - 4);
      top -= height;
      return svg("rect", {
        class: `fill ${word.replace(" ", "-")}`,
        x: at * width + width * 0.1,
        y: top,
        width: width * 0.8,
        height,
      });
    });
  });
  return [frame(words, ...bars), el("figcaption", {}, words)];
}

function verdicts(rows) {
  const counts = new Map();
  for (const row of rows) counts.set(verdictOf(row), (counts.get(verdictOf(row)) ?? 0) + 1);
  const present = ORDER.filter((word) => counts.has(word));
  const words = present.map((word) => `${counts.get(word)} ${word}`).join(", ") || "no mail yet";
  let x = 0;
  const parts = present.map((word) => {
    const width = (counts.get(word) / rows.length) * WIDTH;
    x += width;
    return svg("rect", { class: `fill ${word.replace(" ", "-")}`, x: x - width, y: 0, width, height: 14 });
  });
  const bar = svg(
    "svg",
    { class: "share", viewBox: `0 0 ${WIDTH} 14`, preserveAspectRatio: "none", role: "img", "aria-label": words },
    ...parts,
  );
  const legend = present.map((word) =>
    el(
      "li",
      {},
      el("span", { class: `swatch ${word.replace(" ", "-")}`, "aria-hidden": "true" }),
      `${counts.get(word)} ${word}`,
    ),
  );
  return [bar, present.length ? el("ul", { class: "legend" }, ...legend) : el("figcaption", {}, words)];
}

function latency(calls, time) {
  const pieces = Array.from({ length: time.count }, () => []);
  for (const { time: when, elapsed_ms: taken } of calls) pieces[time.at(when)]?.push(taken);
  pieces.forEach((piece) => piece.sort((one, other) => one - other));
  const all = calls.map((item) => item.elapsed_ms).sort((one, other) => one - other);
  if (!all.length) return [frame("no call yet"), el("figcaption", {}, "no call yet")];
  const slowest = Math.max(...pieces.map((piece) => percentile(piece, 0.95) ?? 0), 1);
  const words = `half of ${counted(all.length, "call")} within ${lasting(percentile(all, 0.5))}, 95% within ${lasting(percentile(all, 0.95))}, the slowest ${lasting(all.at(-1))}`;
  const width = WIDTH / time.count;
  const height = (value) => HEIGHT - 2 - (value / slowest) * (HEIGHT - 6);
  const marks = pieces.flatMap((piece, at) => {
    if (!piece.length) return [];
    const x = (at + 0.5) * width;
    const [half, most] = [height(percentile(piece, 0.5)), height(percentile(piece, 0.95))];
    return [
      svg("line", { class: "range", x1: x, x2: x, y1: half, y2: most }),
      tick("p95", x, most, width),
      tick("p50", x, half, width),
    ];
  });
  return [frame(words, ...marks), el("figcaption", {}, words)];
}

function tick(kind, x, y, width) {
  return svg("line", { class: kind, x1: x - width * 0.35, x2: x + width * 0.35, y1: y, y2: y });
}

function spanWords(milliseconds) {
  const minutes = milliseconds / 60_000;
  if (minutes < 1) return `${milliseconds / 1000} s`;
  return minutes < 120 ? `${Math.round(minutes)} min` : `${Math.round(minutes / 60)} h`;
}
