"""What webhooks are told: the facts of sessions, several messages, aborts, contexts."""

import re
import threading
from collections.abc import Callable

import pytest

from .backend import Backend, Json
from .conftest import Gateways
from .mails import mail, without_received
from .mta import Mta
from .postfix import Postfix
from .sasl import USERS
from .sink import Sink
from .smtp_client import SmtpClient

Connect = Callable[[Mta], SmtpClient]
UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


class TestFacts:
    @pytest.mark.case("the facts of a session")
    def test_end_of_message_has_everything(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        gateway()
        client = connect(mta)
        client.mail("ann@client.example", "SIZE=81", "BODY=8BITMIME")
        client.rcpt("bob@site.example", "NOTIFY=NEVER")
        done = client.data(mail(subject))
        sink.wait_for_subject(subject)

        event = backend.last("end_of_message")
        assert (event["version"], event["event"], event["webhook"], event["dry_run"]) == (
            1, "end_of_message", "webhook", False,
        )  # fmt: skip
        assert all(UUID7.fullmatch(event[key]) for key in ("id", "session_id", "transaction_id"))
        assert event["queue_id"] in done.text
        assert event["mta"]["name"] == f"{mta.name}.test"
        assert event["mta"]["software"].startswith({"postfix": "Postfix 3.", "sendmail": "8."}[mta.name])
        assert event["mta"]["milter_version"] == 6
        assert event["client"]["address"] == "127.0.0.1"
        assert event["client"]["family"] == "inet"
        assert event["client"]["port"] > 0
        assert event["client"]["helo"] == "client.example"
        assert event["tls"] is None
        assert event["auth"] is None
        assert event["envelope"] == {
            "from": {"address": "ann@client.example", "params": {"SIZE": "81", "BODY": "8BITMIME"}},
            "to": [{"address": "bob@site.example", "params": {"NOTIFY": "NEVER"}}],
        }
        assert event["data"] == {"size": len(mail(subject)), "truncated": False}
        assert event["message"]["size"] == len(mail(subject))
        assert event["macros"]["i"] == event["queue_id"]
        assert event["macros"]["{mail_addr}"] == "ann@client.example"

    @pytest.mark.case("the data of every event")
    def test_data(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        gateway()
        client = connect(mta)
        client.send("ann@client.example", ["bob@site.example", "eve@site.example"], mail(subject))
        client.quit()
        sink.wait_for_subject(subject)
        gone = backend.wait("disconnect")

        assert backend.last("negotiate")["data"]["milter_version"] == 6
        assert "replace_message" in backend.last("negotiate")["data"]["changes"]
        connected = backend.last("connect")
        assert connected["data"] == {key: connected["client"][key] for key in ("name", "address", "port", "family")}
        assert connected["envelope"] == {"from": None, "to": []}
        assert connected["transaction_id"] is None
        assert backend.last("helo")["data"] == {"name": "client.example"}
        assert backend.last("mail")["data"]["address"] == "ann@client.example"
        assert [call.json["data"]["index"] for call in backend.calls("rcpt")] == [0, 1]
        assert backend.last("data")["data"] == {}
        fields = [(call.json["data"]["index"], call.json["data"]["name"]) for call in backend.calls("header")]
        assert fields == list(enumerate(["From", "To", "Date", "Message-Id", "Subject"]))
        assert backend.last("end_of_headers")["data"] == {"count": 5}
        assert len(backend.last("end_of_headers")["message"]["headers"]) == 5
        assert backend.last("body")["data"] == {"offset": 0, "size": 7, "text": "hello\r\n"}
        assert (gone["data"]["cause"], gone["data"]["transactions"]) == ("quit", 1)

    @pytest.mark.case("the queue id: null where the MTA has none")
    def test_queue_id(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        gateway()
        connect(mta).send("ann@client.example", ["bob@site.example", "eve@site.example"], mail(subject))
        sink.wait_for_subject(subject)
        seen = [backend.calls("mail")[0].json["queue_id"], *(call.json["queue_id"] for call in backend.calls("rcpt"))]
        number = backend.last("end_of_message")["queue_id"]
        assert seen == {"postfix": [None, None, number], "sendmail": [number] * 3}[mta.name]

    @pytest.mark.case("STARTTLS and AUTH")
    def test_tls_and_auth(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        gateway()
        client = connect(mta)
        assert client.starttls().code == 220
        client.ehlo("inside.example")
        assert client.auth_plain("ann", USERS["ann"]).code == 235
        client.send("ann@client.example", ["bob@site.example"], mail(subject))
        sink.wait_for_subject(subject)
        event = backend.last("end_of_message")
        assert event["tls"]["version"] == "TLSv1.3"
        assert event["tls"]["cipher"].startswith("TLS_")
        assert event["tls"]["bits"] in (128, 256)
        assert event["auth"] == {"mechanism": "PLAIN", "user": "ann", "author": None}
        assert event["client"]["helo"] == "inside.example"
        assert [call.json["tls"] is None for call in backend.calls("helo")] == [True, False]

    @pytest.mark.case("a condition on the login")
    def test_when_authenticated(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        gateway({"when": {"authenticated": False}, "events": ["end_of_message"]})
        client = connect(mta)
        client.starttls()
        client.ehlo()
        client.auth_plain("ann", USERS["ann"])
        client.send("ann@client.example", ["bob@site.example"], mail(f"{subject} login"))
        connect(mta).send("ann@client.example", ["bob@site.example"], mail(f"{subject} no login"))
        sink.wait_for_subject(f"{subject} login")
        sink.wait_for_subject(f"{subject} no login")
        assert [call.json["auth"] for call in backend.calls()] == [None]

    @pytest.mark.case("XCLIENT")
    def test_xclient(self, postfix: Postfix, gateway: Gateways, backend: Backend, connect: Connect) -> None:
        gateway()
        client = connect(postfix)
        assert client.xclient(name="out.client.example", addr="192.0.2.25", port="40112").code == 220
        client.ehlo("out.client.example")
        assert backend.last("connect")["client"] == {
            "name": "out.client.example",
            "address": "192.0.2.25",
            "port": 40112,
            "family": "inet",
            "helo": None,
        }

    @pytest.mark.case("XCLIENT with IPv6")
    def test_xclient_ipv6(self, postfix: Postfix, gateway: Gateways, backend: Backend, connect: Connect) -> None:
        gateway({"when": {"client": ["2001:db8::/32"]}})
        client = connect(postfix)
        client.xclient(name="[UNAVAILABLE]", addr="IPV6:2001:db8::25", port="40112")
        client.ehlo()
        event = backend.last("connect")["client"]
        assert (event["name"], event["address"], event["family"]) == ("[2001:db8::25]", "2001:db8::25", "inet6")

    @pytest.mark.case("SMTPUTF8")
    def test_smtputf8(
        self, postfix: Postfix, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        gateway()
        client = connect(postfix)
        assert client.mail("\u00e4nn@client.example", "SMTPUTF8").code == 250
        assert client.rcpt("b\u00f6b@s\u00efte.example").code == 250
        assert client.data(mail(subject, "X-Utf: \u20ac".encode())).code == 250
        received = sink.wait_for_subject(subject)
        assert (received.sender, received.recipients) == ("\u00e4nn@client.example", ("b\u00f6b@s\u00efte.example",))
        event = backend.last("end_of_message")
        assert event["envelope"]["from"] == {"address": "\u00e4nn@client.example", "params": {"SMTPUTF8": True}}
        assert event["envelope"]["to"][0]["address"] == "b\u00f6b@s\u00efte.example"
        assert event["message"]["headers"][-1]["value"] == "\u20ac"

    @pytest.mark.case("the null sender")
    def test_null_sender(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        gateway()
        assert connect(mta).send("", ["bob@site.example"], mail(subject)).code == 250
        assert sink.wait_for_subject(subject).sender == ""
        assert backend.last("mail")["data"] == {"address": "", "params": {}}

    @pytest.mark.case("an address that is no UTF-8")
    def test_latin1_address(self, sendmail: Mta, gateway: Gateways, backend: Backend, connect: Connect) -> None:
        gateway()
        connect(sendmail).mail(b"ann\xe9@client.example")
        data = backend.wait("mail")["data"]
        assert data["address"] == "ann\ufffd@client.example"
        assert data["address_base64"] == "YW5u6UBjbGllbnQuZXhhbXBsZQ=="

    @pytest.mark.case("unknown commands")
    def test_unknown(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        gateway()
        client = connect(mta)
        client.mail("ann@client.example")
        assert client.command("FOO bar baz").code == 500
        client.rcpt("bob@site.example")
        assert client.data(mail(subject)).code == 250
        assert without_received(sink.wait_for_subject(subject)) == mail(subject)
        assert backend.last("unknown")["data"]["command"] in ("FOO", "FOO bar baz")
        assert backend.last("unknown")["transaction_id"] == backend.last("end_of_message")["transaction_id"]

    @pytest.mark.case("the headers of a call")
    def test_http_headers(self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect) -> None:
        gateway()
        connect(mta)
        call = backend.calls("helo")[0]
        assert call.headers["content-type"] == "application/json"
        assert call.headers["webhook-id"] == call.json["id"]
        assert call.headers["milter-session"] == call.json["session_id"]
        assert call.headers["milter-attempt"] == "1"
        assert 0 < int(call.headers["milter-deadline-ms"]) <= 8000
        assert call.headers["user-agent"].startswith("milter-gateway/")


class TestNegotiation:
    @pytest.mark.case("only what is needed is negotiated")
    def test_end_of_message_alone(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        gateway({"events": ["end_of_message"]})
        done = connect(mta).send("ann@client.example", ["bob@site.example"], mail(subject))
        assert without_received(sink.wait_for_subject(subject)) == mail(subject)
        assert backend.events() == ["end_of_message"]
        event = backend.last("end_of_message")
        assert event["queue_id"] in done.text
        assert event["mta"]["events"] == ["end_of_message"]
        assert event["client"]["helo"] == "client.example"
        assert event["envelope"]["to"] == [{"address": "bob@site.example", "params": {}}]
        assert event["message"]["body"] == {"text": "hello\r\n"}
        assert event["macros"]["j"] == f"{mta.name}.test"

    @pytest.mark.case("without header and body")
    def test_end_of_message_without_message(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        gateway({"events": ["end_of_message"], "include": []})
        done = connect(mta).send("ann@client.example", ["bob@site.example"], mail(subject))
        assert without_received(sink.wait_for_subject(subject)) == mail(subject)
        event = backend.last("end_of_message")
        assert event["queue_id"] in done.text
        assert not {"headers", "body"} & set(event["message"])

    @pytest.mark.case("one event alone")
    @pytest.mark.parametrize("event", ["connect", "helo", "mail", "rcpt", "data", "header", "end_of_headers", "body"])
    def test_one_event_alone(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str, event: str
    ) -> None:
        gateway({"events": [event]})
        client = connect(mta)
        for number in (1, 2):
            reply = client.send("ann@client.example", ["bob@site.example"], mail(f"{subject} {number}"))
            assert reply.code == 250
            assert without_received(sink.wait_for_subject(f"{subject} {number}")) == mail(f"{subject} {number}")
        assert set(backend.events()) == {event}
        times = {"connect": 1, "helo": 1, "header": 10}.get(event, 2)
        assert len(backend.events()) == times

    @pytest.mark.case("wants at negotiate")
    def test_wants(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        gateway()
        wants = {
            "events": ["rcpt", "end_of_message"],
            "changes": ["add_header"],
            "macros": {"connect": ["{client_resolve}"]},
        }
        backend.on("negotiate", {"wants": wants, "context": {"session": {"n": 1}}})
        connect(mta).send("ann@client.example", ["bob@site.example"], mail(subject))
        sink.wait_for_subject(subject)
        assert backend.events() == ["negotiate", "rcpt", "end_of_message"]
        event = backend.last("end_of_message")
        assert event["mta"]["events"] == ["rcpt", "end_of_message"]
        assert event["mta"]["changes"] == ["add_header"]
        assert "{client_resolve}" in event["macros"]
        assert event["context"]["session"] == {"n": 1}

    @pytest.mark.case("macros of the configuration")
    def test_configured_macros(self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect) -> None:
        gateway(macros={"connect": ["{client_resolve}"], "mail": ["{client_ptr}"]})
        connect(mta).mail("ann@client.example")
        macros = backend.wait("mail")["macros"]
        assert {"{client_resolve}", "{mail_addr}", "{daemon_name}"} <= set(macros)


class TestSeveralMessages:
    @pytest.mark.case("several messages in one session")
    def test_each_is_a_transaction(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        gateway()
        client = connect(mta)
        for number in range(3):
            client.send(f"ann{number}@client.example", [f"bob{number}@site.example"], mail(f"{subject} {number}"))
        client.rset()
        client.quit()
        for number in range(3):
            received = sink.wait_for_subject(f"{subject} {number}")
            assert without_received(received) == mail(f"{subject} {number}")
            assert received.recipients == (f"bob{number}@site.example",)
        ends = [call.json for call in backend.calls("end_of_message")]
        assert len({event["transaction_id"] for event in ends}) == 3
        assert len({event["session_id"] for event in ends}) == 1
        assert [event["envelope"]["to"][0]["address"][:4] for event in ends] == ["bob0", "bob1", "bob2"]
        assert len({event["queue_id"] for event in ends}) == 3
        assert backend.wait("disconnect")["data"]["transactions"] == 3
        assert "abort" not in backend.events()

    @pytest.mark.case("RSET of an open transaction is an abort")
    @pytest.mark.parametrize("after", ["mail", "rcpt"])
    def test_rset(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str, after: str
    ) -> None:
        gateway()
        client = connect(mta)
        client.mail("ann@client.example")
        if after == "rcpt":
            client.rcpt("eve@site.example")
        client.rset()  # Postfix keeps its ABORT back until it has something more to send
        client.send("ann@client.example", ["bob@site.example"], mail(subject))
        client.quit()
        sink.wait_for_subject(subject)
        backend.wait("disconnect")
        aborted = backend.last("abort")
        assert aborted["data"] == {"after": after}
        assert backend.events().count("abort") == 1
        assert aborted["transaction_id"] == backend.calls("mail")[0].json["transaction_id"]
        assert backend.last("end_of_message")["transaction_id"] != aborted["transaction_id"]
        assert len(backend.last("end_of_message")["envelope"]["to"]) == 1

    @pytest.mark.case("abort alone is subscribed")
    def test_abort_alone(self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect) -> None:
        gateway({"events": ["abort"]})
        client = connect(mta)
        client.mail("ann@client.example")
        client.rset()
        client.mail("eve@client.example")
        client.rset()
        client.quit()
        backend.wait("abort", lambda event: event["envelope"]["from"]["address"] == "eve@client.example")
        assert [call.json["envelope"]["from"]["address"] for call in backend.calls()] == [
            "ann@client.example",
            "eve@client.example",
        ]

    @pytest.mark.case("a second EHLO aborts")
    def test_ehlo_inside_a_transaction(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        gateway()
        client = connect(mta)
        client.mail("eve@client.example")
        client.ehlo("again.example")
        client.send("ann@client.example", ["bob@site.example"], mail(subject))
        sink.wait_for_subject(subject)
        assert backend.events().count("abort") == 1
        assert backend.last("end_of_message")["client"]["helo"] == "again.example"
        assert backend.last("end_of_message")["envelope"]["from"]["address"] == "ann@client.example"

    @pytest.mark.case("a client that vanishes")
    @pytest.mark.parametrize("abruptly", [False, True], ids=["closes", "resets"])
    def test_vanishing_client(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, subject: str, abruptly: bool
    ) -> None:
        gateway()
        client = connect(mta)
        client.mail("ann@client.example")
        client.rcpt("bob@site.example")
        client.unfinished_data(mail(subject))
        client.close(abruptly=abruptly)
        assert backend.wait("abort")["data"] == {"after": "data"}
        assert backend.wait("disconnect")["data"]["cause"] in ("quit", "eof")
        assert "end_of_message" not in backend.events()

    @pytest.mark.case("contexts are kept")
    def test_contexts(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        def count(event: Json) -> Json:
            session, transaction = (event["context"][scope] or 0 for scope in ("session", "transaction"))
            return {"context": {"session": session + 1, "transaction": transaction + 1}}

        gateway()
        for name in ("connect", "helo", "mail", "rcpt", "data", "end_of_headers", "end_of_message", "abort"):
            backend.on(name, count)
        client = connect(mta)
        client.send("ann@client.example", ["bob@site.example"], mail(f"{subject} 1"))
        client.mail("ann@client.example")
        client.rset()
        client.send("ann@client.example", ["bob@site.example"], mail(f"{subject} 2"))
        client.quit()
        sink.wait_for_subject(f"{subject} 2")
        backend.wait("disconnect")
        seen = [
            (call.event, call.json["context"]["session"], call.json["context"]["transaction"])
            for call in backend.calls()
            if call.event in ("connect", "mail", "end_of_message", "abort", "disconnect")
        ]
        assert seen == [
            ("connect", None, None),
            ("mail", 2, None),
            ("end_of_message", 6, 4),
            ("mail", 7, None),
            ("abort", 8, 1),
            ("mail", 9, None),
            ("end_of_message", 13, 4),
            ("disconnect", 14, None),
        ]

    @pytest.mark.case("next narrows the subscription")
    def test_next(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        gateway()
        backend.on("mail", {"next": ["end_of_message"]})
        client = connect(mta)
        client.send("ann@client.example", ["bob@site.example"], mail(f"{subject} 1"))
        backend.on("mail", {})
        client.send("ann@client.example", ["bob@site.example"], mail(f"{subject} 2"))
        sink.wait_for_subject(f"{subject} 2")
        names = backend.events()[3:]
        assert names[:2] == ["mail", "end_of_message"]
        assert names[2:] == ["mail", "rcpt", "data", *["header"] * 5, "end_of_headers", "body", "end_of_message"]

    @pytest.mark.case("sessions side by side")
    def test_sessions_do_not_mix(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        gateway()
        backend.on(
            "end_of_message",
            lambda event: {
                "changes": [{"op": "add_header", "name": "X-To", "value": event["envelope"]["to"][0]["address"]}]
            },
        )

        def one(number: int) -> None:
            connect(mta).send("ann@client.example", [f"bob{number}@site.example"], mail(f"{subject} {number}"))

        threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for number in range(8):
            assert sink.wait_for_subject(f"{subject} {number}").values("X-To") == [f"bob{number}@site.example"]


class TestTwoWebhooks:
    @pytest.mark.case("two webhooks in order")
    def test_the_second_sees_what_the_first_did(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        end = ["end_of_message"]
        gateway(
            {"name": "first", "url": backend.url("/first"), "events": end},
            {"name": "second", "url": backend.url("/second"), "events": end},
        )
        header = {"op": "add_header", "name": "X-First", "value": "1"}
        replaced = {"op": "replace_body", "text": "first\r\n"}
        backend.on("end_of_message", {"changes": [header, replaced], "annotations": {"score": 7}}, "/first")
        change = {"op": "change_header", "name": "X-First", "nth": 1, "value": "2"}
        backend.on("end_of_message", {"changes": [change]}, "/second")
        connect(mta).send("ann@client.example", ["bob@site.example"], mail(subject))

        received = sink.wait_for_subject(subject)
        assert without_received(received) == mail(subject, b"X-First: 2", body=b"first\r\n")
        assert [call.path for call in backend.calls()] == ["/first", "/second"]
        second = backend.last("end_of_message")
        assert second["previous"] == [{"webhook": "first", "action": "continue", "annotations": {"score": 7}}]
        assert second["message"]["body"] == {"text": "first\r\n"}
        assert second["message"]["headers"][-1] == {"name": "X-First", "value": "1"}

    @pytest.mark.case("the first refusal ends the event")
    def test_the_second_is_not_asked(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, subject: str
    ) -> None:
        gateway({"url": backend.url("/first")}, {"url": backend.url("/second")})
        backend.on("end_of_message", {"action": "reject"}, "/first")
        assert connect(mta).send("ann@client.example", ["bob@site.example"], mail(subject)).code == 550
        assert "end_of_message" not in backend.events("/second")
        assert "end_of_headers" in backend.events("/second")

    @pytest.mark.case("accept of one leaves the other alone")
    def test_accept_of_the_first(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, subject: str
    ) -> None:
        gateway({"url": backend.url("/first")}, {"url": backend.url("/second")})
        backend.on("mail", {"action": "accept"}, "/first")
        backend.on("end_of_message", {"action": "reject"}, "/second")
        assert connect(mta).send("ann@client.example", ["bob@site.example"], mail(subject)).code == 550
        assert backend.events("/first") == ["negotiate", "connect", "helo", "mail"]
