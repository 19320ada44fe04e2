"""A backend in a thread, for commands that run as processes."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from published import check_request


class Backend(ThreadingHTTPServer):
    """Answers each event as `answers` says: JSON, a status, or bytes; others with 204. `calls` holds all requests."""

    daemon_threads = True

    def __init__(self, answers: Mapping[str, Any] | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = dict(answers or {})
        self.calls: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}/milter"

    @property
    def events(self) -> list[str]:
        """The events in the order in which they were posted."""
        return [call["event"] for call in self.calls]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Backend

    def do_POST(self) -> None:
        call = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.calls.append(call)
        answer = self.server.answers.get(call["event"])
        if answer is None or isinstance(answer, int):
            self.send_response(answer or 204)
            self.send_header("content-length", "0")
            self.end_headers()
            return
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def backend(answers: Mapping[str, Any] | None = None) -> Iterator[Backend]:
    """A running backend."""
    server = Backend(answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    for call in server.calls:
        check_request(call)
