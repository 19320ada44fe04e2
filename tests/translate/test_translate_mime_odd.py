"""Whatever a mail contains, `message.parsed` is made of it: within its schema, and it says what was amiss."""

import hashlib
import json
from collections import Counter
from email import errors, message_from_bytes
from email.message import Message

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from odd_messages import odd_messages

from gateway.contract import request as r
from gateway.contract.schema import request_schema
from gateway.mail.fields import Field
from gateway.translate.mime import FAULTS, Memory, parse

MESSAGES = odd_messages()
SCHEMA = request_schema()
VALIDATOR = jsonschema.Draft202012Validator({"$ref": "#/$defs/Parsed", "$defs": SCHEMA["$defs"]})


def split(raw: bytes) -> tuple[list[Field], bytes]:
    """Fields and body as an MTA tells them apart; lines that are no field end the header."""
    pairs: list[tuple[bytes, bytes]] = []
    while raw:
        line, found, rest = raw.partition(b"\r\n")
        if not line:
            return [Field(*pair) for pair in pairs], rest if found else b""
        name, colon, value = line.partition(b":")
        if line[:1] in (b" ", b"\t") and pairs:
            pairs[-1] = (pairs[-1][0], pairs[-1][1] + b"\n" + line)
        elif colon and name.strip():
            pairs.append((name, value))
        else:
            break
        raw = rest
    return [Field(*pair) for pair in pairs], raw


def parsed(raw: bytes) -> r.Parsed:
    fields, body = split(raw)
    return parse(fields, Memory(body))


def checked(made: r.Parsed) -> None:
    """It can be sent, and the schema knows it."""
    sent = msgspec.json.encode(made).decode("utf-8", "strict")
    VALIDATOR.validate(json.loads(sent))
    assert "\\u0000" not in sent
    for item in made.attachments:
        assert (
            not isinstance(item.base64, str)
            or hashlib.sha256(msgspec.convert(item.base64, bytes)).hexdigest() == item.sha256
        )


def test_there_are_a_thousand_and_they_are_the_same_each_time() -> None:
    assert len(set(MESSAGES)) > 950
    assert MESSAGES[::100] == odd_messages()[::100]


@pytest.mark.parametrize("start", range(0, 1000, 100))
def test_odd_messages_are_parsed_or_come_with_defects(start: int) -> None:
    for raw in MESSAGES[start : start + 100]:
        checked(parsed(raw))


def contents_by_another_parser(raw: bytes) -> Counter[str] | None:
    """Hashes of all leaves as the standard library finds them; None where it is not sure itself, or knows less."""
    head = raw.partition(b"\r\n\r\n")[0].replace(b"\r\n", b"")
    whole = message_from_bytes(raw)
    parts = list(whole.walk())
    odd = any(part.defects or part.get_content_maintype() == "message" for part in parts)
    if odd or b"\n" in head or b"uue" in raw.lower():  # it decodes uuencode
        return None
    return Counter(content_hash(part) for part in parts if not part.is_multipart())


def content_hash(part: Message) -> str:
    encoding = str(part.get("content-transfer-encoding", "7bit"))
    if encoding != encoding.strip():
        part.replace_header("content-transfer-encoding", encoding.strip())  # it does not know "base64 "
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    return hashlib.sha256(content).hexdigest()


def test_attachments_are_those_that_the_standard_library_finds() -> None:
    compared = 0
    for raw in MESSAGES:
        theirs, ours = contents_by_another_parser(raw), parsed(raw)
        if theirs is None or any("base64" in defect for defect in ours.defects):
            continue
        compared += 1
        assert Counter(item.sha256 for item in ours.attachments) <= theirs, raw
    assert compared > 200


def test_the_odd_messages_have_all_kinds_of_defects_and_some_have_none() -> None:
    found: Counter[str] = Counter()
    for raw in MESSAGES:
        made = parsed(raw)
        found.update({item.partition(": ")[2] for item in made.defects} or {"none"})
    assert found["none"] > 10
    assert set(found) >= {
        "a header beyond 64 KiB",
        "an address without @",
        "an encoded word is broken",
        "base64 goes on after its end",
        "base64 is cut off",
        "base64 with foreign characters",
        "base64 without its padding",
        "bytes that are not UTF-8",
        "content-type is no type",
        "content-type stands more than once",
        "more than 1000 parts",
        "multipart with a transfer encoding",
        "multipart without a boundary",
        "multipart without its boundary lines",
        "multipart without its last boundary line",
        "no blank line behind the header",
        "no date",
        "no list of addresses",
        "no message id in angle brackets",
        "not in its charset",
        "NUL or half a character",
        "parts nested more than 10 deep",
        "quoted-printable with a stray =",
        "stands more than once",
        "unknown charset",
        "unknown transfer encoding",
    }


@given(st.binary(max_size=400))
def test_any_bytes_are_parsed(raw: bytes) -> None:
    checked(parsed(raw))


_PIECES = st.sampled_from(
    [
        *(
            b"Content-Type: multipart/mixed; boundary=b\r\n",
            b'Content-Type: text/plain; charset="',
            b"Subject: =?utf-8?",
        ),
        *(b"--b", b"--b--", b"--", b"\r\n", b"\n", b"\r", b"\r\n\r\n", b" ", b"\t", b"=", b"=?", b"?=", b"q?", b"b?"),
        *(b"From: ", b"To: ", b"Date: ", b"Content-Disposition: attachment; filename", b"*0*=", b"utf-8''", b"%", b'"'),
        *(
            b"Content-Transfer-Encoding: base64\r\n",
            b"Content-Transfer-Encoding: quoted-printable\r\n",
            b"<",
            b">",
            b"@",
        ),
        *(
            b"(",
            b")",
            b",",
            b";",
            b":",
            b"\\",
            b"\0",
            b"\xff",
            b"\xc3\xa9",
            b"aGVsbG8=",
            b"x",
            b"utf-7",
            b"+2AA-",
            b"[",
            b"]",
        ),
    ]
)


@given(st.lists(_PIECES, max_size=60).map(b"".join))
def test_any_mixture_of_what_messages_are_made_of_is_parsed(raw: bytes) -> None:
    checked(parsed(raw))


@pytest.mark.parametrize("name", ["From", "Subject", "Date", "Message-ID", "Content-Type", "Content-Disposition"])
@pytest.mark.parametrize(
    "value",
    [mark * (60_000 // len(mark)) for mark in (b"(", b",", b'"', b"<", b"@", b":", b"\\", b";a=", b"=?utf-8?b?")],
)
def test_a_field_made_to_be_slow_is_not(name: str, value: bytes) -> None:
    """Each takes less than a second on a slow machine; a quadratic reader would need minutes."""
    made = parse([Field(name.encode(), b" " + value)], Memory(b"hello\r\n"))
    assert msgspec.json.encode(made)


@pytest.mark.parametrize("name", ["CharsetError", "HeaderParseError", "MessageParseError", "BoundaryError"])
def test_the_standard_librarys_own_errors_are_faults_and_cost_no_mail(name: str) -> None:
    assert issubclass(getattr(errors, name, errors.MessageError), FAULTS)
