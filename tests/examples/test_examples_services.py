"""The examples that ask another service, each at work behind a real gateway, with the real service."""

import asyncio
import base64
import hashlib
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from example_processes import Filter, require
from known_services import KNOWN
from mails import PLAIN, PUT_OFF, fields, from_our_own, mail, said
from readme_text import ROOT
from services import redis_at

from gateway.mta.mail import Mail
from gateway.mta.outcome import Verdict

FilterOf = Callable[[str], Filter]
Start = Callable[..., Filter]
REQUESTS = ROOT / "docs" / "examples" / "requests"
DAY_SECONDS = 86400


# ── greylist_redis.py ────────────────────────────────────────────────────────────────────────────────────────────────


class OwnRedis:
    """A Redis server that a test can take away."""

    def __init__(self, directory: Path) -> None:
        require(*KNOWN["greylist_redis.py"].needs)
        self._path = directory / "redis.sock"
        self._around = ExitStack()
        self.url = ""
        self.start()

    def start(self) -> None:
        self.url = self._around.enter_context(redis_at(self._path))

    def stop(self) -> None:
        self._around.close()

    def seconds_left(self, pattern: str) -> list[int]:
        """How long the keys will live."""
        with redis.Redis.from_url(self.url) as client:
            return [int(client.ttl(key)) for key in client.keys(pattern)]


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnRedis]:
    server = OwnRedis(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def two_servers(own_redis: OwnRedis, start_filter: Start) -> tuple[Filter, Filter]:
    """Two mail servers, each with its own gateway and greylist, and one Redis; they let clients wait half a second."""
    first, second = (
        start_filter("greylist_redis.py", REDIS_URL=own_redis.url, GREYLIST_DELAY_SECONDS="0.5") for _ in range(2)
    )
    return first, second


async def until_it_passes(greylist: Filter, message: Mail) -> None:
    async with asyncio.timeout(20):
        while (await greylist.play(message)).verdict is not Verdict.ACCEPTED:
            await asyncio.sleep(0.1)


async def test_greylist_redis_puts_a_stranger_off_and_is_not_hurried(filter_of: FilterOf) -> None:
    stranger = mail(sender="stranger@client.example")
    for _ in range(2):
        played = await filter_of("greylist_redis.py").play(stranger)
        assert (played.verdict, said(played.reply)) == (Verdict.TEMPFAILED, "451 4.7.1 Greylisted, please try again")


async def test_greylist_redis_lets_our_own_users_and_programs_pass(filter_of: FilterOf) -> None:
    running = filter_of("greylist_redis.py")
    assert (await running.play(from_our_own(mail(sender="user@site.example")))).verdict is Verdict.ACCEPTED
    call = json.loads((REQUESTS / "rcpt.json").read_text())
    assert running.post(json.dumps(call | {"client": {**call["client"], "port": None}}).encode()).json() == {}


async def test_greylist_redis_shares_what_one_server_has_seen(two_servers: tuple[Filter, Filter]) -> None:
    first, second = two_servers
    known = mail(sender="Patient@client.example")
    assert (await first.play(known)).verdict is Verdict.TEMPFAILED
    await until_it_passes(second, known)
    neighbour = replace(known, sender="patient@client.example", client="192.0.2.99")
    assert (await first.play(neighbour)).verdict is Verdict.ACCEPTED
    assert (await first.play(replace(known, client="192.0.3.25"))).verdict is Verdict.TEMPFAILED
    assert (await first.play(replace(known, recipients=("carol@site.example",)))).verdict is Verdict.TEMPFAILED


async def test_greylist_redis_forgets_those_sooner_who_never_come_again(
    two_servers: tuple[Filter, Filter], own_redis: OwnRedis
) -> None:
    await two_servers[0].play(mail(sender="once@client.example"))
    await until_it_passes(two_servers[0], mail(sender="twice@client.example"))
    (once,), (twice,) = own_redis.seconds_left("*:once@*"), own_redis.seconds_left("*:twice@*")
    assert 0 < once <= 2 * DAY_SECONDS < 31 * DAY_SECONDS < twice


def test_greylist_redis_leaves_no_trace_of_a_rehearsal(two_servers: tuple[Filter, Filter], own_redis: OwnRedis) -> None:
    call = json.loads((REQUESTS / "rcpt.json").read_text()) | {"dry_run": True}
    call["envelope"]["from"]["address"] = "rehearsal@client.example"
    assert two_servers[0].post(json.dumps(call).encode()).json()["action"] == "tempfail"
    assert own_redis.seconds_left("*rehearsal*") == []


async def test_greylist_redis_leaves_the_decision_to_the_gateway_while_redis_is_away(
    two_servers: tuple[Filter, Filter], own_redis: OwnRedis
) -> None:
    own_redis.stop()
    played = await two_servers[0].play(mail(sender="unlucky@client.example"), complaints=True)
    assert said(played.reply).startswith(PUT_OFF)
    own_redis.start()
    async with asyncio.timeout(20):
        while not said((await two_servers[0].play(mail(), complaints=True)).reply).endswith("please try again"):
            await asyncio.sleep(0.1)


# ── rspamd_verdict.py ────────────────────────────────────────────────────────────────────────────────────────────────


GTUBE = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\r\n"


def about(subject: bytes) -> Mail:
    """A mail whose subject tells rspamd_rules.lua what to do."""
    return mail(b"From: ann@client.example\r\nSubject: " + subject + b"\r\nX-Spam: Yes\r\n\r\nhello\r\n")


async def test_rspamd_verdict_refuses_what_rspamd_refuses(filter_of: FilterOf) -> None:
    played = await filter_of("rspamd_verdict.py").play(mail(PLAIN + GTUBE))
    assert (played.verdict, said(played.reply)) == (Verdict.REJECTED, "550 5.7.1 Gtube pattern")


async def test_rspamd_verdict_finds_what_base64_hides(filter_of: FilterOf) -> None:
    raw = b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(GTUBE)
    assert (await filter_of("rspamd_verdict.py").play(mail(raw))).verdict is Verdict.REJECTED


@pytest.mark.parametrize(
    ("subject", "reply"),
    [(b"later", "451 4.7.1 Ask again in an hour"), (b"grey", "451 4.7.1 Greylisted by rspamd")],
    ids=["soft reject", "greylist"],
)
async def test_rspamd_verdict_puts_mail_off(filter_of: FilterOf, subject: bytes, reply: str) -> None:
    played = await filter_of("rspamd_verdict.py").play(about(subject))
    assert (played.verdict, said(played.reply)) == (Verdict.TEMPFAILED, reply)


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (b"mark", [("Subject", "mark"), ("X-Spam", "Yes")]),
        (b"rename", [("Subject", "=?UTF-8?Q?Gr=C3=B6=C3=9Fe?=")]),
        (b"good", [("Subject", "good")]),
    ],
    ids=["add header", "rewrite subject", "no action"],
)
async def test_rspamd_verdict_marks_what_passes_and_drops_marks_from_outside(
    filter_of: FilterOf, subject: bytes, expected: list[tuple[str, str]]
) -> None:
    played = await filter_of("rspamd_verdict.py").play(about(subject))
    assert played.verdict is Verdict.ACCEPTED
    assert [field for field in fields(played.result.message()) if field[0] in ("Subject", "X-Spam")] == expected


async def test_rspamd_verdict_changes_the_header_as_rspamd_asks(filter_of: FilterOf) -> None:
    raw = b"X-Gone: 1\r\nX-Second: 1\r\nX-Spamd-Bar: ----\r\nX-Second: 2\r\nX-Gone: 2\r\n\r\nhello\r\n"
    found = fields((await filter_of("rspamd_verdict.py").play(mail(raw))).result.message())
    kept = [field for field in found if field[0] != "X-Facts"]
    assert (kept[0], kept[1]) == (("X-Twice", "first"), ("X-Second", "1"))
    assert sorted(kept[2:]) == [("X-Spamd-Bar", "/"), ("X-Twice", "last")]


async def test_rspamd_verdict_tells_rspamd_the_session_and_each_byte(filter_of: FilterOf) -> None:
    raw = b"Subject: Caf\xe9\r\n and\r\n\tdinner\r\nX:no space\r\n\r\ncaf\xe9 \0\r\n"
    told = from_our_own(mail(raw, "bob@site.example", "carol@site.example", client="2001:db8::25"))
    told = replace(told, helo="out\x01.client.example", macros={**told.macros, "i": "4c2XyZ1abc"})
    played = await filter_of("rspamd_verdict.py").play(told)
    (facts,) = [value for name, value in fields(played.result.message().replace(b"\xe9", b"e")) if name == "X-Facts"]
    assert facts.split("; ") == [
        "from=<ann@client.example>",
        "to=<bob@site.example>,<carol@site.example>",
        "ip=2001:db8::25",
        "helo=out .client.example",
        "host=-",
        "user=ann",
        "queue=4c2XyZ1abc",
        f"sha256={hashlib.sha256(raw).hexdigest()}",
    ]


async def test_rspamd_verdict_tells_a_null_sender(filter_of: FilterOf) -> None:
    played = await filter_of("rspamd_verdict.py").play(mail(sender=""))
    assert "from=<>;" in dict(fields(played.result.message()))["X-Facts"]


@pytest.fixture
def nobody_listens() -> Iterator[int]:
    """A port that nobody listens on, and that nobody else gets."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


async def test_rspamd_verdict_leaves_the_decision_to_the_gateway_while_rspamd_is_away(
    start_filter: Start, nobody_listens: int
) -> None:
    running = start_filter("rspamd_verdict.py", RSPAMD_URL=f"http://127.0.0.1:{nobody_listens}")
    played = await running.play(mail(), complaints=True)
    assert said(played.reply).startswith(PUT_OFF)
