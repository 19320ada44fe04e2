"""Mail that no SMTP client sends: Postfix's sendmail(1) in an emulated session, Sendmail's ``-bs``."""

import subprocess

import pytest

from .backend import Backend
from .conftest import Gateways
from .mails import mail, without_received
from .mta import Mta
from .postfix import Postfix
from .sendmail import Sendmail
from .sink import Sink
from .support import wait_until


def submit(mta: Mta, message: bytes) -> subprocess.CompletedProcess[bytes]:
    return mta.sendmail_command("ann@client.example", ["bob@site.example"], message)


@pytest.mark.case("local mail passes")
def test_passes(mta: Mta, gateway: Gateways, backend: Backend, sink: Sink, subject: str) -> None:
    gateway()
    assert submit(mta, mail(subject)).returncode == 0
    assert without_received(sink.wait_for_subject(subject)) == mail(subject)
    event = backend.last("end_of_message")
    facts = {key: event["client"][key] for key in ("name", "address", "port", "family")}
    assert facts == {
        "postfix": {"name": "localhost", "address": "127.0.0.1", "port": None, "family": "inet"},
        "sendmail": {"name": "localhost", "address": None, "port": None, "family": "unknown"},
    }[mta.name]  # fmt: skip
    assert event["envelope"] == {
        "from": {"address": "ann@client.example", "params": {}},
        "to": [{"address": "bob@site.example", "params": {}}],
    }


@pytest.mark.case("local mail changed")
def test_changed(mta: Mta, gateway: Gateways, backend: Backend, sink: Sink, subject: str) -> None:
    gateway({"events": ["end_of_message"]})
    changes = [
        {"op": "add_header", "name": "X-New", "value": "v"},
        {"op": "replace_body", "text": "new\r\n"},
        {"op": "delete_rcpt", "address": "bob@site.example"},
        {"op": "add_rcpt", "address": "eve@site.example"},
    ]
    backend.on("end_of_message", {"changes": changes})
    submit(mta, mail(subject))
    received = sink.wait_for_subject(subject)
    assert without_received(received) == mail(subject, b"X-New: v", body=b"new\r\n")
    assert received.recipients == ("eve@site.example",)


@pytest.mark.case("local mail: reject at end_of_message")
def test_rejected_by_sendmail(
    sendmail: Sendmail, gateway: Gateways, backend: Backend, sink: Sink, subject: str
) -> None:
    gateway()
    backend.on("end_of_message", {"action": "reject", "reply": {"text": "not from here"}})
    done = submit(sendmail, mail(subject))
    assert done.returncode == 1
    assert b"550 5.7.1 not from here" in done.stdout
    assert sink.messages == []


@pytest.mark.case("local mail: reject at end_of_message")
def test_rejected_by_postfix(postfix: Postfix, gateway: Gateways, backend: Backend, sink: Sink, subject: str) -> None:
    gateway()

    def refused_once(event: dict[str, object]) -> dict[str, object]:
        return {"action": "reject", "reply": {"text": "not from here"}} if subject in str(event["message"]) else {}

    backend.on("end_of_message", refused_once)
    assert submit(postfix, mail(subject)).returncode == 0
    bounce = sink.wait(lambda message: message.recipients == ("ann@client.example",))
    assert bounce.sender == ""
    assert b"<bob@site.example>: not from here\r\n" in bounce.content
    assert b"Status: 5.7.1\r\n" in bounce.content
    wait_until(lambda: postfix.queue() == [], "an empty queue")


@pytest.mark.case("local mail: tempfail at end_of_message keeps it")
def test_tempfailed_by_postfix(postfix: Postfix, gateway: Gateways, backend: Backend, subject: str) -> None:
    running = gateway()
    backend.on("end_of_message", {"action": "tempfail"})
    submit(postfix, mail(subject))
    running.logged("decided", lambda line: line["action"] == "tempfail")
    assert not postfix.wait_for_queued(lambda queued: subject.encode() in queued.content).held
    postfix.purge()


@pytest.mark.case("local mail: a warning that rcpt cannot refuse")
def test_warning(postfix: Postfix, gateway: Gateways, backend: Backend, sink: Sink, subject: str) -> None:
    running = gateway()
    submit(postfix, mail(subject))
    sink.wait_for_subject(subject)
    assert "refuse such mail at end_of_message" in running.logged("webhook warning")["text"]


@pytest.mark.case("local mail: no warning without need")
def test_no_warning(postfix: Postfix, gateway: Gateways, backend: Backend, sink: Sink, subject: str) -> None:
    running = gateway({"events": ["mail", "end_of_message"]})
    submit(postfix, mail(subject))
    sink.wait_for_subject(subject)
    assert [line for line in running.lines if line["event"] == "webhook warning"] == []


@pytest.mark.case("local mail through a Unix socket")
def test_unix_socket(sendmail: Sendmail, gateway: Gateways, backend: Backend, sink: Sink, subject: str) -> None:
    gateway()
    sendmail.sendmail_command("ann@client.example", ["bob@site.example"], mail(subject), unix_socket=True)
    sink.wait_for_subject(subject)
    assert backend.last("connect")["data"]["family"] == "unix"
