"""`message.parsed` of single messages: what each part of it means (docs/parsed.md)."""

import base64
import encodings.aliases
import hashlib
import os
import random
from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any

import pytest

from gateway.contract import request as r
from gateway.mail.fields import Field, parse_message
from gateway.translate.mime import HIDDEN, Memory, parse
from gateway.translate.mime.encodings import text_of, transfer_decoded
from gateway.translate.mime.parse import ALL_ATTACHED_BYTES, ATTACHED_BYTES, TEXT_BYTES
from gateway.translate.mime.source import WINDOW, occurrences


def parsed(raw: bytes, **more: Any) -> r.Parsed:
    """A message as parsed; its lines may be written with LF alone."""
    pairs, body = parse_message(raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    return parse([Field(*pair) for pair in pairs], Memory(body), **more)


def field(name: str, value: bytes) -> r.Parsed:
    return parse([Field(name.encode(), b" " + value)], Memory(b""))


# ── fields ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("value", "subject"),
    [
        (b"Lunch?", "Lunch?"),
        (b"=?utf-8?q?caf=C3=A9?=", "caf\u00e9"),
        (b"=?UTF-8?B?Y2Fmw6k=?=", "caf\u00e9"),
        (b"=?utf-8?b?Y2Fmw6k?=", "caf\u00e9"),
        (b"=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
        (b"=?utf-8?q?a?=\n =?utf-8?q?b?=", "ab"),
        (b"=?utf-8?q?a?= and =?utf-8?q?b?=", "a and b"),
        (b"=?utf-8?q?caf=C3?= =?utf-8?q?=A9?=", "caf\u00e9"),
        (b"=?iso-8859-1*fr?q?caf=E9_x?=", "caf\u00e9 x"),
        (b"one\n two\n\tthree", "one two\tthree"),
        (b"caf\xc3\xa9", "caf\u00e9"),
        (b"\xc3\x85 =?utf-8?q?=C3=85?= \xc3\x85", "\u00c5 \u00c5 \u00c5"),
        (b"", ""),
    ],
)
def test_a_subject_is_one_line_of_text(value: bytes, subject: str) -> None:
    made = field("Subject", value)
    assert (made.subject, made.defects) == (subject, [])


@pytest.mark.parametrize(
    ("value", "subject", "defect"),
    [
        (b"caf\xe9", "caf\ufffd", "bytes that are not UTF-8"),
        (b"a\x00b", "a\ufffdb", "NUL or half a character"),
        (b"=?utf-8?q?a=00b?=", "a\ufffdb", "NUL or half a character"),
        (b"=?utf-7?q?+2AA-?=", "\ufffd", "NUL or half a character"),
        (b"=?utf-8?q?caf=E9?=", "caf\ufffd", "not in its charset"),
        (b"=?x-none?q?caf=C3=A9?=", "caf\u00e9", "unknown charset"),
        (b"=?utf-8?b?a?= x", "=?utf-8?b?a?= x", "an encoded word is broken"),
    ],
)
def test_what_is_wrong_with_a_subject_is_a_defect(value: bytes, subject: str, defect: str) -> None:
    made = field("Subject", value)
    assert made.subject == subject
    assert f"subject: {defect}" in made.defects


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b"ann@x.test", [(None, "ann@x.test")]),
        (b"Ann Smith <ann@x.test>", [("Ann Smith", "ann@x.test")]),
        (b'"Smith, Ann" <ann@x.test>', [("Smith, Ann", "ann@x.test")]),
        (b'"a \\"b\\" c" <ann@x.test>', [('a "b" c', "ann@x.test")]),
        (b"ann@x.test (Ann Smith)", [("Ann Smith", "ann@x.test")]),
        (b"=?utf-8?q?Ann_Sm=C3=BCth?= <ann@x.test>", [("Ann Sm\u00fcth", "ann@x.test")]),
        (b"=?utf-8?q?Smith=2C_Ann?= <ann@x.test>, b@x.test", [("Smith, Ann", "ann@x.test"), (None, "b@x.test")]),
        (b"Ann Sm\xc3\xbcth <\xc3\xa4nn@x.test>", [("Ann Sm\u00fcth", "\u00e4nn@x.test")]),
        (
            b"friends: ann@x.test, Bob <b@x.test>;, c@x.test",
            [(None, "ann@x.test"), ("Bob", "b@x.test"), (None, "c@x.test")],
        ),
        (b"undisclosed-recipients:;", []),
        (b"a@x.test,\n b@x.test", [(None, "a@x.test"), (None, "b@x.test")]),
    ],
)
def test_addresses_are_pairs_of_name_and_email(value: bytes, found: list[tuple[str | None, str]]) -> None:
    for name, attribute in (("From", "sender"), ("To", "to"), ("CC", "cc"), ("Reply-to", "reply_to")):
        made = field(name, value)
        assert [(item.name, item.email) for item in getattr(made, attribute)] == found
        assert made.defects == []


def test_a_field_of_addresses_that_stands_twice_counts_twice() -> None:
    made = parsed(b"To: a@x.test\nTo: b@x.test\n\n")
    assert [item.email for item in made.to] == ["a@x.test", "b@x.test"]
    assert made.defects == ["to: stands more than once"]


def test_of_any_other_field_that_stands_twice_the_first_counts() -> None:
    made = parsed(b"Subject: one\nSubject: two\n\n")
    assert (made.subject, made.defects) == ("one", ["message: subject stands more than once"])


@pytest.mark.parametrize(
    ("value", "sent_at"),
    [
        (b"Fri, 20 Nov 2026 09:20:03 +0000", "2026-11-20T09:20:03Z"),
        (b"Fri, 20 Nov 2026 09:20:03 +0530", "2026-11-20T09:20:03+05:30"),
        (b"20 Nov 2026 09:20 -0800 (PST)", "2026-11-20T09:20:00-08:00"),
        (b"Fri, 20 Nov 2026 09:20:03 -0000", "2026-11-20T09:20:03Z"),
        (b"Fri, 20 Nov 26 09:20:03 GMT", "2026-11-20T09:20:03Z"),
    ],
)
def test_a_date_is_told_as_rfc_3339(value: bytes, sent_at: str) -> None:
    made = field("Date", value)
    assert (made.sent_at, made.defects) == (sent_at, [])


@pytest.mark.parametrize(
    "value", [b"", b"yesterday", b"Fri, 31 Feb 2026 09:20:03 +0000", b"Fri, 20 Nov 2026 09:20:03 +9999"]
)
def test_what_is_no_date_is_null_and_a_defect(value: bytes) -> None:
    made = field("Date", value)
    assert (made.sent_at, made.defects) == (None, ["date: no date"])


def test_ids_come_without_brackets_and_several_with_a_blank_between() -> None:
    made = parsed(
        b"Message-ID: <1@x.test>\nIn-Reply-To: <2@x.test> (of today)\nReferences: <3@x.test>\n <4@x.test>\n\n"
    )
    assert (made.message_id, made.in_reply_to, made.references) == ("1@x.test", "2@x.test", "3@x.test 4@x.test")
    assert made.defects == []


def test_an_id_without_brackets_is_taken_as_it_is() -> None:
    made = field("Message-ID", b"1@x.test")
    assert (made.message_id, made.defects) == ("1@x.test", ["message-id: no message id in angle brackets"])


def test_what_is_absent_is_null_or_empty() -> None:
    made = parsed(b"X: y\n\n")
    assert (made.subject, made.sent_at, made.message_id, made.in_reply_to, made.references) == (None,) * 5
    assert (made.sender, made.to, made.cc, made.reply_to, made.attachments, made.defects) == ([], [], [], [], [], [])
    assert (made.text, made.html) == ("", None)


# ── texts ──────────────────────────────────────────────────────────────────────────────────────────────────────────

BOTH = b"""Content-Type: multipart/alternative; boundary=b

--b
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

caf=E9
one
--b
Content-Type: text/html

<p>caf\xc3\xa9</p>
--b--
"""


def test_text_and_html_are_the_two_ways_to_read_a_message() -> None:
    made = parsed(BOTH)
    assert (made.text, made.html, made.attachments, made.defects) == ("caf\u00e9\none", "<p>caf\u00e9</p>", [], [])


def test_neither_is_made_of_the_other() -> None:
    assert (parsed(b"Content-Type: text/html\n\n<p>\n").text, parsed(b"X: y\n\nhi\n").html) == (None, None)


def test_the_texts_of_several_parts_stand_below_each_other() -> None:
    made = parsed(
        b"Content-Type: multipart/mixed; boundary=b\n\npreamble\n--b\n\none\n--b\nContent-Type: image/png\n\nx\n"
        b"--b\nContent-Type: text/plain\n\ntwo\n--b--\nepilogue\n"
    )
    assert made.text == "one\ntwo"
    assert [item.type for item in made.attachments] == ["image/png"]


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Disposition: attachment",
        b"Content-Type: text/plain; name=a.txt",
        b'Content-Disposition: inline; filename="a"',
    ],
)
def test_a_text_that_is_attached_is_not_text_of_the_message(head: bytes) -> None:
    made = parsed(b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\n" + head + b"\n\ntwo\n--b--\n")
    assert (made.text, [item.part_id for item in made.attachments]) == ("one", ["2"])


def test_a_text_that_is_shown_and_has_a_file_name_is_an_attachment_as_well() -> None:
    made = parsed(b'Content-Type: text/plain; name="a.exe"\n\nMZ\n')
    assert (made.text, [(item.name, item.size) for item in made.attachments]) == ("MZ\n", [("a.exe", 4)])


@pytest.mark.parametrize(
    ("charset", "raw", "text"),
    [
        ("iso-8859-1", b"caf\xe9", "caf\u00e9"),
        ("WINDOWS-1252", b"\x93a\x94", "\u201ca\u201d"),
        ("koi8-r", b"\xc1", "\u0430"),
        ("gb2312", "\u4f60\u9555".encode("gb18030"), "\u4f60\u9555"),
        ("shift_jis", "\u2460".encode("cp932"), "\u2460"),
        ("iso-2022-jp", b"\x1b$B%F\x1b(B", "\u30c6"),
        ("utf-16", "\u20ac".encode("utf-16"), "\u20ac"),
        ("utf-7", b"+IKw-", "\u20ac"),
    ],
)
def test_a_text_is_read_in_its_charset(charset: str, raw: bytes, text: str) -> None:
    value = f" text/plain (so it says); charset={charset}".encode()
    made = parse([Field(b"Content-Type ", value)], Memory(raw))
    assert (made.text, made.defects) == (text, [])


def test_text_beyond_its_bound_is_cut_off_within_no_character() -> None:
    made = parse([Field(b"Content-Type", b" text/plain; charset=utf-8")], Memory(b"x" + b"\xc3\xa9" * TEXT_BYTES))
    assert made.text == "x" + "\u00e9" * ((TEXT_BYTES - 1) // 2)
    assert made.defects == ["message: the text is cut off"]


# ── attachments ────────────────────────────────────────────────────────────────────────────────────────────────────


def attached(*heads: bytes, content: bytes = b"x") -> r.Attachment:
    """The only attachment of a message with this part."""
    head = b"\n".join(heads)
    made = parsed(b"Content-Type: multipart/mixed; boundary=b\n\n--b\n" + head + b"\n\n" + content + b"\n--b--\n")
    (attachment,) = made.attachments
    return attachment


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b'Content-Disposition: attachment; filename="menu.pdf"', "menu.pdf"),
        (b"Content-Disposition: attachment; FILENAME=menu.pdf", "menu.pdf"),
        (b"Content-Disposition: attachment; filename*=utf-8''caf%C3%A9.pdf", "caf\u00e9.pdf"),
        (b"Content-Disposition: attachment; filename*=iso-8859-1'fr'caf%E9.pdf", "caf\u00e9.pdf"),
        (b'Content-Disposition: attachment; filename*0="a long "; filename*1="name.pdf"', "a long name.pdf"),
        (b"Content-Disposition: attachment; filename*1*=%A9.pdf; filename*0*=utf-8''caf%C3", "caf\u00e9.pdf"),
        (b'Content-Disposition: attachment; filename="=?utf-8?q?caf=C3=A9?="', "caf\u00e9"),
        (b'Content-Disposition: attachment; filename="caf\xc3\xa9"', "caf\u00e9"),
        (b'Content-Disposition: attachment; filename="a;b.pdf"', "a;b.pdf"),
        (b'Content-Disposition: attachment; filename="../../etc/passwd"', "../../etc/passwd"),
        (b'Content-Disposition: attachment;\n filename="a.pdf"', "a.pdf"),
        (b"Content-Disposition: attachment", None),
    ],
)
def test_the_name_of_a_file_is_decoded_whichever_way_it_is_written(head: bytes, name: str | None) -> None:
    assert attached(b"Content-Type: application/pdf", head).name == name


def test_the_content_type_may_have_the_name_as_well() -> None:
    assert attached(b'Content-Type: application/pdf; name="a.pdf"').name == "a.pdf"


def test_an_attachment_tells_its_kind() -> None:
    made = attached(b"Content-Type: IMAGE/PNG", b"Content-Disposition: INLINE; x=y", b"Content-ID: <1@x.test>")
    assert (made.part_id, made.type, made.disposition, made.cid) == ("1", "image/png", "inline", "1@x.test")


def test_parts_of_parts_are_numbered_as_imap_does() -> None:
    leaves = b"--c\nContent-Type: a/b\n\nx\n--c\nContent-Type: c/d\n\ny\n--c--\n"
    inner = b"Content-Type: multipart/mixed; boundary=c\n\n" + leaves
    made = parsed(
        b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nhi\n--b\n" + inner + b"--b\nContent-Type: e/f\n\n--b--\n"
    )
    assert [(item.part_id, item.type) for item in made.attachments] == [("2.1", "a/b"), ("2.2", "c/d"), ("3", "e/f")]


def test_a_message_within_a_message_is_one_attachment() -> None:
    inner = b"Subject: inside\n\nContent-Type: multipart/mixed; boundary=b\n"
    made = attached(b"Content-Type: message/rfc822", content=inner)
    assert (made.type, made.size) == ("message/rfc822", len(inner.replace(b"\n", b"\r\n")))


def test_in_a_digest_parts_are_messages() -> None:
    made = parsed(b"Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: a\n\nhi\n--b--\n")
    assert [item.type for item in made.attachments] == ["message/rfc822"]


def test_a_message_that_is_no_text_is_an_attachment_itself() -> None:
    made = parsed(b"Content-Type: application/pdf\nContent-Transfer-Encoding: base64\n\naGVsbG8=\n")
    assert made.text is None
    (attachment,) = made.attachments
    assert (attachment.part_id, attachment.size, attachment.base64) == ("1", 5, "aGVsbG8=")


def test_hashes_are_those_of_what_another_program_attached() -> None:
    """The standard library builds the message, in every transfer encoding that it knows."""
    draw = random.Random(5)
    for size in (0, 1, 2, 3, 57, 1000, WINDOW + 1):
        for encoding in ("base64", "quoted-printable", "8bit"):
            content = draw.randbytes(size)
            text = "".join(draw.choices("abc \u00e9\u20ac=.\n", k=min(size, 5000)))
            message = EmailMessage(policy=SMTP)
            message.set_content("see below")
            message.add_attachment(content, "application", "octet-stream", cte="base64", filename="a.bin")
            message.add_attachment(text, cte=encoding, filename="\u20ac.txt")
            made = parsed(message.as_bytes())
            binary, written = made.attachments
            assert (binary.size, binary.sha256) == (size, hashlib.sha256(content).hexdigest())
            sent = written.base64
            assert isinstance(sent, str)
            assert base64.b64decode(sent).decode().replace("\r\n", "\n").removesuffix("\n") == text.removesuffix("\n")
            assert (binary.name, written.name, made.defects) == ("a.bin", "\u20ac.txt", [])


def test_small_attachments_come_with_their_content_within_a_bound() -> None:
    def part(content: bytes) -> bytes:
        head = b"Content-Type: a/b\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        return b"--b\r\n" + head + base64.b64encode(content) + b"\r\n"

    contents = [os.urandom(size) for size in (ATTACHED_BYTES + 1, *[ATTACHED_BYTES] * 5, 10)]
    body = b"".join(map(part, contents)) + b"--b--\r\n"
    made = parse([Field(b"Content-Type", b" multipart/mixed; boundary=b")], Memory(body))
    assert [isinstance(item.base64, str) for item in made.attachments] == [False, True, True, True, True, False, False]
    assert 4 * ATTACHED_BYTES == ALL_ATTACHED_BYTES
    for item, content in zip(made.attachments, contents, strict=True):
        assert item.sha256 == hashlib.sha256(content).hexdigest()
        assert not isinstance(item.base64, str) or base64.b64decode(item.base64) == content


# ── structure ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("raw", "text", "defects"),
    [
        (
            b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\none",
            "one",
            ["multipart without its last boundary line"],
        ),
        (b"Content-Type: multipart/mixed; boundary=b\n\n--b\none\n--b--\n", "one", []),
        (b"Content-Type: multipart/mixed; boundary=b\n\n--bx\n--b\n\n--b x\n--b--\n", "--b x", []),
        (b'Content-Type: multipart/mixed; boundary="b b"\n\n--b b \t\n\none\n--b b--\n', "one", []),
        (b"Content-Type: multipart/mixed; boundary=b\xff\n\n--b\xff\n\none\n--b\xff--\n", "one", []),
        (b"Content-Type: text\n\none\n", "one\n", ["content-type is no type"]),
        (b"Content-Type: text/plain; charset=x-none\n\ncaf\xc3\xa9\n", "caf\u00e9\n", ["unknown charset"]),
        (b"Content-Type: text/plain; charset=us-ascii\n\ncaf\xe9\n", "caf\ufffd\n", ["not in its charset"]),
        (b"Content-Transfer-Encoding: x-odd\n\none\n", "one\n", ["unknown transfer encoding"]),
    ],
)
def test_what_is_broken_is_read_as_far_as_it_goes(raw: bytes, text: str, defects: list[str]) -> None:
    made = parsed(raw)
    assert made.text == text
    assert [item.partition(": ")[2] for item in made.defects if "blank line" not in item] == defects


def test_a_part_that_does_not_end_ends_with_the_part_around_it() -> None:
    made = parsed(
        b"Content-Type: multipart/mixed; boundary=b\n\n"
        b"--b\nContent-Type: multipart/alternative; boundary=c\n\n--c\n\none\n"
        b"--b\nContent-Type: a/b\n\ntwo\n--b--\n"
    )
    assert (made.text, [item.type for item in made.attachments]) == ("one", ["a/b"])
    assert made.defects == ["part 1: multipart without its last boundary line"]


@pytest.mark.parametrize("head", [b"Content-Type: multipart/mixed", b"Content-Type: multipart/mixed; boundary=other"])
def test_a_multipart_that_cannot_be_taken_apart_is_an_attachment(head: bytes) -> None:
    made = parsed(head + b"\n\n--b\n\none\n--b--\n")
    assert [item.type for item in made.attachments] == ["multipart/mixed"]
    assert len(made.defects) == 1


def test_more_parts_than_anybody_reads_are_left_out_and_that_is_said() -> None:
    made = parsed(
        b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\nContent-Type: a/b\n\nx\n" * 1500 + b"--b--\n"
    )
    assert len(made.attachments) == 1000
    assert made.defects == ["message: more than 1000 parts"]


def test_parts_that_are_nested_too_deeply_are_one_attachment() -> None:
    heads = b"".join(b"Content-Type: multipart/mixed; boundary=n%d\n\n--n%d\n" % (at, at) for at in range(30))
    made = parsed(heads + b"\nhi\n")
    assert [item.part_id for item in made.attachments] == [".".join("1" * 10)]
    assert "part 1.1.1.1.1.1.1.1.1.1: parts nested more than 10 deep" in made.defects


def test_more_lines_like_boundaries_than_anybody_reads_are_content() -> None:
    body = b"--b\r\n\r\none" + b"\r\n--bX" * 30_000 + b"\r\n--b--\r\n"
    made = parse([Field(b"Content-Type", b" multipart/mixed; boundary=b")], Memory(body))
    assert (made.text or "").startswith("one\n--bX\n--bX")
    assert "message: more lines like boundaries than are read" in made.defects


def test_more_addresses_than_anybody_reads_are_left_out() -> None:
    value = b" " + b", ".join(b"p%05d@site.example" % number for number in range(3000))
    made = parse([Field(b"To", value)] * 5, Memory(b""))
    assert made.to[0].email == "p00000@site.example"
    assert 12_000 < len(made.to) < 15_000
    assert all(len(item.email) == len("p00000@site.example") for item in made.to)
    assert "to: more addresses than are read" in made.defects


def test_parameters_that_cannot_be_read_are_a_defect() -> None:
    made = attached(b"Content-Type: a/b", b"Content-Disposition: attachment; filename*" + b"9" * 5000 + b"*=a")
    assert (made.name, made.disposition) == (None, "attachment")


def test_defects_are_told_once_and_not_without_end() -> None:
    part = b"--b\nContent-Type: a/b\nContent-Transfer-Encoding: base64\n\n!\n"
    made = parsed(b"Content-Type: multipart/mixed; boundary=b\n\n" + part * 300 + b"--b--\n")
    assert len(made.defects) == 101
    assert made.defects[-1] == "message: more defects are not listed"


def test_a_body_that_is_not_shown_leaves_the_header() -> None:
    made = parse([Field(b"Subject", b" hi")], HIDDEN)
    assert (made.subject, made.text, made.attachments) == ("hi", None, [])
    assert made.defects == ["message: the body is not shown"]


def test_a_truncated_body_says_so() -> None:
    assert parsed(b"Subject: hi\n\none", truncated=True).defects == ["message: the body is truncated"]


# ── in windows ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Tiny:
    """A source that remembers how much was read at once."""

    def __init__(self, raw: bytes) -> None:
        self.size, self._raw, self.largest = len(raw), raw, 0

    def read(self, start: int, end: int) -> bytes:
        self.largest = max(self.largest, end - start)
        return self._raw[start:end]


def test_a_large_body_is_never_read_as_a_whole() -> None:
    content = os.urandom(3 * WINDOW)
    head = b"--b\r\nContent-Type: a/b\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    source = Tiny(head + base64.encodebytes(content) + b"\r\n--b--\r\n")
    made = parse([Field(b"Content-Type", b" multipart/mixed; boundary=b")], source)
    assert made.attachments[0].sha256 == hashlib.sha256(content).hexdigest()
    assert source.largest < WINDOW + 100


def test_a_mark_is_found_wherever_windows_meet() -> None:
    for at in range(WINDOW - 4, WINDOW + 2):
        raw = b"x" * at + b"mark" + b"x" * WINDOW
        assert list(occurrences(Memory(raw), b"mark", 0, len(raw))) == [at]


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "8bit"])
def test_content_is_the_same_however_it_is_cut(encoding: str) -> None:
    raw = b"aGVsbG8g\r\nd29ybGQ=\r\n" if encoding == "base64" else b"a=E9b=\r\nc =\r\n\r\nd=3D"

    def cut(size: int) -> Iterator[bytes]:
        return (raw[at : at + size] for at in range(0, len(raw), size))

    whole = b"".join(transfer_decoded([raw], encoding, print))
    for size in range(1, len(raw)):
        assert b"".join(transfer_decoded(cut(size), encoding, print)) == whole


def test_a_line_without_end_is_decoded_in_pieces() -> None:
    raw = b"=E9" * 200_000
    made = [*transfer_decoded((raw[at : at + 70_001] for at in range(0, len(raw), 70_001)), "quoted-printable", print)]
    assert b"".join(made) == b"\xe9" * 200_000
    assert max(map(len, made)) < 100_000


@pytest.mark.parametrize("name", sorted({*encodings.aliases.aliases.values(), "idna", "unicode_escape", "undefined"}))
def test_every_charset_gives_text_that_json_can_carry(name: str) -> None:
    draw = random.Random(name)
    for size in (0, 1, 2, 7, 200):
        for raw in (draw.randbytes(size), b"+2AA-" * size, b"\\ud800" * size, b"xn--a" * size):
            for whole in (True, False):
                text = text_of(raw, name, lambda _: None, whole=whole)
                assert "\0" not in text
                text.encode()


def test_the_charsets_that_are_refused_are_no_charsets() -> None:
    for name in ("rot13", "zlib", "base64", "idna", "punycode", "undefined", "unicode_escape", "no\0ne", "x" * 100, ""):
        noted: list[str] = []
        assert text_of(b"caf\xc3\xa9", name, noted.append) == "caf\u00e9"
        assert noted == ["unknown charset"], name
