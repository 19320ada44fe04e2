# mypy: ignore-errors
"""A filter on libmilter (python3-milter), run by Debian's own Python: `filter_program.py SOCKET`.

What becomes of a mail depends on its recipient's local part.
"""

import sys

import Milter


class Filter(Milter.Base):
    def envrcpt(self, recipient: str, *params: str) -> int:
        self.local = recipient.strip("<>").partition("@")[0]
        if self.local == "words":
            self.setreply("550", "5.7.1", "Nobody is not here", "100%% sure")
            return Milter.REJECT
        return {"reject": Milter.REJECT, "tempfail": Milter.TEMPFAIL, "discard": Milter.DISCARD}.get(
            self.local, Milter.CONTINUE
        )

    def eom(self) -> int:
        if self.local == "late":
            return Milter.TEMPFAIL
        if self.local == "hold":
            self.quarantine("held by the filter")
        if self.local == "change":
            self.addheader("X-Filter", "seen")
            self.chgheader("Subject", 1, "changed")
            self.addrcpt("<new@site.example>")
            self.replacebody("another body\r\n")
        return Milter.ACCEPT


if __name__ == "__main__":
    Milter.factory = Filter
    Milter.set_flags(Milter.ADDHDRS | Milter.CHGHDRS | Milter.CHGBODY | Milter.ADDRCPT | Milter.QUARANTINE)
    Milter.runmilter("filter", sys.argv[1], 60)
