"""`message.parsed`: headers as values, texts as strings, and every other leaf as an attachment.

No leaf is left out: it is part of `text`, part of `html`, or an attachment; a text with a file name is both.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from msgspec import UNSET, UnsetType

from gateway.contract import request as r
from gateway.mail.fields import Field
from gateway.translate.mime.defects import Defects
from gateway.translate.mime.encodings import Note, fit, text_of, transfer_decoded
from gateway.translate.mime.header import Header
from gateway.translate.mime.source import HIDDEN, Source, pieces
from gateway.translate.mime.structure import Leaf, Walk
from gateway.translate.mime.values import ids, mailboxes, moment, subject
from gateway.translate.text import to_base64

TEXT_BYTES = 1024 * 1024
"""Of all plain texts together, and of all HTML texts together."""
ATTACHED_BYTES = 256 * 1024
"""An attachment up to this size comes with its content,"""
ALL_ATTACHED_BYTES = 1024 * 1024
"""as long as all those that do are not larger than this."""

_TEXTS = ("text/plain", "text/html")
_T = TypeVar("_T")


def parse(fields: Iterable[Field], source: Source, *, truncated: bool = False) -> r.Parsed:
    """Take a message apart. `source` is its body, HIDDEN where it is not shown. Raises OSError."""
    defects = Defects()
    header = Header(((field.name, field.raw) for field in fields), "message", defects)
    content = _Content(source, defects)
    if source is HIDDEN:
        defects.add("message", "the body is not shown")
    else:
        if truncated:
            defects.add("message", "the body is truncated")
        for leaf in Walk(source, defects).message(header):
            content.take(leaf)
    read = _Reader(header, defects)
    return r.Parsed(
        subject=read.one("subject", subject),
        sender=read.addresses("from"),
        to=read.addresses("to"),
        cc=read.addresses("cc"),
        reply_to=read.addresses("reply-to"),
        sent_at=read.one("date", moment),
        message_id=read.one("message-id", ids),
        in_reply_to=read.one("in-reply-to", ids),
        references=read.one("references", ids),
        text=content.texts["text/plain"].value(),
        html=content.texts["text/html"].value(),
        attachments=content.attachments,
        defects=defects.listed(),
    )


def unparsed(why: str) -> r.Parsed:
    """What is shown where a message could not be read."""
    nobody: list[r.Mailbox] = []
    defects = Defects()
    defects.add("message", fit(f"it could not be read: {why}", lambda _: None))
    return r.Parsed(None, nobody, nobody, nobody, nobody, None, None, None, None, None, None, [], defects.listed())


class _Reader:
    """Reads single fields of the message; what is wrong with one is a defect of that field."""

    def __init__(self, header: Header, defects: Defects) -> None:
        self._header = header
        self._defects = defects

    def one(self, name: str, read: Callable[[str, Note], _T]) -> _T | None:
        """The value of a field, None where it is absent."""
        value = self._header.first(name)
        return None if value is None else read(value, self._note(name))

    def addresses(self, name: str) -> list[r.Mailbox]:
        """The addresses of a field; of one that stands more than once, those of all."""
        values, note = self._header.all(name), self._note(name)
        if len(values) > 1:
            note("stands more than once")
        return mailboxes(values, note) if values else []

    def _note(self, name: str) -> Note:
        return lambda what: self._defects.add(name, what)


class _Text:
    """The parts of one type of text, in order."""

    def __init__(self) -> None:
        self._room = TEXT_BYTES
        self._parts: list[str] = []

    def take(self, leaf: Leaf, content: Iterator[bytes]) -> None:
        """Add one; what is beyond the bound is cut off."""
        note, kept = leaf.header.note, bytearray()
        for piece in content:
            kept += piece
            if len(kept) > self._room:
                note("the text is cut off")
                break
        whole = len(kept) <= self._room
        raw = bytes(kept[: self._room])
        self._room -= len(raw)
        text = text_of(raw, leaf.header.charset, note, whole=whole)
        self._parts.append(text.replace("\r\n", "\n"))

    def value(self) -> str | None:
        """All of them with line breaks between, None where there is none."""
        if not self._parts:
            return None
        *others, last = self._parts
        return "".join(part if part.endswith("\n") or not part else f"{part}\n" for part in others) + last


class _Content:
    """Texts and attachments as they are found."""

    def __init__(self, source: Source, defects: Defects) -> None:
        self.texts = {kind: _Text() for kind in _TEXTS}
        self.attachments: list[r.Attachment] = []
        self._source = source
        self._defects = defects
        self._room = ALL_ATTACHED_BYTES

    def take(self, leaf: Leaf) -> None:
        """Put a leaf where it belongs. Raises OSError."""
        shown = _is_shown(leaf)
        if shown:
            self.texts[leaf.header.type].take(leaf, self._decoded(leaf))
        if not shown or leaf.header.name:
            self.attachments.append(self._attachment(leaf, self._decoded(leaf)))

    def _decoded(self, leaf: Leaf) -> Iterator[bytes]:
        header = leaf.header
        return transfer_decoded(pieces(self._source, leaf.start, leaf.end), header.encoding, header.note)

    def _attachment(self, leaf: Leaf, content: Iterator[bytes]) -> r.Attachment:
        header, digest, size = leaf.header, hashlib.sha256(), 0
        kept: list[bytes] | None = []
        for piece in content:
            digest.update(piece)
            size += len(piece)
            if kept is not None and size <= min(ATTACHED_BYTES, self._room):
                kept.append(piece)
            else:
                kept = None
        encoded: str | UnsetType = UNSET
        if kept is not None:
            self._room -= size
            encoded = to_base64(b"".join(kept))
        return r.Attachment(
            part_id=leaf.part_id,
            name=header.name,
            type=header.type,
            size=size,
            disposition=header.disposition,
            cid=header.cid,
            sha256=digest.hexdigest(),
            base64=encoded,
        )


def _is_shown(leaf: Leaf) -> bool:
    """Whether a mail program shows it as text of the message (RFC 8621 §4.1.4)."""
    header = leaf.header
    if header.type not in _TEXTS or header.disposition == "attachment":
        return False
    return leaf.first or (leaf.parent != "multipart/related" and not header.name)
