"""What the parent and a worker say to each other, over a socket pair that keeps messages apart.

Sockets travel beside the message (SCM_RIGHTS). The configuration travels whole and checked, secrets included, so that
all workers have the same one even if the file changes meanwhile; nobody else has an end of the pair.
"""

import pickle
import socket

import msgspec
import structlog
from msgspec import Struct

from gateway.admin.served import Status
from gateway.config import Settings
from gateway.metrics import Counters
from gateway.recording.records import Kept, without_bodies

MESSAGE_BYTES = 1 << 20
_RECORD_BYTES = MESSAGE_BYTES // 4
"""A record beyond this size would leave no room in the socket's buffer for anything else."""
_SOCKETS = 250
"""Linux passes at most 253 in one message."""


class Configure(Struct, tag=True):
    """To a worker: serve with these settings; for each address of theirs, how many of the sockets beside are its."""

    settings: bytes
    sockets: tuple[int, ...]
    keeps: int | None = None
    """What all bodies that are kept may take (0: none are kept); None: nothing is kept at all."""


class Stop(Struct, tag=True):
    """To a worker: let open transactions end, then go."""


class Tell(Struct, tag=True):
    """To a worker: how are you? `number` comes back with the answer."""

    number: int


class Told(Struct, tag=True):
    """From a worker."""

    number: int
    status: Status
    counters: Counters


class Refused(Struct, tag=True):
    """From a worker: it cannot serve with these settings."""

    reason: str


class Happened(Struct, tag=True):
    """From a worker: something for the archive."""

    what: Kept


Message = Configure | Stop | Tell | Told | Refused | Happened
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Message)


def pair() -> tuple[socket.socket, socket.socket]:
    """Make both ends."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MESSAGE_BYTES)
    return ends


def send(end: socket.socket, message: Message, sockets: tuple[socket.socket, ...] = ()) -> None:
    """Send a message. Raises OSError where the other side is gone or does not read."""
    socket.send_fds(end, [_encoder.encode(message)], [sock.fileno() for sock in sockets])


def receive(end: socket.socket) -> tuple[Message | None, tuple[socket.socket, ...]]:
    """Take the next message and its sockets; None where the other side is gone. Raises BlockingIOError."""
    try:
        data, descriptors, _, _ = socket.recv_fds(end, MESSAGE_BYTES, _SOCKETS)
    except ConnectionError:
        return None, ()
    sockets = tuple(socket.socket(fileno=number) for number in descriptors)
    return (_decoder.decode(data) if data else None), sockets


class Relay:
    """A worker's `Keeper`: hands everything on to the parent, and waits for nobody.

    What is too large for a message goes without its bodies; what finds the channel full is lost, which is said once.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._complained = False
        self._log = structlog.get_logger("gateway")

    def keep(self, what: Kept) -> None:
        """See `Keeper`."""
        message = _encoder.encode(Happened(what))
        if len(message) > _RECORD_BYTES:
            message = _encoder.encode(Happened(without_bodies(what)))
        try:
            self._end.send(message, socket.MSG_DONTWAIT)
        except OSError as error:
            if not self._complained:
                self._log.warning("what is kept has gaps: the parent process does not keep up", reason=str(error))
            self._complained = True


def packed(settings: Settings) -> bytes:
    """Settings for `Configure`."""
    return pickle.dumps(settings)


def unpacked(settings: bytes) -> Settings:
    """The settings of `Configure`; they come from our own parent and from nobody else."""
    found = pickle.loads(settings)  # noqa: S301
    if not isinstance(found, Settings):
        raise TypeError(f"{type(found).__name__} in place of settings")
    return found
