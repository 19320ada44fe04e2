"""Text for people and JSON for programs of what a proxy heard. Nothing that mail says can drive a terminal."""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Any

import click
from msgspec import Struct

from gateway.milter.constants import Response
from gateway.snoop.decode import Told, tell
from gateway.snoop.frames import Lost, Packet, Piece, Raw
from gateway.snoop.words import Side
from gateway.translate.text import plain, readable_bytes, shown

_VALUE_WIDTH = 1000
_PREVIEW_WIDTH = 80
_INDENT = 46


class Heard(Struct, frozen=True):
    """A piece of what one side said. `seconds` count from the start of the proxy.

    `waited` are the seconds since the MTA's last packet, for what the milter says. `leading_space` as it was agreed.
    """

    seconds: float
    connection: int
    side: Side
    piece: Piece
    waited: float | None = None
    leading_space: bool = False


class Notice(Struct, frozen=True):
    """What happened to a connection, or to the proxy itself (`connection` 0)."""

    seconds: float
    connection: int
    event: str
    text: str
    data: Mapping[str, Any] = {}


Item = Heard | Notice
Render = Callable[[Item], bytes]

_ARROWS = {Side.MTA: "-->", Side.MILTER: "<--"}
_COLOURS = {Side.MTA: "cyan", Side.MILTER: "green"}
_VERDICTS = frozenset(("REPLYCODE", "REJECT", "TEMPFAIL", "DISCARD", "SHUTDOWN", "CONN_FAIL"))
_EDITS = frozenset(
    (
        Response.ADD_HEADER,
        Response.INSERT_HEADER,
        Response.CHANGE_HEADER,
        Response.REPLACE_BODY,
        Response.ADD_RECIPIENT,
        Response.ADD_RECIPIENT_WITH_PARAMS,
        Response.DELETE_RECIPIENT,
        Response.CHANGE_FROM,
        Response.QUARANTINE,
    )
)


def renderer(*, as_json: bool, full: bool, colour: bool, started: datetime) -> Render:
    """How items become bytes. `full`: bodies and long values whole. `started` is when `seconds` were 0."""
    return partial(_json_line, started=started) if as_json else partial(_text_lines, full=full, colour=colour)


def _told(heard: Heard) -> Told:
    match heard.piece:
        case Packet() as packet:
            return tell(heard.side, packet, leading_space=heard.leading_space)
        case Lost() as lost:
            fault = f"a length of {lost.length}: this is no milter packet, so all that follows is shown as it is"
            return Told("?", "lost", readable_bytes(lost.payload), shown(lost.payload), fault)
        case Raw() as raw:
            data = {"size": raw.size, **shown(raw.payload), "truncated": len(raw.payload) < raw.size}
            return Told("?", "raw", f"{raw.size} bytes", data, body=raw.payload)


def _json_line(item: Item, *, started: datetime) -> bytes:
    """One object; only ASCII, so that it is as harmless on a terminal as the text."""
    value: dict[str, Any] = {"seconds": round(item.seconds, 6), "connection": item.connection or None}
    if isinstance(item, Notice):
        value |= {"event": item.event, "text": item.text, **item.data}
        if not item.connection:
            value["started"] = started.isoformat()
    else:
        told = _told(item)
        size = item.piece.size if isinstance(item.piece, Packet | Raw) else len(item.piece.payload)
        value |= {"event": "packet", "from": item.side, "command": told.command, "name": told.name, "bytes": size}
        if item.waited is not None:
            value["waited_ms"] = round(item.waited * 1000, 1)
        value |= {"data": told.data, "fault": told.fault}
    return json.dumps(value).replace("\x7f", "\\u007f").encode() + b"\n"


def _text_lines(item: Item, *, full: bool, colour: bool) -> bytes:
    def paint(text: str, **style: Any) -> str:
        return click.style(text, **style) if colour else text

    number = f"#{item.connection}" if item.connection else ""
    start = f"{item.seconds:9.3f} {number:4}"
    if isinstance(item, Notice):
        return (paint(f"{start} {plain(item.text)}", dim=True) + "\n").encode()
    told = _told(item)
    names = f"{told.command:<11} {told.name:<14}"
    style = {"fg": "red"} if told.command in _VERDICTS else {"fg": _COLOURS[item.side]}
    first, *more = _clipped(told, full=full).split("\n")
    line = f"{start} {paint(f'{_ARROWS[item.side]} {names}', **style)} {first}".rstrip()
    if told.fault:
        line += " " + paint(f"({plain(told.fault)})", fg="yellow")
    if item.waited is not None and not (isinstance(item.piece, Packet) and item.piece.code in _EDITS):
        line += paint(f"  [{item.waited * 1000:.1f} ms]", dim=True)
    lines = [line, *(f"{'':{_INDENT}}{each}" for each in more)]
    if full and told.body:
        lines += [f"{'':{_INDENT}}| {each}" for each in _body_lines(told.body)]
    return "".join(f"{each}\n" for each in lines).encode()


def _clipped(told: Told, *, full: bool) -> str:
    """The words, and the beginning of a body; long values in part, unless `full`."""
    if told.body is not None and not full:
        begins = readable_bytes(told.body[: 4 * _PREVIEW_WIDTH])
        return f"{told.text}: {begins[:_PREVIEW_WIDTH]}" + ("…" if len(begins) > _PREVIEW_WIDTH else "")
    if full or len(told.text) <= _VALUE_WIDTH:
        return told.text
    return f"{told.text[:_VALUE_WIDTH]}… ({len(told.text)} characters)"


def _body_lines(body: bytes) -> Iterator[str]:
    """A body below its packet, line by line; line ends that are not CRLF show."""
    lines = body.split(b"\r\n")
    if not lines[-1]:
        lines.pop()
    return map(readable_bytes, lines)
