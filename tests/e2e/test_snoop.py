"""`snoop` between real mail servers and real milters: nothing changes, and both sides of it carry the same bytes."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from .backend import Backend
from .mails import mail, without_received
from .mta import Mta
from .program import ROOT, Gateway
from .sink import Sink
from .smtp_client import SmtpClient
from .support import HOST, free_port, require_program, run, unavailable, wait_for_port
from .wire import Wire

FILTER = Path(__file__).with_name("filter.py")
Connect = Callable[[Mta], SmtpClient]
Line = dict[str, Any]


@contextmanager
def running(
    *command: str | Path, port: int, output: Path | None = None, end: signal.Signals = signal.SIGKILL
) -> Iterator[None]:
    """A program that listens there, for as long as the block lasts; libmilter takes seconds to end by itself."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MILTER_GATEWAY_")}
    with (output or Path(os.devnull)).open("wb") as stdout:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=stdout)
        try:
            wait_for_port(port)
            yield
        finally:
            process.send_signal(end)
            process.wait(10)


@contextmanager
def libmilter(port: int) -> Iterator[None]:
    python = require_program("/usr/bin/python3", "python3")
    if run(python, "-c", "import Milter").returncode:
        unavailable("no Milter module for /usr/bin/python3: apt-get install python3-milter")
    with running(python, str(FILTER), f"inet:{port}@{HOST}", port=port):
        yield


@contextmanager
def opendkim(port: int, directory: Path) -> Iterator[None]:
    program = require_program("opendkim", "opendkim")
    key, config = directory / "key.pem", directory / "opendkim.conf"
    if not key.exists():
        assert run(require_program("openssl", "openssl"), "genrsa", "-out", key, "2048").returncode == 0
        key.chmod(0o600)
    config.write_text(
        f"Mode s\nSocket inet:{port}@{HOST}\nDomain client.example\nSelector test\nKeyFile {key}\n"
        "Syslog no\nRequireSafeKeys no\nCanonicalization relaxed/simple\n"
    )
    with running(program, "-f", "-x", str(config), port=port):
        yield


class Snooped:
    """The proxy, with a wire that remembers on either side: ``near`` towards the mail server, ``far`` to the milter."""

    def __init__(self, near: Wire, far: Wire, output: Path) -> None:
        self._near = near
        self._far = far
        self._output = output

    def same_bytes(self) -> list[tuple[bytes, bytes]]:
        """What went over the wire, the same before and behind the proxy."""
        near, far = self._near.ended(), self._far.ended()
        said = [pair for pair in far if pair[0]]  # waiting for the port to open leaves an empty connection
        assert [pair for pair in near if pair[0]] == said
        return said

    def lines(self) -> list[Line]:
        """What was printed."""
        return [json.loads(line) for line in self._output.read_text().splitlines()]

    def said(self, command: str) -> list[Line]:
        """The packets of this name."""
        return [line["data"] for line in self.lines() if line.get("command") == command]


@contextmanager
def snooped(port: int, milter_port: int, directory: Path) -> Iterator[Snooped]:
    proxy_port, far_port = free_port(), free_port()
    output = directory / "snoop.jsonl"
    listen, to = f"inet:{proxy_port}@{HOST}", f"inet:{HOST}:{far_port}"
    command = (sys.executable, "-m", "gateway", "snoop", "--listen", listen, "--to", to, "--json")
    with (
        Wire(far_port, milter_port) as far,
        running(*command, port=proxy_port, output=output, end=signal.SIGTERM),  # it writes what it still holds
        Wire(port, proxy_port) as near,
    ):
        yield Snooped(near, far, output)


def without_clock(content: bytes) -> bytes:
    """A message less what differs at any two deliveries: the client's port, and a signature with its time."""
    content = re.sub(rb"(X-Client: .*, )\d+\)", rb"\1PORT)", content)
    head, found, rest = content.partition(b"DKIM-Signature:")
    field = re.match(rb"[^\r\n]*(?:\r\n[ \t][^\r\n]*)*", rest)
    assert field is not None
    signature = re.sub(rb"\bt=\d+;", b"t=;", re.sub(rb"\bb=[^;]*", b"b=", field[0]))
    return head + found + re.sub(rb"\s+", b" ", signature) + rest[field.end() :]


class TestLibmilter:
    def conversation(self, client: SmtpClient, sink: Sink, subject: str) -> tuple[list[str], bytes]:
        """Two mails, one of them to somebody whom the filter does not know; all replies, and what arrived."""
        client.send("ann@client.example", ["nobody@site.example", "bob@site.example"], mail(subject, b"X-Odd:\xe9"))
        client.rset()
        client.send("ann@client.example", ["nobody@site.example"], mail("never"))
        received = sink.wait_for_subject(subject)
        replies = [str(reply) for reply in client.replies[1:]]
        assert received.recipients == ("bob@site.example",)
        return [re.sub(r"queued as \S+|\S+ Message accepted", "ID", reply) for reply in replies], without_received(
            received
        )

    @pytest.mark.case("snoop: between the MTA and libmilter")
    def test_same_mail_and_same_replies(
        self, mta: Mta, connect: Connect, sink: Sink, subject: str, milter_port: int, tmp_path: Path
    ) -> None:
        with libmilter(milter_port):
            replies, message = self.conversation(connect(mta), sink, subject)
        sink.clear()
        with libmilter(port := free_port()), snooped(milter_port, port, tmp_path) as proxy:
            client = connect(mta)
            snooped_replies, snooped_message = self.conversation(client, sink, subject)
            client.quit()
            proxy.same_bytes()
        assert snooped_replies == replies
        assert without_clock(snooped_message) == without_clock(message)
        assert b"X-Filter: seen" in message
        refusal = {"code": 550, "enhanced": "5.7.1", "text": ["Nobody is not here", "Ask somebody"]}
        assert proxy.said("REPLYCODE") == [refusal] * 2
        assert {"name": "X-Filter", "value": "seen"} in [
            {key: data[key] for key in ("name", "value")} for data in proxy.said("ADDHEADER")
        ]
        assert [data["address"] for data in proxy.said("RCPT")] == [
            "nobody@site.example", "bob@site.example", "nobody@site.example",
        ]  # fmt: skip


class TestOpendkim:
    @pytest.mark.case("snoop: between the MTA and opendkim")
    def test_signature(
        self, mta: Mta, connect: Connect, sink: Sink, subject: str, milter_port: int, tmp_path: Path
    ) -> None:
        message = mail(subject, body=b"one\r\n.two\r\ncaf\xe9\r\n" * 5000)
        with opendkim(milter_port, tmp_path):
            connect(mta).send("ann@client.example", ["bob@site.example"], message)
            direct = without_received(sink.wait_for_subject(subject))
        sink.clear()
        with opendkim(port := free_port(), tmp_path), snooped(milter_port, port, tmp_path) as proxy:
            client = connect(mta)
            client.send("ann@client.example", ["bob@site.example"], message)
            through = without_received(sink.wait_for_subject(subject))
            client.quit()
            ((of_mta, of_milter),) = proxy.same_bytes()
        assert b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple; d=client.example;" in direct
        assert without_clock(through) == without_clock(direct)
        assert of_mta.endswith(b"\0\0\0\1Q")
        assert b"DKIM-Signature\0" in of_milter
        (signature,) = [data for data in proxy.said("INSHEADER") if data["name"] == "DKIM-Signature"]
        assert signature["value"].encode().replace(b"\n", b"\r\n") in through
        sizes = [data["size"] for data in proxy.said("BODY")]
        assert sum(sizes) == len(message.partition(b"\r\n\r\n")[2])
        assert [line["fault"] for line in proxy.lines() if line["event"] == "packet" and line["fault"]] == []


class TestGateway:
    @pytest.mark.case("snoop: between the MTA and the gateway")
    def test_changes_and_refusals(
        self, mta: Mta, connect: Connect, backend: Backend, sink: Sink, subject: str, milter_port: int, tmp_path: Path
    ) -> None:
        backend.on("rcpt", lambda event: {"action": "reject"} if "eve" in event["data"]["address"] else {})
        added = {"op": "add_header", "name": "X-New", "value": "v"}
        backend.on("end_of_message", {"changes": [added, {"op": "replace_body", "text": "new\r\n" * 40_000}]})
        config = {"listen": [f"inet:{(port := free_port())}@{HOST}"], "admin": {"listen": ""}}
        gateway = Gateway(tmp_path, config | {"webhook": [{"name": "webhook", "url": backend.url()}]})
        with snooped(milter_port, port, tmp_path) as proxy:
            client = connect(mta)
            recipients = ["eve@site.example", "bob@site.example"]
            assert client.send("ann@client.example", recipients, mail(subject, body=b"old\r\n" * 40_000)).code == 250
            received = sink.wait_for_subject(subject)
            client.quit()
            assert len(proxy.same_bytes()) == 1
        gateway.end()
        assert received.recipients == ("bob@site.example",)
        assert without_received(received) == mail(subject, b"X-New: v", body=b"new\r\n" * 40_000)
        assert sum(data["size"] for data in proxy.said("REPLBODY")) == 200_000
        assert [data["code"] for data in proxy.said("REPLYCODE")] == [550]

    @pytest.mark.case("snoop: no milter behind it")
    def test_without_a_milter_the_mta_does_its_default(
        self, mta: Mta, connect: Connect, milter_port: int, tmp_path: Path
    ) -> None:
        with snooped(milter_port, free_port(), tmp_path):
            assert connect(mta).mail("ann@client.example").code == 451
