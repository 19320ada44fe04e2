"""Each example at work: a mail is played through a real gateway that asks the example."""

import asyncio
import base64
from collections.abc import Callable
from dataclasses import replace

import pytest
from example_processes import Filter
from mails import PLAIN, from_our_own, mail, said, with_subject
from readme_text import ROWS

from gateway.mta.mail import Mail
from gateway.mta.outcome import Verdict

FilterOf = Callable[[str], Filter]

DISCLAIMER = b"\r\n-- \r\nThis mail is confidential. If it is not for you, please delete it.\r\n"


def attaching(name: str) -> bytes:
    return (
        b'Subject: Invoice\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="cut"\r\n\r\n'
        b"--cut\r\nContent-Type: text/plain\r\n\r\nPlease pay.\r\n"
        b"--cut\r\nContent-Type: application/octet-stream\r\n"
        b"Content-Disposition: attachment; " + name.encode() + b"\r\n\r\nMZ\r\n--cut--\r\n"
    )


# ── accept_all.py ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_accept_all_lets_a_mail_pass_as_it_is(filter_of: FilterOf) -> None:
    played = await filter_of("accept_all.py").play(mail())
    assert (played.verdict, played.result.message()) == (Verdict.ACCEPTED, PLAIN)


async def test_accept_all_prints_every_event_of_a_mail(filter_of: FilterOf) -> None:
    running = filter_of("accept_all.py")
    await running.play(mail())
    for event in ("negotiate", "connect", "helo", "mail", "rcpt", "data", "header", "end_of_headers", "body"):
        assert f"\n{event} {{" in running.example.output
    running.example.wait_for(lambda output: True if "\ndisconnect {" in output else None, "disconnect")


# ── reject_recipient.py ──────────────────────────────────────────────────────────────────────────────────────────────


async def test_reject_recipient_refuses_the_unknown_one_alone(filter_of: FilterOf) -> None:
    played = await filter_of("reject_recipient.py").play(mail(PLAIN, "Bob@Site.Example", "Nobody@Site.Example"))
    assert played.verdict is Verdict.ACCEPTED
    assert played.result.recipients == [b"<Bob@Site.Example>"]
    assert [(who, said(reply)) for who, reply in played.refused] == [
        (b"<Nobody@Site.Example>", "550 5.1.1 No mailbox of this name here")
    ]


@pytest.mark.parametrize("recipient", ["postmaster", "postmaster@site.example", "someone@elsewhere.example"])
async def test_reject_recipient_leaves_postmaster_and_other_domains_alone(filter_of: FilterOf, recipient: str) -> None:
    played = await filter_of("reject_recipient.py").play(mail(PLAIN, recipient))
    assert played.refused == []


# ── tag_subject.py ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"Lunch?", b"[EXTERNAL] Lunch?"),
        (b"=?utf-8?q?Caf=C3=A9?=", b"[EXTERNAL] =?utf-8?q?Caf=C3=A9?="),
        (b"Caf\xe9", b"[EXTERNAL] Caf\xe9"),
        ("Café".encode(), "[EXTERNAL] Café".encode()),
        (b"Lunch\r\n and dinner", b"[EXTERNAL] Lunch\r\n and dinner"),
        (b"Re: [EXTERNAL] Lunch?", b"Re: [EXTERNAL] Lunch?"),
    ],
    ids=["plain", "encoded word", "not UTF-8", "UTF-8", "folded", "tagged before"],
)
async def test_tag_subject_puts_the_tag_once_and_keeps_each_byte(
    filter_of: FilterOf, before: bytes, after: bytes
) -> None:
    played = await filter_of("tag_subject.py").play(mail(with_subject(before)))
    assert played.result.message() == with_subject(after)


async def test_tag_subject_gives_a_subject_to_a_mail_that_has_none(filter_of: FilterOf) -> None:
    played = await filter_of("tag_subject.py").play(mail(b"From: ann@client.example\r\n\r\nhello\r\n"))
    assert played.result.message() == b"From: ann@client.example\r\nSubject: [EXTERNAL] \r\n\r\nhello\r\n"


async def test_tag_subject_leaves_mail_of_our_own_users_alone(filter_of: FilterOf) -> None:
    played = await filter_of("tag_subject.py").play(from_our_own(mail()))
    assert played.result.message() == PLAIN


# ── disclaimer.py ────────────────────────────────────────────────────────────────────────────────────────────────────

OURS = PLAIN.replace(b"ann@client.example", b"Ann@Site.example")


@pytest.mark.parametrize(
    "declared",
    [
        b"",
        b"Content-Type: text/plain\r\n",
        b'Content-Type: Text/Plain;\r\n charset="utf-8"\r\nContent-Transfer-Encoding: 8BIT\r\n',
    ],
    ids=["undeclared", "declared", "folded"],
)
async def test_disclaimer_stands_at_the_end_of_plain_text(filter_of: FilterOf, declared: bytes) -> None:
    raw = declared + OURS
    played = await filter_of("disclaimer.py").play(from_our_own(mail(raw)))
    assert played.result.message() == raw + DISCLAIMER


async def test_disclaimer_is_that_of_the_domain(filter_of: FilterOf) -> None:
    raw = b"From: <orders@shop.example>\r\n\r\nhello\r\n"
    played = await filter_of("disclaimer.py").play(from_our_own(mail(raw)))
    added = played.result.message().removeprefix(raw)
    assert added.startswith(b"\r\n-- \r\nExample Shop Ltd")


@pytest.mark.parametrize(
    "raw",
    [
        b"From: ann@site.example\r\nContent-Type: text/html\r\n\r\n<p>hello\r\n",
        b"From: ann@site.example\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8NCg==\r\n",
        b"From: ann@site.example\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\r\ncaf\xe9\r\n",
        b"From: ann@site.example\r\n" + attaching("filename=menu.txt"),
        OURS + DISCLAIMER,
        PLAIN,
        b"Subject: nobody\r\n\r\nhello\r\n",
    ],
    ids=["html", "base64", "not UTF-8", "multipart", "has it", "another domain", "no author"],
)
async def test_disclaimer_leaves_other_mail_alone(filter_of: FilterOf, raw: bytes) -> None:
    played = await filter_of("disclaimer.py").play(from_our_own(mail(raw)))
    assert (played.verdict, played.result.message()) == (Verdict.ACCEPTED, raw)


async def test_disclaimer_is_not_put_under_what_comes_from_outside(filter_of: FilterOf) -> None:
    assert (await filter_of("disclaimer.py").play(mail(OURS))).result.message() == OURS


# ── greylist.py ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_greylist_puts_a_stranger_off(filter_of: FilterOf) -> None:
    played = await filter_of("greylist.py").play(mail(sender="stranger@client.example"))
    assert (played.verdict, said(played.reply)) == (Verdict.TEMPFAILED, "451 4.7.1 Greylisted, please try again")


async def test_greylist_does_not_let_itself_be_hurried(filter_of: FilterOf) -> None:
    hasty = mail(sender="hasty@client.example")
    await filter_of("greylist.py").play(hasty)
    assert (await filter_of("greylist.py").play(hasty)).verdict is Verdict.TEMPFAILED


async def test_greylist_lets_our_own_users_pass(filter_of: FilterOf) -> None:
    played = await filter_of("greylist.py").play(from_our_own(mail(sender="user@site.example")))
    assert played.verdict is Verdict.ACCEPTED


@pytest.fixture(scope="session")
def brief_greylist(start_filter: Callable[..., Filter]) -> Filter:
    """A greylist that waits half a second."""
    return start_filter("greylist.py", GREYLIST_DELAY_SECONDS="0.5")


def test_greylist_lets_programs_on_the_machine_pass(filter_of: FilterOf) -> None:
    local = ROWS["greylist.py"].curl.replace('"port":40112', '"port":null')
    assert filter_of("greylist.py").curl(local) == {}


async def until_it_passes(greylist: Filter, message: Mail) -> None:
    async with asyncio.timeout(10):
        while (await greylist.play(message)).verdict is not Verdict.ACCEPTED:
            await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    ("client", "neighbour", "stranger"),
    [("192.0.2.25", "192.0.2.99", "192.0.3.25"), ("2001:db8::1", "2001:db8::2:1", "2001:db8:0:1::1")],
    ids=["IPv4", "IPv6"],
)
async def test_greylist_knows_a_whole_network_after_a_wait(
    brief_greylist: Filter, client: str, neighbour: str, stranger: str
) -> None:
    known = mail(sender="patient@client.example", client=client)
    await until_it_passes(brief_greylist, known)
    assert (await brief_greylist.play(replace(known, client=neighbour))).verdict is Verdict.ACCEPTED
    assert (await brief_greylist.play(replace(known, client=stranger))).verdict is Verdict.TEMPFAILED


async def test_greylist_takes_another_recipient_for_another_try(brief_greylist: Filter) -> None:
    known = mail(sender="known@client.example")
    await until_it_passes(brief_greylist, known)
    played = await brief_greylist.play(replace(known, recipients=("bob@site.example", "carol@site.example")))
    assert [who for who, _ in played.refused] == [b"<carol@site.example>"]


# ── stdlib_only.py ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "name",
    [
        'filename="invoice.exe"',
        'filename="Invoice.PDF.EXE. "',
        'filename="=?utf-8?b?' + base64.b64encode("Größe.exe".encode()).decode() + '?="',
        "filename*=utf-8''Gr%C3%B6%C3%9Fe.exe",
    ],
    ids=["plain", "disguised", "encoded word", "RFC 2231"],
)
async def test_stdlib_only_refuses_a_program(filter_of: FilterOf, name: str) -> None:
    played = await filter_of("stdlib_only.py").play(mail(attaching(name)))
    assert (played.verdict, said(played.reply)) == (Verdict.REJECTED, "554 5.7.1 We take no programs by mail")


@pytest.mark.parametrize(
    "raw",
    [PLAIN, attaching('filename="menu.pdf"'), PLAIN + b"caf\xe9 invoice.exe\r\n"],
    ids=["nothing attached", "a document", "not UTF-8"],
)
async def test_stdlib_only_lets_other_mail_pass(filter_of: FilterOf, raw: bytes) -> None:
    played = await filter_of("stdlib_only.py").play(mail(raw))
    assert (played.verdict, played.result.message()) == (Verdict.ACCEPTED, raw)


# ── shell.sh ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("sender", ["offers@spam.example", "a@Mail.SPAM.example"])
async def test_shell_refuses_senders_of_a_domain(filter_of: FilterOf, sender: str) -> None:
    played = await filter_of("shell.sh").play(mail(sender=sender))
    assert (played.verdict, said(played.reply)) == (Verdict.REJECTED, "550 5.7.1 Your domain is not welcome here")


@pytest.mark.parametrize(
    "sender",
    ["ann@client.example", "", "ann@nospam.example", '"x\\"data\\":{\\"address\\":\\"a@spam.example"@b.example'],
)
async def test_shell_lets_other_senders_pass(filter_of: FilterOf, sender: str) -> None:
    assert (await filter_of("shell.sh").play(mail(sender=sender))).verdict is Verdict.ACCEPTED


async def test_shell_is_not_deceived_by_what_a_client_says_before(filter_of: FilterOf) -> None:
    lying = replace(mail(sender="offers@spam.example"), helo='"data":{"address":"ann@client.example"}')
    assert (await filter_of("shell.sh").play(lying)).verdict is Verdict.REJECTED


# ── byte_count.mjs ───────────────────────────────────────────────────────────────────────────────────────────────────

BLANK_LINE = len(b"\r\n")


@pytest.mark.parametrize(
    "raw",
    [PLAIN, with_subject(b"Caf\xe9\r\n and dinner"), PLAIN + b"0123456789\r\n" * 20_000],
    ids=["plain", "not UTF-8, folded", "several chunks"],
)
async def test_byte_count_counts_the_bytes_of_each_mail_anew(filter_of: FilterOf, raw: bytes) -> None:
    played = await filter_of("byte_count.mjs").play(mail(raw))
    header, _, body = raw.partition(b"\r\n\r\n")
    added = b"X-Byte-Count: %d" % (len(raw) - BLANK_LINE)
    assert played.result.message() == b"\r\n".join([header, added, b"", body])


# ── clacks_overhead.py ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_clacks_overhead_passes_the_name_on(filter_of: FilterOf) -> None:
    played = await filter_of("clacks_overhead.py").play(mail())
    assert played.result.message() == PLAIN.replace(b"\r\n\r\n", b"\r\nX-Clacks-Overhead: GNU Terry Pratchett\r\n\r\n")


async def test_clacks_overhead_leaves_a_name_that_another_passes_on(filter_of: FilterOf) -> None:
    raw = b"x-clacks-overhead: GNU John Dearheart\r\n" + PLAIN
    played = await filter_of("clacks_overhead.py").play(mail(raw))
    assert played.result.message() == raw
