"""Writes the files under docs/ that are made from the code: `make examples`."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from golden_requests import golden_requests
from golden_text import pretty

from gateway.cli.schema import SCHEMAS, schema

DOCS = Path(__file__).parents[2] / "docs"


async def generated() -> Mapping[Path, str]:
    """The content of each file."""
    files = {
        DOCS / "examples" / "requests" / f"{name}.json": pretty(made)
        for name, made in (await golden_requests()).items()
    }
    return files | {DOCS / "schema" / f"{name}.json": schema(name) + "\n" for name in SCHEMAS}


def rewrite() -> None:
    """Write them all, and remove what is no longer made."""
    files = asyncio.run(generated())
    for directory in {path.parent for path in files}:
        directory.mkdir(parents=True, exist_ok=True)
        for found in directory.glob("*.json"):
            if found not in files:
                found.unlink()
    for path, text in files.items():
        path.write_text(text)


if __name__ == "__main__":
    rewrite()
