"""What is wrong with a configuration, in the operator's words: one line for each fault, all of them at once."""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic_core import ErrorDetails

Path = tuple[str | int, ...]
"""Where a value stands: ``("webhook", 0, "timeout")``."""

_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_WEBHOOK_NAME: Final = re.compile(r"[A-Za-z0-9_.-]+")
_QUOTED: Final = re.compile(r"'([^']*)'")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing to correct: ``gateway.toml:limits.connections: must be a whole number``."""

    source: str
    key: str
    reason: str

    def __str__(self) -> str:
        said = f"{self.source}:{self.key}: {self.reason}" if self.key else f"{self.source}: {self.reason}"
        return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in said)


class ConfigError(Exception):
    """The configuration is refused; ``faults`` holds every reason, and ``str`` has one line for each."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(map(str, self.faults)))


def dotted(path: Path, values: Mapping[str, Any]) -> str:
    """Spell a path as a key: ``webhook[policy].timeout``, by number where a webhook has no name of its own."""
    key = ""
    for position, step in enumerate(path):
        if isinstance(step, int):
            name = _webhook_name(values, step) if path[:position] == ("webhook",) else None
            key += f"[{step if name is None else name}]"
        else:
            key += f"{'.' if key else ''}{step if _BARE_KEY.fullmatch(step) else ascii(step)}"
    return key


def reason_for(error: ErrorDetails, known: Iterable[str]) -> str:
    """Translate one of pydantic's errors; ``known`` are the keys that the table in question has."""
    context = error.get("ctx", {})
    match error["type"]:
        case "extra_forbidden":
            return "unknown key" + suggestion(str(error["loc"][-1]), known)
        case "value_error":
            return str(context["error"])
        case "literal_error" | "enum":
            return not_one_of(error["input"], _QUOTED.findall(context["expected"]))
        case "greater_than_equal":
            return f"must be at least {context['ge']}"
        case "less_than_equal":
            return f"must be at most {context['le']}"
        case kind:
            return _REASONS.get(kind, "is not a valid value")


def not_one_of(value: object, choices: Iterable[str]) -> str:
    """Say that a word is not in a closed list, and which one was probably meant."""
    choices = tuple(choices)
    listed = f"must be one of {', '.join(choices)}" if len(choices) > 1 else f'must be "{choices[0]}"'
    return f"{value!a} is unknown: {listed}{suggestion(value, choices)}" if isinstance(value, str) else listed


def suggestion(word: str, choices: Iterable[str]) -> str:
    """Guess which of the choices a misspelt word was meant to be."""
    near = difflib.get_close_matches(word.lower(), list(choices), n=1, cutoff=0.7)
    return f"; did you mean {near[0]}?" if near else ""


def _webhook_name(values: Mapping[str, Any], index: int) -> str | None:
    """Return the webhook's name if it is a good one and no other webhook has it."""
    webhooks = values.get("webhook")
    if not isinstance(webhooks, list):
        return None
    names = [item.get("name") if isinstance(item, Mapping) else None for item in webhooks]
    name = names[index] if index < len(names) else None
    good = isinstance(name, str) and _WEBHOOK_NAME.fullmatch(name) and names.count(name) == 1
    return name if good else None


_LIST: Final = "must be a list"
_TABLE: Final = "must be a table"
_REASONS: Final = {
    "missing": "is required",
    "string_type": "must be a text in quotes",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "tuple_type": _LIST,
    "frozen_set_type": _LIST,
    "too_short": "must not be empty",
    "dict_type": _TABLE,
    "model_type": _TABLE,
    "model_attributes_type": _TABLE,
}
