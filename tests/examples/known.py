"""What the tests know of each example beside its row in the README.

One table for each group of examples: `known_filtering`, `known_languages`, `known_services`; `all_known` is their sum.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

Surroundings = Callable[[Path], AbstractContextManager[Mapping[str, str]]]
"""Makes what an example needs around it (files, servers), given a directory of its own; its environment variables."""


@dataclass(frozen=True)
class Need:
    """A program that a machine may lack: the command that shows that it is there, and the Debian package with it."""

    command: str
    package: str


@contextlib.contextmanager
def nothing_around(_: Path) -> Iterator[Mapping[str, str]]:
    """An example that needs nothing around it."""
    yield {}


@dataclass(frozen=True)
class Known:
    """One example: the answer that its curl line gets, and what it needs to run."""

    answer: object
    needs: tuple[Need, ...] = ()
    surroundings: Surroundings = nothing_around
    start_seconds: float = 40.0
    """How long it may take to listen; compilers need more."""
