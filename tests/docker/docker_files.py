"""The files of Docker and systemd that the project ships, for the tests beside this."""

import importlib.util
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docs/compose"


def mailbox() -> ModuleType:
    """The mailbox of docker-compose.yml, as a module."""
    spec = importlib.util.spec_from_file_location("mailbox", COMPOSE / "mailbox.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
