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
    """One row of a table."""

    name: str
    events: str
    settings: tuple[str, ...]
    """Lines for the gateway's configuration, beside the events."""
    run: str
    curl: str


def rows() -> dict[str, Row]:
    """The tables, by name of file."""
    found = {}
    for line in README.splitlines():
        if match := re.match(r"\| \[([\w.-]+)\]\(\1\) \|", line):
            _, _, _, asks, run, curl = (cell.strip() for cell in line.strip("| ").split(" | "))
            events, *settings = re.findall(r"`([^`]+)`", asks) or [asks]
            typed = curl.strip("`").replace(r"\|", "|")  # tables have it so, also in code
            found[match[1]] = Row(match[1], events, tuple(settings), run.strip("`"), typed)
    return found


def gateway_line() -> str:
    """The line that starts the gateway."""
    (line,) = (line for line in README.splitlines() if line.startswith("milter-gateway run"))
    return line


def settings_of(row: Row) -> str:
    """The configuration file of the README, with the events and settings of a row instead of its own."""
    (block,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    lines = [line for line in block.splitlines() if not line.startswith(("events", "format"))]
    events = [] if row.events == "all" else [f"events = {row.events.split(',')}"]
    return "\n".join([*lines, *events, *row.settings, ""])


ROWS = rows()
