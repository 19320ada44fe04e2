"""Checks of keys against each other.

They look at the values as written, not as parsed: so they still find their faults when other keys are wrong, and all
faults come out in one go. A value that is itself wrong is somebody else's fault to report; it is passed over here.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from gateway.config.faults import Path
from gateway.config.spec import TcpSpec
from gateway.config.values import listed, parse_admin_listen, parse_listen

Finding = tuple[Path, str]
T = TypeVar("T")


def cross_check(values: Mapping[str, Any], *, webhook_required: bool) -> Iterator[Finding]:
    """Yield what is wrong between the keys, as a path and a reason."""
    yield from _listen(values)
    yield from _admin(values)
    webhooks = values.get("webhook", [])
    if webhook_required and webhooks == []:
        yield ("webhook",), "at least one is needed: a [[webhook]] table in the file, or --webhook URL"
    tables = [item if isinstance(item, Mapping) else {} for item in _list(webhooks)]
    yield from _unique_names(tables)
    for index, table in enumerate(tables):
        for key, reason in _webhook(table):
            yield ("webhook", index, *key), reason


def _listen(values: Mapping[str, Any]) -> Iterator[Finding]:
    """Each address once; whoever listens beyond loopback says who may come."""
    written = _list(listed(values.get("listen", [])))
    specs = [spec for item in written if (spec := _parsed(parse_listen, item)) is not None]
    for each, count in Counter(specs).items():
        if count > 1 and not (isinstance(each, TcpSpec) and each.port == 0):
            yield ("listen",), f"{each} is given more than once"
    far = [spec for spec in specs if isinstance(spec, TcpSpec) and not spec.loopback]
    if far and "peers" not in _table(values.get("limits")):
        yield ("limits", "peers"), f"is required when listening beyond loopback ({far[0]}): who may connect"


def _admin(values: Mapping[str, Any]) -> Iterator[Finding]:
    """Nobody beyond loopback gets in without a token."""
    admin = _table(values.get("admin"))
    address = _parsed(parse_admin_listen, admin.get("listen", ""))
    if address is not None and not address.loopback and "token_file" not in admin:
        yield ("admin", "token_file"), f"is required when the admin API listens beyond loopback ({address})"


def _unique_names(tables: list[Mapping[str, Any]]) -> Iterator[Finding]:
    """Report each repetition at the place where it is repeated."""
    seen: dict[str, int] = {}
    for index, table in enumerate(tables):
        name = table.get("name")
        if not isinstance(name, str):
            continue
        if name in seen:
            yield ("webhook", index, "name"), f"{name!a} is already the name of webhook[{seen[name]}]"
        seen.setdefault(name, index)


def _webhook(table: Mapping[str, Any]) -> Iterator[Finding]:
    """Check one webhook's keys against each other."""
    tls = _table(table.get("tls"))
    url = table.get("url")
    urls = [url] if isinstance(url, str) else _list(url)
    if "uds" in table and "proxy" in table:
        yield ("proxy",), "excludes uds: a backend is reached through one of them"
    if tls and urls and all(isinstance(each, str) and each.lower().startswith("http://") for each in urls):
        yield ("tls",), "is of no use with an http:// url: write https://"
    if "key_file" in tls and "cert_file" not in tls:
        yield ("tls", "key_file"), "needs cert_file beside it"


def _parsed(parse: Callable[[object], T], value: object) -> T | None:
    """Parse a value, or pass it over."""
    try:
        return parse(value)
    except ValueError:
        return None


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
