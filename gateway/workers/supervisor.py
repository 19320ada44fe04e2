"""The parent of the workers: binds, starts, replaces, reloads and stops them, and speaks for all."""

import asyncio
import math
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from gateway import assembly
from gateway.admin.served import Status
from gateway.config import Settings
from gateway.metrics import Counters, merged
from gateway.recording import Recording
from gateway.server.listener import Address, SocketPath, TcpAddress, UnixAddress, bind, name_of
from gateway.server.service import Generation
from gateway.workers.channel import Configure, packed
from gateway.workers.member import Worker

_START_SECONDS = 30.0
_STEADY_SECONDS = 10.0
"""A worker that lived that long was no failed start: its replacement starts at once."""
_LONGEST_PAUSE_SECONDS = 5.0
_MARGIN_SECONDS = 5.0


class Bound:
    """The sockets of one address: for TCP a set for each worker, for a unix socket one for all."""

    def __init__(self, address: Address, workers: int) -> None:
        self._path: SocketPath | None = None
        if isinstance(address, UnixAddress):
            only = bind(address)
            self._path = SocketPath.of(address)
            self._sets = [only] * workers
        else:
            self._sets = [bind(address, shared=True)]
            taken = address if address.port else TcpAddress(address.host, self._sets[0][0].getsockname()[1])
            self._sets += [bind(taken, shared=True) for _ in range(workers - 1)]
        self.names = tuple(name_of(sock) for sock in self._sets[0])

    def of_worker(self, number: int) -> list[socket.socket]:
        """Those of one worker."""
        return self._sets[number - 1]

    def close(self) -> None:
        """Stop taking connections here; workers have their own handles."""
        for each in self._sets:
            for sock in each:
                sock.close()
        if self._path is not None:
            self._path.remove()


def share(settings: Settings, workers: int) -> Settings:
    """The settings of one of several workers: what is limited for all together is divided."""
    limits = settings.limits
    part = limits.model_copy(
        update={
            "connections": math.ceil(limits.connections / workers),
            "memory_bytes": max(limits.memory_bytes // workers, 1),
        }
    )
    return settings.model_copy(update={"limits": part})


class Supervisor:
    """Several workers as one service."""

    def __init__(self, settings: Settings, log_format: str, recording: Recording) -> None:
        self._recording = recording
        self.archive = recording.archive
        self.workers = settings.workers
        self._settings = settings
        self._generation = assembly.generation(settings, self._recording.attempts.attempted)
        self._retired: list[Generation] = []
        self._bound: dict[Address, Bound] = {}
        self._workers = [Worker(number, log_format, recording) for number in range(1, settings.workers + 1)]
        self._gone = Counters()
        """What ended workers had counted."""
        self._stopping = False
        self._keeping: list[asyncio.Task[None]] = []
        self._log = structlog.get_logger("gateway")

    async def start(self) -> None:
        """Bind, start the workers, and wait until they serve. Raises ListenError, OSError."""
        self._bind(assembly.addresses(self._settings))
        for worker in self._workers:
            await worker.start()
            self._configure(worker)
        serving = await asyncio.gather(*(self._await_service(worker) for worker in self._workers))
        if not all(serving):
            await self.stop()
            raise OSError("a worker did not start; the log says why")
        loop = asyncio.get_running_loop()
        self._keeping = [loop.create_task(self._keep(worker)) for worker in self._workers]

    @property
    def addresses(self) -> list[str]:
        """Where MTAs connect."""
        return [name for bound in self._bound.values() for name in bound.names]

    def _bind(self, addresses: tuple[Address, ...]) -> None:
        fresh: dict[Address, Bound] = {}
        try:
            for address in addresses:
                if address not in self._bound:
                    fresh[address] = Bound(address, self.workers)
        except OSError:
            for bound in fresh.values():
                bound.close()
            raise
        self._bound |= fresh

    def _configure(self, worker: Worker, fresh: frozenset[Address] | None = None) -> None:
        """Send the settings, with the sockets of all addresses or of the `fresh` ones."""
        counts: list[int] = []
        sockets: list[socket.socket] = []
        for address in assembly.addresses(self._settings):
            given = self._bound[address].of_worker(worker.number) if fresh is None or address in fresh else []
            counts.append(len(given))
            sockets += given
        keeps = self._recording.record_bytes if self._recording.keeps else None
        message = Configure(packed(share(self._settings, self.workers)), tuple(counts), keeps)
        worker.configure(message, tuple(sockets))

    async def _keep(self, worker: Worker) -> None:
        """Replace the worker whenever it ends, at once or, where it ends again and again, after a growing pause."""
        failed_starts = 0
        while True:
            began = time.monotonic()
            status = await worker.ended()
            if self._stopping:
                return
            self._gone = merged([self._gone, _counted(worker.last)])
            worker.last = Counters()
            failed_starts = 0 if time.monotonic() - began > _STEADY_SECONDS else failed_starts + 1
            pause = min(0.1 * 2**failed_starts, _LONGEST_PAUSE_SECONDS) if failed_starts > 1 else 0.0
            ending = f"signal {-status}" if status < 0 else f"exit status {status}"
            self._log.error("a worker ended: it is replaced", worker=worker.number, ending=ending, pause_seconds=pause)
            await asyncio.sleep(pause)
            try:
                await worker.start()
            except OSError as error:  # no process or descriptor to be had: that may pass, so try again after the pause
                self._log.critical("a worker cannot be started", worker=worker.number, reason=str(error))
                continue
            self._configure(worker)
            await self._await_service(worker)

    async def _await_service(self, worker: Worker) -> bool:
        serves = await worker.serves(_START_SECONDS)
        if serves:
            self._log.info("a worker serves", worker=worker.number, pid=worker.pid)
        return serves

    async def reload(self, settings: Settings) -> None:
        """Let new sessions use other settings, in every worker. Raises ValueError and OSError; then the old stay."""
        generation = assembly.generation(settings, self._recording.attempts.attempted)
        addresses = assembly.addresses(settings)
        fresh = frozenset(addresses) - frozenset(self._bound)
        self._bind(addresses)
        self._settings, old, self._generation = settings, self._generation, generation
        self._retired.append(old)
        await self._close_retired()
        for worker in self._workers:
            self._configure(worker, fresh)
        for address in set(self._bound) - set(addresses):
            self._bound.pop(address).close()

    async def _close_retired(self) -> None:
        """Close the webhook clients of former configurations that nobody uses any more."""
        unused = [generation for generation in self._retired if generation.users == 0]
        self._retired = [generation for generation in self._retired if generation.users]
        for generation in unused:
            for client in generation.clients:
                await client.aclose()

    async def stop(self) -> None:
        """Stop accepting, let the workers drain, and end those that take too long."""
        self._stopping = True
        for bound in self._bound.values():
            bound.close()
        self._bound = {}
        for worker in self._workers:
            worker.stop()
        limits = self._settings.limits
        patience = limits.drain_timeout + 2 * limits.command_deadline + _MARGIN_SECONDS
        running = [worker for worker in self._workers if worker.pid is not None]
        ends = [asyncio.ensure_future(worker.ended()) for worker in running]
        if ends:
            _, late = await asyncio.wait(ends, timeout=patience)
            if late:
                self._log.error("workers did not end in time and are killed", workers=len(late))
                self.kill()
                await asyncio.wait(late)
        for task in self._keeping:
            task.cancel()
        self._retired.append(self._generation)
        await self._close_retired()

    def kill(self) -> None:
        """End all workers at once."""
        for worker in self._workers:
            worker.kill()

    # ── as the admin API sees it (`Served`) ─────────────────────────────────────────────────────────────────

    async def status(self) -> Status:
        """Ready where all workers are."""
        told = await asyncio.gather(*(worker.tell() for worker in self._workers))
        known = [each.status for each in told if each is not None]
        ready = len(known) == self.workers and all(each.ready for each in known) and not self._stopping
        return Status(ready, tuple(self.addresses), sum(each.connections for each in known))

    async def counters(self) -> Counters:
        """The sum over all workers, ended ones included."""
        await asyncio.gather(*(worker.tell() for worker in self._workers))
        return merged([self._gone, *(worker.last for worker in self._workers)])

    @contextmanager
    def borrow(self) -> Iterator[Generation]:
        """The present configuration, with webhook clients of this process."""
        generation = self._generation
        generation.users += 1
        try:
            yield generation
        finally:
            generation.users -= 1


def _counted(last: Counters) -> Counters:
    """What stays of an ended worker: its counts, not what it held."""
    last.connections = last.buffered_bytes = 0
    return last
