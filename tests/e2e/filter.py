# mypy: ignore-errors
"""A filter on libmilter (python3-milter) that the harness is tried with. Run by Debian's own Python.

``filter.py SOCKET``: adds ``X-Filter: seen``, refuses recipients called ``nobody``, holds where the subject begins
with ``hold``.
"""

import sys
from collections.abc import Callable

import Milter


class Filter(Milter.Base):
    def __init__(self) -> None:
        self.macros: list[str] = []
        self.subject = ""

    def connect(self, name: str, family: int, address: object) -> int:
        self.client = f"{name} {family} {address}"
        return Milter.CONTINUE

    def envfrom(self, sender: str, *params: str) -> int:
        self.subject = ""
        self.macros = [self.getsymval(name) or "-" for name in ("{auth_authen}", "{tls_version}")]
        return Milter.CONTINUE

    def envrcpt(self, recipient: str, *params: str) -> int:
        if recipient.startswith("<nobody@"):
            self.setreply("550", "5.7.1", "Nobody is not here", "Ask somebody")
            return Milter.REJECT
        return Milter.CONTINUE

    def header(self, name: str, value: str) -> int:
        if name.lower() == "subject":
            self.subject = value
        return Milter.CONTINUE

    def eom(self) -> int:
        self.addheader("X-Filter", "seen")
        self.addheader("X-Client", self.client)
        self.addheader("X-Macros", " ".join(self.macros))
        if self.subject.startswith("hold"):
            self.quarantine("held by the filter")
        return Milter.ACCEPT


def main(factory: Callable[[], Filter], socket: str) -> None:
    Milter.factory = factory
    Milter.set_flags(Milter.ADDHDRS | Milter.QUARANTINE)
    Milter.runmilter("filter", socket, 60)


if __name__ == "__main__":
    main(Filter, sys.argv[1])
