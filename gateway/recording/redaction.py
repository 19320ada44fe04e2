"""Pseudonyms for what people wrote: a recording can be given away, and still asks a filter the same kind of thing.

Each word becomes another of the same length and kind, the same one wherever it stands in a recording: addresses stay
addresses, domains stay domains. The key is made anew for each recording and kept nowhere.
"""

import hashlib
import hmac
import ipaddress
import re
import secrets
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from gateway.contract import request, response
from gateway.contract.words import Event, Op

_WORD = re.compile(r"[^\W_]+")
_IPV4 = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])")
_IPV6 = re.compile(r"(?:(?<=IPv6:)|(?<![\w:]))[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:])")

_SCOPES = ("session", "transaction")
_OF_ANSWER = frozenset(("action", "code", "enhanced", "op", "at", "nth"))
_OF_REQUEST = _OF_ANSWER | frozenset(
    (
        *("id", "time", "event", "webhook", "session_id", "transaction_id", "queue_id", "version"),
        *("index", "after", "rejected_by_mta", "cause"),
        *("family", "daemon", "software", "mechanism", "cipher", "bits", "type", "disposition", "sent_at"),
    )
)
"""Keys whose values say nothing about people, or tell what is asked at all."""
_FREE_TABLES = frozenset(("context", "annotations"))
"""What webhooks say in their own words: here keys may name somebody as well."""
_KEPT_MACROS = frozenset(
    (
        *("i", "v", "{daemon_name}", "{cipher}", "{cipher_bits}", "{tls_version}", "{auth_type}"),
        *("{rcpt_mailer}", "{mail_mailer}"),
    )
)
_KEPT_PARAMS = frozenset(("SIZE", "BODY", "RET", "NOTIFY"))
_PARAMS = _KEPT_PARAMS | {"AUTH", "ENVID", "ORCPT", "SMTPUTF8", "REQUIRETLS", "BY", "MT-PRIORITY", "HOLDFOR"}
"""ESMTP parameters of standards; others are whatever a client sent."""
_WORDS = frozenset((*Event, *Op))
_KEYS = {"op"} | {
    item.encode_name
    for module in (request, response)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct)
    for item in msgspec.structs.fields(kind)
}
"""All keys of the contract; others are a webhook's own words."""
_ANSWER_WORD = re.compile(r"[a-z_]{1,20}|\d\.\d{1,3}\.\d{1,3}|\d{1,5}")
_KEPT_FIELDS: Mapping[str, re.Pattern[str]] = {
    "content-transfer-encoding": re.compile(r"\s*[\w-]{1,20}\s*"),
    "mime-version": re.compile(r"\s*\d\.\d\s*"),
    "date": re.compile(
        r"\s*(?:[A-Za-z]{3},\s*)?\d{1,2}\s[A-Za-z]{3}\s\d{4}\s[\d:]{5,8}(?:\s(?:[+-]\d{4}|[A-Z]{1,4}))?\s*"
    ),
}
"""Header fields that stay where they look like this: without them a message could not be read."""
_MIME_TYPE = re.compile(r"\s*[\w.+-]{1,60}/[\w.+-]{1,80}")
_MIME_PARAM = re.compile(r"(;\s*)(charset|format|delsp)(\s*=\s*\"?[\w-]{1,40}\"?)(?=\s*(?:;|\Z))", re.IGNORECASE)


class Redaction:
    """Changes lines of a recording; the same word always becomes the same one."""

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or secrets.token_bytes(32)
        self._word = lru_cache(maxsize=65536)(self._made_up)

    def __call__(self, line: dict[str, Any]) -> dict[str, Any]:
        """The line with pseudonyms, marked as such. Bodies that are no JSON are left out."""
        changed = {key: value for key, value in line.items() if key not in ("request_base64", "response_base64")}
        for name, kept in (("request", _OF_REQUEST), ("response", _OF_ANSWER)):
            value = changed.get(name)
            changed[name] = self._table(value, kept) if isinstance(value, dict) else None
        if changed.get("failure"):
            changed["failure"] = self.text(changed["failure"])
        changed["tries"] = [{**item, "error": item["error"] and "redacted"} for item in changed.get("tries", ())]
        return changed | {"redacted": True}

    def _value(self, value: Any, kept: frozenset[str]) -> Any:
        if isinstance(value, dict):
            return self._table(value, kept)
        if isinstance(value, list):
            return [self._value(item, kept) for item in value]
        return self.text(value) if isinstance(value, str) else value

    def _table(self, table: dict[str, Any], kept: frozenset[str]) -> dict[str, Any]:
        whole = {key: item for key, item in table.items() if not key.endswith("_base64")}
        changed = {self._key_of(key): self._changed(key, item, kept) for key, item in whole.items()}
        if isinstance(table.get("name"), str) and ("value" in table or "op" in table):  # a header field: its name stays
            changed["name"] = table["name"]
            if isinstance(table.get("value"), str):
                changed["value"] = self._field(table["name"].lower(), table["value"])
        return changed

    def _key_of(self, key: str) -> str:
        """A key: what is not of the contract is a webhook's own word."""
        return key if key in _KEYS else self.text(key)

    def _changed(self, key: str, item: Any, kept: frozenset[str]) -> Any:
        if key in _FREE_TABLES or key not in _KEYS:
            return self._free(item)
        if key in kept and not isinstance(item, dict | list):
            own = kept is _OF_ANSWER and isinstance(item, str) and not _ANSWER_WORD.fullmatch(item)
            return self.text(item) if own else item
        special = _SPECIAL.get(key)
        return self._value(item, kept) if special is None else special(self, item)

    def _free(self, value: Any) -> Any:
        """What is said in somebody's own words: keys change as well; the two scopes of the context stay."""
        if isinstance(value, dict):
            return {key if key in _SCOPES else self.text(key): self._free(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._free(item) for item in value]
        return self.text(value) if isinstance(value, str) else value

    def _words_of_contract(self, item: Any) -> Any:
        known = isinstance(item, list) and all(isinstance(word, str) and word in _WORDS for word in item)
        return item if known else self._value(item, frozenset())

    def _changes(self, item: Any) -> Any:
        """Names of changes (`mta.changes`), or changes."""
        if isinstance(item, list) and not all(isinstance(word, str) for word in item):
            return self._value(item, _OF_ANSWER)
        return self._words_of_contract(item)

    def _macros(self, table: Any) -> Any:
        """Values of macros; of `wants` the names."""
        if not isinstance(table, dict):
            return self._free(table)
        return {
            key: item if key in _KEPT_MACROS or isinstance(item, list) else self._free(item)
            for key, item in table.items()
            if not key.endswith("_base64")
        }

    def _params(self, table: Any) -> Any:
        if not isinstance(table, dict):
            return self._free(table)
        whole = {key: item for key, item in table.items() if not key.endswith("_base64")}
        return {
            key if key in _PARAMS else self.text(key): item if key in _KEPT_PARAMS else self._free(item)
            for key, item in whole.items()
        }

    def _zeros(self, item: Any) -> Any:
        return "A" * (len(item) - len(item) % 4) if isinstance(item, str) else item

    def _hash(self, item: Any) -> Any:
        return hmac.new(self._key, item.encode(), hashlib.sha256).hexdigest() if isinstance(item, str) else item

    def _field(self, name: str, value: str) -> str:
        """The value of a header field; of MIME's, what tells how to read the message stays."""
        if name == "content-type" and (kind := _MIME_TYPE.match(value)):
            return kind[0] + self._around(_MIME_PARAM, value[kind.end() :])
        pattern = _KEPT_FIELDS.get(name)
        return value if pattern is not None and pattern.fullmatch(value) else self.text(value)

    def _around(self, pattern: re.Pattern[str], text: str) -> str:
        """The text with pseudonyms, but for what matches."""
        parts, at = [], 0
        for match in pattern.finditer(text):
            parts += [self.text(text[at : match.start()]), match[0]]
            at = match.end()
        return "".join([*parts, self.text(text[at:])])

    def text(self, text: str) -> str:
        """A text with pseudonyms in the place of its words and IP addresses."""
        parts: list[str] = []
        at = 0
        for match in sorted([*_IPV4.finditer(text), *_IPV6.finditer(text)], key=lambda found: found.start()):
            if match.start() >= at and (address := self._address(match[0])):
                parts += [self._words(text[at : match.start()]), address]
                at = match.end()
        return "".join([*parts, self._words(text[at:])])

    def _words(self, text: str) -> str:
        return _WORD.sub(lambda match: self._word(match[0]), text)

    def _made_up(self, word: str) -> str:
        """Letters for letters, digits for digits; case is kept, so that SHOUTING stays that."""
        drawn = self._draw(word.lower(), len(word))
        made = []
        for letter, number in zip(word, drawn, strict=True):
            if letter.isdigit():
                made.append(chr(48 + number % 10))
            else:
                other = chr(97 + number % 26)
                made.append(other.upper() if letter.isupper() else other)
        return "".join(made)

    def _address(self, text: str) -> str | None:
        """Another address of the same family; what must stay recognisable (loopback) does."""
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return None
        if address.is_loopback:
            return text
        drawn = self._draw(str(address), 16)
        if address.version == 4:
            return str(ipaddress.IPv4Address(b"\x0a" + drawn[:3]))
        return str(ipaddress.IPv6Address(b"\xfd" + drawn[:15]))

    def _draw(self, word: str, count: int) -> bytes:
        drawn = b""
        while len(drawn) < count:
            drawn += hmac.new(self._key, f"{len(drawn)}:{word}".encode(), hashlib.sha256).digest()
        return drawn[:count]


_SPECIAL: Mapping[str, Callable[[Redaction, Any], Any]] = {
    **dict.fromkeys(("events", "next", "optional_events", "optional_changes"), Redaction._words_of_contract),
    "changes": Redaction._changes,
    "macros": Redaction._macros,
    "params": Redaction._params,
    "base64": Redaction._zeros,
    "sha256": Redaction._hash,
}
"""Keys whose values have a form of their own."""
