"""The whole configuration as one frozen value; each field is a key of the TOML file."""

from ipaddress import ip_network
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from gateway.config.files import TokenFile
from gateway.config.spec import HostPort, TcpSpec
from gateway.config.units import BYTES, ByteSize, Duration, PositiveByteSize, PositiveDuration
from gateway.config.values import AdminListen, Listed, Listen, Macro, Network, Peer, SocketMode
from gateway.config.webhook import Table, Webhook

LOOPBACK: Final[tuple[Network, ...]] = (ip_network("127.0.0.0/8"), ip_network("::1"))
"""Who may connect where nothing else is said, and only where nobody else could reach us anyway."""

Stage = Literal["connect", "helo", "mail", "rcpt", "data", "end_of_headers", "end_of_message"]
"""The moments at which the MTA sends macros."""

Count = Annotated[int, Field(strict=True, ge=1)]

_KIB: Final = BYTES["KiB"]
_MIB: Final = BYTES["MiB"]


def _tables(value: object) -> object:
    match value:
        case dict():
            raise ValueError("must be written [[webhook]], with two brackets: there may be several")
    return value


class Admin(Table):
    """The admin API and the inspector."""

    listen: AdminListen = HostPort("127.0.0.1", 8025)
    token_file: TokenFile | None = None
    record: Annotated[bool, Field(strict=True)] = False
    record_count: Count = 1000
    record_bytes: PositiveByteSize = 64 * _MIB
    record_age: PositiveDuration = 86400.0


class Limits(Table):
    """Bounds of memory, numbers and time."""

    connections: Count = 1000
    peers: Annotated[tuple[Peer, ...], Listed, Field(min_length=1)] = LOOPBACK
    message_bytes: PositiveByteSize = 50 * _MIB
    memory_bytes: PositiveByteSize = 512 * _MIB
    spool_above: ByteSize = _MIB
    recipients: Count = 10000
    headers: Count = 10000
    response_bytes: PositiveByteSize = 64 * _MIB
    context_bytes: PositiveByteSize = 64 * _KIB
    command_deadline: PositiveDuration = 9.0
    end_of_message_deadline: PositiveDuration = 240.0
    frame_timeout: PositiveDuration = 60.0
    idle_timeout: PositiveDuration = 7200.0
    drain_timeout: Duration = 30.0


class Settings(Table):
    """Everything that can be configured; build it with `load` or `parse`, which check the keys against each other."""

    listen: Annotated[tuple[Listen, ...], Listed, Field(min_length=1)] = (TcpSpec("127.0.0.1", 20025),)
    socket_mode: SocketMode = 0o660
    workers: Annotated[int, Field(strict=True, ge=1, le=256)] = 1
    macros: dict[Stage, Annotated[tuple[Macro, ...], Listed]] = Field(default_factory=dict)
    admin: Admin = Admin()
    limits: Limits = Limits()
    webhook: Annotated[tuple[Webhook, ...], BeforeValidator(_tables)] = ()

    def warnings(self) -> tuple[str, ...]:
        """Say what is doubtful but no fault, each thing once."""
        token = self.admin.token_file.warnings if self.admin.token_file else ()
        webhooks = (warning for webhook in self.webhook for warning in webhook.warnings())
        return tuple(dict.fromkeys((*token, *webhooks)))
