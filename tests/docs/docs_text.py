"""The documents as data: their fenced blocks, their links, their headings."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "webhook_examples" / "README.md")
"""What users read."""


@dataclass(frozen=True)
class Block:
    """A fenced block; `lead` is the paragraph before it, empty where another block stands between."""

    document: Path
    line: int
    language: str
    text: str
    lead: str

    @property
    def place(self) -> str:
        """Where it stands, for the name of a test."""
        return f"{self.document.relative_to(ROOT)}:{self.line}"


def blocks(document: Path, *languages: str) -> list[Block]:
    """The blocks of these languages, or all, in order."""
    return [block for block in _blocks(document) if not languages or block.language in languages]


def blocks_of_all(*languages: str) -> list[Block]:
    """The same of all documents."""
    return [block for document in DOCUMENTS for block in blocks(document, *languages)]


def _blocks(document: Path) -> Iterator[Block]:
    paragraph: list[str] = []
    lines = iter(enumerate(document.read_text().splitlines(), 1))
    for number, line in lines:
        if fence := re.match(r"( *)```(\w*)$", line):
            inside = _inside(lines, fence[1])
            yield Block(document, number, fence[2], "".join(f"{each}\n" for each in inside), " ".join(paragraph))
            paragraph = []
        elif line.strip():
            paragraph.append(line.strip())
        elif not _is_before_a_block(document, number):
            paragraph = []


def _is_before_a_block(document: Path, number: int) -> bool:
    following = document.read_text().splitlines()[number : number + 1]
    return bool(following) and following[0].lstrip().startswith("```")


def _inside(lines: Iterator[tuple[int, str]], indent: str) -> list[str]:
    found: list[str] = []
    for _, line in lines:
        if line == f"{indent}```":
            return found
        found.append(line.removeprefix(indent))
    raise AssertionError("a block is not closed")


def prose(document: Path) -> str:
    """The text without fenced blocks and code."""
    text = re.sub(r"^ *```\w*$.*?^ *```$", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`]*`", "", text)


def links(document: Path) -> list[str]:
    """Where its links and pictures lead."""
    return re.findall(r"\]\(<?([^)>\s]+)>?\)", prose(document))


def anchors(document: Path) -> set[str]:
    """What can stand behind `#` in a link to the document."""
    text = re.sub(r"^ *```\w*$.*?^ *```$", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
