/** The facts of one mail, or of a session without mail, as a list of terms. */

import { el } from "./dom.js";
import { bytes, clock, counted, exactly, lasting } from "./format.js";
import { sender } from "./list.js";
import { visible } from "./text.js";
import { deciderOf, replyText } from "./words.js";

/** The list. What is not known has no line. */
export function factList(whole) {
  const rows = whole.kind === "session" ? sessionFacts(whole) : mailFacts(whole);
  const known = rows.filter(([, value]) => value !== null);
  return el("dl", { class: "facts" }, ...known.flatMap(([term, value]) => [el("dt", {}, term), el("dd", {}, value)]));
}

function mailFacts(whole) {
  return [
    ["From", sender(whole.from)],
    ["To", recipients(whole.to)],
    ["Client", client(whole.client)],
    ["Decided by", visible(deciderOf(whole))],
    ["Reply", reply(whole.reply)],
    ["Began", began(whole.began)],
    ["Webhooks took", `${lasting(whole.latency_ms)} in ${counted(whole.exchanges.length, "call")}`],
    ["Size", whole.size ? bytes(whole.size) : null],
    ["Queue id", whole.queue_id ? visible(whole.queue_id) : null],
    ["Session", id(whole.session_id)],
    ["Transaction", id(whole.transaction_id)],
  ];
}

function sessionFacts(whole) {
  return [
    ["Client", client(whole.client)],
    ["Reply", reply(whole.reply)],
    ["Began", began(whole.began)],
    ["Session", id(whole.session_id)],
  ];
}

function recipients(addresses) {
  if (!addresses.length) return "nobody";
  return el("span", {}, ...addresses.flatMap((address, at) => [at ? ", " : "", visible(address)]));
}

function client(known) {
  if (!known) return "unknown";
  const { name, address, helo } = known;
  const parts = [visible(name ?? "unknown")];
  if (address && name !== `[${address}]`) parts.push(" ", visible(address));
  if (helo) parts.push(" says helo ", visible(helo));
  return el("span", {}, ...parts);
}

function reply(given) {
  return given ? visible(replyText(given)) : null;
}

function began(moment) {
  return moment ? el("time", { datetime: moment, title: exactly(moment) }, clock(moment)) : null;
}

function id(number) {
  return el("code", { class: "id" }, number);
}

/** Says that some recipients are not in the list any more, or null. */
export function refusedRecipients({ exchanges, to }) {
  const refused = exchanges.filter((item) => item.event === "rcpt" && ["reject", "tempfail"].includes(item.action));
  if (!refused.length) return null;
  const left = refused.length === 1 ? "One recipient was" : `${refused.length} recipients were`;
  const rest = to.length ? "the list of recipients shows who was left." : "nobody was left.";
  return el("p", { class: "dim" }, `${left} refused on the way (see rcpt below); ${rest}`);
}
