// Act on calls of your own gateway only: it signs them (https://www.standardwebhooks.com), with the secret that its
// `secret_file` names. Whatever else reaches this port gets a 401.
//
//     echo "whsec_$(openssl rand -base64 32)" > webhook.secret
//     node webhook_examples/signed.mjs [PORT]
//
// The file may hold several secrets, one a line: while you replace one, the old and the new are valid.

import { createHmac, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { buffer } from "node:stream/consumers";

const TOLERANCE_SECONDS = 300; // a call that somebody has recorded is worthless after that
const file = process.env.WEBHOOK_SECRET_FILE ?? "webhook.secret";
const secrets = readFileSync(file, "utf8").trim().split(/\s+/).map((line) => fromBase64(line.replace(/^whsec_/, "")));
if (!secrets.every((secret) => secret.length > 0)) throw new Error(`${file} holds no secret, or an empty one`);

function fromBase64(text) {
  return Buffer.from(text, "base64");
}

// The signature covers the bytes of the body, so it is checked before anything reads them.
function isOurs({ headers }, body) {
  const { "webhook-id": id, "webhook-timestamp": time, "webhook-signature": signatures = "" } = headers;
  if (!(Math.abs(Date.now() / 1000 - Number(time)) <= TOLERANCE_SECONDS)) return false;
  const signed = Buffer.concat([Buffer.from(`${id}.${time}.`), body]);
  const valid = secrets.map((secret) => createHmac("sha256", secret).update(signed).digest());
  const given = signatures.split(" ").filter((one) => one.startsWith("v1,")).map((one) => fromBase64(one.slice(3)));
  return given.some((one) => valid.some((own) => one.length === own.length && timingSafeEqual(one, own)));
}

function answerTo(call) {
  return { annotations: { signed: true } }; // your rules
}

async function respond(request, response) {
  try {
    const body = await buffer(request);
    if (!isOurs(request, body)) {
      response.writeHead(401).end(); // the gateway takes that for a failure: its `on_failure` decides
      return;
    }
    response.setHeader("Content-Type", "application/json");
    response.end(JSON.stringify(answerTo(JSON.parse(body))));
  } catch (error) {
    console.error(error.message); // not JSON, or the gateway hung up because the mail's sender did
    response.writeHead(500).end();
  }
}

const server = createServer(respond);
server.listen(Number(process.argv[2] ?? 8000), "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}/milter`);
});
