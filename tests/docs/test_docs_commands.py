"""Commands in the documents exist, with the options that they are shown with."""

import re

import click
import pytest
from docs_text import DOCUMENTS, ROOT, blocks

from gateway.cli.main import cli

COMMAND = re.compile(r"(?<![\w/-])(?:\.venv/bin/|/opt/milter-gateway/bin/)?milter-gateway +([a-z]+)\b([^|`;&\n]*)")


def shown() -> list[tuple[str, str, str]]:
    """Where a command stands, its name, and what follows."""
    found = []
    for document in DOCUMENTS:
        text = document.read_text()
        places = [block.text for block in blocks(document, "sh")]
        places += re.findall(r"`([^`\n]+)`", re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE))
        for place in places:
            whole = place.replace("\\\n", " ")
            found += [(str(document.relative_to(ROOT)), *match) for match in COMMAND.findall(whole)]
    return sorted(set(found))


@pytest.mark.parametrize(("document", "name", "rest"), shown())
def test_a_command_has_the_options_that_are_shown(document: str, name: str, rest: str) -> None:
    command = cli.commands.get(name)
    assert isinstance(command, click.Command), f"{document}: there is no command {name}"
    known = {option for parameter in command.params for option in parameter.opts}
    assert set(re.findall(r"(?<=\s)--?[a-z][a-z-]*", rest)) - known == set()


def test_every_command_is_shown_somewhere() -> None:
    public = {name for name, command in cli.commands.items() if not command.hidden}
    assert {name for _, name, _ in shown()} >= public
