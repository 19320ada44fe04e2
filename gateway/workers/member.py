"""One worker as its parent sees it: started, asked, stopped."""

import asyncio
import itertools
import sys
import time
from asyncio.subprocess import Process
from socket import socket

import structlog

from gateway.metrics import Counters
from gateway.recording import Keeper
from gateway.workers.channel import Configure, Happened, Message, Refused, Stop, Tell, Told, pair, receive, send

_ANSWER_SECONDS = 2.0


class Worker:
    """A process. `number` counts from 1 and stays when the process is replaced; `keeper` gets what happened there."""

    def __init__(self, number: int, log_format: str, keeper: Keeper) -> None:
        self.number = number
        self._keeper = keeper
        self.last = Counters()
        """What it had counted when it was asked last."""
        self._log_format = log_format
        self._process: Process | None = None
        self._channel: socket | None = None
        self._asked: dict[int, asyncio.Future[Told]] = {}
        self._numbers = itertools.count()
        self._log = structlog.get_logger("gateway")

    async def start(self) -> None:
        """Start the process. Raises OSError."""
        ours, theirs = pair()
        arguments = ["--descriptor", str(theirs.fileno()), "--number", str(self.number), "--log-format"]
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "gateway", "worker", *arguments, self._log_format, pass_fds=(theirs.fileno(),)
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        self._channel, self.last = ours, Counters()
        asyncio.get_running_loop().add_reader(ours.fileno(), self._hear, ours)

    @property
    def pid(self) -> int | None:
        """Of the present process."""
        return self._process.pid if self._process else None

    async def ended(self) -> int:
        """Wait for the end of the process; its exit status, negative for a signal. 0 where none was started."""
        status = 0 if self._process is None else await self._process.wait()
        self._forget_channel()
        return status

    def configure(self, message: Configure, sockets: tuple[socket, ...]) -> None:
        """Give it settings and sockets."""
        self._send(message, sockets)

    def stop(self) -> None:
        """Ask it to end."""
        self._send(Stop())

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def tell(self) -> Told | None:
        """Ask how it is; None where it does not answer in time, or does not serve yet."""
        if self._channel is None:
            return None
        number = next(self._numbers)
        answer: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                self._send(Tell(number))
                told = await answer
        except TimeoutError:
            return None
        finally:
            self._asked.pop(number, None)
        self.last = told.counters
        return told

    async def serves(self, within: float) -> bool:
        """Whether it has begun to serve, before so many seconds are over or it has ended."""
        end = time.monotonic() + within
        while time.monotonic() < end and self._process is not None and self._process.returncode is None:
            number = next(self._numbers)
            answer: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
            self._asked[number] = answer
            self._send(Tell(number))
            done, _ = await asyncio.wait([answer], timeout=0.05)
            self._asked.pop(number, None)
            if done:
                return True
        return False

    def _send(self, message: Message, sockets: tuple[socket, ...] = ()) -> None:
        if self._channel is None:
            return
        try:
            send(self._channel, message, sockets)
        except OSError as error:  # it is about to end, and will be replaced
            self._log.warning("a worker does not listen", worker=self.number, reason=str(error))

    def _hear(self, channel: socket) -> None:
        try:
            message, _ = receive(channel)
        except BlockingIOError:
            return
        if message is None:
            self._forget_channel()
        elif isinstance(message, Told):
            answer = self._asked.get(message.number)
            if answer is not None and not answer.done():
                answer.set_result(message)
        elif isinstance(message, Happened):
            self._keeper.keep(message.what)
        elif isinstance(message, Refused):
            self._log.error("a worker refuses the configuration", worker=self.number, reason=message.reason)

    def _forget_channel(self) -> None:
        if self._channel is not None:
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            self._channel.close()
            self._channel = None
