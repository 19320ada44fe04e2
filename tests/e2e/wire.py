"""A wire that remembers: TCP connections passed on to another port, with every byte of both directions."""

import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

from .support import HOST, wait_until


@dataclass(eq=False)
class Captured:
    """One connection: what its client said, and what the server said. `open` directions are not yet at their end."""

    client: bytearray = field(default_factory=bytearray)
    server: bytearray = field(default_factory=bytearray)
    open: int = 2

    @property
    def both(self) -> tuple[bytes, bytes]:
        return bytes(self.client), bytes(self.server)


class Wire:
    """Listens on ``port`` and connects to ``to``, for as long as the block lasts."""

    def __init__(self, port: int, to: int) -> None:
        self.connections: list[Captured] = []
        self._to = to
        self._listening = socket.create_server((HOST, port))
        self._threads = [threading.Thread(target=self._serve, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join(10)

    def ended(self) -> list[tuple[bytes, bytes]]:
        """Wait until every connection is over; what was said on each, sorted."""
        wait_until(lambda: self.connections and not any(each.open for each in self.connections), "the end of all")
        return sorted(each.both for each in self.connections)

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                captured = Captured()
                try:
                    server = socket.create_connection((HOST, self._to), 10)
                except OSError:
                    client.close()
                    continue
                server.settimeout(None)
                self.connections.append(captured)
                for source, sink, seen in ((client, server, captured.client), (server, client, captured.server)):
                    thread = threading.Thread(target=self._pass_on, args=(source, sink, seen, captured), daemon=True)
                    self._threads.append(thread)
                    thread.start()

    @staticmethod
    def _pass_on(source: socket.socket, sink: socket.socket, seen: bytearray, captured: Captured) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                seen += data
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
        captured.open -= 1
        if not captured.open:
            source.close()
            sink.close()
