"""The examples that keep data, each at work behind a real gateway."""

import base64
import hashlib
import json
import resource
import socket
from collections.abc import Callable
from dataclasses import replace

import httpx
import pytest
from example_processes import Filter
from mails import PLAIN, PUT_OFF, fields, mail, said
from readme_text import ROWS

from gateway.mta.outcome import Verdict

Start = Callable[..., Filter]


# ── archive.py ───────────────────────────────────────────────────────────────────────────────────────────────────────


def archived(running: Filter) -> dict[str, bytes]:
    """All files of the archive, whatever their names."""
    return {path.name: path.read_bytes() for path in (running.directory / "archive").iterdir()}


@pytest.fixture(scope="module")
def own_archive(start_filter: Start) -> Filter:
    """An archive that only this module fills."""
    return start_filter("archive.py")


@pytest.mark.parametrize(
    "raw",
    [
        PLAIN,
        b"Subject: Caf\xe9\r\n and dinner\r\nX-Empty:\r\n\r\ncaf\xe9 \0 --\r\n--\r\n",
        b"\r\nno header at all\r\n",
        b"Subject: long\r\n\r\n" + b"0123456789abcdef\xff\r\n" * 200_000,
    ],
    ids=["plain", "not UTF-8", "no header", "larger than memory"],
)
async def test_archive_has_each_byte_on_disk_when_the_mail_goes_on(own_archive: Filter, raw: bytes) -> None:
    played = await own_archive.play(mail(raw, "bob@site.example", "hidden@site.example"))
    assert (played.verdict, played.result.message()) == (Verdict.ACCEPTED, raw)
    ((name, _),) = [item for item in archived(own_archive).items() if item[1] == raw]
    call = json.loads(archived(own_archive)[name.replace(".eml", ".json")])
    assert name.endswith(f"-{hashlib.sha256(raw).hexdigest()[:16]}.eml")
    assert [to["address"] for to in call["envelope"]["to"]] == ["bob@site.example", "hidden@site.example"]


async def test_archive_is_for_nobody_elses_eyes(own_archive: Filter) -> None:
    await own_archive.play(mail())
    directory = own_archive.directory / "archive"
    assert {path.stat().st_mode & 0o077 for path in (directory, *directory.iterdir())} == {0}


async def test_archive_names_mails_of_the_same_queue_id_apart(own_archive: Filter) -> None:
    reused = [replace(mail(b"Subject: %d\r\n\r\n" % n), macros={"i": "4c2REUSED"}) for n in range(2)]
    for each in (*reused, reused[0]):
        await own_archive.play(each)
    assert len([name for name in archived(own_archive) if "4c2REUSED" in name and name.endswith(".eml")]) == 2


async def test_archive_puts_a_mail_off_that_it_could_not_keep_and_leaves_no_half_of_it(own_archive: Filter) -> None:
    before = archived(own_archive)
    large = mail(b"Subject: too large for now\r\n\r\n" + b"0123456789\r\n" * 40_000)
    pid = own_archive.example.pid
    limits = resource.prlimit(pid, resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))  # as if the disk was full
    try:
        played = await own_archive.play(large, complaints=True)
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
    assert said(played.reply).startswith(PUT_OFF)
    assert not [name for name in archived(own_archive).keys() - before.keys() if not name.endswith(".json")]

    assert (await own_archive.play(large, complaints=True)).verdict is Verdict.ACCEPTED
    assert large.raw in archived(own_archive).values()


def test_archive_keeps_nothing_of_a_call_that_breaks_off(own_archive: Filter) -> None:
    before = archived(own_archive)
    head = b"POST /milter HTTP/1.1\r\nHost: example\r\nContent-Length: 9999\r\n"
    head += b"Content-Type: multipart/form-data; boundary=cut\r\n\r\n"
    part = b'--cut\r\nContent-Disposition: form-data; name="message"; filename="m"\r\n\r\nSubject: half\r\n'
    with socket.create_connection(("127.0.0.1", own_archive.port), timeout=20) as peer:
        peer.sendall(head + part)
    own_archive.curl(ROWS["archive.py"].curl)  # which comes after
    assert b"Subject: half" not in b"".join(archived(own_archive).values())
    assert len(archived(own_archive)) <= len(before) + 2


def test_archive_keeps_nothing_of_a_rehearsal(own_archive: Filter) -> None:
    before = archived(own_archive)
    line = ROWS["archive.py"].curl.replace("event=<docs/examples/requests/end_of_message_multipart.json", "event={}")
    assert own_archive.curl(line.replace("event={}", 'event={"dry_run":true}')) == {}
    assert archived(own_archive) == before


# ── spam_score.py ────────────────────────────────────────────────────────────────────────────────────────────────────


SPAM = [b"Claim your prize now", b"Your lottery prize waits, claim it", b"A prize of 1000$ for you, claim today"]
HAM = [b"Lunch at noon?", b"The minutes of our meeting at noon", b"Shall we move the meeting to Friday?"]


def letter(text: bytes, *, header: bytes = b"", as_base64: bool = False) -> bytes:
    coding = b"base64" if as_base64 else b"8bit"
    body = base64.encodebytes(text) if as_base64 else text + b"\r\n"
    return header + b"Subject: hello\r\nContent-Transfer-Encoding: " + coding + b"\r\n\r\n" + body


@pytest.fixture(scope="module")
def taught(start_filter: Start) -> Filter:
    """A filter that has seen a few mails."""
    running = start_filter("spam_score.py")
    for kind, texts in (("spam", SPAM), ("ham", HAM)):
        for text in texts:
            assert running.post(letter(text), f"/learn?class={kind}").status_code == httpx.codes.OK
    return running


async def score(running: Filter, raw: bytes) -> float:
    found = fields((await running.play(mail(raw))).result.message())
    (value,) = [value for name, value in found if name == "X-Spam-Score"]
    return float(value)


@pytest.mark.parametrize("as_base64", [False, True], ids=["8bit", "base64"])
async def test_spam_score_tells_spam_from_ham_that_it_has_not_seen(taught: Filter, *, as_base64: bool) -> None:
    assert await score(taught, letter(b"You have won a lottery: claim the prize", as_base64=as_base64)) > 0.9
    assert await score(taught, letter(b"The meeting on Friday is at noon", as_base64=as_base64)) < 0.1
    assert 0.3 < await score(taught, letter(b"Etwas ganz anderes", as_base64=as_base64)) < 0.7


async def test_spam_score_looks_at_the_subject(taught: Filter) -> None:
    assert await score(taught, b"Subject: claim your lottery prize\r\n\r\n") > 0.9


async def test_spam_score_drops_scores_from_outside(taught: Filter) -> None:
    forged = b"X-Spam-Score: 0.00\r\nx-spam-score: 0.01\r\n"
    assert await score(taught, letter(b"Claim your lottery prize", header=forged)) > 0.9


async def test_spam_score_learns_more_from_more_mails(start_filter: Start) -> None:
    running, scores = start_filter("spam_score.py"), []
    for text in SPAM:
        scores.append(await score(running, letter(b"Claim the prize")))
        running.post(letter(text), "/learn?class=spam")
    assert scores == sorted(set(scores))
    assert scores[0] == 0.5


def test_spam_score_learns_no_other_class(taught: Filter) -> None:
    assert taught.post(letter(b"x"), "/learn?class=eggs").status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert taught.post(letter(b"x"), "/learn").status_code == httpx.codes.UNPROCESSABLE_ENTITY
