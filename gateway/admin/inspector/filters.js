/** What the list shows: verdict, webhook, failures only, real or simulated, and words to look for. */

import { el, put } from "./dom.js";
import { deciderOf, replyText, VERDICTS, verdictOf } from "./words.js";

const EVERYTHING = { verdict: "", webhook: "", kind: "", failures: false, text: "" };

/** Whether a row is wanted. All words must be somewhere in it. */
export function matches(row, wanted) {
  if (wanted.verdict && verdictOf(row) !== wanted.verdict) return false;
  if (wanted.webhook && !row.webhooks.includes(wanted.webhook)) return false;
  if (wanted.failures && !row.failures && !row.reason) return false;
  if (wanted.kind && row.simulated !== (wanted.kind === "simulated")) return false;
  const words = wanted.text.toLowerCase().split(/\s+/).filter(Boolean);
  return !words.length || words.every((word) => haystack(row).includes(word));
}

const HAYSTACKS = new WeakMap();

function haystack(row) {
  let text = HAYSTACKS.get(row);
  if (text === undefined) {
    const client = row.client ?? {};
    const facts = [row.from, ...row.to, row.subject, client.name, client.address, client.helo, row.queue_id, row.id];
    facts.push(row.session_id, row.reason, replyText(row.reply), deciderOf(row), verdictOf(row), ...row.webhooks);
    text = [...facts, JSON.stringify(row.annotations ?? {})].filter(Boolean).join("\n").toLowerCase();
    HAYSTACKS.set(row, text);
  }
  return text;
}

/** The form above the list. `changed` is called with each change. */
export class Filters {
  constructor(form, changed) {
    this.wanted = { ...EVERYTHING };
    this.changed = changed;
    this.search = el("input", {
      type: "search",
      name: "text",
      placeholder: "Search: address, subject, reply, id…  (/)",
      "aria-label": "Search the list",
      autocomplete: "off",
      spellcheck: "false",
    });
    this.verdict = choice("verdict", "Verdict", [
      ["", "Every verdict"],
      ...[...VERDICTS, "under way"].map((word) => [word, word]),
    ]);
    this.webhook = choice("webhook", "Webhook", [["", "Every webhook"]]);
    this.kind = choice("kind", "Real or simulated", [
      ["", "All mail"],
      ["real", "real mail"],
      ["simulated", "simulated"],
    ]);
    this.failures = el("input", { type: "checkbox", name: "failures" });
    this.count = el("output", { class: "count", name: "count", "aria-label": "Shown" });
    put(
      form,
      this.search,
      this.verdict,
      this.webhook,
      this.kind,
      el("label", { class: "check" }, this.failures, "Failures only"),
      this.count,
    );
    form.addEventListener("input", () => this.read());
    form.addEventListener("submit", (event) => event.preventDefault());
  }

  read() {
    this.wanted = {
      text: this.search.value,
      verdict: this.verdict.value,
      webhook: this.webhook.value,
      kind: this.kind.value,
      failures: this.failures.checked,
    };
    this.changed();
  }

  /** Shows everything again. */
  clear() {
    for (const field of [this.search, this.verdict, this.webhook, this.kind]) field.value = "";
    this.failures.checked = false;
    this.read();
  }

  get active() {
    return Object.values(this.wanted).some(Boolean);
  }

  /** The webhooks that can be chosen. */
  offer(names) {
    const shown = [...this.webhook.options].slice(1).map((option) => option.value);
    if (names.join("\n") === shown.join("\n")) return;
    const chosen = this.webhook.value;
    put(
      this.webhook,
      el("option", { value: "" }, "Every webhook"),
      ...names.map((name) => el("option", { value: name }, name)),
    );
    this.webhook.value = names.includes(chosen) ? chosen : "";
  }

  say(shown, all) {
    put(this.count, shown === all ? `${all}` : `${shown} of ${all}`);
  }
}

function choice(name, label, options) {
  return el("select", { name, "aria-label": label }, ...options.map(([value, text]) => el("option", { value }, text)));
}
