"""The smaller values of the configuration: networks, addresses, URLs, names and HTTP fields, each with its check."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, PlainValidator, ValidationInfo

from gateway.config.files import read_secret
from gateway.config.spec import HostPort, ListenSpec, check_unix_path, parse_host_port, parse_spec

Network = IPv4Network | IPv6Network

EVENT_PLACEHOLDER: Final = "{event}"

_MODE: Final = re.compile(r"0?[0-7]{3}")
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MACRO: Final = re.compile(r"[A-Za-z_]|\{[A-Za-z0-9_.-]+\}")
_URL: Final = re.compile(r"[\x21-\x7e]+")
_URL_HOST: Final = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+(%[A-Za-z0-9._-]+)?")
_PLACEHOLDER: Final = re.compile(r"\{[^{}]*\}?|\}")
_FIELD_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2, token
_FIELD_VALUE: Final = re.compile(r"[\t\x20-\x7e]*")
_OWN_FIELDS: Final = re.compile(
    r"content-(type|length|encoding)|transfer-encoding|connection|traceparent|user-agent|(webhook|milter)-.*"
)


@dataclass(frozen=True, slots=True)
class NetworkRule:
    """A client entry of `when`: the network, or with ``!`` everything but the network."""

    network: Network
    negated: bool = False

    def __str__(self) -> str:
        return f"{'!' if self.negated else ''}{self.network}"


@dataclass(frozen=True, slots=True)
class HeaderValue:
    """The value of an HTTP field of every call; one from a file or the environment is a secret, and has an origin."""

    value: str = field(repr=False)
    origin: str | None = None
    warnings: tuple[str, ...] = ()


def listed(value: object) -> object:
    """Let a single text stand for a list of one."""
    return [value] if isinstance(value, str) else value


def text(value: object) -> str:
    """Return a text that is not empty."""
    if isinstance(value, str) and value:
        return value
    raise ValueError("must not be empty" if value == "" else "must be a text in quotes")


def parse_listen(value: object) -> ListenSpec:
    """Read a listen SPEC; a bare port may come as a number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return parse_spec(str(value))
    return parse_spec(text(value))


def parse_admin_listen(value: object) -> HostPort | None:
    """Read HOST:PORT, where an empty text means off."""
    return None if value == "" else parse_host_port(text(value))


def parse_mode(value: object) -> int:
    """Read a file mode in octal, which only quotes keep from being read as decimal."""
    if not isinstance(value, str) or not _MODE.fullmatch(value):
        raise ValueError('must be an octal file mode in quotes, as in "0660"')
    return int(value, 8)


def parse_network(value: object) -> Network:
    """Read an address or a CIDR block; bits beyond the prefix are a mistake, and the right block is named."""
    written = text(value)
    try:
        block = ip_network(written, strict=False)
    except ValueError:
        raise ValueError(f"{written!a} is not an IP address or a CIDR block, as in 10.0.0.0/8") from None
    try:
        return ip_network(written)
    except ValueError:
        raise ValueError(f"{written} has bits set beyond its prefix: write {block}") from None


def parse_network_rule(value: object) -> NetworkRule:
    """Read an address or CIDR block, with an optional ``!`` before it."""
    written = text(value)
    return NetworkRule(parse_network(written.removeprefix("!")), written.startswith("!"))


def check_entry(value: object) -> str:
    """Return an entry of a `when` list: a text, with an optional ``!`` before it."""
    if text(value) == "!":
        raise ValueError('"!" must be followed by what it excludes')
    return str(value)


def check_name(value: object) -> str:
    """Return a webhook's name; it goes into metrics, logs and keys."""
    if not _NAME.fullmatch(text(value)):
        raise ValueError("must be made of letters, digits, dot, hyphen and underscore, 64 at most")
    return str(value)


def check_macro(value: object) -> str:
    """Return a macro's name as the MTA spells it."""
    written = text(value)
    if not _MACRO.fullmatch(written):
        hint = f": write {{{written}}}" if re.fullmatch(r"[A-Za-z0-9_.-]{2,}", written) else ""
        raise ValueError(f"{written!a} is not a macro name: one letter, or a longer name in braces{hint}")
    return written


def parse_url(value: object) -> str:
    """Check a webhook's URL, in which only ``{event}`` is substituted."""
    written = text(value)
    for found in _PLACEHOLDER.findall(written):
        if found != EVENT_PLACEHOLDER:
            raise ValueError(f"only the placeholder {{event}} is substituted, not {found!a}")
    _check_http(written.replace(EVENT_PLACEHOLDER, "event"))
    return written


def parse_urls(value: object) -> tuple[str, ...]:
    """Check one URL, or a list of alternatives."""
    if not isinstance(value, list | tuple):
        return (parse_url(value),)
    if not value:
        raise ValueError("must name at least one URL")
    urls: list[str] = []
    for number, item in enumerate(value, 1):
        try:
            url = parse_url(item)
        except ValueError as error:
            raise ValueError(f"number {number} of the list {error}") from error
        if url in urls:
            raise ValueError(f"number {number} of the list is {url} again")
        urls.append(url)
    return tuple(urls)


def parse_proxy(value: object) -> str:
    """Check the URL of an HTTP proxy."""
    written = text(value)
    _check_http(written)
    return written


def parse_socket_path(value: object) -> str:
    """Check the path of a backend's Unix socket; it may appear later than we do."""
    return check_unix_path(text(value))


def check_field_name(value: object) -> str:
    """Return the name of an HTTP field in small letters, unless the gateway itself sets that field."""
    written = text(value).lower()
    if not _FIELD_NAME.fullmatch(written):
        raise ValueError("is not the name of an HTTP header")
    if _OWN_FIELDS.fullmatch(written):
        raise ValueError("is set by the gateway itself")
    return written


def parse_field_value(value: object, info: ValidationInfo) -> HeaderValue:
    """Read a value given as a text, as ``{ file = "..." }`` or as ``{ env = "NAME" }``."""
    match value:
        case str():
            return HeaderValue(_field_value(value))
        case {"file": path, **rest} if not rest:
            secret = read_secret(path)
            content = secret.value.decode("latin-1")
            return HeaderValue(_field_value(content), f"file {secret.path}", secret.warnings)
        case {"env": str(name), **rest} if not rest:
            return HeaderValue(_field_value(_variable(name, info.context)), f"env {name}")
    raise ValueError('must be a text, { file = "PATH" } or { env = "NAME" }')


def _variable(name: str, context: Mapping[str, Any] | None) -> str:
    """Look a variable up in the environment that `load` was given."""
    content = (context or {}).get("environ", {}).get(name)
    if not content:
        raise ValueError(f"the environment variable {name!a} is not set")
    return str(content).strip()


def _field_value(content: str) -> str:
    """Return what may stand in an HTTP field; the content is never shown, it may be a secret."""
    if not _FIELD_VALUE.fullmatch(content):
        raise ValueError("must be printable ASCII on one line")
    return content


def _check_http(url: str) -> None:
    """Refuse what no HTTP client could call."""
    if not _URL.fullmatch(url):
        raise ValueError("must be printable ASCII without blanks")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("is not a URL: its host or port is wrong") from None
    if parts.scheme not in {"http", "https"}:
        raise ValueError('must begin with "http://" or "https://"')
    if not host or not _URL_HOST.fullmatch(host):
        raise ValueError("names no host")
    if parts.fragment:
        raise ValueError("must not have a #fragment: it is never sent")


Name = Annotated[str, PlainValidator(check_name)]
Listen = Annotated[ListenSpec, PlainValidator(parse_listen)]
AdminListen = Annotated[HostPort | None, PlainValidator(parse_admin_listen)]
SocketMode = Annotated[int, PlainValidator(parse_mode)]
Peer = Annotated[Network, PlainValidator(parse_network)]
ClientRule = Annotated[NetworkRule, PlainValidator(parse_network_rule)]
Entry = Annotated[str, PlainValidator(check_entry)]
Macro = Annotated[str, PlainValidator(check_macro)]
Urls = Annotated[tuple[str, ...], PlainValidator(parse_urls)]
Proxy = Annotated[str, PlainValidator(parse_proxy)]
SocketPath = Annotated[str, PlainValidator(parse_socket_path)]
FieldName = Annotated[str, AfterValidator(check_field_name)]
FieldValue = Annotated[HeaderValue, PlainValidator(parse_field_value)]
Listed = BeforeValidator(listed)
