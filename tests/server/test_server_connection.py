"""One connection while a call is under way: the socket is read on."""

import asyncio
import socket
import time
from dataclasses import replace

import pytest
from gateway_harness import (
    ABO,
    ACCEPT,
    CON,
    CONTENT,
    DAT,
    ENVELOPE,
    EOM,
    HANG,
    HDR,
    HEL,
    MAI,
    OK,
    OPT,
    QNC,
    QUI,
    RCP,
    TEMPFAILED,
    Backend,
    P,
    Received,
    gateway,
)

from gateway.server.service import Generation
from gateway.spool import MemoryBudget, Spool

OFTEN = {"progress_seconds": 60.0}


class Held:
    """An answer that waits until it is released."""

    def __init__(self) -> None:
        self.released = asyncio.Event()

    async def __call__(self, _: Received) -> None:
        await self.released.wait()


@pytest.mark.parametrize("event", ["connect", "mail", "rcpt", "body", "end_of_message"])
async def test_a_hang_up_cancels_the_call_under_way(backend: Backend, event: str) -> None:
    backend.answers = {event: HANG}
    packets = {"connect": CON, "helo": HEL, "mail": MAI, "rcpt": RCP, "data": DAT, "header": HDR}
    packets |= {"end_of_headers": CONTENT[2], "body": CONTENT[3], "end_of_message": EOM}
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.negotiate()
        for name, packet in packets.items():
            await mta.send(packet)
            if name == event:
                break
            await mta.expect(OK)
        request = await backend.wait_for(event)
        await mta.hang_up()
        await asyncio.wait_for(request.gone.wait(), 5)
        await gw.idle()
        assert backend.only("disconnect")["data"]["cause"] == "eof"
        assert backend.events.count("abort") == (0 if event == "connect" else 1)


async def test_a_reset_of_the_connection_cancels_the_call_too(backend: Backend) -> None:
    backend.answers = {"rcpt": HANG}
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(MAI)
        await mta.send(RCP)
        request = await backend.wait_for("rcpt")
        sock = mta.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        mta.writer.transport.abort()
        await asyncio.wait_for(request.gone.wait(), 5)
        await gw.idle()


async def test_an_abort_cancels_the_call_and_the_session_goes_on(backend: Backend) -> None:
    backend.answers = {"rcpt": [HANG, None]}
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(MAI)
        await mta.send(RCP)
        request = await backend.wait_for("rcpt")
        await mta.send(ABO)
        await asyncio.wait_for(request.gone.wait(), 5)
        await mta.exchange(*ENVELOPE, *CONTENT)
        await mta.send(EOM)
        await mta.expect(ACCEPT)
        assert backend.data("abort") == [{"after": "rcpt"}]
        assert len(backend.only("end_of_message")["envelope"]["to"]) == 1


async def test_quit_cancels_the_call_and_closes(backend: Backend) -> None:
    backend.answers = {"end_of_message": HANG}
    async with gateway(backend, timing=OFTEN) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(*ENVELOPE, *CONTENT)
        await mta.send(EOM)
        request = await backend.wait_for("end_of_message")
        await mta.send(QUI)
        await asyncio.wait_for(request.gone.wait(), 5)
        await mta.expect_close()
        await gw.idle()
        assert backend.events[-2:] == ["abort", "disconnect"]
        assert backend.only("disconnect")["data"]["cause"] == "quit"


async def test_quit_nc_cancels_the_call_and_the_next_session_begins(backend: Backend) -> None:
    backend.answers = {"rcpt": HANG}
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(MAI)
        await mta.send(RCP)
        request = await backend.wait_for("rcpt")
        await mta.send(QNC)
        await asyncio.wait_for(request.gone.wait(), 5)
        await mta.exchange(CON, HEL, MAI)
        first, second = backend.of("connect")
        assert first["session_id"] != second["session_id"]
        assert backend.data("abort") == [{"after": "rcpt"}]


async def test_packets_that_come_during_a_call_are_answered_in_their_order(backend: Backend) -> None:
    held = Held()
    backend.answers = {"rcpt": held, "data": {"action": "reject"}}
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(MAI)
        await mta.send(RCP)
        await backend.wait_for("rcpt")
        await mta.send(P(b"UFOO\0"), DAT)
        held.released.set()
        await mta.expect(OK + OK + P(b"y550 5.7.1 Command rejected\0"))
        await mta.quit()


async def test_calls_of_one_session_never_overlap(backend: Backend) -> None:
    running = 0

    async def alone(_: Received) -> None:
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(0)
        running -= 1

    backend.answers = alone
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.send(OPT, CON, HEL, *ENVELOPE, *CONTENT, EOM, ABO, MAI, ABO, QUI)
        await mta.packet()
        await mta.expect(OK * 8 + ACCEPT + OK)
        await mta.expect_close()
        await gw.idle()
        assert backend.events[-3:] == ["mail", "abort", "disconnect"]


async def test_what_piles_up_behind_a_call_is_bounded_and_nothing_of_it_is_lost(backend: Backend) -> None:
    held = Held()
    backend.answers = {"rcpt": held}
    webhook = {"events": ["rcpt", "end_of_message"]}
    chunk = P(b"B" + b"x" * 65535)
    async with gateway(backend, webhook=webhook) as gw, gw.peer() as mta:
        await mta.negotiate()
        await mta.send(CON, HEL, MAI, RCP)
        await backend.wait_for("rcpt")
        sending = asyncio.create_task(mta.send(HDR, *[chunk] * 400, EOM))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(sending), 0.3)  # the gateway reads no further
        held.released.set()
        await mta.expect(OK + ACCEPT)
        await sending
        assert backend.only("end_of_message")["data"]["size"] == len("Subject:hi\r\n\r\n") + 400 * 65535


async def test_a_full_disk_fails_the_calls_that_need_the_body_and_nothing_else(backend: Backend) -> None:
    def no_disk(made: Generation) -> None:
        budget = MemoryBudget(1 << 20)
        made.setup = replace(made.setup, new_body=lambda: Spool(budget, 10, "/proc/no-such-directory"))

    async with gateway(backend, webhook={"events": ["end_of_message"]}, adjust=no_disk) as gw, gw.peer() as mta:
        await mta.negotiate()
        chunks = [P(b"B" + b"x" * 60000)] * 10
        await mta.send(CON, HEL, *ENVELOPE, HDR, *chunks, EOM)
        assert (await mta.packet()).decode().startswith(TEMPFAILED)
        await mta.send(*ENVELOPE, HDR, P(b"Bsmall"), EOM)
        await mta.expect(ACCEPT)
        assert backend.only("end_of_message")["message"]["body"] == {"text": "small"}


async def test_macros_in_a_packet_of_their_own_do_not_wait_for_a_delayed_acknowledgement(backend: Backend) -> None:
    # Sendmail writes macros and command in two packets, with Nagle on: each pair waits for the ACK of the first
    async with gateway(backend, webhook={"events": ["connect", "helo"]}) as gw:
        port = int(gw.address.split(":")[1].split("@")[0])

        def converse() -> float:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
                file = sock.makefile("rb")
                sock.sendall(OPT)
                file.read(int.from_bytes(file.read(4), "big"))
                sock.sendall(CON)
                assert file.read(5) == OK
                began = time.monotonic()
                for _ in range(25):
                    sock.sendall(P(b"DH{tls_version}\0TLSv1.3\0"))
                    sock.sendall(HEL)
                    assert file.read(5) == OK
                file.close()
                return time.monotonic() - began

        assert await asyncio.to_thread(converse) < 25 * 0.038


async def test_a_session_of_many_messages_keeps_nothing(backend: Backend) -> None:
    async with gateway(backend, webhook={"events": ["end_of_message"]}) as gw, gw.peer() as mta:
        await mta.negotiate()
        await mta.send(CON, HEL)
        for number in range(50):
            await mta.send(*ENVELOPE, HDR, CONTENT[3], EOM)
            await mta.expect(ACCEPT)
            if number % 2:
                await mta.send(ABO)
        requests = backend.of("end_of_message")
        assert {len(request["message"]["headers"]) for request in requests} == {1}
        assert {len(request["envelope"]["to"]) for request in requests} == {1}
        assert len({request["transaction_id"] for request in requests}) == 50


async def test_many_connections_at_once_are_all_served(backend: Backend) -> None:
    async with gateway(backend) as gw:
        peers = [await gw.connect() for _ in range(50)]
        for mta in peers:
            await mta.send(OPT, CON, HEL, *ENVELOPE, *CONTENT, EOM)
        for mta in peers:
            assert (await mta.packet())[:1] == b"O"
            await mta.expect(OK * 8 + ACCEPT)
            await mta.quit()
            await mta.close()
        await gw.idle()
        assert gw.warnings() == []
        assert backend.events.count("disconnect") == 50
