"""What a webhook refuses, and what the SMTP client is told."""

import re
from collections.abc import Callable

import pytest

from .backend import Backend, Json
from .conftest import Gateways
from .mails import mail, without_received
from .mta import REFUSED_BY_MTA, Mta
from .sink import Sink
from .smtp_client import ConnectionGoneError, Reply, SmtpClient

Connect = Callable[[Mta], SmtpClient]
EVENTS = ["connect", "helo", "mail", "rcpt", "data", "header", "end_of_headers", "body", "end_of_message", "unknown"]
LINES = ["100% sure: no", "50% of %s, %d see https://site.example/why?a=%20"]
REJECT = {"action": "reject", "reply": {"code": 554, "enhanced": "5.7.9", "text": LINES}}
TEMPFAIL = {"action": "tempfail", "reply": {"code": 452, "enhanced": "4.7.9", "text": LINES}}
TOLD_AT = {
    "connect": "MAIL FROM",
    "helo": "MAIL FROM",
    "mail": "MAIL FROM",
    "rcpt": "RCPT TO",
    "data": "DATA",
    "unknown": "FOO",
}
"""The command whose reply shows the refusal; that of the message for all others."""


def dialogue(client: SmtpClient, message: bytes) -> list[Reply]:
    """A whole mail to two recipients, an unknown command before it; stops where the server closes."""
    try:
        client.ehlo()
        client.command("FOO bar")
        client.mail("ann@client.example")
        client.rcpt("bob@site.example")
        client.rcpt("eve@site.example")
        client.data(message)
    except ConnectionGoneError:
        pass
    return client.replies


def told(replies: list[Reply], event: str) -> Reply:
    command = TOLD_AT.get(event, "(message)")
    return next(reply for reply in replies if reply.command.startswith(command))


def plain(reply: Reply) -> list[str]:
    """The reply's lines less the enhanced code, and the address that Sendmail puts before a refusal's first line."""
    return [re.sub(r"^\d\.\d\.\d (<[^>]*>\.\.\. )?", "", line) for line in reply.lines]


@pytest.mark.parametrize("event", EVENTS)
class TestRefusals:
    @pytest.mark.case("reject, tempfail and disconnect at every event")
    @pytest.mark.parametrize("answer", [REJECT, TEMPFAIL], ids=["reject", "tempfail"])
    def test_the_client_reads_every_line(
        self, mta: Mta, gateway: Gateways, backend: Backend, sink: Sink, subject: str, event: str, answer: Json
    ) -> None:
        gateway()
        backend.on(event, answer)
        with mta.connect() as client:
            reply = told(dialogue(client, mail(subject)), event)

        if (mta.name, event) == ("sendmail", "connect"):  # Sendmail has texts of its own there
            own = {"reject": (550, "5.0.0 Command rejected"), "tempfail": (451, "4.3.2 Please try again later")}
            assert (reply.code, reply.text) == own[answer["action"]]
        else:
            assert (reply.code, plain(reply)) == (answer["reply"]["code"], LINES)
            assert {line[:6] for line in reply.lines} == {answer["reply"]["enhanced"] + " "}

    @pytest.mark.case("reject, tempfail and disconnect at every event")
    def test_disconnect_ends_the_smtp_session(
        self, mta: Mta, gateway: Gateways, backend: Backend, subject: str, event: str
    ) -> None:
        gateway()
        backend.on(event, {"action": "disconnect", "reply": {"text": LINES}})
        with mta.connect() as client:
            reply = dialogue(client, mail(subject))[-1]
            if (mta.name, event) == ("postfix", "connect"):  # Postfix has a greeting of its own
                assert str(reply) == "(banner) -> 421 postfix.test Service unavailable - try again later"
                client.read_end()
                return
            if (mta.name, event) == ("sendmail", "connect"):  # Sendmail greets, and tempfails all mail
                refused = told(client.replies, event)
                assert (refused.code, refused.text) == (451, "4.3.2 Please try again later")
                return
            assert (reply.code, plain(reply)) == (421, LINES)
            client.read_end()


class TestGreeting:
    @pytest.mark.case("reject at connect greets with 554")
    def test_rejected_at_connect(self, mta: Mta, gateway: Gateways, backend: Backend) -> None:
        gateway()
        backend.on("connect", REJECT)
        with mta.connect() as client:
            assert client.banner.code == 554


class TestDefaults:
    @pytest.mark.case("default texts of a refusal")
    @pytest.mark.parametrize(
        ("answer", "code", "text"),
        [
            ({"action": "reject"}, 550, "5.7.1 Command rejected"),
            ({"action": "tempfail"}, 451, "4.7.1 Try again later"),
            ({"action": "disconnect"}, 421, "4.7.0 Closing connection"),
            ({"reply": {"code": 571}}, 571, "5.7.1 Command rejected"),
            ({"action": "reject", "reply": {"text": "caf\u00e9 \u2713"}}, 550, "5.7.1 caf? ?"),
        ],
    )
    def test_at_the_end_of_the_message(
        self,
        mta: Mta,
        gateway: Gateways,
        backend: Backend,
        connect: Connect,
        subject: str,
        answer: Json,
        code: int,
        text: str,
    ) -> None:
        gateway()
        backend.on("end_of_message", answer)
        reply = connect(mta).send("ann@client.example", ["bob@site.example"], mail(subject))
        assert (reply.code, reply.text) == (code, text)

    @pytest.mark.case("a long reply text is wrapped")
    def test_long_text(self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, subject: str) -> None:
        gateway()
        backend.on("end_of_message", {"action": "reject", "reply": {"text": "x%" * 600}})
        reply = connect(mta).send("ann@client.example", ["bob@site.example"], mail(subject))
        assert plain(reply) == ["x%" * 490, "x%" * 110]


class TestRecipients:
    @pytest.mark.case("one of several recipients refused")
    @pytest.mark.parametrize("answer", [REJECT, TEMPFAIL], ids=["reject", "tempfail"])
    def test_the_others_get_the_mail(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str, answer: Json
    ) -> None:
        gateway()
        backend.on("rcpt", lambda event: answer if event["data"]["address"] == "eve@site.example" else {})
        client = connect(mta)
        recipients = ["bob@site.example", "eve@site.example", "joe@site.example"]
        assert client.send("ann@client.example", recipients, mail(subject)).code == 250

        assert sorted(sink.wait_for_subject(subject).recipients) == ["bob@site.example", "joe@site.example"]
        shown = [[one["address"] for one in call.json["envelope"]["to"]] for call in backend.calls("rcpt")]
        assert shown == [recipients[:1], recipients[:2], [recipients[0], recipients[2]]]
        assert [one["address"] for one in backend.last("end_of_message")["envelope"]["to"]] == [
            "bob@site.example",
            "joe@site.example",
        ]

    @pytest.mark.case("recipients that the MTA refuses are not posted")
    def test_refused_by_the_mta(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        gateway()
        connect(mta).send("ann@client.example", [REFUSED_BY_MTA, "bob@site.example"], mail(subject))
        sink.wait_for_subject(subject)
        assert [call.json["data"]["address"] for call in backend.calls("rcpt")] == ["bob@site.example"]

    @pytest.mark.case("rejected_recipients = true posts them")
    def test_refused_by_the_mta_and_wanted(
        self, postfix: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        gateway({"rejected_recipients": True})
        backend.on("rcpt", lambda event: {"action": "tempfail"} if "rejected_by_mta" in event["data"] else {})
        client = connect(postfix)
        client.send("ann@client.example", [REFUSED_BY_MTA, "bob@site.example"], mail(subject))

        assert told(client.replies, "rcpt").code == 550  # the verdict is ignored
        sink.wait_for_subject(subject)
        rcpt = [
            (call.json["data"]["index"], call.json["data"].get("rejected_by_mta")) for call in backend.calls("rcpt")
        ]
        assert rcpt == [(0, True), (1, None)]
        assert [one["address"] for one in backend.last("end_of_message")["envelope"]["to"]] == ["bob@site.example"]


class TestPassing:
    @pytest.mark.case("continue at every event")
    def test_every_event_in_order(
        self, mta: Mta, gateway: Gateways, backend: Backend, sink: Sink, subject: str
    ) -> None:
        gateway()
        with mta.connect() as client:
            dialogue(client, mail(subject))
            client.quit()
        assert without_received(sink.wait_for_subject(subject)) == mail(subject)
        session = backend.wait("end_of_message")["session_id"]
        backend.wait("disconnect", lambda event: event["session_id"] == session)
        names = [call.event for call in backend.calls() if call.json["session_id"] == session]
        assert names == [
            *("negotiate", "connect", "helo", "unknown", "mail", "rcpt", "rcpt", "data"),
            *("header",) * 5,
            *("end_of_headers", "body", "end_of_message", "disconnect"),
        ]

    @pytest.mark.case("accept early")
    @pytest.mark.parametrize("event", EVENTS[:-2])
    def test_nothing_more_of_it_is_posted(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str, event: str
    ) -> None:
        gateway()
        backend.on(event, {"action": "accept"})
        client = connect(mta)
        assert client.send("ann@client.example", ["bob@site.example"], mail(subject)).code == 250
        client.quit()
        assert without_received(sink.wait_for_subject(subject)) == mail(subject)
        if event in ("connect", "helo"):
            assert backend.events()[-1] == event
        else:
            backend.wait("disconnect")
            assert backend.events()[-2:] == [event, "disconnect"]

    @pytest.mark.case("accept early: the next message is posted again")
    def test_accept_at_rcpt_holds_for_one_message(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        gateway()
        backend.on("rcpt", lambda event: {"action": "accept"} if event["data"]["address"].startswith("bob") else {})
        client = connect(mta)
        assert client.send("ann@client.example", ["bob@site.example"], mail(f"{subject} 1")).ok
        assert client.send("ann@client.example", ["eve@site.example"], mail(f"{subject} 2")).ok
        sink.wait_for_subject(f"{subject} 1")
        sink.wait_for_subject(f"{subject} 2")
        ends = [call.json["envelope"]["to"][0]["address"] for call in backend.calls("end_of_message")]
        assert ends == ["eve@site.example"]

    @pytest.mark.case("discard")
    @pytest.mark.parametrize("event", ["mail", "rcpt", "data", "header", "end_of_headers", "body", "end_of_message"])
    def test_the_client_is_told_yes_and_nothing_arrives(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str, event: str
    ) -> None:
        gateway()
        backend.on(event, {"action": "discard"})
        client = connect(mta)
        assert client.send("ann@client.example", ["bob@site.example"], mail(f"{subject} gone")).code == 250
        backend.on(event, {})
        assert client.send("ann@client.example", ["bob@site.example"], mail(subject)).code == 250
        sink.wait_for_subject(subject)
        assert [message.values("Subject") for message in sink.messages] == [[subject]]
        assert [queued for queued in mta.queue() if f"{subject} gone".encode() in queued.content] == []

    @pytest.mark.case("skip at body")
    def test_no_more_chunks_are_posted(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        gateway({"events": ["body", "end_of_message"], "include": ["message.headers"]})
        backend.on("body", {"action": "skip"})
        body = b"x" * 70 + b"\r\n"
        message = mail(subject, body=body * 5000)
        assert connect(mta).send("ann@client.example", ["bob@site.example"], message).code == 250
        assert without_received(sink.wait_for_subject(subject, 30)) == message
        assert backend.events() == ["body", "end_of_message"]
