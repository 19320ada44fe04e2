// Mark mail from outside without breaking a signature. DKIM and ARC signatures cover some fields of the header, nearly
// always the subject, and the body. With a tag in the subject, whoever gets the mail next (a forwarding target, a
// mailing list's members) finds the signature broken, and DMARC fails with it. A field that no signature lists may be
// added at will. So the tag goes into the subject where nobody has signed it, and into a field of its own elsewhere:
// let the mail programs show that one in red, by a rule or a Sieve script.
//
//     node webhook_examples/safe_tag.mjs [PORT]

import { createServer } from "node:http";
import { json } from "node:stream/consumers";

const TAG = "[EXTERNAL] ";
const FIELD = { name: "X-External-Sender", value: "yes" };
const SIGNATURES = ["dkim-signature", "arc-message-signature"]; // ARC-Seal covers nothing but ARC's own fields

function endOfMessage({ auth, client, message }) {
  if (auth || !client.port) return {}; // our own users; programs on this machine, which have no TCP port
  const named = (name) => message.headers.filter((field) => field.name.toLowerCase() === name);
  const signed = SIGNATURES.flatMap(named).flatMap(signedNames);

  if (!signed.includes("subject")) return tagSubject(named("subject"));
  const marks = named(FIELD.name.toLowerCase());
  if (marks.length === 1 && marks[0].value === FIELD.value) return {}; // it has passed here before
  return { changes: [{ op: "set_header", ...FIELD }] }; // one field, ours, whatever the sender wrote there
}

// The h= of a signature (RFC 6376 section 3.5): names with colons between, and blanks and folds anywhere.
function signedNames({ value }) {
  const names = value.replace(/\s/g, "").match(/(?:^|;)h=([^;]*)/)?.[1] ?? "";
  return names.toLowerCase().split(":");
}

function tagSubject([subject]) {
  if (!subject) return { changes: [{ op: "add_header", name: "Subject", value: TAG.trim() }] };
  if (subject.value.includes(TAG)) return {}; // an answer to a mail that was tagged before
  return { changes: [{ op: "change_header", name: "Subject", nth: 1, ...tagged(subject) }] };
}

// Bytes that are no UTF-8 come as base64: `value` cannot show them, these are exact.
function tagged({ value, value_base64: exact }) {
  if (!exact) return { value: TAG + value };
  return { value_base64: Buffer.concat([Buffer.from(TAG), Buffer.from(exact, "base64")]).toString("base64") };
}

const server = createServer(async (request, response) => {
  try {
    const answer = JSON.stringify(endOfMessage(await json(request)));
    response.setHeader("Content-Type", "application/json").end(answer);
  } catch (error) {
    console.error(error.message); // the gateway takes a 500 for a failure, and puts the mail off
    response.writeHead(500).end();
  }
}).listen(Number(process.argv[2] ?? 8000), "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}/milter`);
});
