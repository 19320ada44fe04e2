"""F: frames, however they arrive."""

import asyncio
import struct
import tracemalloc

import pytest
from gateway_harness import (
    ACCEPT,
    CON,
    CONTENT,
    DAT,
    ENVELOPE,
    EOH,
    EOM,
    HDR,
    HEL,
    LEADING_SPACE,
    OK,
    OPT,
    SKIP,
    START,
    Backend,
    P,
    gateway,
)

AGREED = struct.pack(">III", 6, 0x1FF, LEADING_SPACE | SKIP)


@pytest.mark.conformance("F01")
async def test_an_offer_that_comes_byte_by_byte_is_answered_once(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.send_slowly(OPT)
        assert (await mta.packet())[:13] == b"O" + AGREED
        await mta.exchange(*START)
        await mta.quit()


@pytest.mark.conformance("F02")
async def test_glued_packets_are_answered_in_order(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.send(OPT, CON, HEL)
        assert (await mta.packet())[:13] == b"O" + AGREED
        await mta.expect(OK + OK)
        await mta.quit()
        assert backend.events[:3] == ["negotiate", "connect", "helo"]


@pytest.mark.conformance("F03")
async def test_a_length_of_zero_closes_the_connection(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.send(bytes(4))
        await mta.expect_close()


@pytest.mark.conformance("F03")
async def test_an_announced_length_of_four_gigabytes_closes_at_once_and_allocates_nothing(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.negotiate()
        tracemalloc.start()
        await mta.send(b"\xff\xff\xff\xffB")
        await mta.expect_close()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 1 << 20


@pytest.mark.conformance("F04")
async def test_an_http_request_is_closed_and_only_worth_a_debug_line(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.send(b"GET / HTTP/1.1\r\n\r\n")
        await mta.expect_close()
        await gw.idle()
        assert len(gw.lines(level="debug", containing="protocol violation")) == 1
        assert gw.warnings() == []


@pytest.mark.conformance("F05")
async def test_a_thousand_probes_without_bytes_leave_no_warning_and_no_harm(backend: Backend) -> None:
    async def probe() -> None:
        await (await gw.connect()).close()

    async with gateway(backend) as gw:
        for _ in range(10):
            await asyncio.gather(*(probe() for _ in range(100)))
        await gw.idle()
        async with gw.peer() as mta:
            await mta.start()
            await mta.exchange(*ENVELOPE, *CONTENT)
            await mta.send(EOM)
            await mta.expect(ACCEPT)
        assert gw.warnings() == []


@pytest.mark.conformance("F06")
async def test_an_end_inside_the_length_is_one_log_line(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.send(b"\0\0")
        mta.writer.write_eof()
        await mta.expect_close()
        await gw.idle()
        assert len(gw.log) == 1, gw.log
        assert "exc_info" not in gw.log[0]


@pytest.mark.conformance("F07")
async def test_an_end_inside_a_body_packet_aborts_the_message(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(*ENVELOPE, *CONTENT)
        await mta.send(bytes.fromhex("000010004261"))
        mta.writer.write_eof()
        await mta.expect_close()
        await gw.idle()
        assert backend.data("abort") == [{"after": "body"}]
        assert "end_of_message" not in backend.events
        assert backend.only("disconnect")["data"]["cause"] == "eof"


@pytest.mark.conformance("F08")
async def test_a_chunk_of_the_largest_size_arrives_whole(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(*ENVELOPE, DAT, HDR, EOH, P(b"B" + b"a" * 65535))
        await mta.send(EOM)
        await mta.expect(ACCEPT)
        assert backend.only("end_of_message")["message"]["body"] == {"text": "a" * 65535}
