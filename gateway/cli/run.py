"""The service: listeners, admin API, signals."""

import asyncio
import contextlib
import gc
import signal
from collections.abc import Callable

import structlog
import uvloop

from gateway import assembly
from gateway.admin.app import admin_app
from gateway.admin.server import HttpServer
from gateway.config import ConfigError, Settings
from gateway.observe import LogObserver
from gateway.server.listener import ListenError
from gateway.server.service import Generation, Service
from gateway.version import VERSION


class StartError(Exception):
    """The service cannot start; the message says why."""


def run(settings: Settings, reread: Callable[[], Settings]) -> None:
    """Serve until SIGTERM or SIGINT. `reread` gives the configuration anew at SIGHUP.

    Raises StartError.
    """
    _spare_the_collector()
    uvloop.run(_serve(settings, reread))


def _spare_the_collector() -> None:
    """Let the garbage collector look seldom, and never at what was imported: hardly anything of ours is in cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def build_generation(settings: Settings) -> Generation:
    """Make everything that one configuration needs. Raises StartError."""
    try:
        return assembly.generation(settings)
    except ValueError as error:
        raise StartError(f"configuration: {error}") from error


async def _serve(settings: Settings, reread: Callable[[], Settings]) -> None:
    log = structlog.get_logger("gateway")
    for warning in settings.warnings():
        log.warning("configuration", warning=warning)
    service = Service(build_generation(settings), LogObserver())
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    hangup = asyncio.Event()
    loop.add_signal_handler(signal.SIGHUP, hangup.set)
    try:
        await service.start()
        admin = await start_admin(service, settings)
    except (ListenError, OSError) as error:
        raise StartError(str(error)) from error
    addresses = service.addresses
    log.info("listening", version=VERSION, milter=addresses, admin=admin.address if admin else None)
    reloading = loop.create_task(_reload_on(hangup, service, settings, reread))
    await stopped.wait()
    log.info("stopping", connections=service.connections)
    reloading.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await reloading
    await service.stop()
    if admin is not None:
        await admin.stop()
    log.info("stopped")


async def start_admin(service: Service, settings: Settings) -> HttpServer | None:
    """Start the admin API where it is switched on. Raises OSError."""
    listen = settings.admin.listen
    if listen is None:
        return None
    token = settings.admin.token_file.text if settings.admin.token_file else None
    app = admin_app(service, token=token, loopback=listen.loopback)
    admin = HttpServer(app, listen.host, listen.port, "admin address")
    await admin.start()
    return admin


async def _reload_on(
    hangup: asyncio.Event, service: Service, settings: Settings, reread: Callable[[], Settings]
) -> None:
    """Read the configuration anew at each SIGHUP; a faulty one is refused and the old one stays."""
    log = structlog.get_logger("gateway")
    while True:
        await hangup.wait()
        hangup.clear()
        try:
            fresh = await asyncio.to_thread(reread)
            await service.reload(build_generation(fresh))
        except (ConfigError, StartError, OSError) as error:
            log.error("reload refused: the old configuration stays", reason=str(error))  # noqa: TRY400 - no traceback
            continue
        if fresh.admin != settings.admin:
            log.warning("reload: changes of [admin] need a restart")
        for warning in fresh.warnings():
            log.warning("configuration", warning=warning)
        log.info("reloaded", milter=service.addresses, webhooks=[webhook.name for webhook in fresh.webhook])
