"""JSON as people write it: what fits into a line stands in one."""

import json
import textwrap
from typing import Any

WIDTH = 100


def pretty(value: Any) -> str:
    """The value on as few lines as fit into the width; keys keep their order."""
    return _pretty(value, 0, 0) + "\n"


def _pretty(value: Any, indent: int, used: int) -> str:
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or not value or indent + used + len(line) <= WIDTH:
        return line
    inner = " " * (indent + 2)
    if isinstance(value, dict):
        labels = [f"{json.dumps(key, ensure_ascii=False)}: " for key in value]
        pairs = zip(labels, value.values(), strict=True)
        lines = [inner + label + _pretty(item, indent + 2, len(label)) for label, item in pairs]
    elif all(isinstance(item, str) and " " not in item for item in value):
        lines = textwrap.wrap(line[1:-1], WIDTH, initial_indent=inner, subsequent_indent=inner)
        return "[\n" + "\n".join(lines) + "\n" + " " * indent + "]"
    else:
        lines = [inner + _pretty(item, indent + 2, 0) for item in value]
    begin, end = "{}" if isinstance(value, dict) else "[]"
    return begin + "\n" + ",\n".join(lines) + "\n" + " " * indent + end
