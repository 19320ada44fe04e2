// Count the bytes of a mail, event by event, and note them in its header. The count is kept by the gateway, as context:
// it comes back with the next event of the same mail, so this service holds no state and may run in many copies.
//
//     node webhook_examples/byte_count.mjs [PORT]

import { createServer } from "node:http";
import { json } from "node:stream/consumers";

const events = {
  header: (call) => count(call, fieldSize(call.data)),
  body: (call) => count(call, call.data.size),
  end_of_message: (call) => ({
    changes: [{ op: "add_header", name: "X-Byte-Count", value: String(counted(call)) }],
  }),
};

function count(call, size) {
  return { context: { transaction: { bytes: counted(call) + size } } };
}

// The context of a new mail is null.
function counted(call) {
  return call.context.transaction?.bytes ?? 0;
}

// "name: value" and CRLF. Bytes that are no UTF-8 come as base64; folds come as a lone LF, and travel as CRLF.
function fieldSize({ name, value, value_base64: exact }) {
  const bytes = exact ? Buffer.from(exact, "base64") : Buffer.from(value);
  const folds = bytes.filter((byte) => byte === 0x0a).length;
  return Buffer.byteLength(name) + ": ".length + bytes.length + folds + "\r\n".length;
}

async function answer(request, response) {
  try {
    const call = await json(request);
    const reply = events[call.event]?.(call) ?? {};
    response.setHeader("Content-Type", "application/json");
    response.end(JSON.stringify(reply));
  } catch (error) {
    // Not JSON, or the gateway hung up because the mail's sender did. The gateway takes a 500 for a failure.
    console.error(error.message);
    response.writeHead(500).end();
  }
}

const server = createServer(answer);
server.listen(Number(process.argv[2] ?? 8000), "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}/milter`);
});
