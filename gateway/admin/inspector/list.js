/** The list of mail. Each row is made once and brought up to date in its place, so that focus and scrolling stay. */

import { button, el, put } from "./dom.js";
import { clock, exactly, lasting } from "./format.js";
import { visible } from "./text.js";
import { deciderOf, verdictOf } from "./words.js";

const SHOWN = 1000;

export class MailList {
  constructor(place) {
    this.rows = new Map();
    this.ids = [];
    this.limit = SHOWN;
    this.recording = true;
    this.list = el("ol", { class: "rows", "aria-label": "Mail, the newest first" });
    this.more = button("Show more", () => this.showMore(), { class: "more", hidden: true });
    this.empty = el("div", { class: "empty" });
    put(place, header(), this.list, this.more, this.empty);
  }

  /** Shows these rows in this order. `nothing` says why there are none. */
  show(rows, nothing) {
    this.wanted = rows;
    const shown = rows.slice(0, this.limit);
    const ids = new Set(shown.map((row) => row.id));
    for (const [id, row] of this.rows) if (!ids.has(id)) this.drop(id, row);
    let before = this.list.firstElementChild;
    for (const item of shown) {
      const row = this.row(item);
      if (row.node === before) before = before.nextElementSibling;
      else this.list.insertBefore(row.node, before);
    }
    this.ids = shown.map((row) => row.id);
    this.more.hidden = rows.length <= this.limit;
    put(this.empty, ...(rows.length ? [] : [nothing()].flat()));
  }

  showMore() {
    this.limit += SHOWN;
    this.show(this.wanted, () => []);
  }

  row(item) {
    let row = this.rows.get(item.id);
    if (row === undefined) {
      row = newRow(item);
      this.rows.set(item.id, row);
    }
    if (row.item !== item) update(row, item, this.recording);
    return row;
  }

  drop(id, row) {
    row.node.remove();
    this.rows.delete(id);
  }

  /** Marks the row that is open. */
  mark(id) {
    this.rows.get(this.open)?.link.removeAttribute("aria-current");
    this.open = id;
    this.rows.get(id)?.link.setAttribute("aria-current", "true");
  }

  /** The id of the row so many places further; the first one where none has the focus. */
  next(step) {
    const focused = this.ids.findIndex((id) => this.rows.get(id).link === document.activeElement);
    const from = focused >= 0 ? focused : this.ids.indexOf(this.open);
    if (!this.ids.length) return null;
    return this.ids[from < 0 ? 0 : Math.max(0, Math.min(this.ids.length - 1, from + step))];
  }

  focus(id) {
    const link = this.rows.get(id)?.link;
    link?.focus({ preventScroll: true });
    link?.scrollIntoView({ block: "nearest" });
  }
}

function header() {
  const words = ["Time", "Verdict", "Subject", "From → to", "Client", "Decided by", "Latency"];
  return el(
    "div",
    { class: "row head", "aria-hidden": "true" },
    ...words.map((word) => el("span", { class: `h-${word.split(" ")[0].toLowerCase()}` }, word)),
  );
}

function newRow(item) {
  const parts = {};
  for (const name of ["time", "verdict", "subject", "route", "client", "decider", "latency"]) {
    parts[name] = el("span", { class: `c-${name}` });
  }
  const link = el("a", { class: "row", href: item.path }, ...Object.values(parts));
  return { node: el("li", {}, link), link, parts, item: null };
}

function update(row, item, recording) {
  const { parts, link } = row;
  row.item = item;
  put(parts.time, el("time", { datetime: item.began, title: exactly(item.began) }, clock(item.began)));
  put(parts.verdict, badge(item));
  put(parts.subject, subject(item, recording), item.simulated && el("span", { class: "tag" }, "simulated"));
  put(parts.route, ...route(item));
  put(parts.client, unseen("client "), ...clientWords(item.client));
  put(parts.decider, unseen("decided by "), deciderOf(item));
  put(parts.latency, unseen("webhooks took "), lasting(item.latency_ms));
  link.classList.toggle("failed", Boolean(item.failures || item.reason));
}

/** The verdict as a coloured word. */
export function badge(item) {
  const word = verdictOf(item);
  return el("span", { class: `badge ${word.replace(" ", "-")}` }, word);
}

function subject(item, recording) {
  if (item.kind === "session") return el("span", { class: "dim" }, "session refused before any mail");
  if (item.subject) return visible(item.subject);
  if (!item.ended) return el("span", { class: "dim" }, "…");
  if (!item.size) return el("span", { class: "dim" }, "(ended before the message)");
  return el("span", { class: "dim" }, recording ? "(no subject)" : "(subject not recorded)");
}

function route(item) {
  if (item.kind === "session") return ["–"];
  const to = item.to.length
    ? item.to.slice(0, 3).flatMap((address, at) => [at ? ", " : "", visible(address)])
    : [item.ended ? "nobody" : "…"];
  const rest = item.to.length > 3 ? [` and ${item.to.length - 3} more`] : [];
  return [
    unseen("from "),
    sender(item.from),
    el("span", { "aria-hidden": "true" }, " → "),
    unseen(" to "),
    ...to,
    ...rest,
  ];
}

/** A client's name, or what it calls itself where the MTA knows none; and its address. */
export function clientWords(client) {
  const { name, address, helo } = client ?? {};
  const known = name && !name.startsWith("[") && name !== "unknown";
  return [visible((known ? name : helo) || "unknown"), address ? visible(` ${address}`) : ""];
}

/** The null sender is a sender. */
export function sender(address) {
  return address ? visible(address) : el("span", {}, "<>");
}

function unseen(text) {
  return el("span", { class: "unseen" }, text);
}
