"""Where a milter listens, in Sendmail's and in Postfix's spelling, and HOST:PORT for everything that speaks HTTP.

Sendmail (``smfi_setconn``) writes ``inet:PORT@HOST``, Postfix (``smtpd_milters``) writes ``inet:HOST:PORT``; both
are read, Sendmail's is written. A host that is left out is the loopback: nothing is opened to the world unasked.
"""

import os
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, Literal

Family = Literal["inet", "inet6"]

UNIX_PATH_BYTES: Final = 107
"""``sun_path`` of unix(7) less its closing NUL."""

_LOOPBACK: Final[dict[Family, str]] = {"inet": "127.0.0.1", "inet6": "::1"}
_PORT: Final = re.compile(r"[0-9]{1,5}")
_IPV6: Final = re.compile(r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%[A-Za-z0-9_.-]+)?")
_HOST_NAME: Final = re.compile(
    r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?"
)
_NUMERIC_END: Final = re.compile(r"(.*\.)?[0-9]+\.?")


class SpecError(ValueError):
    """The text names no address; the message says why."""


@dataclass(frozen=True, slots=True)
class TcpSpec:
    """A TCP address; port 0 is any free port."""

    host: str
    port: int
    family: Family = "inet"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        return is_loopback(self.host)

    def __str__(self) -> str:
        return f"{self.family}:{self.port}@{_bracketed(self.host)}"


@dataclass(frozen=True, slots=True)
class UnixSpec:
    """A Unix socket in the file system."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


ListenSpec = TcpSpec | UnixSpec


@dataclass(frozen=True, slots=True)
class HostPort:
    """HOST:PORT of an HTTP listener; port 0 is any free port."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        return is_loopback(self.host)

    def __str__(self) -> str:
        return f"{_bracketed(self.host)}:{self.port}"


def parse_spec(text: str) -> ListenSpec:
    """Read a SPEC of either spelling, a bare port, or the bare path of a Unix socket."""
    kind, colon, rest = text.partition(":")
    if not colon and _PORT.fullmatch(text):
        return TcpSpec(_LOOPBACK["inet"], _port(text))
    if text.startswith("/"):
        return UnixSpec(check_unix_path(text))
    match kind if colon else "":
        case "unix" | "local":
            return UnixSpec(check_unix_path(rest))
        case "inet" | "inet6" as family:
            return _tcp(text, family, rest)
    raise SpecError(f"{text!r} is not an address: write inet:PORT@HOST, inet:HOST:PORT, unix:PATH or a port")


def parse_host_port(text: str) -> HostPort:
    """Read ``127.0.0.1:8025``, ``[::1]:8025``, ``name:8025``, or a bare port of the loopback."""
    if _PORT.fullmatch(text):
        return HostPort(_LOOPBACK["inet"], _port(text))
    host, colon, port = text.rpartition(":")
    if not colon or not host:
        raise SpecError(f"{text!r} is not HOST:PORT, as in 127.0.0.1:8025")
    return HostPort(_host_before_port(text, host), _port(port))


def is_loopback(host: str) -> bool:
    """Whether the host is this machine's loopback; a name other than localhost is taken to be elsewhere."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.rstrip(".").lower() == "localhost"


def check_unix_path(path: str) -> str:
    """Return the path if a Unix socket can have it."""
    if not path:
        raise SpecError("the path of the Unix socket is missing")
    if "\0" in path:
        raise SpecError("the path of a Unix socket cannot hold a NUL")
    try:
        size = len(os.fsencode(path))
    except UnicodeEncodeError:
        raise SpecError("the path of the Unix socket is not UTF-8") from None
    if size > UNIX_PATH_BYTES:
        raise SpecError(f"the path of a Unix socket has at most {UNIX_PATH_BYTES} bytes")
    return path


def _tcp(text: str, family: Family, rest: str) -> TcpSpec:
    """Read what follows ``inet:`` or ``inet6:``."""
    if "@" in rest:
        port, _, written = rest.partition("@")
        host = _host(written.removeprefix("[").removesuffix("]") if _in_brackets(written) else written)
    else:
        written, colon, port = rest.rpartition(":")
        host = _host_before_port(text, written) if colon else _LOOPBACK[family]
    return TcpSpec(host, _port(port), _family_of(host, family))


def _host_before_port(text: str, written: str) -> str:
    """Read the host of HOST:PORT, where an IPv6 address needs its brackets."""
    if _in_brackets(written):
        inner = written[1:-1]
        if ":" not in inner:
            raise SpecError(f"{inner!r} is not an IPv6 address: only those stand in brackets")
        return _host(inner)
    if ":" in written:
        raise SpecError(f"{text!r} is ambiguous: put the IPv6 address in brackets, as in [::1]:20025")
    return _host(written)


def _in_brackets(written: str) -> bool:
    return written.startswith("[") and written.endswith("]")


def _host(written: str) -> str:
    """Return the host in canonical form: an address as ipaddress writes it, or a name as it is."""
    if not written:
        raise SpecError("the host is missing")
    looks_numeric = _NUMERIC_END.fullmatch(written) is not None
    if looks_numeric or _IPV6.fullmatch(written):
        try:
            return str(ip_address(written))
        except ValueError:
            raise SpecError(f"{written!r} is not an IP address") from None
    if not _HOST_NAME.fullmatch(written):
        raise SpecError(f"{written!r} is not a host name or an IP address")
    return written


def _family_of(host: str, family: Family) -> Family:
    """Settle the family; Postfix writes IPv6 addresses after ``inet:`` too, IPv4 after ``inet6:`` is a mistake."""
    try:
        address: IPv4Address | IPv6Address | None = ip_address(host)
    except ValueError:
        address = None
    if isinstance(address, IPv6Address):
        return "inet6"
    if family == "inet6" and address is not None:
        raise SpecError(f"{host} is an IPv4 address: write inet:PORT@{host}")
    return family


def _port(text: str) -> int:
    if not text:
        raise SpecError("the port is missing")
    if not _PORT.fullmatch(text) or int(text) > 65535:
        raise SpecError(f"{text!r} is not a port: a number from 0 to 65535")
    return int(text)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
