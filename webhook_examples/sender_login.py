"""Let users write under their own addresses only, in the envelope and in the header; a plain WSGI application.

Run it with `python3 webhook_examples/sender_login.py [PORT]`, or under any WSGI server: the application is `milter`.
"""

import json
import sys
from contextlib import suppress
from email.utils import getaddresses
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIServer, make_server

DOMAIN = "site.example"
MORE = {"ann": {"sales@site.example", "office@site.example"}}  # beside a user's own address; ask your database here

NOT_YOURS = {"action": "reject", "reply": {"code": 553, "enhanced": "5.7.1", "text": "This address is not yours"}}


def mail(call: dict) -> dict:
    sender = call["data"]["address"]
    return NOT_YOURS if sender and foreign(call, [sender]) else {}  # the null sender is for receipts and bounces


def end_of_headers(call: dict) -> dict:
    values = [field["value"] for field in call["message"]["headers"] if field["name"].lower() in ("from", "sender")]
    return NOT_YOURS if foreign(call, [address for _, address in getaddresses(values)]) else {}


def foreign(call: dict, addresses: list[str]) -> bool:
    """Whether someone who has logged in uses an address of another; strangers are not for this filter to judge."""
    if not call["auth"]:
        return False
    user = call["auth"]["user"].lower()
    own = {user if "@" in user else f"{user}@{DOMAIN}"} | MORE.get(user, set())
    return not own.issuperset(address.lower() for address in addresses)


EVENTS = {"mail": mail, "end_of_headers": end_of_headers}


def milter(environ, start_response):
    call = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    answer = json.dumps(EVENTS.get(call["event"], lambda _: {})(call)).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
    return [answer]


class Server(ThreadingMixIn, WSGIServer):  # one call must not wait for another
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    with make_server("127.0.0.1", port, milter, Server) as server, suppress(KeyboardInterrupt):
        print(f"listening on http://127.0.0.1:{server.server_port}/milter", flush=True)
        server.serve_forever()
