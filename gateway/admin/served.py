"""What the admin API speaks for: one process, or many that serve together."""

from contextlib import AbstractContextManager
from typing import Protocol

from msgspec import Struct

from gateway.metrics import Counters
from gateway.recording import Archive
from gateway.server.service import Generation, Service


class Status(Struct, frozen=True):
    """Whether all is well, where MTAs connect, and how many have."""

    ready: bool
    listen: tuple[str, ...]
    connections: int


class Served(Protocol):
    """The service as the admin API sees it."""

    @property
    def workers(self) -> int:
        """How many processes serve."""

    async def status(self) -> Status:
        """Ask how it is."""

    async def counters(self) -> Counters:
        """Ask what was counted."""

    @property
    def archive(self) -> Archive | None:
        """What happened; None where nothing is kept."""

    def borrow(self) -> AbstractContextManager[Generation]:
        """Use the present configuration for something that is no MTA connection."""


class SingleProcess:
    """A service in this process."""

    workers = 1

    def __init__(self, service: Service, counters: Counters, archive: Archive | None = None) -> None:
        self._service = service
        self._counters = counters
        self.archive = archive

    async def status(self) -> Status:
        """See `Served.status`."""
        return status_of(self._service)

    async def counters(self) -> Counters:
        """See `Served.counters`."""
        return counters_of(self._service, self._counters)

    def borrow(self) -> AbstractContextManager[Generation]:
        """See `Served.borrow`."""
        return self._service.borrow()


def status_of(service: Service) -> Status:
    """How a service of this process is."""
    ready = bool(service.addresses) and not service.draining
    return Status(ready, tuple(service.addresses), service.connections)


def counters_of(service: Service, counters: Counters) -> Counters:
    """What was counted, with what is read off the service itself."""
    counters.connections = service.connections
    counters.buffered_bytes = service.generation.buffered()
    return counters
