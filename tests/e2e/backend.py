"""A webhook backend that answers as it is told and remembers every request byte for byte."""

import json
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .support import HOST

Json = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """One POST. ``parts`` has the parts of a multipart body by name; the event is in ``json`` in either format."""

    path: str
    headers: dict[str, str]
    body: bytes
    parts: dict[str, bytes] = field(default_factory=dict)

    @property
    def json(self) -> Json:
        """The event."""
        parsed: Json = json.loads(self.parts.get("event", self.body))
        return parsed

    @property
    def event(self) -> str:
        """Its name."""
        return self.headers["milter-event"]


@dataclass(frozen=True)
class Answer:
    """An HTTP answer that is not simply a JSON object with 200."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    delay: float = 0.0


Say = Json | Answer | Callable[[Json], Json | Answer]
"""What to answer: an object, a whole HTTP answer, or what a function makes of the event."""


class Backend:
    """An HTTP server on a port of its own; whatever is not told otherwise is answered with ``{}``."""

    def __init__(self, port: int = 0) -> None:
        self._arrived = threading.Condition()
        self._requests: list[Request] = []
        self._answers: dict[tuple[str, str], Say] = {}
        self._over: set[str] = set()
        self._server = _Server((HOST, port), _Handler)
        self._server.answer = self._answer
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def url(self, path: str = "/") -> str:
        """Where it listens; each path can be a backend of its own."""
        return f"http://{HOST}:{self.port}{path}"

    def on(self, event: str, say: Say, path: str = "/") -> None:
        """Answer this event so from now on."""
        self._answers[path, event] = say

    def forget(self) -> None:
        """Forget all answers and requests, also what may still come of the sessions so far."""
        with self._arrived:
            self._over |= {request.headers["milter-session"] for request in self._requests}
            self._answers.clear()
            self._requests.clear()

    def calls(self, event: str | None = None, path: str | None = None) -> list[Request]:
        """The requests so far, of one event or one path."""
        with self._arrived:
            found = list(self._requests)
        return [call for call in found if event in (None, call.event) and path in (None, call.path)]

    def events(self, path: str | None = None) -> list[str]:
        """The names of the events so far, in order."""
        return [call.event for call in self.calls(path=path)]

    def last(self, event: str) -> Json:
        """The last such event."""
        return self.calls(event)[-1].json

    def wait(self, event: str, wanted: Callable[[Json], object] = lambda _: True, within: float = 10.0) -> Json:
        """The first such event that ``wanted`` says yes to; ``AssertionError`` if none comes in time."""
        end = time.monotonic() + within
        with self._arrived:
            while True:
                for call in self._requests:
                    if call.event == event and wanted(call.json):
                        return call.json
                left = end - time.monotonic()
                if left <= 0:
                    events = [call.event for call in self._requests]
                    raise AssertionError(f"no such {event} within {within:g} s; there were {events}")
                self._arrived.wait(left)

    def stop(self) -> None:
        """Close the listener and whatever is still connected."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, request: Request) -> Answer:
        if request.headers["milter-session"] in self._over:
            return Answer(204)
        with self._arrived:
            self._requests.append(request)
            self._arrived.notify_all()
        say = self._answers.get((request.path, request.event), {})
        if callable(say):
            say = say(request.json)
        return say if isinstance(say, Answer) else Answer(body=json.dumps(say).encode())


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    answer: Callable[[Request], Answer]

    def __init__(self, address: tuple[str, int], handler: type["_Handler"]) -> None:
        self.handlers: set[_Handler] = set()
        super().__init__(address, handler)

    def server_close(self) -> None:
        super().server_close()
        for handler in list(self.handlers):
            with suppress(OSError):
                handler.connection.shutdown(2)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    rbufsize = 1 << 20
    wbufsize = 1 << 16
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.handlers.add(self)

    def finish(self) -> None:
        self.server.handlers.discard(self)
        with suppress(OSError):
            super().finish()

    def handle(self) -> None:
        with suppress(ConnectionError, TimeoutError, ValueError):  # a closed file is a ValueError
            super().handle()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.server.answer(Request(self.path, headers, body, _parts(headers["content-type"], body)))
        if answer.delay:
            time.sleep(answer.delay)
        self.send_response(answer.status)
        if answer.body:
            self.send_header("content-type", answer.content_type)
        self.send_header("content-length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_request(self, *args: object) -> None:
        """Keep quiet."""


def _parts(content_type: str, body: bytes) -> dict[str, bytes]:
    boundary = re.search(r"boundary=\"?([^\";]+)", content_type)
    if not content_type.startswith("multipart/") or boundary is None:
        return {}
    parts = {}
    for part in (b"\r\n" + body).split(f"\r\n--{boundary[1]}".encode())[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name = re.search(rb'name="([^"]*)"', head)
        parts[name[1].decode() if name else ""] = content
    return parts
