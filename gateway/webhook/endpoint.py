"""The settings of one backend as this layer needs them, and what follows from them: URLs, fields, TLS.

Faults of the settings raise ValueError here, at start, never during a call.
"""

import re
import ssl
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit, urlunsplit

from gateway.webhook.transport import HttpRequest

_EVENT = "{event}"
_URL_SAFE = "%/:=&?~+!$,;'@()*[]"
_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # token, RFC 9110 section 5.6.2
_FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")  # no CR, LF, NUL: nobody may add fields of his own
_OURS = re.compile(
    r"content-type|content-length|transfer-encoding|connection|traceparent|"
    r"webhook-(id|timestamp|signature)|milter-(event|session|attempt|deadline-ms)"
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A backend.

    Args:
        name: the webhook's name, for messages.
        urls: http or https, tried in order; `{event}` in them becomes the event's name.
        retries: further attempts after the first, for connect errors, 429 and 5xx.
        secrets: active signing keys (`parse_secret`); none: calls are not signed.
        headers: further header fields; names that the gateway sets itself are refused, but for host,
            user-agent, accept and accept-encoding.
        ca_file: trust these authorities (PEM) instead of the system's.
        cert_file: our client certificate (PEM).
        key_file: its key, if not in `cert_file`.
        uds: path of a unix socket to connect to.
        proxy: URL of an HTTP proxy; never taken from the environment.
        http2: offer HTTP/2.
        response_bytes: limit for an answer's body.
        connections: at most, to one origin.

    """

    name: str
    urls: tuple[str, ...]
    retries: int = 2
    secrets: tuple[bytes, ...] = field(default=(), repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    uds: str | None = None
    proxy: str | None = field(default=None, repr=False)
    http2: bool = False
    response_bytes: int = 64 * 1024 * 1024
    connections: int = 1000

    def check(self) -> None:
        """Check what can be checked without a network.

        Raises:
            ValueError: with the key and the reason.

        """
        for url in self.urls:
            absolute_url(url, "connect")
        if self.uds is not None and self.proxy is not None:
            raise ValueError("uds, proxy: a unix socket is not reached through a proxy")
        if self.proxy is not None and urlsplit(self.proxy).scheme not in ("http", "https"):
            raise ValueError("proxy: expected http://host:port or https://host:port")
        if self.key_file is not None and self.cert_file is None:
            raise ValueError("tls.key_file: needs tls.cert_file")
        for name, value in self.headers:
            _check_field(name, value)

    def request(self, url: str, event: str, user_agent: str) -> HttpRequest:
        """The part of the request to one of the URLs that all calls for an event share."""
        ours = [("user-agent", user_agent), ("accept", "application/json"), ("accept-encoding", "identity")]
        configured = {name.lower() for name, _ in self.headers}
        fields = [pair for pair in ours if pair[0] not in configured]
        return HttpRequest(absolute_url(url, event), (*fields, *self.headers))

    def tls_context(self) -> ssl.SSLContext | None:
        """A context that verifies the backend's certificate and name; None for http.

        Raises:
            ValueError: a file cannot be read or holds no certificate.

        """
        if not any(urlsplit(url).scheme.lower() == "https" for url in self.urls):
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:
            raise ValueError(f"tls.ca_file: {self.ca_file}: {error}") from error
        if self.cert_file is not None:
            try:
                context.load_cert_chain(self.cert_file, self.key_file)
            except OSError as error:
                raise ValueError(f"tls.cert_file, tls.key_file: {self.cert_file}: {error}") from error
        return context


def absolute_url(template: str, event: str) -> str:
    """The URL for an event, in ASCII, as both transports understand it: IDNA host, percent-encoded target.

    Raises:
        ValueError: not http or https, no host, a bad port, credentials in it.

    """
    parts = urlsplit(template.replace(_EVENT, event))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"url: {template!r}: expected http://host/path or https://host/path")
    if parts.username is not None or parts.password is not None:
        raise ValueError("url: credentials belong into headers = { authorization = ... }, where logs do not show")
    try:
        port = "" if parts.port is None else f":{parts.port}"
        host = parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode("ascii")
    except ValueError as error:  # UnicodeError is one
        raise ValueError(f"url: {template!r}: {error}") from error
    if not re.fullmatch(r"[0-9A-Za-z._:%-]+", host):
        raise ValueError(f"url: {template!r}: {host!r} is no host name")
    if ":" in host:
        host = f"[{host}]"
    path, query = quote(parts.path, safe=_URL_SAFE), quote(parts.query, safe=_URL_SAFE)
    return urlunsplit((parts.scheme, host + port, path or "/", query, ""))


def _check_field(name: str, value: str) -> None:
    """Refuse what would break the head of a request; the value may be secret and is not shown."""
    if not _FIELD_NAME.fullmatch(name):
        raise ValueError(f"headers: {name!r} is no header field name")
    if _OURS.fullmatch(name.lower()):
        raise ValueError(f"headers: {name} is set by the gateway itself")
    if not _FIELD_VALUE.fullmatch(value) or value != value.strip():
        raise ValueError(f"headers: the value of {name} has control characters, outer blanks, or is not latin-1")
