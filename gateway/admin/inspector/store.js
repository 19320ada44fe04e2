/** What the page knows: rows of mail, calls and webhooks. Tells "change" once for many changes. */

import { api } from "./api.js";

const ROWS = 5000;
const CALLS = 5000;
const PAUSE = 120;
const HEALTH_PAUSE = 2000;

export class Store extends EventTarget {
  constructor() {
    super();
    this.rows = new Map();
    this.calls = [];
    this.webhooks = [];
    this.recording = true;
    this.loaded = false;
    this.waiting = null;
  }

  /** Asks for everything; what happens meanwhile is applied afterwards. */
  async load() {
    this.waiting = [];
    try {
      const [sessions, exchanges] = await Promise.all([api.sessions(ROWS), api.exchanges({ limit: CALLS })]);
      await this.loadWebhooks();
      this.recording = sessions.recording;
      this.rows = new Map(sessions.sessions.flatMap(rowsOf).map((row) => [row.id, row]));
      this.calls = exchanges.exchanges.map(call).reverse();
      this.loaded = true;
    } finally {
      const missed = this.waiting;
      this.waiting = null;
      for (const [name, value] of missed) this.happened(name, value);
      this.changed();
    }
  }

  async loadWebhooks() {
    this.webhooks = (await api.webhooks()).webhooks;
  }

  /** Takes in a live event. */
  happened(name, value) {
    if (this.waiting) this.waiting.push([name, value]);
    else this[name](value);
  }

  transaction(value) {
    const row = mailRow(value);
    const known = this.rows.get(row.id);
    this.rows.set(row.id, row);
    if (this.rows.size > ROWS) this.rows.delete(this.sorted().at(-1).id);
    if (row.ended && !known?.ended) this.dispatchEvent(new CustomEvent("arrived", { detail: row }));
    this.changed();
  }

  session(value) {
    for (const row of rowsOf({ ...value, transactions: [] })) this.rows.set(row.id, row);
    this.changed();
  }

  exchange(value) {
    this.calls.push(call(value));
    if (this.calls.length > CALLS) this.calls.splice(0, this.calls.length - CALLS);
    this.dispatchEvent(new CustomEvent("exchange", { detail: value }));
    this.refreshHealth();
    this.changed();
  }

  refreshHealth() {
    this.healthTimer ??= setTimeout(async () => {
      try {
        await this.loadWebhooks();
        this.changed();
      } catch {
        // the stream says that the gateway is gone
      } finally {
        this.healthTimer = undefined;
      }
    }, HEALTH_PAUSE);
  }

  /** Rows, the newest first. */
  sorted() {
    return [...this.rows.values()].sort((one, other) => order(other, one));
  }

  changed() {
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.dispatchEvent(new Event("change"));
    }, PAUSE);
  }
}

function order(one, other) {
  if (one.began !== other.began) return one.began < other.began ? -1 : 1;
  return one.id < other.id ? -1 : 1;
}

/** A session's mail; a session that was refused before any mail is a row of its own. */
function rowsOf(session) {
  if (session.transactions.length || !session.refused) return session.transactions.map(mailRow);
  return [sessionRow(session)];
}

/** A session in the shape of a mail. */
export function sessionRow({ session_id: id, refused, client, began, ended, simulated }) {
  return {
    kind: "session",
    id,
    path: `#/sessions/${id}`,
    began,
    ended: ended ?? began,
    client,
    from: null,
    to: [],
    subject: null,
    verdict: verdictOf(refused),
    reply: refused,
    decided_by: null,
    reason: null,
    latency_ms: null,
    changes: 0,
    webhooks: [],
    failures: 0,
    simulated,
  };
}

function verdictOf(refused) {
  if (!refused) return null;
  return refused.code >= 500 ? "rejected" : "tempfailed";
}

function mailRow(transaction) {
  return {
    ...transaction,
    kind: "mail",
    id: transaction.transaction_id,
    path: `#/transactions/${transaction.transaction_id}`,
  };
}

function call({ time, elapsed_ms, failure }) {
  return { time: Date.parse(time), elapsed_ms, failed: failure !== null };
}
