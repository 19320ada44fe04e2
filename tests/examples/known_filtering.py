"""The first examples: what one would write in a minute."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from known import Known, Need


@contextlib.contextmanager
def greylist_file(directory: Path) -> Iterator[Mapping[str, str]]:
    """A database of its own."""
    yield {"GREYLIST_FILE": str(directory / "greylist.sqlite3")}


TEXT = "Hello Bob,\r\n\r\nshall we have lunch on Friday?\r\n\r\nAnn\r\n"
DISCLAIMER = "\r\n-- \r\nThis mail is confidential. If it is not for you, please delete it.\r\n"

KNOWN: dict[str, Known] = {
    "accept_all.py": Known({}),
    "reject_recipient.py": Known(
        {"action": "reject", "reply": {"code": 550, "enhanced": "5.1.1", "text": "No mailbox of this name here"}}
    ),
    "tag_subject.py": Known(
        {"changes": [{"op": "set_header", "name": "Subject", "value": "[EXTERNAL] Lunch on Friday?"}]}
    ),
    "disclaimer.py": Known({"changes": [{"op": "replace_body", "text": TEXT + DISCLAIMER}]}),
    "greylist.py": Known(
        {"action": "tempfail", "reply": {"code": 451, "enhanced": "4.7.1", "text": "Greylisted, please try again"}},
        surroundings=greylist_file,
    ),
    "stdlib_only.py": Known(
        {"action": "reject", "reply": {"code": 554, "enhanced": "5.7.1", "text": "We take no programs by mail"}}
    ),
    "shell.sh": Known(
        {"action": "reject", "reply": {"code": 550, "enhanced": "5.7.1", "text": "Your domain is not welcome here"}},
        needs=(Need("socat", "socat"),),
    ),
    "byte_count.mjs": Known({"context": {"transaction": {"bytes": 100}}}, needs=(Need("node", "nodejs"),)),
    "clacks_overhead.py": Known(
        {"changes": [{"op": "add_header", "name": "X-Clacks-Overhead", "value": "GNU Terry Pratchett"}]}
    ),
}
