"""The harness itself, tried with a filter that is not ours."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .mta import REFUSED_BY_MTA, Mta
from .postfix import Postfix
from .sasl import USERS
from .sendmail import Sendmail
from .sink import Sink
from .smtp_client import ConnectionGoneError, SmtpClient, stuffed
from .support import require_program, unavailable, wait_for_port

FILTER = Path(__file__).with_name("filter.py")
Connect = Callable[[Mta], SmtpClient]


@contextmanager
def running_filter(spec: str, port: int) -> Iterator[None]:
    """The libmilter filter, for as long as the block lasts."""
    python = require_program("/usr/bin/python3", "python3")
    if subprocess.run([python, "-c", "import Milter"], capture_output=True, check=False).returncode:
        unavailable("no Milter module for /usr/bin/python3: apt-get install python3-milter")
    process = subprocess.Popen([python, str(FILTER), spec])
    try:
        wait_for_port(port)
        yield
    finally:
        process.kill()  # libmilter takes seconds to end by itself
        process.wait(10)


@pytest.fixture(scope="class")
def libmilter(milter_spec: str, milter_port: int) -> Iterator[None]:
    with running_filter(milter_spec, milter_port):
        yield


def mail(subject: str, body: bytes = b"hello\r\n") -> bytes:
    return f"From: ann@client.example\r\nSubject: {subject}\r\n\r\n".encode() + body


@pytest.mark.usefixtures("libmilter")
class TestDelivery:
    @pytest.mark.case("harness: delivery through libmilter")
    def test_adds_a_header(self, mta: Mta, connect: Connect, sink: Sink, subject: str) -> None:
        body = b"one\r\n.two\r\n..\r\ncaf\xe9\r\n"
        client = connect(mta)
        client.mail("ann@client.example", "BODY=8BITMIME")
        client.rcpt("bob@site.example", "NOTIFY=NEVER")
        assert client.data(mail(subject, body)).code == 250

        received = sink.wait_for_subject(subject)
        assert received.sender == "ann@client.example"
        assert received.recipients == ("bob@site.example",)
        assert "NOTIFY=NEVER" in received.recipient_params[0]
        assert received.body == body
        assert received.values("X-Filter") == ["seen"]

    @pytest.mark.case("harness: refused recipient")
    def test_shows_every_line_of_a_refusal(self, mta: Mta, connect: Connect, sink: Sink, subject: str) -> None:
        client = connect(mta)
        client.send("ann@client.example", ["nobody@site.example", "bob@site.example"], mail(subject))

        refusal = client.replies[-4]
        assert (refusal.code, len(refusal.lines)) == (550, 2)
        assert refusal.lines[0].startswith("5.7.1 ")
        assert refusal.lines[0].endswith("Nobody is not here")
        assert sink.wait_for_subject(subject).recipients == ("bob@site.example",)

    @pytest.mark.case("harness: recipient refused by the MTA")
    def test_mta_refuses_by_itself(self, mta: Mta, connect: Connect) -> None:
        client = connect(mta)
        client.mail("ann@client.example")
        assert client.rcpt(REFUSED_BY_MTA).text.startswith("5.1.1 ")
        assert client.rcpt("refused@site.example").ok

    @pytest.mark.case("harness: quarantine")
    def test_holds(self, mta: Mta, connect: Connect, subject: str) -> None:
        connect(mta).send("ann@client.example", ["bob@site.example"], mail(f"hold {subject}"))

        held = mta.held(f"hold {subject}")
        assert (held.sender, held.recipients) == ("ann@client.example", ("bob@site.example",))
        assert held.reason == {"postfix": None, "sendmail": "held by the filter"}[mta.name]
        assert held.content.endswith(b"\n\nhello\n")
        mta.purge()
        assert mta.queue() == []

    @pytest.mark.case("harness: STARTTLS and AUTH")
    def test_tls_and_auth(self, mta: Mta, connect: Connect, sink: Sink, subject: str) -> None:
        client = connect(mta)
        assert client.starttls().code == 220
        client.ehlo()
        assert client.auth_plain("ann", "wrong").code == 535
        assert client.auth_plain("ann", USERS["ann"]).code == 235
        client.send("ann@client.example", ["bob@site.example"], mail(subject))
        assert sink.wait_for_subject(subject).values("X-Macros") == ["ann TLSv1.3"]

    @pytest.mark.case("harness: local submission")
    def test_sendmail_command(self, mta: Mta, sink: Sink, subject: str) -> None:
        done = mta.sendmail_command("ann@client.example", ["bob@site.example"], mail(subject, b"hello\r\n.dot\r\n"))
        assert done.returncode == 0, done

        received = sink.wait_for_subject(subject)
        assert received.body == b"hello\r\n.dot\r\n"
        client = {"postfix": "localhost 2 ('127.0.0.1', 0)", "sendmail": "localhost 0 None"}
        assert received.values("X-Client") == [client[mta.name]]

    @pytest.mark.case("harness: local submission through a Unix socket")
    def test_unix_socket(self, sendmail: Sendmail, sink: Sink, subject: str) -> None:
        done = sendmail.sendmail_command("ann@client.example", ["bob@site.example"], mail(subject), unix_socket=True)
        assert done.returncode == 0, done
        assert sink.wait_for_subject(subject).values("X-Client") == ["localhost 1 "]

    @pytest.mark.case("harness: XCLIENT")
    def test_xclient(self, postfix: Postfix, connect: Connect, sink: Sink, subject: str) -> None:
        client = connect(postfix)
        assert client.xclient(name="out.client.example", addr="192.0.2.25", port="40112").code == 220
        client.ehlo()
        client.send("ann@client.example", ["bob@site.example"], mail(subject))
        client_seen = sink.wait_for_subject(subject).values("X-Client")
        assert client_seen == ["out.client.example 2 ('192.0.2.25', 40112)"]

    @pytest.mark.case("harness: a client that vanishes")
    def test_abrupt_close(self, mta: Mta, connect: Connect, sink: Sink, subject: str) -> None:
        client = connect(mta)
        client.mail("ann@client.example")
        client.rcpt("bob@site.example")
        assert client.unfinished_data(mail("never")).code == 354
        client.close(abruptly=True)
        assert connect(mta).send("ann@client.example", ["bob@site.example"], mail(subject)).ok
        sink.wait_for_subject(subject)
        assert [message.values("Subject") for message in sink.messages] == [[subject]]


@pytest.mark.case("harness: no milter")
def test_tempfails_without_a_milter(mta: Mta, connect: Connect) -> None:
    client = connect(mta)
    assert client.mail("ann@client.example").code == 451


def test_sink_keeps_bytes_and_parameters(sink: Sink) -> None:
    message = b"Subject: x\r\nX-Fold: a\r\n b\r\nX-None:v\r\n\r\n.a\nb\n.\r\nc\x00\xff\r\n"
    with SmtpClient(sink.port) as client:
        client.ehlo()
        client.pipeline("MAIL FROM:<> SIZE=9", 'RCPT TO:<"a >b"@c.example> NOTIFY=NEVER', "RCPT TO:<\u00e4@c.example>")
        assert client.data(message).code == 250
        client.quit()
    received = sink.wait()
    assert received.content == message
    assert received.fields == [("Subject", "x"), ("X-Fold", "a\r\n b"), ("X-None", "v")]
    assert (received.sender, received.sender_params) == ("", ("SIZE=9",))
    assert received.recipients == ('"a >b"@c.example', "\u00e4@c.example")


def test_sink_without_the_message_says_what_there_was(sink: Sink) -> None:
    with pytest.raises(AssertionError, match="no such message"):
        sink.wait(within=0.01)


def test_client_reports_a_closed_connection(sink: Sink) -> None:
    with SmtpClient(sink.port) as client:
        client.command("QUIT")
        client.read_end()
        with pytest.raises(ConnectionGoneError):
            client.noop()
            client.noop()


def test_stuffing() -> None:
    assert stuffed(b".a\r\n.\r\nb\n.c") == b"..a\r\n..\r\nb\n.c\r\n"
    assert stuffed(b"") == b""
