"""What happens when a part is missing, slow or ended: the backend, the gateway, the time."""

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from .backend import Answer, Backend
from .conftest import Gateways
from .mails import mail, without_received
from .mta import Mta
from .sink import Sink
from .smtp_client import SmtpClient
from .support import HOST, wait_until

Connect = Callable[[Mta], SmtpClient]
END = {"events": ["end_of_message"]}
OWN_TEMPFAIL = {
    "postfix": (451, "4.7.1 Service unavailable - try again later"),
    "sendmail": (451, "4.3.2 Please try again later"),
}
"""What the mail servers say when their milter is gone, as they are configured here."""


TOLD = {
    "tempfail": "451 4.7.1 Try again later (session ",
    "reject": "550 5.7.1 Command rejected",
    "continue": "250 2.0.0 ",
}
"""What the SMTP client reads, by ``on_failure``."""


@pytest.fixture(scope="module")
def nobody() -> Iterator[str]:
    """A URL where nobody listens: its port is held, so that nobody else gets it."""
    with socket.socket() as held:
        held.bind((HOST, 0))
        yield f"http://{HOST}:{held.getsockname()[1]}/"


@pytest.fixture
def fragile() -> Iterator[Backend]:
    """A backend that the test may stop."""
    backend = Backend()
    yield backend
    backend.stop()


class TestBackend:
    @pytest.mark.case("backend fails: on_failure")
    @pytest.mark.parametrize(
        ("policy", "event"),
        [(policy, event) for policy in TOLD for event in ("mail", "rcpt", "data", "header", "end_of_message")],
    )
    def test_fails(
        self,
        mta: Mta,
        gateway: Gateways,
        backend: Backend,
        connect: Connect,
        sink: Sink,
        subject: str,
        policy: str,
        event: str,
    ) -> None:
        opens_circuit = event in ("header", "end_of_message")  # five fields in a row, and what comes after them
        running = gateway({"retries": 0, "on_failure": policy}, fresh=opens_circuit)
        backend.on(event, Answer(503))
        client = connect(mta)
        reply = client.send("ann@client.example", ["bob@site.example"], mail(subject))
        said = re.sub(r"<[^>]*>\.\.\. ", "", f"{reply.code} {reply.text}")  # Sendmail puts the address before a refusal
        assert said.startswith(TOLD[policy])
        line = running.logged("webhook failed")
        assert (line["milter_event"], line["cause"], line["applied"]) == (event, "server_error", policy)
        assert (policy == "tempfail") == (line["session"] in reply.text)
        if policy == "continue":
            assert without_received(sink.wait_for_subject(subject)) == mail(subject)

    @pytest.mark.case("backend down: on_failure")
    @pytest.mark.parametrize("policy", ["tempfail", "reject", "continue"])
    def test_down(self, mta: Mta, gateway: Gateways, connect: Connect, nobody: str, subject: str, policy: str) -> None:
        running = gateway(END | {"url": nobody, "retries": 0, "on_failure": policy})
        reply = connect(mta).send("ann@client.example", ["bob@site.example"], mail(subject))
        assert f"{reply.code} {reply.text}".startswith(TOLD[policy])
        assert running.logged("webhook failed")["cause"] == "connect"

    @pytest.mark.case("backend down: quarantine")
    @pytest.mark.parametrize("event", ["connect", "helo", "mail", "rcpt", "end_of_message"])
    def test_down_and_held(
        self, mta: Mta, gateway: Gateways, connect: Connect, nobody: str, subject: str, event: str
    ) -> None:
        running = gateway({"url": nobody, "events": [event], "retries": 0, "on_failure": "quarantine"})
        assert connect(mta).send("ann@client.example", ["bob@site.example"], mail(subject)).code == 250
        held = mta.held(subject)
        assert running.logged("decided")["quarantined"] is True
        assert mta.name == "postfix" or "webhook0 failed: connect" in str(held.reason)
        mta.purge()

    @pytest.mark.case("backend down at connect")
    def test_down_at_connect(self, mta: Mta, gateway: Gateways, connect: Connect, nobody: str) -> None:
        gateway({"url": nobody, "events": ["connect"], "retries": 0})
        assert connect(mta).mail("ann@client.example").code == 451

    @pytest.mark.case("backend back up")
    def test_back_up(
        self, mta: Mta, gateway: Gateways, fragile: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        gateway(END | {"url": fragile.url(), "retries": 0})
        client = connect(mta)
        assert client.send("ann@client.example", ["bob@site.example"], mail(f"{subject} 1")).code == 250
        fragile.stop()
        assert client.send("ann@client.example", ["bob@site.example"], mail(f"{subject} 2")).code == 451
        again = Backend(fragile.port)
        try:
            assert client.send("ann@client.example", ["bob@site.example"], mail(f"{subject} 3")).code == 250
            assert again.events() == ["end_of_message"]
        finally:
            again.stop()
        sink.wait_for_subject(f"{subject} 1")
        sink.wait_for_subject(f"{subject} 3")
        assert f"{subject} 2" not in [message.values("Subject")[0] for message in sink.messages]

    @pytest.mark.case("backend answers 500, 404, 302")
    @pytest.mark.parametrize("status", [500, 404, 302])
    def test_http_errors(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, subject: str, status: int
    ) -> None:
        gateway(END | {"retries": 1, "on_failure": "reject", "on_invalid": "tempfail"}, fresh=True)
        backend.on("end_of_message", Answer(status, b'{"action":"accept"}'))
        assert connect(mta).send("ann@client.example", ["bob@site.example"], mail(subject)).code == 550
        attempts = [call.headers["milter-attempt"] for call in backend.calls()]
        assert attempts == (["1", "2"] if status == 500 else ["1"])

    @pytest.mark.case("webhook too slow at a command")
    @pytest.mark.parametrize("event", ["helo", "rcpt"])
    def test_slow(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, subject: str, event: str
    ) -> None:
        gateway({"events": [event], "timeout": "500ms"})
        backend.on(event, Answer(body=b"{}", delay=3))
        began = time.monotonic()
        reply = connect(mta).send("ann@client.example", ["bob@site.example"], mail(subject))
        assert (reply.code, reply.text[:23]) == (451, "4.7.1 Try again later (")
        assert time.monotonic() - began < 2.5

    @pytest.mark.slow
    @pytest.mark.case("webhook slower than 10 s at end_of_message")
    def test_progress(
        self, sendmail: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        gateway(END)
        change = b'{"changes":[{"op":"replace_body","text":"late\\r\\n"}]}'
        backend.on("end_of_message", Answer(body=change, delay=11))
        assert connect(sendmail).send("ann@client.example", ["bob@site.example"], mail(subject)).code == 250
        assert without_received(sink.wait_for_subject(subject)) == mail(subject, body=b"late\r\n")

    @pytest.mark.case("a client that goes while the webhook works")
    def test_client_gone(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        running = gateway()
        backend.on("rcpt", Answer(body=b"{}", delay=1))
        client = connect(mta)
        client.mail("ann@client.example")
        client.send_raw(b"RCPT TO:<bob@site.example>\r\n")
        backend.wait("rcpt")
        client.close(abruptly=True)
        backend.on("rcpt", {})
        assert connect(mta).send("ann@client.example", ["bob@site.example"], mail(subject)).code == 250
        sink.wait_for_subject(subject)
        assert [line for line in running.lines if line["level"] in ("error", "?")] == []


class TestGateway:
    @pytest.mark.case("gateway killed and back")
    def test_killed_between_sessions(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        gateway().kill()
        assert (reply := connect(mta).mail("ann@client.example")).code == 451
        assert (reply.code, reply.text) == OWN_TEMPFAIL[mta.name]
        gateway()
        assert connect(mta).send("ann@client.example", ["bob@site.example"], mail(subject)).code == 250
        assert without_received(sink.wait_for_subject(subject)) == mail(subject)
        assert "end_of_message" in backend.events()

    @pytest.mark.case("gateway killed while a mail is open")
    @pytest.mark.parametrize("at", ["rcpt", "end_of_message"])
    def test_killed_inside_a_transaction(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str, at: str
    ) -> None:
        running = gateway(fresh=True)
        backend.on(at, lambda _: running.process.kill() or {})  # type: ignore[func-returns-value]
        client = connect(mta)
        client.mail("ann@client.example")
        client.rcpt("bob@site.example")  # Sendmail notices at the next command only
        reply = client.data(mail(f"{subject} lost"))
        assert 451 in (reply.code, client.replies[-2].code)
        backend.on(at, {})
        running.process.wait(10)
        gateway()
        assert connect(mta).send("ann@client.example", ["bob@site.example"], mail(subject)).code == 250
        sink.wait_for_subject(subject)
        assert [message.values("Subject") for message in sink.messages] == [[subject]]

    @pytest.mark.case("SIGTERM while a mail is open")
    def test_terminated_inside_a_transaction(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        running = gateway(fresh=True)
        idle, busy = connect(mta), connect(mta)
        busy.mail("ann@client.example")
        busy.rcpt("bob@site.example")
        running.terminate()
        running.logged("stopping")
        wait_until(lambda: backend.calls("disconnect"), "the end of the idle session")
        assert busy.data(mail(subject)).code == 250
        assert running.process.wait(10) == 0
        assert without_received(sink.wait_for_subject(subject)) == mail(subject)
        assert "end_of_message" in backend.events()
        assert [call.json["data"]["cause"] for call in backend.calls("disconnect")] == ["shutdown", "shutdown"]
        assert (refused := idle.mail("ann@client.example")).code == 451, refused
        assert [line for line in running.lines if line["level"] in ("error", "?")] == []

    @pytest.mark.case("SIGTERM: drain_timeout ends what is owed")
    def test_drain_timeout(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        running = gateway(END, limits={"drain_timeout": "500ms"}, fresh=True)
        backend.on("end_of_message", Answer(body=b"{}", delay=8))
        client = connect(mta)
        told = []
        sender = threading.Thread(
            target=lambda: told.append(client.send("ann@client.example", ["bob@site.example"], mail(subject)))
        )
        sender.start()
        backend.wait("end_of_message")
        began = time.monotonic()
        assert running.end() == 0
        sender.join(10)
        assert time.monotonic() - began < 5
        assert (told[0].code, told[0].text[:23]) == (451, "4.7.1 Try again later (")
        assert sink.messages == []

    @pytest.mark.case("SIGHUP: new sessions use the new configuration")
    def test_reload(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        running = gateway(END | {"url": backend.url("/old")}, fresh=True)
        old = connect(mta)
        old.mail("ann@client.example")
        running.reconfigure({**running.config, "webhook": [END | {"name": "new", "url": backend.url("/new")}]})
        running.logged("reloaded")
        old.rcpt("bob@site.example")
        assert old.data(mail(f"{subject} old")).code == 250
        assert connect(mta).send("ann@client.example", ["bob@site.example"], mail(f"{subject} new")).code == 250
        assert [call.path for call in backend.calls()] == ["/old", "/new"]
        running.end()

    @pytest.mark.case("SIGHUP: a faulty configuration is refused")
    def test_faulty_reload(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        running = gateway(END, fresh=True)
        running.reconfigure({**running.config, "no_such_key": 1})
        running.logged("reload refused: the old configuration stays", lambda line: "no_such_key" in line["reason"])
        assert connect(mta).send("ann@client.example", ["bob@site.example"], mail(subject)).code == 250
        assert backend.events() == ["end_of_message"]
        running.end()

    @pytest.mark.case("connections beyond the limit")
    def test_too_many_connections(self, mta: Mta, gateway: Gateways, connect: Connect) -> None:
        running = gateway(limits={"connections": 2}, fresh=True)
        first, second, third = (connect(mta) for _ in range(3))
        assert first.mail("ann@client.example").code == 250
        assert second.mail("ann@client.example").code == 250
        assert third.mail("ann@client.example").code == 451
        running.logged("connection refused: the MTA's own policy decides")
        running.kill()
