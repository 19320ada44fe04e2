"""docs/recipes.md with the real mail servers, Postfix chrooted as Debian has it.

The lines are taken from the document as they stand.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from .backend import Backend
from .mails import mail
from .postfix import Postfix
from .program import ROOT, Gateway
from .sendmail_root import SendmailUnavailableError, unpacked_sendmail
from .sink import Sink
from .support import free_port, require_program, run, unavailable, wait_until

TEXT = (ROOT / "docs" / "recipes.md").read_text()
SOCKET = "milter-gateway/gw.sock"


def lines_of_recipe(part: str) -> str:
    """The one block for main.cf that has this in it."""
    (found,) = [
        block for block in re.findall(r"^```postfix\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE) if part in block
    ]
    return found


@pytest.mark.parametrize("line", re.findall(r"^INPUT_MAIL_FILTER.*$", TEXT, re.MULTILINE))
def test_sendmail_makes_of_the_line_what_it_says(line: str) -> None:
    try:
        macros = unpacked_sendmail() / "usr/share/sendmail/cf"
    except SendmailUnavailableError as error:
        unavailable(str(error))
    m4 = require_program("m4", "m4")
    source = f"OSTYPE(`linux')dnl\n{line}\nMAILER(`smtp')dnl\n"
    made = run(m4, f"-D_CF_DIR_={macros}/", macros / "m4/cf.m4", "-", stdin=source.encode()).stdout.decode()
    name, equates = re.findall(r"`([^']*)'", line)
    assert f"O InputMailFilters={name}" in made.splitlines()
    assert f"X{name}, {equates}" in [re.sub(r"\s+", " ", each) for each in made.splitlines()]


@pytest.fixture(scope="module")
def chrooted(sink_of_session: Sink) -> Iterator[Postfix]:
    """Postfix with the recipes for a unix socket, for one milter's own default action, and for its header fields."""
    braces = lines_of_recipe("default_action=accept").replace("inet:127.0.0.1:11332, ", "")
    extra = [
        lines_of_recipe(SOCKET),
        braces.replace("inet:127.0.0.1:20025", f"unix:{SOCKET}"),
        lines_of_recipe("smtpd_milter_maps").splitlines()[1],
        lines_of_recipe("milter_header_checks"),
        "smtpd_sasl_auth_enable = no",
    ]
    postfix = Postfix(extra="\n".join(extra), chrooted=True)
    postfix.start("unix:/nowhere", free_port(), sink_of_session.port)
    yield postfix
    postfix.stop()


@pytest.fixture(scope="module")
def socket(chrooted: Postfix) -> Path:
    """Where the gateway listens: in a directory as the recipe makes it."""
    assert "install -d -o milter-gateway -g postfix -m 2750 /var/spool/postfix/milter-gateway" in TEXT
    path = chrooted.directory / "spool" / SOCKET
    path.parent.mkdir()
    shutil.chown(path.parent, group="postfix")
    path.parent.chmod(0o2750)
    return path


@pytest.fixture
def gateway(socket: Path, backend: Backend, tmp_path: Path) -> Iterator[Gateway]:
    """The gateway as the recipe has it."""
    assert f'listen = ["unix:/var/spool/postfix/{SOCKET}"]\nsocket_mode = "0660"\n' in TEXT
    webhook = {"name": "policy", "url": backend.url(), "events": ["end_of_message"]}
    config = {"listen": [f"unix:{socket}"], "socket_mode": "0660", "admin": {"listen": ""}, "webhook": [webhook]}
    running = Gateway(tmp_path, config)
    yield running
    running.end()


def test_a_field_that_the_filter_adds_holds_the_mail(
    chrooted: Postfix, gateway: Gateway, backend: Backend, subject: str
) -> None:
    change = {"op": "add_header", "name": "X-Policy", "value": "hold"}
    backend.on("end_of_message", {"changes": [change]})
    with chrooted.connect() as client:
        client.ehlo()
        assert client.send("ann@client.example", ["bob@site.example"], mail(subject)).ok
    assert b"X-Policy: hold" in chrooted.held(subject).content


def test_a_client_for_whom_milters_are_disabled_is_not_shown(
    chrooted: Postfix, gateway: Gateway, backend: Backend, sink: Sink, subject: str
) -> None:
    backend.on("end_of_message", {"action": "reject"})
    with chrooted.connect() as client:
        client.ehlo()
        assert client.xclient(addr="192.0.2.7").code == 220
        client.ehlo()
        assert client.send("ann@client.example", ["bob@site.example"], mail(subject)).ok
    sink.wait_for_subject(subject)
    assert backend.calls() == []


def test_mail_passes_without_the_gateway_where_its_own_default_action_says_so(
    chrooted: Postfix, socket: Path, sink: Sink, subject: str
) -> None:
    wait_until(lambda: not socket.exists(), "the end of the last gateway")
    with chrooted.connect() as client:
        client.ehlo()
        assert client.send("ann@client.example", ["bob@site.example"], mail(subject)).ok
    sink.wait_for_subject(subject)
