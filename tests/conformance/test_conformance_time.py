"""T: time. The deadlines are configured small; the order of what happens is the same."""

import asyncio
import time
from typing import Any

import pytest
from gateway_harness import (
    ACCEPT,
    CON,
    CONTENT,
    ENVELOPE,
    EOM,
    HANG,
    HEL,
    MAI,
    OK,
    OPT,
    PROGRESS,
    QUI,
    RCP,
    TEMPFAILED,
    Backend,
    P,
    Received,
    gateway,
    offer,
    refused_url,
    until,
)

from gateway import config
from gateway.assembly import generation

OFTEN = {"progress_seconds": 0.02}


class Held:
    """An answer that waits until it is released."""

    def __init__(self, answer: dict[str, Any] | None = None) -> None:
        self.released = asyncio.Event()
        self.answer = answer

    async def __call__(self, _: Received) -> dict[str, Any] | None:
        await self.released.wait()
        return self.answer


@pytest.mark.conformance("T01")
async def test_progress_goes_out_while_the_end_of_a_message_waits_and_not_after(backend: Backend) -> None:
    held = Held()
    backend.answers = {"end_of_message": held}
    async with gateway(backend, timing=OFTEN) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(*ENVELOPE, *CONTENT)
        await mta.send(EOM)
        await mta.expect(PROGRESS * 3)
        held.released.set()
        packets = await mta.packets_until_reply()
        assert packets[-1] == b"a"
        assert set(packets[:-1]) <= {b"p"}
        await mta.expect_nothing(seconds=0.1)


@pytest.mark.conformance("T01")
async def test_the_interval_of_progress_is_three_seconds() -> None:
    values = {"webhook": [{"name": "webhook", "url": "http://127.0.0.1:1/"}]}
    made = generation(config.parse(values))
    assert made.timing.progress_seconds == 3.0
    for client in made.clients:
        await client.aclose()


@pytest.mark.conformance("T02")
async def test_no_progress_goes_out_at_another_event_and_the_deadline_decides(backend: Backend) -> None:
    backend.answers = {"rcpt": HANG}
    limits = {"command_deadline": "300ms"}
    async with gateway(backend, limits=limits, timing=OFTEN) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(MAI)
        began = time.monotonic()
        await mta.send(RCP)
        assert (await mta.packet()).decode().startswith(TEMPFAILED)
        assert 0.25 < time.monotonic() - began < 3
        await mta.quit()


@pytest.mark.conformance("T03")
async def test_no_progress_goes_out_between_the_chunks_of_a_body(backend: Backend) -> None:
    held = Held({"changes": [{"op": "replace_body", "text": "x" * 200_000}]})
    backend.answers = {"end_of_message": held}
    async with gateway(backend, timing={"progress_seconds": 0.001}) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(*ENVELOPE, *CONTENT)
        await mta.send(EOM)
        await mta.expect(PROGRESS)
        held.released.set()
        packets = await mta.packets_until_reply()
        codes = b"".join(packet[:1] for packet in packets).lstrip(b"p")
        assert codes == b"bbbba"


@pytest.mark.conformance("T04")
async def test_a_backend_that_is_down_is_replaced_by_policy_at_each_event() -> None:
    webhook = {"on_failure": {"default": "tempfail", "mail": "continue", "end_of_message": "reject"}, "retries": 0}
    webhook["events"] = ["rcpt", "mail", "end_of_message"]
    async with gateway(refused_url(), webhook=webhook) as gw, gw.peer() as mta:
        await mta.negotiate(steps=0)
        await mta.exchange(CON, HEL, MAI)
        await mta.send(RCP)
        assert (await mta.packet()).decode().startswith(TEMPFAILED)
        await mta.exchange(*CONTENT)
        await mta.send(EOM)
        await mta.expect(P(b"y550 5.7.1 Command rejected\0"))
        await mta.exchange(MAI)
        await mta.quit()
        assert len(gw.lines(level="warning", containing="webhook failed")) == 4


@pytest.mark.conformance("T05")
async def test_the_mta_going_away_cancels_the_call(backend: Backend) -> None:
    backend.answers = {"end_of_message": HANG}
    async with gateway(backend, timing=OFTEN) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(*ENVELOPE, *CONTENT)
        await mta.send(EOM)
        request = await backend.wait_for("end_of_message")
        await mta.close()
        await asyncio.wait_for(request.gone.wait(), 5)
        await gw.idle()
        assert backend.events[-2:] == ["abort", "disconnect"]
        assert not gw.lines(level="error")


@pytest.mark.conformance("T06")
async def test_a_packet_that_drips_in_is_cut_off_at_its_deadline(backend: Backend) -> None:
    async with gateway(backend, limits={"frame_timeout": "300ms"}) as gw, gw.peer() as mta:
        await mta.start()
        began = time.monotonic()

        async def drip() -> None:
            for byte in P(b"M" + b"a" * 1000 + b"\0"):
                await mta.send(bytes([byte]))
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        await mta.expect_close()
        assert 0.25 < time.monotonic() - began < 3
        dripping.cancel()
        await asyncio.wait([dripping])
        dripping.cancelled() or dripping.exception()
        assert gw.lines(level="warning", containing="frame_timeout")


@pytest.mark.conformance("T06")
async def test_an_mta_that_does_not_read_is_cut_off(backend: Backend) -> None:
    backend.answers = {"end_of_message": {"changes": [{"op": "replace_body", "text": "x" * 20_000_000}]}}
    async with gateway(backend, limits={"frame_timeout": "300ms"}) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(*ENVELOPE, *CONTENT)
        mta.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await mta.send(EOM)
        await gw.idle()
        assert gw.lines(level="warning", containing="did not read")


@pytest.mark.conformance("T07")
async def test_many_sessions_may_be_idle_for_longer_than_a_packet_may_take(backend: Backend) -> None:
    limits = {"frame_timeout": "1s", "idle_timeout": "1min"}
    async with gateway(backend, webhook={"events": ["rcpt"]}, limits=limits) as gw:
        peers = [await gw.connect() for _ in range(500)]
        for mta in peers:
            await mta.send(OPT, CON, HEL, *ENVELOPE)
        for mta in peers:
            assert (await mta.packet())[:1] == b"O"
            await mta.expect(OK)
            await mta.send(P(b"A"))
        rested = time.monotonic() + 1.2
        await until(lambda: time.monotonic() > rested, "time stands still")
        assert gw.service.connections == 500
        for mta in peers:
            await mta.send(*ENVELOPE)
        for mta in peers:
            await mta.expect(OK)
            await mta.send(QUI)
        for mta in peers:
            await mta.expect_close()
            await mta.close()


async def test_a_first_packet_that_does_not_come_closes_the_connection(backend: Backend) -> None:
    async with gateway(backend, limits={"frame_timeout": "100ms"}) as gw, gw.peer() as mta:
        await mta.expect_close()


async def test_silence_beyond_the_idle_timeout_closes_the_connection(backend: Backend) -> None:
    async with gateway(backend, limits={"idle_timeout": "100ms"}) as gw, gw.peer() as mta:
        await mta.send(offer())
        await mta.packet()
        await mta.expect_close()
        assert gw.lines(level="warning", containing="idle_timeout")


async def test_a_webhook_may_be_slower_than_a_packet(backend: Backend) -> None:
    held = Held()
    backend.answers = {"end_of_message": held}
    limits = {"frame_timeout": "50ms", "idle_timeout": "50ms"}
    async with gateway(backend, limits=limits, timing=OFTEN) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(*ENVELOPE, *CONTENT)
        await mta.send(EOM)
        await mta.expect(PROGRESS * 6)
        held.released.set()
        assert (await mta.packets_until_reply())[-1:] == [ACCEPT[4:]]
