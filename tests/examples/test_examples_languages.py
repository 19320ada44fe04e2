"""The examples in other languages at work: mail is played through a real gateway that asks them."""

import base64
import io
import shlex
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from all_known import KNOWN
from example_processes import Filter, listening_port, require
from mails import PLAIN, from_our_own, mail, said, with_subject
from program import Program
from readme_text import ROOT

from gateway.mta.outcome import Verdict

FilterOf = Callable[[str], Filter]


# ── block_list.pl ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("sender", "client"),
    [
        ("Offers@Bulk.example", "192.0.2.25"),
        ("a.b@spam.example", "192.0.2.25"),
        ("ann@mail.SPAM.example", "192.0.2.25"),
        ("ann@client.example", "192.0.2.66"),
        ("ann@client.example", "203.0.113.9"),
        ("ann@client.example", "2001:db8:bad::25"),
        ("", "192.0.2.66"),
    ],
)
async def test_block_list_refuses_what_is_listed(filter_of: FilterOf, sender: str, client: str) -> None:
    played = await filter_of("block_list.pl").play(mail(sender=sender, client=client))
    assert (played.verdict, said(played.reply)) == (
        Verdict.REJECTED,
        "554 5.7.1 You are on our block list: write to postmaster",
    )


@pytest.mark.parametrize(
    ("sender", "client"),
    [
        ("ann@bulk.example", "192.0.2.25"),
        ("ann.offers@bulk.example", "192.0.2.25"),
        ("ann@nospam.example", "192.0.2.25"),
        ("spam.example@client.example", "192.0.2.25"),
        ("", "192.0.2.6"),
        ("ann@client.example", "203.0.11.3"),
        ("ann@client.example", "2001:db8:bade::25"),
    ],
)
async def test_block_list_lets_others_pass(filter_of: FilterOf, sender: str, client: str) -> None:
    played = await filter_of("block_list.pl").play(mail(sender=sender, client=client))
    assert played.verdict is Verdict.ACCEPTED


async def test_block_list_leaves_a_way_to_complain(filter_of: FilterOf) -> None:
    blocked = mail(PLAIN, "bob@site.example", "Postmaster@site.example", sender="ann@spam.example")
    assert (await filter_of("block_list.pl").play(blocked)).result.recipients == [b"<Postmaster@site.example>"]


async def test_block_list_is_not_for_our_own_users(filter_of: FilterOf) -> None:
    played = await filter_of("block_list.pl").play(from_our_own(mail(client="192.0.2.66")))
    assert played.verdict is Verdict.ACCEPTED


def test_block_list_may_be_edited_at_any_time(tmp_path: Path) -> None:
    require(*KNOWN["block_list.pl"].needs)
    names = tmp_path / "names"
    names.write_text("# nobody yet\n\n")
    line = f"perl webhook_examples/block_list.pl 0 {shlex.quote(str(names))}"
    running = Program(line, tmp_path / "log", {})
    try:
        url = f"http://127.0.0.1:{listening_port(running)}/milter"
        call = (ROOT / "docs/examples/requests/rcpt.json").read_bytes()
        with httpx.Client() as client:
            assert client.post(url, content=call).json() == {}
            names.write_text("Client.Example # asked twice\n")
            assert client.post(url, content=call).json()["action"] == "reject"
            names.unlink()
            assert client.post(url, content=call).status_code == 500
    finally:
        running.terminate()
        running.wait()


# ── rate_limit.rb ────────────────────────────────────────────────────────────────────────────────────────────────────

TOO_MANY = "450 4.7.1 Too many recipients in this hour, please try again later"


def many(count: int) -> tuple[str, ...]:
    return tuple(f"friend{number}@site.example" for number in range(count))


async def test_rate_limit_puts_off_what_is_too_much(filter_of: FilterOf) -> None:
    played = await filter_of("rate_limit.rb").play(mail(PLAIN, *many(62), client="198.51.100.1"))
    assert [(who, said(reply)) for who, reply in played.refused] == [
        (b"<friend60@site.example>", TOO_MANY),
        (b"<friend61@site.example>", TOO_MANY),
    ]


async def test_rate_limit_counts_every_client_apart_and_over_all_its_mails(filter_of: FilterOf) -> None:
    running = filter_of("rate_limit.rb")
    first = await running.play(mail(PLAIN, *many(60), sender="", client="198.51.100.2"))
    assert first.refused == []
    assert (await running.play(mail(client="198.51.100.2"))).verdict is Verdict.TEMPFAILED
    assert (await running.play(mail(client="198.51.100.3"))).verdict is Verdict.ACCEPTED


async def test_rate_limit_takes_a_network_of_ipv6_for_one_client(filter_of: FilterOf) -> None:
    running = filter_of("rate_limit.rb")
    await running.play(mail(PLAIN, *many(60), client="2001:db8:1:1::1"))
    assert (await running.play(mail(client="2001:db8:1:1:2::2"))).verdict is Verdict.TEMPFAILED
    assert (await running.play(mail(client="2001:db8:1:2::1"))).verdict is Verdict.ACCEPTED


async def test_rate_limit_knows_a_user_at_every_address(filter_of: FilterOf) -> None:
    running = filter_of("rate_limit.rb")
    at_home = from_our_own(mail(PLAIN, *many(200), client="198.51.100.4"), "dora")
    assert (await running.play(at_home)).refused == []
    assert (await running.play(replace(at_home, client="198.51.100.5"))).verdict is Verdict.TEMPFAILED


# ── banner.php ───────────────────────────────────────────────────────────────────────────────────────────────────────

BANNER = b"This mail comes from outside. Think before you open or answer it.\r\n\r\n"
HTML_BANNER = b"\r\n<p><strong>This mail comes from outside. Think before you open or answer it.</strong></p>\r\n"


def typed(content_type: bytes, body: bytes, encoding: bytes = b"8bit") -> bytes:
    head = b"Subject: hello\r\nContent-Type: %s\r\nContent-Transfer-Encoding: %s\r\n\r\n"
    return head % (content_type, encoding) + body


def in_base64(text: bytes) -> bytes:
    return base64.encodebytes(text).replace(b"\n", b"\r\n")


def parts(kind: bytes, *bodies: bytes, boundary: bytes = b"cut") -> bytes:
    """A multipart with its own preamble and epilogue."""
    inner = b"".join(b"--%s\r\n%s" % (boundary, body) for body in bodies)
    return b'Content-Type: multipart/%s;\r\n boundary = "%s"\r\n\r\npreamble\r\n%s--%s--\r\nepilogue\r\n' % (
        kind,
        boundary,
        inner,
        boundary,
    )


def both(text: bytes, html: bytes, boundary: bytes = b"cut") -> bytes:
    texts = (b"Content-Type: text/plain\r\n\r\n" + text, b"Content-Type: text/html\r\n\r\n" + html)
    return parts(b"alternative", *texts, boundary=boundary)


PDF = b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERg==\r\n"
LONG = b"x\xfcy " * 200_000 + b"\r\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"\r\nhello\r\n", b"\r\n" + BANNER + b"hello\r\n"),
        (b"Subject: nothing\r\n\r\n", b"Subject: nothing\r\n\r\n" + BANNER),
        (typed(b"text/plain; charset=iso-8859-1", LONG), typed(b"text/plain; charset=iso-8859-1", BANNER + LONG)),
        (
            typed(b"text/html", b"<html><BODY\r\n bgcolor=red><p>hello</p>\r\n"),
            typed(b"text/html", b"<html><BODY\r\n bgcolor=red>" + HTML_BANNER + b"<p>hello</p>\r\n"),
        ),
        (typed(b"text/html", b"<p>hello\r\n"), typed(b"text/html", HTML_BANNER + b"<p>hello\r\n")),
        (
            typed(b"text/plain", b"caf=C3=A9=\r\n and=20\r\n", b"Quoted-Printable"),
            typed(b"text/plain", BANNER + b"caf=C3=A9=\r\n and=20\r\n", b"Quoted-Printable"),
        ),
        (
            typed(b"text/plain", in_base64(b"caf\xe9 \0" * 40), b"BASE64"),
            typed(b"text/plain", in_base64(BANNER + b"caf\xe9 \0" * 40), b"BASE64"),
        ),
        (both(b"hello\r\n", b"<p>hello\r\n"), both(BANNER + b"hello\r\n", HTML_BANNER + b"<p>hello\r\n")),
        (
            parts(b"mixed", both(b"hello\r\n", b"<p>hi\r\n", b"cut2"), PDF, b"\r\na footer\r\n"),
            parts(b"mixed", both(BANNER + b"hello\r\n", HTML_BANNER + b"<p>hi\r\n", b"cut2"), PDF, b"\r\na footer\r\n"),
        ),
        (
            parts(
                b"report", b"\r\nnot delivered\r\n", b"Content-Type: message/delivery-status\r\n\r\nAction: failed\r\n"
            ),
            parts(
                b"report",
                b"\r\n" + BANNER + b"not delivered\r\n",
                b"Content-Type: message/delivery-status\r\n\r\nAction: failed\r\n",
            ),
        ),
    ],
    ids=["bare", "empty", "8bit", "html", "scrap", "quoted", "base64", "alternative", "mixed", "report"],
)
async def test_banner_stands_on_top_once_and_keeps_each_other_byte(
    filter_of: FilterOf, before: bytes, after: bytes
) -> None:
    running = filter_of("banner.php")
    played = await running.play(mail(before, sender=""))
    assert played.result.message() == after
    assert (await running.play(mail(after))).result.message() == after


@pytest.mark.parametrize(
    "raw",
    [
        parts(b"signed; protocol=x; micalg=y", b"\r\nhello\r\n", PDF),
        parts(b"encrypted", b"\r\nhello\r\n"),
        parts(b"digest", b"\r\nSubject: hello\r\n\r\nhello\r\n"),
        parts(b"mixed", PDF, b"\r\na footer\r\n"),
        parts(b"mixed", b"Content-Disposition: attachment\r\n\r\nhello\r\n"),
        typed(b"application/pkcs7-mime", in_base64(b"hello"), b"base64"),
        typed(b"text/calendar", b"BEGIN:VCALENDAR\r\n"),
        typed(b"text/plain; charset=UTF-16LE", in_base64("hello".encode("utf-16-le")), b"base64"),
        typed(b"text/plain", b"no base64!\r\n", b"base64"),
        typed(b"text/plain", b"begin 644 x\r\n", b"x-uuencode"),
    ],
    ids=["signed", "encrypted", "digest", "document", "attached", "S/MIME", "invitation", "UTF-16", "bad", "uuencoded"],
)
async def test_banner_leaves_alone_what_it_would_spoil(filter_of: FilterOf, raw: bytes) -> None:
    played = await filter_of("banner.php").play(mail(raw))
    assert (played.verdict, played.result.message()) == (Verdict.ACCEPTED, raw)


async def test_banner_is_not_put_on_mail_of_our_own_users(filter_of: FilterOf) -> None:
    assert (await filter_of("banner.php").play(from_our_own(mail()))).result.message() == PLAIN


# ── safe_tag.mjs ─────────────────────────────────────────────────────────────────────────────────────────────────────


def signed(fields: bytes, name: bytes = b"DKIM-Signature") -> bytes:
    return (
        name + b": v=1; a=rsa-sha256; d=client.example;\r\n\ts=mail; " + fields + b";\r\n\tbh=MTIz; b=MTIz\r\n" + PLAIN
    )


@pytest.mark.parametrize(
    "raw",
    [
        signed(b"h=From:Subject"),
        signed(b"h = from : to\r\n\t: SUBJECT : subject"),
        signed(b"h=from:subject", b"ARC-Message-Signature"),
        signed(b"h=from:subject").replace(b"Subject: Lunch?\r\n", b""),
    ],
    ids=["DKIM", "folded", "ARC", "no subject"],
)
async def test_safe_tag_adds_a_field_to_signed_mail(filter_of: FilterOf, raw: bytes) -> None:
    played = await filter_of("safe_tag.mjs").play(mail(raw))
    header, _, body = raw.partition(b"\r\n\r\n")
    assert played.result.message() == header + b"\r\nX-External-Sender: yes\r\n\r\n" + body


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (PLAIN, with_subject(b"[EXTERNAL] Lunch?")),
        (with_subject(b"Caf\xe9\r\n and dinner"), with_subject(b"[EXTERNAL] Caf\xe9\r\n and dinner")),
        (signed(b"h=from:to"), signed(b"h=from:to").replace(b"Lunch?", b"[EXTERNAL] Lunch?")),
        (b"To: bob\r\n\r\nhello\r\n", b"To: bob\r\nSubject: [EXTERNAL]\r\n\r\nhello\r\n"),
        (with_subject(b"Re: [EXTERNAL] Lunch?"), with_subject(b"Re: [EXTERNAL] Lunch?")),
    ],
    ids=["no signature", "not UTF-8", "subject not signed", "no subject", "tagged before"],
)
async def test_safe_tag_marks_a_subject_that_nobody_signed(filter_of: FilterOf, before: bytes, after: bytes) -> None:
    assert (await filter_of("safe_tag.mjs").play(mail(before, sender=""))).result.message() == after


async def test_safe_tag_does_not_tag_twice_nor_believe_a_stranger(filter_of: FilterOf) -> None:
    running = filter_of("safe_tag.mjs")
    once = (await running.play(mail(signed(b"h=subject")))).result.message()
    forged = b"X-External-Sender: no\r\nx-external-sender: yes\r\n" + signed(b"h=subject")
    assert (await running.play(mail(once))).result.message() == once
    corrected = (await running.play(mail(forged))).result.message()
    assert corrected == b"X-External-Sender: yes\r\n" + signed(b"h=subject")


async def test_safe_tag_leaves_mail_of_our_own_users_alone(filter_of: FilterOf) -> None:
    assert (await filter_of("safe_tag.mjs").play(from_our_own(mail()))).result.message() == PLAIN


# ── attachments.go ───────────────────────────────────────────────────────────────────────────────────────────────────


def attaching(disposition: bytes, content: bytes = b"MZ") -> bytes:
    head = b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n"
    part = head + b"Content-Disposition: " + disposition + b"\r\n\r\n" + in_base64(content)
    return parts(b"mixed", b"\r\nPlease pay.\r\n", part)


def zipped(*names: str) -> bytes:
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w") as archive:
        for name in names:
            archive.writestr(name, b"content")
    return kept.getvalue()


@pytest.mark.parametrize(
    "raw",
    [
        attaching(b'attachment; filename="Invoice.PDF.EXE. "'),
        attaching(b"attachment; filename==?utf-8?b?R3LDtsOfZS5leGU=?="),
        attaching(b"attachment; filename*=utf-8''Gr%C3%B6%C3%9Fe.exe"),
        attaching(b'attachment; filename="papers.zip"', zipped("readme.txt", "papers/invoice.js")),
        attaching(b"inline", zipped("invoice.docm", "run.lnk")),
    ],
    ids=["disguised", "encoded word", "RFC 2231", "zipped", "nameless"],
)
async def test_attachments_refuses_programs(filter_of: FilterOf, raw: bytes) -> None:
    played = await filter_of("attachments.go").play(mail(raw))
    assert (played.verdict, said(played.reply)) == (Verdict.REJECTED, "554 5.7.1 We take no programs, nor in ZIP files")


@pytest.mark.parametrize(
    "raw",
    [
        attaching(b'attachment; filename="Prices.XLSM"'),
        attaching(b'attachment; filename="prices.doc"', zipped("[Content_Types].xml", "word/vbaProject.bin")),
    ],
    ids=["by name", "by content"],
)
async def test_attachments_holds_documents_with_macros(filter_of: FilterOf, raw: bytes) -> None:
    played = await filter_of("attachments.go").play(mail(raw, sender=""))
    assert (played.verdict, played.result.quarantine) == (Verdict.QUARANTINED, "a document with macros")


@pytest.mark.parametrize(
    "raw",
    [
        PLAIN,
        attaching(b'attachment; filename="menu.pdf"', b"%PDF"),
        attaching(b'attachment; filename="letter.docx"', zipped("word/document.xml")),
        attaching(b'attachment; filename="broken.zip"', zipped("run.exe")[:40]),
        PLAIN + b"caf\xe9 invoice.exe\r\n",
    ],
    ids=["nothing", "a document", "no macros", "broken", "not UTF-8"],
)
async def test_attachments_lets_other_mail_pass(filter_of: FilterOf, raw: bytes) -> None:
    played = await filter_of("attachments.go").play(mail(raw))
    assert (played.verdict, played.result.message()) == (Verdict.ACCEPTED, raw)


# ── sender_login.py ──────────────────────────────────────────────────────────────────────────────────────────────────


def written_by(author: bytes) -> bytes:
    return b"From: " + author + b"\r\nSubject: hello\r\n\r\nhello\r\n"


@pytest.mark.parametrize(
    ("sender", "author"),
    [
        ("boss@site.example", b"ann@site.example"),
        ("ann@site.example", b"Boss <boss@site.example>"),
        ("ann@site.example", b'"ann@site.example" <boss@site.example>'),
        ("ann@site.example", b"ann@site.example, boss@site.example"),
        ("ann@site.example", b"ann@site.example\r\nSender: boss@site.example"),
        ("", b"Jos\xe9 <jos\xe9@site.example>"),
        ("ann@elsewhere.example", b"ann@site.example"),
    ],
)
async def test_sender_login_refuses_the_name_of_another(filter_of: FilterOf, sender: str, author: bytes) -> None:
    played = await filter_of("sender_login.py").play(from_our_own(mail(written_by(author), sender=sender)))
    assert (played.verdict, said(played.reply)) == (Verdict.REJECTED, "553 5.7.1 This address is not yours")


@pytest.mark.parametrize(
    ("user", "sender", "author"),
    [
        ("ann", "Ann@Site.example", b"Ann\r\n <ann@site.example>"),
        ("ann", "sales@site.example", b"=?utf-8?q?Verk=C3=A4ufe?= <sales@site.example>"),
        ("ann", "", b"Jos\xe9 <ann@site.example>"),
        ("bob@shop.example", "bob@shop.example", b"bob@shop.example"),
    ],
    ids=["own", "shared", "receipt", "whole address as login"],
)
async def test_sender_login_lets_users_be_themselves(
    filter_of: FilterOf, user: str, sender: str, author: bytes
) -> None:
    played = await filter_of("sender_login.py").play(from_our_own(mail(written_by(author), sender=sender), user))
    assert played.verdict is Verdict.ACCEPTED


async def test_sender_login_is_not_for_strangers(filter_of: FilterOf) -> None:
    played = await filter_of("sender_login.py").play(mail(written_by(b"ann@site.example"), sender="x@y.example"))
    assert played.verdict is Verdict.ACCEPTED
