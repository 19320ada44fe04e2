"""What webhook_examples/README.md tells its readers to type."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "webhook_examples"
README = (EXAMPLES / "README.md").read_text()
PORT = "8000"
"""The port in every line of the README."""


@dataclass(frozen=True)
class Row:
    """One row of the table."""

    name: str
    events: str
    run: str
    curl: str


def rows() -> dict[str, Row]:
    """The table, by name of file."""
    found = {}
    for line in README.splitlines():
        if match := re.match(r"\| \[([\w.]+)\]\(\1\) \|", line):
            _, _, _, events, run, curl = (cell.strip() for cell in line.strip("| ").split(" | "))
            found[match[1]] = Row(match[1], events.strip("`"), run.strip("`"), curl.strip("`"))
    return found


def gateway_line() -> str:
    """The line that starts the gateway."""
    (line,) = (line for line in README.splitlines() if line.startswith("milter-gateway run"))
    return line


ROWS = rows()
