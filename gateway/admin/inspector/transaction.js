/** One mail, opened: what became of it, its calls on a line of time, the message before and after. */

import { api, ApiError } from "./api.js";
import { button, el, put } from "./dom.js";
import { exchangeRow } from "./exchange.js";
import { factList, refusedRecipients } from "./facts.js";
import { jsonTree } from "./json.js";
import { badge } from "./list.js";
import { messageSection } from "./message.js";
import { sessionRow } from "./store.js";
import { visible } from "./text.js";
import { webhookTimes } from "./timing.js";
import { meaningOf } from "./words.js";

const OF_THE_SESSION = 50;
const MOST_SESSIONS = 5000;
const MOST_TELLING = 60;
const TRIALS = 20;

/** What the page shows in its second half. `store` knows the webhooks; `tryAgain` takes a message into the form. */
export class TransactionView {
  constructor(place, { store, close, tryAgain }) {
    Object.assign(this, { place, store, close, tryAgain, id: null, trials: new Map() });
  }

  /** Opens a transaction, or a session that had none. */
  async open(kind, id) {
    this.id = id;
    this.kind = kind;
    this.lines = new Map();
    this.timeline = el("div", { class: "timeline" });
    this.head = el("div", {});
    this.message = el("div", {});
    put(this.place, el("p", { class: "dim card" }, "Asking…"));
    await this.refresh();
    this.place.scrollTop = 0;
    this.place.querySelector("h1")?.focus({ preventScroll: true });
  }

  /** Keeps the answers of the latest simulations: they tell what may not have been recorded. */
  remember(answer) {
    this.trials.set(answer.transaction_id, answer);
    if (this.trials.size > TRIALS) this.trials.delete(this.trials.keys().next().value);
  }

  shut() {
    this.id = null;
    put(this.place);
  }

  /** Asks again: what is open stays open. */
  async refresh() {
    const id = this.id;
    try {
      const whole = this.kind === "session" ? await sessionAlone(this.store, id) : await api.transaction(id);
      const before = await this.earlier(whole);
      if (this.id === id) this.draw(whole, before);
    } catch (error) {
      if (this.id === id) put(this.place, ...this.lost(error));
    }
  }

  /** Calls of the session before this mail: connect, helo. */
  async earlier(whole) {
    const { exchanges } = await api.exchanges({ session: whole.session_id, limit: OF_THE_SESSION });
    const first = whole.exchanges[0]?.time ?? whole.ended ?? whole.began;
    return exchanges
      .filter((item) => item.transaction_id === null && (this.kind === "session" || item.time <= first))
      .reverse();
  }

  lost(error) {
    const words =
      error.status === 404
        ? "This mail is not kept any more: only the latest are (record_count, record_bytes, record_age)."
        : error.message;
    return [
      el(
        "div",
        { class: "card" },
        el("h1", { tabindex: "-1" }, "Not here"),
        el("p", {}, words),
        button("Back to the list", this.close),
      ),
    ];
  }

  draw(whole, earlier) {
    if (this.head.parentNode !== this.place) put(this.place, this.head, this.timelineCard(), this.message);
    put(this.head, ...this.headParts(whole));
    this.drawTimeline([...earlier, ...whole.exchanges], whole.verdict);
    if (this.drawn?.id !== this.id || this.drawn.ended !== whole.ended) this.drawMessage(whole);
    this.drawn = { id: this.id, ended: whole.ended };
  }

  drawMessage(whole) {
    put(
      this.message,
      this.kind === "session" ? null : messageSection(whole, this.store.recording, this.trials.get(this.id)),
    );
  }

  headParts(whole) {
    const title =
      whole.kind === "session" ? "A session without mail" : whole.subject ? visible(whole.subject) : "(no subject)";
    return [
      el(
        "div",
        { class: "card head" },
        button("✕", this.close, {
          class: "plain close",
          "aria-label": "Close, back to the list",
          title: "Close (Esc)",
        }),
        el("h1", { tabindex: "-1" }, title),
        el(
          "p",
          { class: "verdict-line" },
          badge(whole),
          whole.simulated ? el("span", { class: "tag" }, "simulated") : null,
          " ",
          meaningOf(whole),
        ),
        whole.reason ? el("p", { class: "failure" }, el("b", {}, "A webhook failed. "), visible(whole.reason)) : null,
        whole.kind === "session" ? null : refusedRecipients(whole),
        this.actions(whole),
        factList(whole),
        whole.annotations && Object.keys(whole.annotations).length
          ? el("div", { class: "annotations" }, el("h2", {}, "Annotations"), jsonTree(whole.annotations, 3))
          : null,
      ),
    ];
  }

  actions(whole) {
    if (whole.kind === "session" || !whole.before?.body) return null;
    const id = whole.transaction_id;
    return el(
      "div",
      { class: "actions" },
      el("a", { class: "button", href: api.messagePath(id, "received"), download: `${id}.eml` }, "Download .eml"),
      whole.changes
        ? el(
            "a",
            { class: "button", href: api.messagePath(id, "changed"), download: `${id}-changed.eml` },
            "Download as changed",
          )
        : null,
      button("Try it again…", () => this.tryAgain(whole)),
    );
  }

  timelineCard() {
    this.times = el("div", {});
    return el(
      "section",
      { class: "card", "aria-labelledby": "timeline-title" },
      el("h2", { id: "timeline-title" }, "What was asked, what was answered"),
      this.timeline,
      this.times,
    );
  }

  drawTimeline(exchanges, verdict) {
    const whole = exchanges.reduce((sum, item) => sum + item.elapsed_ms, 0);
    if (!exchanges.length)
      put(this.timeline, el("p", { class: "dim" }, "No webhook was asked, or the calls are not kept any more."));
    if (this.lines.size === exchanges.length) return;
    let start = 0;
    for (const item of exchanges) {
      this.line(item).place(start, whole);
      start += item.elapsed_ms;
    }
    const nodes = exchanges.map((item) => this.line(item).node);
    nodes.forEach(
      (node, at) =>
        this.timeline.children[at] === node || this.timeline.insertBefore(node, this.timeline.children[at] ?? null),
    );
    this.openTelling(exchanges, verdict);
    put(this.times, el("h3", {}, "Time in the webhooks"), webhookTimes(exchanges));
  }

  line(item) {
    let line = this.lines.get(item.id);
    if (line === undefined) {
      const trial = this.trials.get(this.id)?.exchanges.find(({ id }) => id === item.id);
      line = exchangeRow(item, {
        urlsOf: (name) => urlsOfWebhook(this.store, name),
        trial,
        tells: this.lines.size < MOST_TELLING,
      });
      this.lines.set(item.id, line);
    }
    return line;
  }

  /** The call that decided is open at once; else the one at the end of the message. */
  openTelling(exchanges, verdict) {
    if (this.timeline.querySelector("details[open]")) return;
    const quiet = ["continue", null, ""];
    const passed = ["accepted", "quarantined"].includes(verdict);
    const decided = exchanges.filter((item) => item.failure || (!passed && !quiet.includes(item.action)));
    const telling = decided.at(-1) ?? exchanges.find((item) => item.event === "end_of_message") ?? exchanges.at(-1);
    this.lines.get(telling.id).node.open = true;
  }
}

function urlsOfWebhook(store, name) {
  return store.webhooks.find((item) => item.name === name)?.urls ?? [];
}

/** A session as if it were a mail without calls of its own. */
async function sessionAlone(store, id) {
  const row = store.rows.get(id) ?? (await askedFor(id));
  return { ...row, session_id: id, exchanges: [] };
}

async function askedFor(id) {
  const { sessions } = await api.sessions(MOST_SESSIONS);
  const found = sessions.find((item) => item.session_id === id);
  if (found === undefined) throw new ApiError(404, "This session is not kept any more.");
  return sessionRow(found);
}
