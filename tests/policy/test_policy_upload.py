"""`format = "multipart"`: large messages go to the backend while the MTA still sends them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from dialogue import DAT, ENVELOPE, EOH, SUBJECT, Mta, body, dialogue, parts_of
from gateway_harness import ABO, Received

from gateway.recording import Archive, Bounds

CHUNK = b"A line of an attachment, as long as lines in mail are, seventy characters.\r\n" * 850
CHUNKS = 40
CHANGE = b'{"changes":[{"op":"add_header","name":"X-A","value":"v"}]}'
MULTIPART = {"format": "multipart", "retries": 1}


class Reading:
    """A backend that can tell how much of a request has arrived."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = answers or (b"{}",)
        self.requests: list[bytes] = []
        self.heads: list[str] = []
        self.broken_off = 0
        self._news = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self.url = ""
        self.stalled = asyncio.Event()
        self.stalled.set()

    async def begun(self, size: int) -> None:
        """Wait until so many bytes of the present request's body are here."""
        async with asyncio.timeout(10), self._news:
            await self._news.wait_for(lambda: self.requests and len(self.requests[-1]) >= size)

    async def told(self, what: Any) -> None:
        """Wait for a condition."""
        async with asyncio.timeout(10), self._news:
            await self._news.wait_for(what)

    async def visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").removesuffix("\r\n\r\n")
                self.heads.append(head)
                self.requests.append(b"")
                async for piece in self._pieces(reader, head):
                    await self.stalled.wait()
                    self.requests[-1] += piece
                    await self._notify()
                said = self.answers[min(len(self.requests), len(self.answers)) - 1]
                writer.write(said if said.startswith(b"HTTP") else _ok(said))
        except (asyncio.IncompleteReadError, ConnectionError):
            self.broken_off += 1
            await self._notify()
        finally:
            writer.close()

    async def _notify(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def _pieces(self, reader: asyncio.StreamReader, head: str) -> AsyncIterator[bytes]:
        if "transfer-encoding: chunked" not in head:
            left = int(head.partition("content-length: ")[2].split("\r\n")[0])
            while left:
                piece = await reader.readexactly(min(left, 65536))
                left -= len(piece)
                yield piece
            return
        while size := int((await reader.readuntil(b"\r\n")), 16):
            yield await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readexactly(2)

    def parts(self, number: int = -1) -> tuple[list[str], dict[str, Any], bytes]:
        """Of a request: the names of its parts in order, the event, and the message."""
        pairs = (line.partition(": ") for line in self.heads[number].split("\r\n"))
        headers = {name: value for name, _, value in pairs}
        parts = parts_of(Received("POST", "/", headers, self.requests[number]))
        return list(parts), json.loads(parts["event"]), parts["message"]


def _ok(answer: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(answer), answer)


@asynccontextmanager
async def reading(*answers: bytes) -> AsyncIterator[Reading]:
    backend = Reading(*answers)
    server = await asyncio.start_server(backend.visit, "127.0.0.1", 0)
    backend.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    yield backend
    server.close()


@asynccontextmanager
async def talk_to(
    backend: Reading, *further: Any, archive: Archive | None = None, **webhook: Any
) -> AsyncIterator[Any]:
    hooks = [{"name": "webhook", "url": backend.url, "events": ["end_of_message"], **MULTIPART, **webhook}, *further]
    limits = {"spool_above": "64KiB", "drain_timeout": "0s"}
    async with dialogue(*[{}] * len(hooks), webhooks=hooks, limits=limits, archive=archive) as talk:
        yield talk


async def send_body(mta: Mta, count: int = CHUNKS) -> bytes:
    await mta.pass_on(*[body(CHUNK)] * count)
    return CHUNK * count


async def test_the_message_arrives_while_the_mta_still_sends() -> None:
    async with (
        reading(b'{"changes":[{"op":"add_header","name":"X-A","value":"v"}]}') as backend,
        talk_to(backend) as talk,
    ):
        await talk.mta.pass_on(*ENVELOPE, DAT, SUBJECT, EOH)
        sent = await send_body(talk.mta, CHUNKS // 2)
        await backend.begun(len(sent) // 2)
        sent += await send_body(talk.mta, CHUNKS // 2)
        assert await talk.mta.end() == [b"hX-A\0 v\0", b"a"]
        names, event, message = backend.parts()
        assert names == ["message", "event"], "the event tells what only the end shows"
        assert message == b"Subject: hi\r\n\r\n" + sent
        assert (event["data"], event["message"]) == (
            {"size": len(message), "truncated": False},
            {"size": len(message), "headers": [{"name": "Subject", "value": "hi"}]},
        )
        assert f"webhook-id: {event['id']}" in backend.heads[0]
        assert "transfer-encoding: chunked" in backend.heads[0]
        assert len(backend.heads) == 1


async def test_a_record_of_it_says_what_was_sent() -> None:
    archive = Archive(Bounds(), recording=True)
    async with reading() as backend, talk_to(backend, archive=archive) as talk:
        await talk.mta.pass_on(*ENVELOPE, DAT, SUBJECT, EOH)
        await send_body(talk.mta)
        assert await talk.mta.end() == [b"a"]
        (only,) = archive.exchanges()
        assert f"content-type: {only.content_type}" in backend.heads[0]
        assert only.content_type.startswith("multipart/form-data")


async def test_a_backend_that_reads_slowly_does_not_hold_up_the_mta() -> None:
    async with reading() as backend, talk_to(backend) as talk:
        backend.stalled.clear()
        await talk.mta.pass_on(*ENVELOPE, DAT, SUBJECT, EOH)
        sent = await send_body(talk.mta, 3 * CHUNKS)
        backend.stalled.set()
        assert await talk.mta.end() == [b"a"]
        assert backend.parts()[2].endswith(sent)


async def test_a_second_message_of_the_session_is_uploaded_too() -> None:
    async with reading() as backend, talk_to(backend) as talk:
        for _ in range(2):
            await talk.mta.pass_on(*(ENVELOPE if not backend.heads else ENVELOPE[2:]), DAT, SUBJECT, EOH)
            await send_body(talk.mta)
            assert await talk.mta.end() == [b"a"]
        assert ["chunked" in head for head in backend.heads] == [True, True]


async def test_a_failed_attempt_is_repeated_with_the_same_bytes() -> None:
    busy = b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"
    async with reading(busy, b"{}") as backend, talk_to(backend) as talk:
        await talk.mta.pass_on(*ENVELOPE, DAT, SUBJECT, EOH)
        await send_body(talk.mta)
        assert await talk.mta.end() == [b"a"]
        assert len(backend.requests) == 2
        assert backend.requests[0] == backend.requests[1]
        assert [("milter-attempt: 1" in head, "milter-attempt: 2" in head) for head in backend.heads] == [
            (True, False),
            (False, True),
        ]


async def test_an_abort_breaks_the_upload_off() -> None:
    async with reading() as backend, talk_to(backend) as talk:
        await talk.mta.pass_on(*ENVELOPE, DAT, SUBJECT, EOH)
        await send_body(talk.mta)
        await backend.begun(1)
        await talk.mta.say(ABO)
        await backend.told(lambda: backend.broken_off)
        assert not talk.failures()


async def test_an_mta_that_hangs_up_breaks_the_upload_off() -> None:
    async with reading() as backend, talk_to(backend) as talk:
        await talk.mta.pass_on(*ENVELOPE, DAT, SUBJECT, EOH)
        await send_body(talk.mta)
        await backend.begun(1)
        talk.mta.peer.writer.transport.abort()
        await backend.told(lambda: backend.broken_off)
        await talk.gateway.idle()


async def test_a_failure_at_the_end_is_the_policys() -> None:
    answers = (b"HTTP/1.1 500 Broken\r\ncontent-length: 0\r\n\r\n",)
    async with reading(*answers) as backend, talk_to(backend, retries=0) as talk:
        await talk.mta.pass_on(*ENVELOPE, DAT, SUBJECT, EOH)
        await send_body(talk.mta)
        (reply,) = await talk.mta.end()
        assert reply.startswith(b"y451 4.7.1 Try again later (session ")
        assert [line["cause"] for line in talk.failures()] == ["server_error"]


async def test_a_message_over_the_limits_is_not_sent_to_its_end() -> None:
    async with reading() as backend, talk_to(backend, on_too_large="continue") as talk:
        await talk.mta.pass_on(*ENVELOPE, DAT, SUBJECT, EOH)
        await send_body(talk.mta, 20)
        await backend.begun(1)
        await send_body(talk.mta, 840)  # beyond 50 MiB
        assert await talk.mta.end() == [b"a"]
        await backend.told(lambda: backend.broken_off)
        assert len(backend.heads) == 1


@pytest.mark.parametrize(
    "webhook",
    [{"events": ["body", "end_of_message"]}, {"secret_file": "key"}, {"format": "json"}],
    ids=["body subscribed", "signed", "json"],
)
async def test_where_it_is_not_possible_the_call_is_made_at_the_end(webhook: dict[str, Any], tmp_path: Any) -> None:
    if "secret_file" in webhook:
        key = tmp_path / "key"
        key.write_text("whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        key.chmod(0o600)
        webhook = {"secret_file": str(key)}
    async with reading() as backend, talk_to(backend, **webhook) as talk:
        await talk.mta.pass_on(*ENVELOPE, DAT, SUBJECT, EOH)
        await send_body(talk.mta, 4)
        assert await talk.mta.end() == [b"a"]
        assert "content-length" in backend.heads[-1]


async def test_a_change_of_an_earlier_webhook_makes_the_call_one_of_the_usual_kind() -> None:
    """The first that is asked gets the upload; its changes are shown to the second, in a call at the end."""
    async with reading(CHANGE) as first, reading() as second:
        further = {"name": "two", "url": second.url, "events": ["end_of_message"], **MULTIPART}
        async with talk_to(first, further) as talk:
            await talk.mta.pass_on(*ENVELOPE, DAT, SUBJECT, EOH)
            sent = await send_body(talk.mta)
            assert await talk.mta.end() == [b"hX-A\0 v\0", b"a"]
            assert second.parts()[2] == b"Subject: hi\r\nX-A: v\r\n\r\n" + sent
            assert ("chunked" in first.heads[0], "chunked" in second.heads[0]) == (True, False)


async def test_a_small_message_is_sent_at_the_end_with_its_length() -> None:
    async with reading() as backend, talk_to(backend) as talk:
        await talk.mta.pass_on(*ENVELOPE, DAT, SUBJECT, EOH, body(b"small\r\n"))
        assert await talk.mta.end() == [b"a"]
        names, _, message = backend.parts()
        assert (names, message) == (["event", "message"], b"Subject: hi\r\n\r\nsmall\r\n")
        assert "content-length" in backend.heads[0]
