"""What the configuration sends in header fields may be secret: where a backend repeats it, its name stands instead.

For records, log lines and whoever reads them; what an answer does to the mail is decided by the answer as it came.
"""

import json
from collections.abc import Iterable

_SHORTEST = 8
"""Shorter values are no secrets, and would be found where they are not meant."""


class Secrecy:
    """Knows the configured header fields of one webhook."""

    def __init__(self, headers: Iterable[tuple[str, str]] = ()) -> None:
        hidden: dict[str, str] = {}
        for name, value in headers:
            _, _, credentials = value.partition(" ")  # behind a scheme such as Bearer
            for secret in (value, credentials.strip()):
                if len(secret) >= _SHORTEST:
                    hidden[secret] = hidden[json.dumps(secret)[1:-1]] = variable(name)
        longest_first = sorted(hidden.items(), key=lambda item: -len(item[0]))
        self._texts = tuple(longest_first)
        self._bytes = tuple((secret.encode(), name.encode()) for secret, name in longest_first)

    def __bool__(self) -> bool:
        """Whether there is anything to conceal."""
        return bool(self._texts)

    def conceal(self, raw: bytes) -> bytes:
        """The same bytes without secrets."""
        for secret, name in self._bytes:
            raw = raw.replace(secret, name)
        return raw

    def conceal_text(self, text: str) -> str:
        """The same text without secrets."""
        for secret, name in self._texts:
            text = text.replace(secret, name)
        return text


def variable(header: str) -> str:
    """The name that stands for the value of a header field."""
    return "$" + "".join(letter if letter.isalnum() else "_" for letter in header.upper())
