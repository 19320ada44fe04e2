"""What the tests of the configuration share."""

from collections.abc import Callable

from gateway.config import Settings

WEBHOOK = '[[webhook]]\nname = "policy"\nurl = "http://policy:8000/milter"\n'

Load = Callable[..., Settings]
Refuse = Callable[..., list[str]]
