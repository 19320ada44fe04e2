"""What webhooks change, and what arrives then, byte for byte."""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from .backend import Answer, Backend, Json
from .conftest import Gateways
from .mails import Lines, joined, lines_of, lines_received, mail, without_received
from .mta import Mta
from .sink import Sink
from .smtp_client import SmtpClient

Connect = Callable[[Mta], SmtpClient]
Changes = list[dict[str, Any]]
END = {"events": ["end_of_message"]}
TAGS = (b"X-Tag: one", b"X-Other: same", b"x-tag: two", b"X-Fold: a\r\n b\r\n\tc", b"X-Tag: three")
"""Fields 5 to 9 of every message here."""
FIRST = 5


def add(name: str, value: str, at: str | int | None = None) -> dict[str, Any]:
    change: dict[str, Any] = {"op": "add_header", "name": name, "value": value}
    return change if at is None else change | {"at": at}


def set_to(name: str, value: str) -> dict[str, Any]:
    return {"op": "set_header", "name": name, "value": value}


def change(name: str, nth: int, value: str) -> dict[str, Any]:
    return {"op": "change_header", "name": name, "nth": nth, "value": value}


def delete(name: str, nth: int | str | None = None) -> dict[str, Any]:
    gone: dict[str, Any] = {"op": "delete_header", "name": name}
    return gone if nth is None else gone | {"nth": nth}


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@dataclass(frozen=True)
class Case:
    """Changes of the header; ``tags`` are the message's own fields afterwards, ``top`` and ``end`` those added."""

    title: str
    changes: Changes
    tags: tuple[bytes, ...] = TAGS
    top: tuple[bytes, ...] = ()
    end: tuple[bytes, ...] = ()


ONE, OTHER, TWO, FOLD, THREE = TAGS
CASES = [
    Case("nothing", []),
    Case("add at the end", [add("X-New", "v")], end=(b"X-New: v",)),
    Case("add at the end a name that exists", [add("X-Tag", "four")], end=(b"X-Tag: four",)),
    Case("add two of one name", [add("X-New", "1"), add("X-New", "2", "end")], end=(b"X-New: 1", b"X-New: 2")),
    Case("add to both", [add("X-New", "1", "start"), add("X-New", "2")], top=(b"X-New: 1",), end=(b"X-New: 2",)),
    Case("add at 0", [add("X-New", "v", 0)], top=(b"X-New: v",)),
    Case("add two at 0", [add("X-New", "1", 0), add("X-New", "2", 0)], top=(b"X-New: 1", b"X-New: 2")),
    Case("add beyond the end", [add("X-New", "v", 99)], end=(b"X-New: v",)),
    Case("add two at the start", [add("X-A", "1", "start"), add("X-B", "2", "start")], top=(b"X-A: 1", b"X-B: 2")),
    Case("add a folded value", [add("X-New", "a\n b\n\tc")], end=(b"X-New: a\r\n b\r\n\tc",)),
    Case("add a value folded with CRLF", [add("X-New", "a\r\n b")], end=(b"X-New: a\r\n b",)),
    Case("add an empty value", [add("X-New", "")], end=(b"X-New: ",)),
    Case("add a value with spaces", [add("X-New", "  v  ")], end=(b"X-New:   v  ",)),
    Case("add UTF-8", [add("X-New", "caf\u00e9 \U0001f4e8")], end=("X-New: caf\u00e9 \U0001f4e8".encode(),)),
    Case(
        "add bytes that are no UTF-8",
        [{"op": "add_header", "name": "X-New", "value_base64": b64(b"caf\xe9")}],
        end=(b"X-New: caf\xe9",),
    ),
    Case("set one that is there once", [set_to("X-Other", "new")], (ONE, b"X-Other: new", TWO, FOLD, THREE)),
    Case("set one that is there thrice", [set_to("X-Tag", "new")], (b"X-Tag: new", OTHER, FOLD)),
    Case("set one that is not there", [set_to("X-New", "v")], end=(b"X-New: v",)),
    Case("set to the same value", [set_to("X-Other", "same")]),
    Case("change the first", [change("X-Tag", 1, "new")], (b"X-Tag: new", OTHER, TWO, FOLD, THREE)),
    Case("change the second", [change("X-Tag", 2, "new")], (ONE, OTHER, b"x-tag: new", FOLD, THREE)),
    Case("change the third", [change("x-tag", 3, "new")], (ONE, OTHER, TWO, FOLD, b"X-Tag: new")),
    Case("change to a fold", [change("X-Other", 1, "a\n b")], (ONE, b"X-Other: a\r\n b", TWO, FOLD, THREE)),
    Case("change one that is not there", [change("X-Tag", 4, "v"), change("X-New", 1, "v")]),
    Case("change a folded one", [change("X-Fold", 1, "flat")], (ONE, OTHER, TWO, b"X-Fold: flat", THREE)),
    Case("delete all", [delete("X-Tag")], (OTHER, FOLD)),
    Case("delete all by word", [delete("x-TAG", "all")], (OTHER, FOLD)),
    Case("delete the first", [delete("X-Tag", 1)], (OTHER, TWO, FOLD, THREE)),
    Case("delete the second", [delete("X-Tag", 2)], (ONE, OTHER, FOLD, THREE)),
    Case("delete the first and the third", [delete("X-Tag", 1), delete("X-Tag", 3)], (OTHER, TWO, FOLD)),
    Case("delete one that is not there", [delete("X-Tag", 4), delete("X-New")]),
    Case(
        "delete the first and change the third",
        [delete("X-Tag", 1), change("X-Tag", 3, "new")],
        (OTHER, TWO, FOLD, b"X-Tag: new"),
    ),
    Case("delete all and add", [delete("X-Tag"), add("X-Tag", "new")], (OTHER, FOLD), end=(b"X-Tag: new",)),
    Case(
        "the later of two wins",
        [change("X-Tag", 1, "a"), change("X-Tag", 1, "b")],
        (b"X-Tag: b", OTHER, TWO, FOLD, THREE),
    ),
    Case(
        "delete and change of one",
        [delete("X-Other"), change("X-Other", 1, "v")],
        (ONE, b"X-Other: v", TWO, FOLD, THREE),
    ),
]  # fmt: skip


def expected(subject: str, case: Case) -> Lines:
    return [*case.top, *lines_of(subject), *case.tags, *case.end]


class TestHeaders:
    @pytest.mark.case("every change of the header")
    @pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
    def test_what_arrives(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str, case: Case
    ) -> None:
        gateway(END)
        backend.on("end_of_message", {"changes": case.changes})
        client = connect(mta)
        client.mail("ann@client.example", "BODY=8BITMIME")
        client.rcpt("bob@site.example")
        assert client.data(mail(subject, *TAGS)).code == 250
        received = sink.wait_for_subject(subject)
        assert lines_received(received) == expected(subject, case)
        assert received.body == b"hello\r\n"

    @pytest.mark.case("add above everything")
    def test_start_is_above_received(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        gateway(END)
        backend.on("end_of_message", {"changes": [add("X-Top", "v", "start"), add("X-Below", "v", 0)]})
        connect(mta).send("ann@client.example", ["bob@site.example"], mail(subject))
        assert [name for name, _ in sink.wait_for_subject(subject).fields][:4] == [
            "X-Top",
            "Received",
            "X-Below",
            "From",
        ]

    @pytest.mark.case("add before the n-th field")
    @pytest.mark.parametrize("at", [1, 5, 9])
    def test_n_is_exact_on_postfix(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str, at: int
    ) -> None:
        gateway(END)
        backend.on("end_of_message", {"changes": [add("X-A", "1", at), add("X-B", "2", at)]})
        connect(mta).send("ann@client.example", ["bob@site.example"], mail(subject, *TAGS))
        lines = lines_received(sink.wait_for_subject(subject))
        before = [*lines_of(subject), *TAGS]
        if mta.name == "postfix":
            assert lines == [*before[:at], b"X-A: 1", b"X-B: 2", *before[at:]]
        else:  # Sendmail counts fields that it does not show: only there, and nothing else moved
            assert lines.index(b"X-A: 1") < lines.index(b"X-B: 2")
            assert [line for line in lines if line not in (b"X-A: 1", b"X-B: 2")] == before

    @pytest.mark.case("deletions do not shift positions")
    def test_positions_are_those_of_the_request(
        self, postfix: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        gateway(END)
        changes = [delete("X-Tag", 1), delete("From"), add("X-New", "v", FIRST + 2), change("X-Tag", 2, "new")]
        backend.on("end_of_message", {"changes": changes})
        connect(postfix).send("ann@client.example", ["bob@site.example"], mail(subject, *TAGS))
        lines = lines_received(sink.wait_for_subject(subject))
        assert lines == [*lines_of(subject)[1:], OTHER, b"X-New: v", b"x-tag: new", FOLD, THREE]

    @pytest.mark.case("bytes of the header are exact")
    def test_every_byte_can_be_rebuilt(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        odd = (b"X-None:v", b"X-Two:  v", b"X-Tab:\tv", b"X-Latin: caf\xe9", b"X-Trail: v ", "X-Utf: \u00e9".encode())
        gateway(END)
        client = connect(mta)
        client.mail("ann@client.example", "BODY=8BITMIME")
        client.rcpt("bob@site.example")
        client.data(mail(subject, *odd, body=b"caf\xe9\r\n"))
        content = without_received(sink.wait_for_subject(subject))
        assert content == mail(subject, *odd, body=b"caf\xe9\r\n")
        assert rebuilt(backend.last("end_of_message")["message"]) == content


def rebuilt(message: Json) -> bytes:
    """The message's bytes from what the request says of it."""
    lines = []
    for field in message["headers"]:
        if "field_base64" in field:
            whole = base64.b64decode(field["field_base64"])
        else:
            value = base64.b64decode(field["value_base64"]) if "value_base64" in field else field["value"].encode()
            whole = field["name"].encode() + b": " + value
        lines.append(whole.replace(b"\n", b"\r\n"))
    body = message["body"]
    return joined(lines, base64.b64decode(body["base64"]) if "base64" in body else body["text"].encode())


class TestBodies:
    @pytest.mark.case("replace_body")
    @pytest.mark.parametrize(
        "new",
        [
            b"",
            b"short\r\n",
            b".\r\n..\r\n",
            b"caf\xe9 \x01\r\n",
            "caf\u00e9\r\n".encode() * 3,
            b"".join(b"%070d\r\n" % number for number in range(4000)),
            (b"x" * 62 + b"\r\n") * 2000,
        ],
        ids=["empty", "short", "dots", "bytes", "utf-8", "4000 lines", "a CRLF at the border of two chunks"],
    )
    def test_what_arrives(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str, new: bytes
    ) -> None:
        gateway(END)
        backend.on("end_of_message", {"changes": [{"op": "replace_body", "base64": b64(new)}]})
        client = connect(mta)
        client.mail("ann@client.example", "BODY=8BITMIME")
        client.rcpt("bob@site.example")
        assert client.data(mail(subject, *TAGS)).code == 250
        assert without_received(sink.wait_for_subject(subject)) == mail(subject, *TAGS, body=new)

    @pytest.mark.case("replace_body with headers")
    def test_together_with_a_header(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        gateway(END)
        changes = [{"op": "replace_body", "text": "new\r\n" * 20_000}, add("X-New", "v"), delete("X-Other")]
        backend.on("end_of_message", {"changes": changes})
        assert connect(mta).send("ann@client.example", ["bob@site.example"], mail(subject, OTHER)).code == 250
        content = without_received(sink.wait_for_subject(subject))
        assert content == mail(subject, b"X-New: v", body=b"new\r\n" * 20_000)

    @pytest.mark.case("an empty body")
    def test_message_without_a_body(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        gateway()
        assert connect(mta).send("ann@client.example", ["bob@site.example"], mail(subject, body=b"")).code == 250
        assert without_received(sink.wait_for_subject(subject)) == mail(subject, body=b"")
        assert backend.last("end_of_message")["message"]["body"] == {"text": ""}
        assert "body" not in backend.events()


class TestWholeMessages:
    NEW = (b"X-Tag: one", b"X-Other: new", b"X-Fold: a\r\n b\r\n\tc", b"X-More: 1", b"X-Tag: three", b"X-More: 2")

    @pytest.mark.case("replace_message")
    @pytest.mark.parametrize("form", ["json", "multipart"])
    @pytest.mark.parametrize("body", [b"hello\r\n", b"other\r\n"], ids=["same body", "other body"])
    def test_what_arrives(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str, form: str,
        body: bytes,
    ) -> None:  # fmt: skip
        gateway(END | {"format": form})
        new = mail(subject, *self.NEW, body=body)
        backend.on("end_of_message", {"changes": [{"op": "replace_message", "base64": b64(new)}]})
        assert connect(mta).send("ann@client.example", ["bob@site.example"], mail(subject, *TAGS)).code == 250
        received = sink.wait_for_subject(subject)
        if mta.name == "postfix":
            assert without_received(received) == new
        else:  # in between Sendmail cannot place a new field exactly
            assert sorted(lines_received(received)) == sorted([*lines_of(subject), *self.NEW])
            assert received.body == body

    @pytest.mark.case("replace_message in a multipart answer")
    def test_multipart_answer(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        gateway(END | {"format": "multipart"})
        new = mail(subject, b"X-Tag: new", body=b"caf\xe9\r\n")
        form = (
            b'--b\r\nContent-Disposition: form-data; name="response"\r\nContent-Type: application/json\r\n\r\n'
            b'{"changes":[{"op":"add_header","name":"X-Seen","value":"v"}]}\r\n'
            b'--b\r\nContent-Disposition: form-data; name="message"\r\nContent-Type: message/rfc822\r\n\r\n'
            + new
            + b"\r\n--b--\r\n"
        )
        backend.on("end_of_message", Answer(body=form, content_type="multipart/form-data; boundary=b"))
        client = connect(mta)
        client.mail("ann@client.example", "BODY=8BITMIME")
        client.rcpt("bob@site.example")
        assert client.data(mail(subject, b"X-Tag: old")).code == 250
        content = without_received(sink.wait_for_subject(subject))
        assert content == mail(subject, b"X-Tag: new", b"X-Seen: v", body=b"caf\xe9\r\n")

    @pytest.mark.case("format = multipart")
    def test_multipart_request_has_the_raw_message(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        gateway(END | {"format": "multipart"})
        message = mail(subject, *TAGS, b"X-Latin: caf\xe9", body=b"\xff\x01\r\n.\r\n")
        client = connect(mta)
        client.mail("ann@client.example", "BODY=8BITMIME")
        client.rcpt("bob@site.example")
        assert client.data(message).code == 250
        assert without_received(sink.wait_for_subject(subject)) == message
        assert backend.calls("end_of_message")[0].parts["message"] == message
        assert "body" not in backend.last("end_of_message")["message"]


def everybody(sink: Sink, subject: str, *recipients: str) -> None:
    """Wait until the mail is at all of these, and nobody else; the mail server may have split it."""

    def reached() -> set[str]:
        found = [message for message in sink.messages if message.values("Subject") == [subject]]
        return {address for message in found for address in message.recipients}

    sink.wait(lambda _: reached() >= set(recipients))
    assert reached() == set(recipients)


class TestEnvelope:
    @pytest.mark.case("add_rcpt")
    def test_added_recipient(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        gateway(END)
        changes = [{"op": "add_rcpt", "address": address} for address in ("<eve@site.example>", "bob@site.example")]
        backend.on("end_of_message", {"changes": changes})
        assert connect(mta).send("ann@client.example", ["bob@site.example"], mail(subject)).code == 250
        everybody(sink, subject, "bob@site.example", "eve@site.example")

    @pytest.mark.case("add_rcpt with parameters")
    def test_added_recipient_with_parameters(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        gateway(END)
        added = {"op": "add_rcpt", "address": "eve@site.example", "params": {"NOTIFY": "NEVER"}}
        backend.on("end_of_message", {"changes": [added]})
        assert connect(mta).send("ann@client.example", ["bob@site.example"], mail(subject)).code == 250
        received = sink.wait(lambda message: "eve@site.example" in message.recipients)
        params = dict(zip(received.recipients, received.recipient_params, strict=True))
        assert "NOTIFY=NEVER" in params["eve@site.example"]

    @pytest.mark.case("delete_rcpt")
    @pytest.mark.parametrize("address", ["eve@site.example", "<eve@site.example>"])
    def test_deleted_recipient(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str, address: str
    ) -> None:
        gateway(END)
        changes = [{"op": "delete_rcpt", "address": address}, {"op": "delete_rcpt", "address": "joe@site.example"}]
        backend.on("end_of_message", {"changes": changes})
        recipients = ["eve@site.example", "bob@site.example"]
        assert connect(mta).send("ann@client.example", recipients, mail(subject)).code == 250
        everybody(sink, subject, "bob@site.example")

    @pytest.mark.case("delete_rcpt and add_rcpt")
    def test_recipient_exchanged(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        gateway(END)
        changes = [
            {"op": "delete_rcpt", "address": "bob@site.example"},
            {"op": "add_rcpt", "address": "eve@site.example"},
        ]
        backend.on("end_of_message", {"changes": changes})
        assert connect(mta).send("ann@client.example", ["bob@site.example"], mail(subject)).code == 250
        everybody(sink, subject, "eve@site.example")

    @pytest.mark.case("delete_rcpt of the last one drops the mail")
    def test_last_recipient_deleted(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        gateway(END)
        backend.on("end_of_message", {"changes": [{"op": "delete_rcpt", "address": "bob@site.example"}]})
        client = connect(mta)
        assert client.send("ann@client.example", ["bob@site.example"], mail(f"{subject} gone")).code == 250
        backend.on("end_of_message", {})
        client.send("ann@client.example", ["bob@site.example"], mail(subject))
        sink.wait_for_subject(subject)
        assert [message.values("Subject") for message in sink.messages] == [[subject]]

    @pytest.mark.case("change_from")
    @pytest.mark.parametrize(
        "address", ["eve@other.example", "<eve@other.example>", ""], ids=["plain", "brackets", "null"]
    )
    def test_sender_changed(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str, address: str
    ) -> None:
        gateway(END)
        backend.on("end_of_message", {"changes": [{"op": "change_from", "address": address}]})
        assert connect(mta).send("ann@client.example", ["bob@site.example"], mail(subject)).code == 250
        assert sink.wait_for_subject(subject).sender == address.strip("<>")

    @pytest.mark.case("change_from with parameters")
    def test_sender_changed_with_parameters(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        gateway(END)
        new = {"op": "change_from", "address": "eve@other.example", "params": {"ENVID": "abc", "RET": "HDRS"}}
        backend.on("end_of_message", {"changes": [new]})
        assert connect(mta).send("ann@client.example", ["bob@site.example"], mail(subject)).code == 250
        received = sink.wait_for_subject(subject)
        assert received.sender == "eve@other.example"
        assert {"ENVID=abc", "RET=HDRS"} <= set(received.sender_params)


class TestQuarantine:
    @pytest.mark.case("quarantine really holds")
    def test_held(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        gateway(END)
        changes = [{"op": "quarantine", "reason": "looks odd: 100%"}, add("X-New", "v")]
        backend.on("end_of_message", {"changes": changes})
        assert connect(mta).send("ann@client.example", ["bob@site.example"], mail(subject)).code == 250
        held = mta.held(subject)
        assert held.reason == {"postfix": None, "sendmail": "looks odd: 100%"}[mta.name]
        assert b"X-New: v\n" in held.content
        assert held.recipients == ("bob@site.example",)
        assert sink.messages == []
        mta.purge()

    @pytest.mark.case("quarantine answered early")
    def test_held_as_answered_at_rcpt(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, subject: str
    ) -> None:
        gateway({"events": ["rcpt"]})
        backend.on("rcpt", {"changes": [{"op": "quarantine", "reason": "odd recipient"}]})
        assert connect(mta).send("ann@client.example", ["bob@site.example"], mail(subject)).code == 250
        assert mta.held(subject).reason == {"postfix": None, "sendmail": "odd recipient"}[mta.name]
        mta.purge()


class TestEarlyChanges:
    @pytest.mark.case("changes answered early are held")
    @pytest.mark.parametrize("event", ["mail", "rcpt", "data", "header", "end_of_headers", "body"])
    def test_applied_at_the_end(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str, event: str
    ) -> None:
        gateway({"events": [event]})
        changes = [add("X-New", "v"), {"op": "change_from", "address": "eve@other.example"}]
        first = iter([{"changes": changes}])
        backend.on(event, lambda _: next(first, {}))
        assert connect(mta).send("ann@client.example", ["bob@site.example"], mail(subject)).code == 250
        received = sink.wait_for_subject(subject)
        assert received.sender == "eve@other.example"
        assert without_received(received) == mail(subject, b"X-New: v")

    @pytest.mark.case("end_of_message shows what was changed early")
    def test_shown_at_the_end(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        gateway()
        early = [delete("X-Tag", 1), add("X-New", "v"), {"op": "add_rcpt", "address": "eve@site.example"}]
        backend.on("mail", {"changes": early})
        backend.on("end_of_message", {"changes": [change("X-Tag", 1, "new"), delete("X-Other")]})
        assert connect(mta).send("ann@client.example", ["bob@site.example"], mail(subject, *TAGS)).code == 250

        shown = backend.last("end_of_message")
        assert [one["address"] for one in shown["envelope"]["to"]] == ["bob@site.example", "eve@site.example"]
        names = [field["name"] for field in shown["message"]["headers"]][FIRST:]
        assert names == ["X-Other", "x-tag", "X-Fold", "X-Tag", "X-New"]
        everybody(sink, subject, "bob@site.example", "eve@site.example")
        received = sink.wait_for_subject(subject)
        assert lines_received(received) == [*lines_of(subject), b"x-tag: new", FOLD, THREE, b"X-New: v"]

    @pytest.mark.case("a change at rcpt falls with that recipient")
    def test_refused_recipient_takes_its_changes_along(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        gateway({"url": backend.url("/first"), "events": ["rcpt"]}, {"url": backend.url("/second"), "events": ["rcpt"]})
        backend.on("rcpt", lambda event: {"changes": [add("X-For", event["data"]["address"])]}, "/first")
        backend.on("rcpt", lambda event: {"action": "reject"} if event["data"]["address"][0] == "e" else {}, "/second")
        recipients = ["bob@site.example", "eve@site.example"]
        assert connect(mta).send("ann@client.example", recipients, mail(subject)).code == 250
        assert sink.wait_for_subject(subject).values("X-For") == ["bob@site.example"]

    @pytest.mark.case("changes fall with the refusal and the abort")
    def test_nothing_left_for_the_next_message(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        gateway({"events": ["mail", "end_of_message"]})
        backend.on("mail", {"changes": [add("X-Old", "v")]})
        client = connect(mta)
        backend.on("end_of_message", {"action": "reject"})
        assert client.send("ann@client.example", ["bob@site.example"], mail(f"{subject} refused")).code == 550
        backend.on("end_of_message", {})
        client.mail("ann@client.example")
        client.rset()
        backend.on("mail", {})
        assert client.send("ann@client.example", ["bob@site.example"], mail(subject)).code == 250
        assert without_received(sink.wait_for_subject(subject)) == mail(subject)

    @pytest.mark.case("changes without seeing the header")
    def test_header_negotiated_away(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str
    ) -> None:
        gateway({"events": ["rcpt"]})
        backend.on("rcpt", {"changes": [add("X-New", "v", "start"), delete("X-Tag"), set_to("X-Other", "new")]})
        assert connect(mta).send("ann@client.example", ["bob@site.example"], mail(subject, *TAGS)).code == 250
        lines = lines_received(sink.wait_for_subject(subject))
        assert lines == [b"X-New: v", *lines_of(subject), b"X-Other: new", FOLD]


class TestInvalidAnswers:
    @pytest.mark.case("an invalid answer applies nothing")
    @pytest.mark.parametrize(
        "answer",
        [
            {"changes": [add("X-New", "v"), add("X-New", "a\nInjected: x")]},
            {"changes": [add("X New", "v")]},
            {"changes": [add("X-New", "v"), {"op": "add_rcpt", "address": "a@b\r\nRCPT TO:<c@d>"}]},
            {"action": "reject", "reply": {"text": "a\r\nb"}},
            {"action": "reject", "reply": {"code": 250}},
            {"acton": "reject"},
            Answer(body=b"not json"),
            Answer(body=b"{}", content_type="text/html"),
        ],
    )
    def test_tempfail(
        self, mta: Mta, gateway: Gateways, backend: Backend, connect: Connect, sink: Sink, subject: str,
        answer: Json | Answer,
    ) -> None:  # fmt: skip
        running = gateway(END)
        backend.on("end_of_message", answer)
        client = connect(mta)
        reply = client.send("ann@client.example", ["bob@site.example"], mail(f"{subject} refused"))
        assert (reply.code, reply.text[:23]) == (451, "4.7.1 Try again later (")
        assert running.logged("webhook failed")["cause"] == "invalid"
        backend.on("end_of_message", {})
        assert client.send("ann@client.example", ["bob@site.example"], mail(subject)).code == 250
        assert without_received(sink.wait_for_subject(subject)) == mail(subject)
        assert [message.values("Subject") for message in sink.messages] == [[subject]]
