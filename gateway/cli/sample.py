"""`sample`: the JSON of an event, with single values replaced."""

from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.cli.errors import CommandError
from gateway.cli.scenes import sample_request
from gateway.contract.words import Event

_FREE = ("params", "macros")
"""Tables whose keys are not ours: here a key may be new."""
_SOMETIMES = ("rejected_by_mta",)
"""Keys that are there in some requests only."""

_DIGITS = 10
"""No list has an index with so many."""


def sample(event: Event, replacements: Sequence[str]) -> bytes:
    """The request, with each `path=json` set. Raises CommandError."""
    encoded = sample_request(event)
    if not replacements:
        return encoded
    request = msgspec.json.decode(encoded)
    for replacement in replacements:
        _replace(request, replacement)
    return msgspec.json.encode(request)


def _replace(request: Any, replacement: str) -> None:
    path, equals, written = replacement.partition("=")
    if not equals or not path or not _is_text(path):
        raise CommandError(f"--set {replacement!r}: write PATH=JSON, such as data.address='\"x@y.example\"'")
    try:
        value = msgspec.json.decode(written.encode())
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        reason = f"{written!r} is not JSON; a text needs double quotes inside single ones: --set {path}='\"text\"'"
        raise CommandError(f"--set {path}: {reason}") from None
    *parents, last = path.split(".")
    here, name = request, ""
    for step in parents:
        here, name = _step(here, step, path), step
    _put(here, name, last, value, path)


def _is_text(path: str) -> bool:
    """Whether it was UTF-8 on the command line."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _step(here: Any, step: str, path: str) -> Any:
    """Go one step down. Raises CommandError where there is nothing."""
    if isinstance(here, dict) and step in here:
        return here[step]
    if isinstance(here, list) and step.isdecimal() and len(step) < _DIGITS and int(step) < len(here):
        return here[int(step)]
    raise CommandError(f"--set {path}: {_missing(here, step)}")


def _put(here: Any, name: str, last: str, value: Any, path: str) -> None:
    if isinstance(here, dict) and (name in _FREE or last in _SOMETIMES or last.removesuffix("_base64") in here):
        here[last] = value
        return
    _step(here, last, path)
    here[int(last) if isinstance(here, list) else last] = value


def _missing(here: Any, step: str) -> str:
    match here:
        case dict():
            return f"unknown path: there is no {step!r}; there are {', '.join(here) or 'no keys'}"
        case list():
            return f"unknown path: {step!r} is no index of a list with {len(here)} entries"
        case None:
            return f"unknown path: what should hold {step!r} is null here; set it as a whole"
    return f"unknown path: what should hold {step!r} is a single value"
