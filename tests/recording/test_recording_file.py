"""Recordings in files: what is written can be read again, and with pseudonyms nothing of people is left."""

import json
import re
import stat
from pathlib import Path
from typing import Any

import jsonschema
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


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nonsense\n", ":1: this is no recorded exchange"),
        ('\n{"format": 2}\n', ":2: this is no recorded exchange: `format` is not 1"),
        ('{"format": 1}\n', "this is no recorded exchange"),
        ("[]\n", "`format` is not 1"),
    ],
)
def test_what_is_no_recording_is_refused(tmp_path: Path, text: str, reason: str):
    path = tmp_path / "file"
    path.write_text(text)
    with pytest.raises(RecordingError) as caught:
        list(read(path))
    assert reason in str(caught.value)


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
