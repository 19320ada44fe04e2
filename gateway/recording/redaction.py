"""Pseudonyms for what people wrote: a recording can be given away, and still asks a filter the same kind of thing.

Each word becomes another of the same length and kind, the same one wherever it stands in a recording: addresses stay
addresses, domains stay domains. The key is made anew for each recording and kept nowhere.
"""

import hashlib
import hmac
import ipaddress
import re
import secrets
from typing import Any

from gateway.contract.words import Event, Op

_WORD = re.compile(r"[^\W_]+")
_IPV4 = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])")
_IPV6 = re.compile(r"(?<![\w:])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:])")

_KEPT_KEYS = frozenset(
    [
        "action",
        "at",
        "bits",
        "cause",
        "changes",
        "cipher",
        "code",
        "content_type",
        "answer_type",
        "daemon",
        "disposition",
        "elapsed_ms",
        "enhanced",
        "event",
        "events",
        "family",
        "format",
        "id",
        "index",
        "mechanism",
        "next",
        "nth",
        "op",
        "queue_id",
        "rejected_by_mta",
        "session_id",
        "sha256",
        "software",
        "status",
        "time",
        "tls",
        "transaction_id",
        "type",
        "url",
        "version",
        "wants",
        "webhook",
        "after",
        "command",
        "sent_at",
        "i",
        "v",
        "{daemon_name}",
        "{cipher}",
        "{tls_version}",
        "{cipher_bits}",
        "{auth_type}",
        "{rcpt_mailer}",
        "{mail_mailer}",
        "SIZE",
        "BODY",
        "RET",
        "NOTIFY",
    ]
)
"""Keys whose values say nothing about people, or tell what is asked at all."""
_WORDS = frozenset((*Event, *Op))
_KEPT_FIELDS = frozenset(("content-type", "content-transfer-encoding", "mime-version", "date"))
"""Header fields without which a message could not be read."""


class Redaction:
    """Changes lines of a recording; the same word always becomes the same one."""

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or secrets.token_bytes(32)

    def __call__(self, line: dict[str, Any]) -> dict[str, Any]:
        """The line with pseudonyms. Bodies that are no JSON are left out."""
        changed = {key: value for key, value in line.items() if key not in ("request_base64", "response_base64")}
        for name in ("request", "response"):
            value = changed.get(name)
            changed[name] = self._value(value) if isinstance(value, dict | list) else None
        if changed.get("failure"):
            changed["failure"] = self.text(changed["failure"])
        changed["tries"] = [{**item, "error": item["error"] and "redacted"} for item in changed.get("tries", ())]
        return changed

    def _value(self, value: Any) -> Any:
        if isinstance(value, dict):
            return self._table(value)
        if isinstance(value, list):
            return [self._value(item) for item in value]
        return self.text(value) if isinstance(value, str) else value

    def _table(self, table: dict[str, Any]) -> dict[str, Any]:
        if "name" in table and "value" in table:  # a header field: its name stays
            kept = str(table["name"]).lower() in _KEPT_FIELDS
            value = table["value"] if kept else self._value(table["value"])
            rest = {key: item for key, item in table.items() if key in _KEPT_KEYS}
            return rest | {"name": table["name"], "value": value}
        whole = {key: item for key, item in table.items() if not key.endswith("_base64")}
        return {key: item if self._stays(key, item) else self._changed(key, item) for key, item in whole.items()}

    @staticmethod
    def _stays(key: str, item: Any) -> bool:
        return (key in _KEPT_KEYS and not isinstance(item, dict | list)) or _is_words(item)

    def _changed(self, key: str, item: Any) -> Any:
        if key == "base64" and isinstance(item, str):
            return "A" * (len(item) - len(item) % 4)
        return self._value(item)

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

    def _word(self, word: str) -> str:
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


def _is_words(item: Any) -> bool:
    """Whether this is a list of the contract's own words (`mta.changes`, `next`, `wants.optional_events`)."""
    return isinstance(item, list) and all(isinstance(word, str) and word in _WORDS for word in item)
