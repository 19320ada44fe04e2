/** Verdicts and failures in words: what they mean for the mail. */

import { counted } from "./format.js";

export const VERDICTS = ["accepted", "rejected", "tempfailed", "quarantined", "discarded", "aborted"];

/** The word on the badge; mail without a verdict is still under way. */
export function verdictOf(row) {
  return row.verdict ?? "under way";
}

export function replyText(reply) {
  if (!reply) return "";
  const words = Array.isArray(reply.text) ? reply.text.join(" / ") : reply.text;
  const enhanced = reply.enhanced && !words.startsWith(reply.enhanced) ? `${reply.enhanced} ` : "";
  return `${reply.code} ${enhanced}${words}`;
}

/** Who decided, for the list. */
export function deciderOf(row) {
  const failed = row.reason?.startsWith(`${row.decided_by}: `);
  if (row.decided_by) return failed ? `${row.decided_by} (failed)` : row.decided_by;
  if (row.reason) return "a failure policy";
  return row.verdict === "accepted" ? "all let it pass" : "–";
}

const MEANINGS = {
  accepted: (row) =>
    row.changes ? `The mail went on, with ${counted(row.changes, "change")}.` : "The mail went on as it came.",
  rejected: (row) =>
    `The mail was refused for good. The sender’s server was told “${replyText(row.reply)}” and tells its user so.`,
  tempfailed: (row) =>
    `The mail was sent away for now, with “${replyText(row.reply)}”. The sender’s server keeps it and tries again; nothing is lost.`,
  discarded: () => "The client was told that all is well, and the mail was thrown away. Nobody is told.",
  quarantined: () =>
    "The mail was taken and is held in the MTA’s queue until somebody releases it (Postfix: postsuper -H, Sendmail: sendmail -Q).",
  aborted: () =>
    "The client, or the MTA, broke off before the end. No mail was taken; a client that means it comes again.",
};

/** One sentence on what became of the mail. */
export function meaningOf(row) {
  if (row.kind === "session" && !row.reply) return "The session was not refused.";
  if (row.kind === "session") return `The session was refused before any mail, with “${replyText(row.reply)}”.`;
  return row.verdict ? MEANINGS[row.verdict](row) : "The mail is still under way.";
}

const CAUSES = {
  connect: "The backend could not be reached. Does it run, and is the URL right?",
  dns: "The host’s name in the URL does not resolve.",
  tls: "TLS with the backend failed. See tls.ca_file and the certificate’s names.",
  timeout: "The backend did not answer in time (timeout, or the event’s deadline).",
  broken_answer: "The backend broke off, or what it sent is no HTTP.",
  too_large: "The answer is larger than response_bytes.",
  redirect: "The backend answered with a redirect; those are not followed.",
  client_error: "The backend answered that the request is wrong (4xx). It is not tried again.",
  rate_limited: "The backend asked for fewer calls (429).",
  server_error: "The backend answered that it is broken (5xx).",
  no_room: "There was no room for the message, in memory or on disk.",
  body: "The message’s body could not be sent.",
  circuit_open: "The last calls all failed, so this one was not made. One call tries again after five seconds.",
};

/** What a failed call means. */
export function failureMeaning(exchange) {
  const why = CAUSES[exchange.cause] ?? "The backend answered, but not in this contract: nothing of it was applied.";
  const policy = CAUSES[exchange.cause] ? "on_failure" : "on_invalid";
  return `${why} What the webhook’s ${policy} says was done in its place.`;
}

/** What an event is, for those who do not speak SMTP all day. */
export const EVENTS = {
  negotiate: "the MTA and the gateway settle their terms",
  connect: "a client connected",
  helo: "it said its name",
  mail: "it named the sender",
  rcpt: "it named a recipient",
  data: "it is about to send the message",
  header: "a header field",
  end_of_headers: "the header is complete",
  body: "a piece of the body",
  end_of_message: "the message is complete",
  abort: "the mail was broken off",
  unknown: "a command that the MTA does not know",
  disconnect: "the session ended",
  outcome: "what became of it, for observers",
};

const FACTS = {
  connect: (data) => `${data.name ?? ""} [${data.address ?? "no address"}]`,
  helo: (data) => data.name,
  mail: (data) => `<${data.address}>`,
  rcpt: (data) => `<${data.address}>`,
  header: (data) => `${data.name}: ${data.value}`,
  unknown: (data) => data.command,
  abort: (data) => `after ${data.after}`,
};

/** Events of which the request is small, and says what the line in the timeline is about. */
export const TELLING = Object.keys(FACTS);

export function factOf(event, request) {
  return (request?.data && FACTS[event]?.(request.data)) || "";
}
