"""Password checks for the mail servers, each in the protocol that it speaks on a Unix socket.

Sendmail asks through Cyrus SASL's saslauthd. Postfix speaks Dovecot's authentication protocol, because Debian's build
takes no notice of ``cyrus_sasl_config_path``: Cyrus SASL would need files in /etc.
"""

import base64
import os
import socketserver
import struct
import threading
from pathlib import Path

USERS = {"ann": "ann-secret", "bob": "bob-secret"}


class Checker:
    """A password server on ``socket``, speaking one of the two protocols below."""

    def __init__(self, socket: Path, protocol: type["Saslauthd | Dovecot"]) -> None:
        self._server = _Server(str(socket), protocol)
        socket.chmod(0o666)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close the socket."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Saslauthd(socketserver.StreamRequestHandler):
    """User, password, service and realm, each with its length in front; the answer likewise."""

    def handle(self) -> None:
        user, password, _service, _realm = (self._string() for _ in range(4))
        answer = b"OK" if USERS.get(user) == password else b"NO"
        self.wfile.write(struct.pack("!H", len(answer)) + answer)

    def _string(self) -> str:
        (length,) = struct.unpack("!H", self.rfile.read(2))
        return self.rfile.read(length).decode()


class Dovecot(socketserver.StreamRequestHandler):
    """Lines of fields with tabs between them; of the mechanisms PLAIN alone."""

    def handle(self) -> None:
        hello = ("VERSION\t1\t1", "MECH\tPLAIN\tplaintext", f"SPID\t{os.getpid()}", "CUID\t1", "COOKIE\t0", "DONE")
        self._say(*hello)
        for line in self.rfile:
            match line.decode().rstrip("\n").split("\t"):
                case ["AUTH", request, "PLAIN", *params]:
                    given = [param[5:] for param in params if param.startswith("resp=")]
                    self._say(_verdict(request, given[0]) if given else f"CONT\t{request}\t")
                case ["CONT", request, response]:
                    self._say(_verdict(request, response))
                case ["AUTH", request, *_]:
                    self._say(f"FAIL\t{request}")

    def _say(self, *lines: str) -> None:
        self.wfile.write("".join(f"{line}\n" for line in lines).encode())


def _verdict(request: str, response: str) -> str:
    _author, user, password = base64.b64decode(response).decode().split("\0")
    return f"{'OK' if USERS.get(user) == password else 'FAIL'}\t{request}\tuser={user}"


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False
