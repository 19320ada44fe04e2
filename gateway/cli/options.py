"""Options that several commands share, and how their values are read."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from gateway.config import Flags, ListenSpec, SpecError, parse_spec

_Command = TypeVar("_Command", bound=Callable[..., Any])


def webhook_options(command: _Command) -> _Command:
    """Add where the webhooks come from: `--config`, `--webhook`, `--events`."""
    for option in (
        click.option("--events", metavar="A,B", help="The events that --webhook gets."),
        click.option(
            "--webhook", metavar="URL", help="Post every event to this URL; replaces all webhooks of the file."
        ),
        click.option(
            "-c", "--config", type=click.Path(path_type=Path), metavar="FILE", help="The configuration, in TOML."
        ),
    ):
        command = option(command)
    return command


def given_flags(*, events: str | None, **options: Any) -> Flags:
    """What the command line says of the configuration."""
    return Flags(events=tuple(word.strip() for word in events.split(",")) if events else (), **options)


def milter_of(_: click.Context, __: click.Parameter, written: str) -> ListenSpec:
    """Read the address of a milter."""
    try:
        return parse_spec(written)
    except SpecError as error:
        raise click.BadParameter(str(error)) from error


def mode_of(_: click.Context, __: click.Parameter, written: str) -> int:
    """Read the mode of a file, in octal."""
    if not re.fullmatch(r"[0-7]{3,4}", written):
        raise click.BadParameter(f"{written!r} is no mode: write it in octal, such as 0660")
    return int(written, 8)


def macros_of(_: click.Context, __: click.Parameter, written: Sequence[str]) -> dict[str, str]:
    """Read NAME=VALUE pairs; braces around a name may be left out."""
    pairs = [item.partition("=") for item in written]
    for name, equals, _value in pairs:
        if not equals or not name.strip("{}"):
            raise click.BadParameter(f"{name!r}: write NAME=VALUE, such as client_ptr=mail.client.example")
    return {name: value for name, _equals, value in pairs}
