/** A message pasted or uploaded, and run through the webhooks as if an MTA had brought it. */

import { api } from "./api.js";
import { button, el, put } from "./dom.js";
import { bytes } from "./format.js";
import { announce } from "./notices.js";
import { visible } from "./text.js";

const SAMPLE = `From: Ann <ann@client.example>
To: Bob <bob@demo.example>
Subject: Lunch on Friday?

Hello Bob,

shall we have lunch on Friday?

Ann
`;

export class TryForm {
  /** `opened` is called with the answer, which names the transaction that came of it. */
  constructor(place, opened) {
    this.opened = opened;
    this.raw = null;
    this.fields = {
      from: input("from", "ann@client.example", "From (empty: the null sender)"),
      rcpt: input("rcpt", "bob@demo.example", "To (commas between recipients)"),
      helo: input("helo", "out.client.example", "Client’s HELO name"),
      client: input("client", "192.0.2.25", "Client’s address"),
    };
    this.webhook = el("select", { name: "webhook", id: "try-webhook" }, el("option", { value: "" }, "all of them"));
    this.text = el("textarea", {
      name: "message",
      id: "try-message",
      rows: 14,
      spellcheck: "false",
      placeholder: "Paste a message: header, empty line, body",
    });
    this.file = el("input", { type: "file", name: "file", id: "try-file", accept: ".eml,message/rfc822,text/plain" });
    this.held = el("p", { class: "held", hidden: true });
    this.result = el("div", { "aria-live": "polite" });
    this.send = el("button", { type: "submit", class: "primary" }, "Run it");
    put(place, this.form());
    this.file.addEventListener("change", () => this.takeFile(this.file.files[0]));
    this.dropsOn(place);
  }

  form() {
    const form = el(
      "form",
      { class: "card try", "aria-label": "Try a message" },
      el("h1", { tabindex: "-1" }, "Try a message"),
      el(
        "p",
        { class: "dim" },
        "It goes through the configured webhooks as if an MTA had brought it. Each call says ",
        el("code", {}, "dry_run: true"),
        ", and no mail is sent to anybody.",
      ),
      el(
        "div",
        { class: "grid" },
        ...Object.values(this.fields).map(({ box }) => box),
        labelled("Webhooks", this.webhook),
      ),
      el(
        "div",
        { class: "actions" },
        button("Put in a sample", () => this.sample()),
        el("label", { for: this.file.id, class: "dim" }, "or take a file:"),
        this.file,
      ),
      labelled("Message", this.text),
      this.held,
      el("div", { class: "actions" }, this.send),
      this.result,
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.run();
    });
    return form;
  }

  offer(names) {
    const chosen = this.webhook.value;
    put(
      this.webhook,
      el("option", { value: "" }, "all of them"),
      ...names.map((name) => el("option", { value: name }, name)),
    );
    this.webhook.value = names.includes(chosen) ? chosen : "";
  }

  sample() {
    this.drop();
    this.text.value = SAMPLE;
    this.text.focus();
  }

  /** Takes a mail that is known into the form. */
  async again(whole) {
    const { fields } = this;
    fields.from.field.value = whole.from ?? "";
    fields.rcpt.field.value = whole.to.join(", ");
    fields.helo.field.value = whole.client.helo ?? "";
    fields.client.field.value = whole.client.address ?? "";
    this.take(await api.message(whole.transaction_id), "the message as it came");
  }

  async takeFile(file) {
    if (file) this.take(new Uint8Array(await file.arrayBuffer()), file.name);
  }

  /** Text goes into the field, where it can be changed; what is no UTF-8 is held as it is. */
  take(raw, name) {
    this.drop();
    try {
      this.text.value = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(raw);
    } catch {
      this.raw = raw;
      this.text.value = "";
      this.text.disabled = true;
      put(
        this.held,
        "Held byte for byte, since it is no UTF-8: ",
        visible(name),
        ` (${bytes(raw.length)}). `,
        button("Put it away", () => this.drop(), { class: "small" }),
      );
      this.held.hidden = false;
    }
  }

  drop() {
    this.raw = null;
    this.text.disabled = false;
    this.held.hidden = true;
  }

  dropsOn(place) {
    place.addEventListener("dragover", (event) => event.preventDefault());
    place.addEventListener("drop", (event) => {
      event.preventDefault();
      this.takeFile(event.dataTransfer.files[0]);
    });
  }

  async run() {
    const { from, rcpt, helo, client } = this.fields;
    const recipients = rcpt.field.value.split(/[,\s]+/).filter(Boolean);
    const chosen = {
      from: from.field.value.trim(),
      rcpt: recipients,
      helo: helo.field.value.trim() || null,
      client: client.field.value.trim() || null,
      webhook: this.webhook.value || null,
    };
    this.send.disabled = true;
    put(this.result, el("p", { class: "dim" }, "Asking the webhooks…"));
    try {
      this.done(await api.simulate(this.raw ?? this.text.value, chosen));
    } catch (error) {
      put(this.result, el("p", { class: "failure", role: "alert" }, error.message));
    } finally {
      this.send.disabled = false;
    }
  }

  done(answer) {
    put(this.result);
    if (answer.verdict === "error" || !answer.transaction_id) {
      const words = answer.error || `The verdict is “${answer.verdict}”, before any mail began.`;
      put(this.result, el("p", { class: "failure", role: "alert" }, visible(words)));
      if (!answer.transaction_id) return;
    }
    announce(`Simulated: ${answer.verdict}`);
    this.opened(answer);
  }
}

function input(name, value, label) {
  const field = el("input", { type: "text", name, id: `try-${name}`, value, spellcheck: "false", autocomplete: "off" });
  return { field, box: labelled(label, field) };
}

function labelled(words, field) {
  return el("div", { class: "labelled" }, el("label", { for: field.id }, words), field);
}
