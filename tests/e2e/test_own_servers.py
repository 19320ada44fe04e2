"""Mail servers that are configured in another way: a Unix socket, and mail that passes where the milter is gone."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .backend import Backend
from .conftest import MTAS, Gateways
from .mails import mail, without_received
from .mta import Mta
from .postfix import Postfix
from .sendmail import Sendmail
from .sink import Sink
from .smtp_client import SmtpClient
from .support import free_port

Connect = Callable[[Mta], SmtpClient]


@contextmanager
def started(mta: Mta, milter: str, sink: Sink) -> Iterator[Mta]:
    mta.start(milter, free_port(), sink.port)
    try:
        yield mta
    finally:
        mta.stop()


@pytest.fixture
def socket() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(dir=Sendmail.base))  # Sendmail wants no directory that all may write
    directory.chmod(0o755)
    yield directory / "gateway.sock"
    shutil.rmtree(directory)


class TestUnixSocket:
    @pytest.fixture(params=MTAS)
    def mta(self, request: pytest.FixtureRequest, socket: Path, sink_of_session: Sink) -> Iterator[Mta]:
        kinds: dict[str, type[Mta]] = {"postfix": Postfix, "sendmail": Sendmail}
        with started(kinds[request.param](), f"unix:{socket}", sink_of_session) as mta:
            yield mta

    @pytest.mark.case("over a Unix socket")
    def test_mail(
        self, mta: Mta, socket: Path, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        gateway(listen=[f"unix:{socket}"], socket_mode="0666")
        backend.on("rcpt", lambda event: {"action": "reject"} if "eve" in event["data"]["address"] else {})
        added = {"op": "add_header", "name": "X-New", "value": "v"}
        backend.on("end_of_message", {"changes": [added, {"op": "replace_body", "text": "new\r\n" * 20_000}]})
        client = connect(mta)
        recipients = ["eve@site.example", "bob@site.example"]
        assert client.send("ann@client.example", recipients, mail(subject)).code == 250
        received = sink.wait_for_subject(subject)
        assert received.recipients == ("bob@site.example",)
        assert without_received(received) == mail(subject, b"X-New: v", body=b"new\r\n" * 20_000)


class TestLenientServers:
    @pytest.fixture(params=MTAS)
    def mta(self, request: pytest.FixtureRequest, milter_spec: str, sink_of_session: Sink) -> Iterator[Mta]:
        lenient = Postfix(default_action="accept") if request.param == "postfix" else Sendmail(filter_flags="")
        with started(lenient, milter_spec, sink_of_session) as mta:
            yield mta

    @pytest.mark.case("an MTA told to accept when the gateway is gone")
    def test_mail_passes(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        running = gateway()
        client = connect(mta)
        client.mail("ann@client.example")
        client.rcpt("bob@site.example")
        running.kill()
        assert client.data(mail(subject)).code == 250
        assert without_received(sink.wait_for_subject(subject)) == mail(subject)
        assert "end_of_message" not in backend.events()
