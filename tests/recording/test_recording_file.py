"""Recordings in files: what is written can be read again, and with pseudonyms nothing of people is left."""

import json
import os
import re
import resource
import signal
import stat
import time
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from gateway_harness import CONTENT, ENVELOPE, EOM, Backend, P, gateway
from hypothesis import given
from hypothesis import strategies as st

from gateway.contract.schema import request_schema
from gateway.recording import Archive, Bounds, Exchange, Journal, RecordingError, Redaction
from gateway.recording.journal import as_line, read

ANSWERS = {
    "rcpt": {"action": "reject", "reply": {"text": "bob@y.test is away"}},
    "mail": {"annotations": {"who": "ann"}},
}


async def exchanges() -> list[Exchange]:
    """Those of a real mail."""
    archive = Archive(Bounds(), recording=True)
    odd = P(b"LX-Odd\0 caf\xe9 \xff Ann@X.test [192.0.2.77]\0")
    async with Backend(ANSWERS) as backend, gateway(backend, archive=archive) as gw:
        async with gw.peer() as mta:
            await mta.start(steps=0)
            await mta.exchange(ENVELOPE[0])
            await mta.send(ENVELOPE[1])
            await mta.packet()
            backend.answers = {}
            await mta.exchange(*ENVELOPE, *CONTENT[:2], odd, *CONTENT[2:])
            await mta.send(EOM)
            await mta.packets_until_reply()
            await mta.quit()
        await gw.idle()
    return list(reversed(list(archive.exchanges())))


async def test_what_is_written_is_read_again(tmp_path: Path):
    written = await exchanges()
    path = tmp_path / "file.jsonl"
    journal = Journal(path)
    for item in written:
        journal.keep(item)
    journal.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = list(read(path))
    assert len(again) == len(written) > 8
    for old, new in zip(written, again, strict=True):
        assert new.request == old.request
        assert json.loads(new.response or b"{}") == json.loads(old.response or b"{}")
        assert (new.id, new.event, new.action, new.tries) == (old.id, old.event, old.action, old.tries)


async def test_a_file_is_appended_to_and_begun_anew_at_its_bound(tmp_path: Path):
    path = tmp_path / "file.jsonl"
    for item in (await exchanges())[:3]:
        journal = Journal(path, size=10_000)
        journal.keep(item)
        journal.close()
    assert len(path.read_text().splitlines()) == 3
    journal = Journal(path, size=100)
    journal.keep(item)
    journal.close()
    assert path.read_text() == ""
    assert len((tmp_path / "file.jsonl.1").read_text().splitlines()) == 4


async def test_half_a_line_of_a_killed_program_is_cut_off_and_one_being_written_is_left_out(tmp_path: Path):
    path = tmp_path / "file.jsonl"
    written = await exchanges()
    for half in (b'{"format":1,"id":"x', b""):
        journal = Journal(path)
        journal.keep(written[0])
        journal.close()
        with path.open("ab") as file:
            file.write(half)
    assert [item.id for item in read(path)] == [written[0].id] * 2
    with path.open("ab") as file:
        file.write(b'{"format":1,"id":"x')
    assert len(list(read(path))) == 2


async def test_what_does_not_fit_on_the_disk_leaves_no_half_line(tmp_path: Path):
    (first, second, *_) = [item for item in await exchanges() if item.request]
    path = tmp_path / "file.jsonl"
    journal = Journal(path)
    journal.keep(first)
    journal.close()
    size = path.stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, limits[1]))
        journal = Journal(path)
        journal.keep(second)
        journal.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert path.stat().st_size == size
    assert [item.id for item in read(path)] == [first.id]


async def test_a_file_that_cannot_be_begun_anew_is_gone_on_with(tmp_path: Path):
    (first, second, *_) = await exchanges()
    path = tmp_path / "file.jsonl"
    journal = Journal(path, size=100)
    (descriptor,) = [int(link.name) for link in Path("/proc/self/fd").iterdir() if _target(link) == str(path)]
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptor, limits[1]))
    try:
        journal.keep(first)
        journal.keep(second)
        journal.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert [item.id for item in read(tmp_path / "file.jsonl.1")] == [first.id, second.id]
    assert not path.exists()


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


async def test_a_line_that_cannot_be_made_costs_that_line_alone(tmp_path: Path):
    (first, *_) = [item for item in await exchanges() if item.request]
    deep = b'{"context":{"session":' + b"[" * 900 + b"]" * 900 + b"}}"
    journal = Journal(tmp_path / "file.jsonl", Redaction())
    for item in (msgspec.structs.replace(first, response=deep, answer_type="application/json"), first):
        journal.keep(item)
    journal.close()
    assert [item.id for item in read(tmp_path / "file.jsonl")] == [first.id]


async def test_a_disk_that_hangs_does_not_hold_up_the_end_of_the_program(tmp_path: Path):
    (first, *_) = [item for item in await exchanges() if item.request]
    path = tmp_path / "pipe"
    os.mkfifo(path)
    journal = Journal(path)
    journal.keep(msgspec.structs.replace(first, request=b'"' + b"x" * 1_000_000 + b'"'))
    began = time.monotonic()
    journal.close(0.1)
    assert time.monotonic() - began < 5
    with path.open("rb") as reader:  # so that the thread ends as well
        assert len(reader.readline()) > 1_000_000


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nonsense\n", ":1: this is no recorded exchange"),
        ('\n{"format": 2}\n', ":2: this is no recorded exchange: `format` is not 1"),
        ('{"format": 1}\n', "this is no recorded exchange"),
        ("[]\n", "`format` is not 1"),
        ('{"request": ' + "[" * 995 + "]" * 995 + "}\n", ":1: this is no recorded exchange: maximum recursion depth"),
    ],
)
def test_what_is_no_recording_is_refused(tmp_path: Path, text: str, reason: str):
    path = tmp_path / "file"
    path.write_text(text)
    with pytest.raises(RecordingError) as caught:
        list(read(path))
    assert reason in str(caught.value)


@pytest.mark.parametrize("name", ["id", "session_id", "event", "content_type"])
@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "\x1b[31m", "\u4e2d", 1])
async def test_what_would_break_the_header_of_a_call_is_refused(tmp_path: Path, name: str, value: object):
    path = tmp_path / "file.jsonl"
    path.write_bytes(msgspec.json.encode(as_line((await exchanges())[0]) | {name: value}) + b"\n")
    with pytest.raises(RecordingError, match=f":1: this is no recorded exchange: `{name}` is no line of ASCII"):
        list(read(path))


async def test_a_redacted_recording_names_nobody_and_is_still_in_the_contract():
    redaction = Redaction(b"key")
    validator = jsonschema.Draft202012Validator(request_schema())
    text = ""
    senders = set()
    for item in await exchanges():
        line = redaction(as_line(item))
        validator.validate(line["request"])
        text += json.dumps(line)
        if line["event"] == "body":
            assert line["request"]["data"]["text"] != json.loads(item.request or b"")["data"]["text"]
        envelope = line["request"]["envelope"]
        senders |= {envelope["from"]["address"]} if envelope and envelope["from"] else set()
    for word in ("a@x.test", "b@y.test", "Ann@X", "192.0.2.77", "192.0.2.1", "caf", "away", "_base64"):
        assert word not in text, word
    (sender,) = senders
    assert re.fullmatch(r"[a-z]@[a-z]\.[a-z]{4}", sender)


WHO = "Bartholomewson"
TOKEN = f"{WHO}@cunningham.example"


def everywhere() -> dict[str, Any]:
    """A line with the same person in every place where a person can be."""
    change = {"op": "add_header", "name": "X-Who", "value": TOKEN, "at": "start"}
    free = {TOKEN: [{"id": TOKEN, "type": {WHO: 1}, "status": TOKEN}]}
    path = {"address": TOKEN, "address_base64": "QmFydGhvbG9tZXdzb24=", "params": {"SIZE": "81", WHO.upper(): WHO}}
    headers = [
        {"name": "From", "value": f"{WHO} <{TOKEN}>", "field_base64": "QmFydGhvbG9tZXdzb24="},
        {"name": "Date", "value": f"Mon, 23 Nov 2026 09:20:03 +0000 ({WHO})"},
        {"name": "Content-Type", "value": f'text/plain; charset=utf-8; name="{WHO}.pdf";\n boundary="{TOKEN}"'},
        {"name": "MIME-Version", "value": f"1.0 ({WHO})"},
        {"name": "Received", "value": f"from {WHO} ([192.0.2.77]) by x ([IPv6:2001:db8::77])"},
    ]
    attachment = {"part_id": "2", "name": WHO, "type": "text/plain", "sha256": "ab" * 32, "cid": TOKEN, "size": 3}
    request: dict[str, Any] = {
        "version": 1, "id": "019b0c1e-7f00-7a11-8000-5d1c2f00aa07", "event": "unknown", "webhook": "w",
        "mta": {"name": "mx.site.example", "software": "Postfix 3.9.1", "events": ["rcpt"], "changes": ["add_header"]},
        "client": {"name": WHO, "address": "192.0.2.77", "port": 40112, "family": "inet", "helo": WHO},
        "tls": {"version": "TLSv1.3", "cipher": "C", "bits": 256, "cert_subject": WHO, "cert_issuer": WHO},
        "auth": {"mechanism": "PLAIN", "user": WHO, "author": TOKEN},
        "envelope": {"from": path, "to": [path]},
        "data": {"command": f"RCTP TO:<{TOKEN}>"},
        "message": {"size": 1, "headers": headers, "body": {"text": f"--{TOKEN}\r\ndear {WHO}"},
                    "parsed": {"subject": WHO, "to": [{"name": WHO, "email": TOKEN}], "attachments": [attachment]}},
        "macros": {"i": "4c2X", "{auth_authen}": WHO, "{mail_addr}": TOKEN, "{auth_authen}_base64": "QmFydA=="},
        "previous": [{"webhook": "spf", "action": "continue", "annotations": free}],
        "context": {"session": free, "transaction": TOKEN},
    }  # fmt: skip
    response = {
        "action": TOKEN, "reply": {"code": 550, "enhanced": "5.7.1", "text": [f"{WHO} is away"]},
        "changes": [change, {"op": "delete_header", "name": "Subject"}, {"op": "replace_body", "base64": "QmFydA=="},
                    {"op": TOKEN}, {"op": "add_rcpt", **path}],
        "context": {"session": free}, "annotations": free, "warnings": [TOKEN], f"x_{WHO}": {"id": TOKEN},
        "next": ["rcpt", TOKEN], "wants": {"events": ["rcpt"], "macros": {"connect": ["j"]}}, WHO: {"type": WHO},
    }  # fmt: skip
    tries = [{"number": 1, "url": "http://w/", "elapsed_ms": 1, "status": None, "error": TOKEN}]
    return {"format": 1, "event": "unknown", "failure": f"bad: {TOKEN}", "tries": tries, "request": request,
            "response": response, "response_base64": "QmFydA=="}  # fmt: skip


def test_nobody_is_left_anywhere_in_a_redacted_line():
    text = json.dumps(Redaction(b"key")(everywhere())).lower()
    for trace in (WHO, "cunningham", "QmFydG", "192.0.2.77", "2001:db8", "abababab"):
        assert trace.lower() not in text, trace


def test_a_person_has_one_pseudonym_in_envelope_fields_body_and_answers():
    redaction = Redaction(b"key")
    line = redaction(everywhere())
    request, response = line["request"], line["response"]
    address, who = redaction.text(TOKEN), redaction.text(WHO)
    assert request["envelope"]["to"][0]["address"] == address
    assert request["message"]["headers"][0] == {"name": "From", "value": f"{who} <{address}>"}
    assert who in request["message"]["body"]["text"]
    assert address in request["data"]["command"]
    assert response["changes"][0] == {"op": "add_header", "name": "X-Who", "value": address, "at": "start"}
    assert response["changes"][1] == {"op": "delete_header", "name": "Subject"}
    assert request["client"]["address"] in request["message"]["headers"][4]["value"]
    assert redaction.text("2001:db8::77") in request["message"]["headers"][4]["value"]


def test_what_tells_how_to_read_a_message_stays():
    line = Redaction(b"key")(everywhere())
    headers = {item["name"]: item["value"] for item in line["request"]["message"]["headers"]}
    assert headers["Date"] != "Mon, 23 Nov 2026 09:20:03 +0000"
    assert Redaction(b"key")._field("date", "Mon, 23 Nov 2026 09:20:03 +0000") == "Mon, 23 Nov 2026 09:20:03 +0000"
    assert headers["Content-Type"].startswith("text/plain; charset=utf-8; ")
    boundary = re.search(r'"([^"]*)"$', headers["Content-Type"])
    assert boundary is not None
    assert line["request"]["message"]["body"]["text"].startswith(f"--{boundary[1]}\r\n")
    assert line["request"]["mta"]["changes"] == ["add_header"]
    assert (line["response"]["wants"], line["redacted"]) == (
        {"events": ["rcpt"], "macros": {"connect": ["j"]}},
        True,
    )
    assert line["response"]["reply"]["code"] == 550


def strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in strings(item)]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    return [value] if isinstance(value, str) else []


@given(st.text(max_size=60))
def test_pseudonyms_are_the_same_each_time_and_as_long(text: str):
    redaction = Redaction(b"key")
    once = redaction.text(text)
    assert once == redaction.text(text)
    if not re.search(r"[\d:]", text):
        assert len(once) == len(text)
    for word in re.findall(r"[^\W\d_]{6,}", text):
        assert word not in once


def test_addresses_stay_addresses():
    redaction = Redaction(b"key")
    assert re.fullmatch(r"10\.\d+\.\d+\.\d+", redaction.text("192.0.2.1"))
    assert redaction.text("[192.0.2.1]")[1:-1] == redaction.text("192.0.2.1")
    assert redaction.text("2001:db8::1").startswith("fd")
    assert redaction.text("127.0.0.1") == "127.0.0.1"
    shouted = redaction.text("SALE 50% off, Bob")
    assert re.fullmatch(r"[A-Z]{4} \d\d% [a-z]{3}, [A-Z][a-z]{2}", shouted)


def test_pseudonyms_of_another_recording_are_others():
    assert Redaction(b"key").text("Bartholomew Cunningham") != Redaction(b"other").text("Bartholomew Cunningham")
