"""The service: listeners, admin API, signals; in this process, or in several that it watches over."""

import asyncio
import contextlib
import gc
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog
import uvloop

from gateway import assembly
from gateway.admin.app import admin_app
from gateway.admin.served import Served, SingleProcess
from gateway.admin.server import HttpServer
from gateway.config import ConfigError, Settings
from gateway.metrics import Counters, CountingObserver
from gateway.policy.rules import Observer
from gateway.recording import Archive, Journal, Recorder, Recording, Redaction
from gateway.server.listener import ListenError
from gateway.server.service import Service
from gateway.version import VERSION
from gateway.webhook import Attempt
from gateway.workers import worker
from gateway.workers.supervisor import Supervisor


class StartError(Exception):
    """The service cannot start; the message says why."""


@dataclass(frozen=True, slots=True)
class RecordingFile:
    """Where exchanges are written to, and whether with pseudonyms."""

    path: Path
    redact: bool = False


class _Program(Served, Protocol):
    """What runs: it raises ValueError for a configuration that cannot be built, OSError where it cannot listen."""

    @property
    def addresses(self) -> list[str]: ...
    async def start(self) -> None: ...
    async def reload(self, settings: Settings) -> None: ...
    async def stop(self) -> None: ...
    def kill(self) -> None: ...


class _Alone(SingleProcess):
    """The service in this process."""

    def __init__(self, settings: Settings, recording: Recording) -> None:
        counters = Counters()
        observer: Observer = CountingObserver(counters)
        self._on_attempt: Callable[[Attempt], None] | None = None
        if recording.keeps:
            observer = recorder = Recorder(
                observer, recording, record_bytes=recording.record_bytes, attempts=recording.attempts
            )
            self._on_attempt = recorder.attempted
        self._alone = Service(assembly.generation(settings, self._on_attempt), observer)
        super().__init__(self._alone, counters, recording.archive)

    @property
    def addresses(self) -> list[str]:
        return self._alone.addresses

    async def start(self) -> None:
        await self._alone.start()

    async def reload(self, settings: Settings) -> None:
        await self._alone.reload(assembly.generation(settings, self._on_attempt))

    async def stop(self) -> None:
        await self._alone.stop()

    def kill(self) -> None:
        """Go on draining: it ends with drain_timeout."""


def run(settings: Settings, reread: Callable[[], Settings], log_format: str, file: RecordingFile | None = None) -> None:
    """Serve until SIGTERM or SIGINT. `reread` gives the configuration anew at SIGHUP; `file` keeps exchanges.

    Raises StartError.
    """
    try:
        recording = _recording(settings, file)
    except OSError as error:
        raise StartError(f"the recording cannot be written: {error}") from error
    _spare_the_collector()
    try:
        uvloop.run(_serve(settings, reread, log_format, recording))
    finally:
        recording.close()


def _recording(settings: Settings, file: RecordingFile | None) -> Recording:
    """What is to be kept. Raises OSError where the file cannot be opened."""
    recorded = settings.admin.record or file is not None
    archive = journal = None
    if settings.admin.listen is not None:
        archive = Archive(assembly.archive_bounds(settings), recording=recorded)
        archive.configured(assembly.shown_webhooks(settings))
    if file is not None:
        journal = Journal(file.path, Redaction()) if file.redact else Journal(file.path)
    return Recording(archive, journal, settings.admin.record_bytes if recorded else 0)


def work(descriptor: int) -> None:
    """Be one of several workers; `descriptor` leads to the parent."""
    _spare_the_collector()
    worker.work(descriptor)


def _spare_the_collector() -> None:
    """Let the garbage collector look seldom, and never at what was imported: hardly anything of ours is in cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


async def _serve(settings: Settings, reread: Callable[[], Settings], log_format: str, recording: Recording) -> None:
    log = structlog.get_logger("gateway")
    for warning in settings.warnings():
        log.warning("configuration", warning=warning)
    try:
        program: _Program = (
            _Alone(settings, recording) if settings.workers == 1 else Supervisor(settings, log_format, recording)
        )
    except ValueError as error:
        raise StartError(f"configuration: {error}") from error
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    hangup = asyncio.Event()
    loop.add_signal_handler(signal.SIGHUP, hangup.set)
    try:
        await program.start()
        admin = await start_admin(program, settings)
    except (ListenError, OSError) as error:
        await program.stop()
        raise StartError(str(error)) from error
    address = admin.address if admin else None
    log.info("listening", version=VERSION, milter=program.addresses, admin=address, workers=settings.workers)
    reloading = loop.create_task(_reload_on(hangup, program, settings, reread))
    await stopped.wait()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, program.kill)
    log.info("stopping", connections=(await program.status()).connections)
    reloading.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await reloading
    await program.stop()
    if admin is not None:
        recording.let_go()
        await admin.stop()
    log.info("stopped")


async def start_admin(served: Served, settings: Settings) -> HttpServer | None:
    """Start the admin API where it is switched on. Raises OSError."""
    listen = settings.admin.listen
    if listen is None:
        return None
    token = settings.admin.token_file.text if settings.admin.token_file else None
    app = admin_app(served, token=token, loopback=listen.loopback)
    admin = HttpServer(app, listen.host, listen.port, "admin address")
    await admin.start()
    return admin


async def _reload_on(
    hangup: asyncio.Event, program: _Program, settings: Settings, reread: Callable[[], Settings]
) -> None:
    """Read the configuration anew at each SIGHUP; a faulty one is refused and the old one stays."""
    log = structlog.get_logger("gateway")
    while True:
        await hangup.wait()
        hangup.clear()
        try:
            fresh = await asyncio.to_thread(reread)
            await program.reload(fresh)
            if program.archive is not None:
                program.archive.configured(assembly.shown_webhooks(fresh))
        except (ConfigError, ValueError, OSError) as error:
            log.error("reload refused: the old configuration stays", reason=str(error))  # noqa: TRY400 - no traceback
            continue
        for key in ("admin", "workers"):
            if getattr(fresh, key) != getattr(settings, key):
                log.warning(f"reload: changes of {key} need a restart")
        for warning in fresh.warnings():
            log.warning("configuration", warning=warning)
        log.info("reloaded", milter=program.addresses, webhooks=[webhook.name for webhook in fresh.webhook])
