"""Refuse programs sent as attachments; Python's standard library is all it needs.

Run it with `python3 webhook_examples/stdlib_only.py [PORT]`.
"""

import json
import sys
from base64 import b64decode
from contextlib import suppress
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PROGRAMS = (".bat", ".cmd", ".com", ".exe", ".hta", ".js", ".lnk", ".scr", ".vbs")


def end_of_message(call: dict) -> dict:
    mail = message_from_bytes(raw(call["message"]), policy=policy.default)
    names = [part.get_filename() or "" for part in mail.walk()]
    if any(name.lower().rstrip(". ").endswith(PROGRAMS) for name in names):  # Windows ignores dots at the end
        return {"action": "reject", "reply": {"code": 554, "enhanced": "5.7.1", "text": "We take no programs by mail"}}
    return {}


def raw(message: dict) -> bytes:
    """The mail as it travelled: what is no UTF-8 comes as base64."""
    lines = [f"{field['name']}: {field['value']}\r\n" for field in message["headers"]]
    body = message.get("body", {"text": ""})  # `on_too_large` may leave it out
    content = b64decode(body["base64"]) if "base64" in body else body["text"].encode()
    return "".join(lines).encode() + b"\r\n" + content


class Webhook(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # the gateway keeps its connections for the next call
    disable_nagle_algorithm = True  # or each answer waits 40 ms for the acknowledgement of its header

    def do_POST(self) -> None:
        call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = json.dumps(end_of_message(call)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    with ThreadingHTTPServer(("127.0.0.1", port), Webhook) as server, suppress(KeyboardInterrupt):
        print(f"listening on http://127.0.0.1:{server.server_port}/milter", flush=True)
        server.serve_forever()
