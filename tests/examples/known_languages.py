"""The examples that show another language."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from known import Known, Need

GO = Need("go", "golang-go")
NODE = Need("node", "nodejs")
PERL = Need("perl -MHTTP::Daemon -MJSON::PP -e 1", "libhttp-daemon-perl")
PHP = Need("php", "php-cli")
RUBY = Need("ruby -rwebrick -e 1", "ruby ruby-webrick")

COMPILE_SECONDS = 240.0
"""For Go, which may have to make its whole library first: half a minute of one processor."""

BANNER = "This mail comes from outside. Think before you open or answer it.\r\n\r\n"


@contextlib.contextmanager
def go_alone(_: Path) -> Iterator[Mapping[str, str]]:
    """The compiler that is installed and its own library, nothing from elsewhere; what it has made once, it keeps."""
    cache = os.environ.get("GOCACHE", str(Path.home() / ".cache" / "go-build"))
    yield {"GOTOOLCHAIN": "local", "GOPROXY": "off", "GOFLAGS": "", "GOCACHE": cache}


KNOWN: dict[str, Known] = {
    "attachments.go": Known(
        {
            "action": "reject",
            "reply": {"code": 554, "enhanced": "5.7.1", "text": "We take no programs, nor in ZIP files"},
        },
        needs=(GO,),
        surroundings=go_alone,
        start_seconds=COMPILE_SECONDS,
    ),
    "banner.php": Known(
        {
            "changes": [
                {
                    "op": "replace_body",
                    "text": BANNER + "Hello Bob,\r\n\r\nshall we have lunch on Friday?\r\n\r\nAnn\r\n",
                }
            ]
        },
        needs=(PHP,),
    ),
    "block_list.pl": Known(
        {
            "action": "reject",
            "reply": {"code": 554, "enhanced": "5.7.1", "text": "You are on our block list: write to postmaster"},
            "annotations": {"listed": "offers@bulk.example"},
        },
        needs=(PERL,),
    ),
    "rate_limit.rb": Known({"annotations": {"recipients_this_hour": 1}}, needs=(RUBY,)),
    "safe_tag.mjs": Known(
        {"changes": [{"op": "set_header", "name": "X-External-Sender", "value": "yes"}]}, needs=(NODE,)
    ),
    "sender_login.py": Known(
        {"action": "reject", "reply": {"code": 553, "enhanced": "5.7.1", "text": "This address is not yours"}}
    ),
}
