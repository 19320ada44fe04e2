"""Header fields and envelope addresses as JSON shows them, with what is needed to rebuild them byte for byte."""

from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar, cast

import msgspec
from msgspec import UNSET, Raw, UnsetType

from gateway.contract import request as r
from gateway.mail.address import Address, split_params
from gateway.mail.fields import Field
from gateway.translate.text import both, readable, to_base64

Part = TypeVar("Part")
_encode = msgspec.json.Encoder().encode


def prepared(part: Part) -> Part:
    """A part that many requests repeat, encoded once: an encoder puts it in as it is, and nobody can look into it."""
    return cast("Part", Raw(_encode(part)))


def field_json(item: Field) -> r.Field:
    """One field; most have a space after the colon and are UTF-8."""
    raw = item.raw
    if raw[:1] == b" ":
        try:
            return r.Field(item.name.decode(), raw[1:].decode())
        except UnicodeDecodeError:
            pass
    name, name_base64 = both(item.name)
    value, value_base64 = both(item.value)
    return r.Field(name, value, name_base64, value_base64, _whole_field(item))


def _whole_field(item: Field) -> str | UnsetType:
    """`name:value` in base64 where the byte after the colon is not a space, since `value` cannot tell then."""
    return UNSET if item.raw[:1] == b" " else to_base64(item.name + b":" + item.raw)


@lru_cache(maxsize=1024)
def address_json(address: Address) -> r.Address:
    """An envelope address; the events of a transaction repeat it."""
    text, sibling = both(address.bare)
    return r.Address(text, _params(address.params), sibling)


def envelope_json(sender: Address | None, recipients: Sequence[Address]) -> r.Envelope:
    """An envelope."""
    return r.Envelope(address_json(sender) if sender else None, [address_json(item) for item in recipients])


def _params(params: Sequence[bytes]) -> r.Params:
    shown: r.Params = {}
    for key, value in split_params(params):
        text = readable(key)
        if value is None:
            shown[text] = True
            continue
        shown[text], sibling = both(value)
        if isinstance(sibling, str):
            shown[text + "_base64"] = sibling
    return shown
