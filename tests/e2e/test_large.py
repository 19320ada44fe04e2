"""Big mail."""

import base64
from collections.abc import Callable

import pytest

from .backend import Answer, Backend
from .conftest import Gateways
from .mails import mail, without_received
from .mta import Mta
from .sink import Sink
from .smtp_client import SmtpClient

Connect = Callable[[Mta], SmtpClient]
END: dict[str, object] = {"events": ["end_of_message"]}
MIB = 1024 * 1024
LINE = b"0123456789 abcdefghij %s klmnopqrstuvwxyz.,-" * 16
TEXT = b"".join(b"%08d " % number + LINE + b"\r\n" for number in range(20 * MIB // (len(LINE) + 11)))
BYTES = TEXT.replace(b"a", b"\xe9")


def send(client: SmtpClient, message: bytes) -> int:
    client.mail("ann@client.example", "BODY=8BITMIME")
    client.rcpt("bob@site.example")
    return client.data(message, within=60).code


class TestTwentyMegabytes:
    @pytest.mark.case("20 MB through")
    @pytest.mark.parametrize("form", ["json", "multipart"])
    @pytest.mark.parametrize("body", [TEXT, BYTES], ids=["text", "bytes"])
    def test_seen_and_delivered(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str, form: str,
        body: bytes,
    ) -> None:  # fmt: skip
        gateway(END | {"format": form})
        message = mail(subject, body=body)
        assert send(connect(mta), message) == 250
        assert without_received(sink.wait_for_subject(subject, 60)) == message
        request = backend.calls("end_of_message")[0]
        if form == "multipart":
            assert request.parts["message"] == message
        elif body is TEXT:
            assert request.json["message"]["body"] == {"text": body.decode()}
        else:
            assert base64.b64decode(request.json["message"]["body"]["base64"]) == body
        assert request.json["data"] == {"size": len(message), "truncated": False}

    @pytest.mark.case("20 MB replaced")
    @pytest.mark.parametrize("form", ["json", "multipart"])
    def test_replaced(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str, form: str
    ) -> None:
        gateway(END | {"format": form})
        new = mail(subject, b"X-New: v", body=BYTES)
        if form == "json":
            added = {"op": "add_header", "name": "X-New", "value": "v"}
            replaced = {"op": "replace_body", "base64": base64.b64encode(BYTES).decode()}
            backend.on("end_of_message", {"changes": [added, replaced]})
        else:
            head = b'--b\r\nContent-Disposition: form-data; name="%s"\r\nContent-Type: %s\r\n\r\n'
            response = head % (b"response", b"application/json") + b"{}\r\n"
            parts = response + head % (b"message", b"message/rfc822") + new + b"\r\n--b--\r\n"
            backend.on("end_of_message", Answer(body=parts, content_type="multipart/form-data; boundary=b"))
        assert send(connect(mta), mail(subject, body=TEXT)) == 250
        assert without_received(sink.wait_for_subject(subject, 60)) == new


class TestTooLarge:
    MESSAGE_BYTES = 100_000
    BODY = TEXT[:200_000] + b"\r\n"

    @pytest.mark.case("beyond message_bytes")
    @pytest.mark.parametrize("policy", ["tempfail", "continue", "truncate", "headers"])
    def test_on_too_large(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str, policy: str
    ) -> None:
        gateway(END | {"on_too_large": policy}, limits={"message_bytes": f"{self.MESSAGE_BYTES}B"})
        message = mail(subject, body=self.BODY)
        code = send(connect(mta), message)
        assert code == (451 if policy == "tempfail" else 250)
        if policy != "tempfail":
            assert without_received(sink.wait_for_subject(subject)) == message
        calls = backend.calls()
        assert len(calls) == (0 if policy in ("tempfail", "continue") else 1)
        for call in calls:
            assert call.json["data"] == {"size": len(message), "truncated": True}
            shown = call.json["message"]
            assert len(shown["headers"]) == 5
            assert ("body" in shown) == (policy == "truncate")
            if policy == "truncate":
                assert self.BODY.decode().startswith(shown["body"]["text"])
                assert len(mail(subject, body=shown["body"]["text"].encode())) == self.MESSAGE_BYTES
