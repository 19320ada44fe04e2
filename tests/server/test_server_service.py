"""Who may connect, reload, drain and stop."""

import asyncio
import json
from pathlib import Path

import pytest
from gateway_harness import (
    ABO,
    ACCEPT,
    CON,
    CONTENT,
    ENVELOPE,
    EOM,
    HANG,
    MAI,
    OK,
    RCP,
    TEMPFAILED,
    Backend,
    Gateway,
    MtaPeer,
    P,
    Received,
    gateway,
    until,
)

from gateway.server.listener import ListenError

REJECTED = P(b"y550 5.7.1 Command rejected\0")


class Held:
    """An answer that waits until it is released."""

    def __init__(self) -> None:
        self.released = asyncio.Event()

    async def __call__(self, _: Received) -> None:
        await self.released.wait()


async def stopping(gw: Gateway) -> "asyncio.Task[None]":
    """Begin to stop the service, and wait until it accepts no more."""
    task = asyncio.create_task(gw.service.stop())
    await until(lambda: gw.service.draining, "the service does not stop")
    return task


# ── who may connect ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_peer_that_is_not_listed_is_closed_without_a_word(backend: Backend) -> None:
    async with gateway(backend, limits={"peers": ["192.0.2.0/24"]}) as gw, gw.peer() as mta:
        await mta.expect_close()
        await gw.idle()
        assert gw.lines(level="warning", containing="limits.peers")
        assert backend.requests == []


async def test_a_listed_peer_is_served(backend: Backend) -> None:
    async with gateway(backend, limits={"peers": ["192.0.2.0/24", "127.0.0.1"]}) as gw, gw.peer() as mta:
        await mta.start()


async def test_peers_do_not_concern_unix_sockets(backend: Backend, tmp_path: Path) -> None:
    limits = {"peers": ["192.0.2.0/24"]}
    async with gateway(backend, unix=tmp_path / "gw.sock", limits=limits) as gw, gw.peer() as mta:
        await mta.start()


async def test_a_connection_beyond_the_limit_is_closed_and_a_later_one_is_served(backend: Backend) -> None:
    async with gateway(backend, limits={"connections": 1}) as gw:
        async with gw.peer() as first:
            await first.start()
            async with gw.peer() as second:
                await second.expect_close()
                assert gw.lines(level="warning", containing="limits.connections")
            await first.exchange(*ENVELOPE)
            await first.quit()
        await gw.idle()
        async with gw.peer() as third:
            await third.start()


# ── reload ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_after_a_reload_new_sessions_use_the_new_configuration_and_old_ones_the_old(backend: Backend) -> None:
    async with Backend() as other, gateway(backend) as gw, gw.peer() as old:
        await old.start()
        await gw.service.reload(gw.make(backends=(other,)))
        async with gw.peer() as new:
            await new.start()
            await old.exchange(MAI)
            assert "mail" in backend.events
            assert other.events == ["negotiate", "connect", "helo"]


async def test_after_a_reload_the_old_clients_are_closed_with_their_last_session(backend: Backend) -> None:
    async with Backend() as other, gateway(backend) as gw, gw.peer() as old:
        await old.start()
        await gw.service.reload(gw.make(backends=(other,)))
        assert backend.open_connections
        await old.quit()
        await until(lambda: not backend.open_connections, "the old client keeps its connections")


async def test_a_reload_opens_and_closes_addresses(backend: Backend, tmp_path: Path) -> None:
    async with gateway(backend, unix=tmp_path / "old.sock") as gw, gw.peer() as mta:
        await mta.start()
        await gw.service.reload(gw.make(unix=tmp_path / "new.sock"))
        assert gw.service.addresses == [f"unix:{tmp_path}/new.sock"]
        assert not (tmp_path / "old.sock").exists()
        await mta.exchange(MAI)
        async with gw.peer() as second:
            await second.start()


async def test_a_reload_onto_an_address_that_is_taken_leaves_everything_as_it_was(
    backend: Backend, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("")
    listen = [f"unix:{tmp_path}/free.sock", f"unix:{tmp_path}/taken"]
    async with gateway(backend, unix=tmp_path / "gw.sock") as gw:
        before = gw.service.generation
        faulty = gw.make(listen=listen)
        with pytest.raises(ListenError, match="taken"):
            await gw.service.reload(faulty)
        assert gw.service.generation is before
        assert gw.service.addresses == [f"unix:{tmp_path}/gw.sock"]
        assert not (tmp_path / "free.sock").exists()
        async with gw.peer() as mta:
            await mta.start()
        for client in faulty.clients:
            await client.aclose()


# ── drain and stop ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_idle_session_is_closed_at_once_and_its_end_is_told(backend: Backend) -> None:
    async with gateway(backend, limits={"drain_timeout": "1min"}) as gw, gw.peer() as mta:
        await mta.start()
        await gw.service.stop()
        await mta.expect_close()
        assert backend.only("disconnect")["data"]["cause"] == "shutdown"


async def test_no_connection_is_accepted_while_draining(backend: Backend) -> None:
    async with gateway(backend, limits={"drain_timeout": "1min"}) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(*ENVELOPE)
        address = gw.address
        task = await stopping(gw)
        with pytest.raises(ConnectionRefusedError):
            await MtaPeer.to(address)
        await mta.send(ABO)
        await mta.expect_close()
        await task


async def test_an_open_transaction_ends_as_if_nothing_were_and_then_the_session_is_closed(backend: Backend) -> None:
    async with gateway(backend, limits={"drain_timeout": "1min"}) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(*ENVELOPE)
        task = await stopping(gw)
        await mta.exchange(*CONTENT)
        await mta.send(EOM)
        await mta.expect(ACCEPT)
        await mta.expect_close()
        await task
        assert backend.events[-2:] == ["end_of_message", "disconnect"]


async def test_an_answer_that_is_owed_outside_a_transaction_is_still_given(backend: Backend) -> None:
    held = Held()
    backend.answers = {"connect": held}
    async with gateway(backend, limits={"drain_timeout": "1min"}) as gw, gw.peer() as mta:
        await mta.negotiate()
        await mta.send(CON)
        await backend.wait_for("connect")
        task = await stopping(gw)
        held.released.set()
        await mta.expect(OK)
        await mta.expect_close()
        await task


@pytest.mark.parametrize("policy", ["tempfail", "reject", "continue"])
async def test_at_the_end_of_the_drain_time_an_owed_reply_is_that_of_on_failure(backend: Backend, policy: str) -> None:
    backend.answers = {"end_of_message": HANG}
    limits = {"drain_timeout": "100ms"}
    async with gateway(backend, limits=limits, webhook={"on_failure": policy}) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(*ENVELOPE, *CONTENT)
        await mta.send(EOM)
        request = await backend.wait_for("end_of_message")
        await gw.service.stop()
        packet = await mta.packet()
        await mta.expect_close()
        assert request.gone.is_set()
    expected = {"tempfail": TEMPFAILED, "reject": "y550 5.7.1 ", "continue": "a"}
    assert packet.decode().startswith(expected[policy])


async def test_at_the_end_of_the_drain_time_earlier_answers_of_the_event_still_count(backend: Backend) -> None:
    backend.answers = {"end_of_message": {"changes": [{"op": "add_header", "name": "X-A", "value": "v"}]}}
    async with Backend({"end_of_message": HANG}) as second:
        limits, webhook = {"drain_timeout": "100ms"}, {"on_failure": "continue"}
        async with gateway(backend, second, limits=limits, webhook=webhook) as gw, gw.peer() as mta:
            await mta.start()
            await mta.exchange(*ENVELOPE, *CONTENT)
            await mta.send(EOM)
            await second.wait_for("end_of_message")
            await gw.service.stop()
            assert await mta.packets_until_reply() == [b"hX-A\0 v\0", b"a"]


async def test_at_the_end_of_the_drain_time_a_silent_transaction_is_aborted(backend: Backend) -> None:
    async with gateway(backend, limits={"drain_timeout": "100ms"}) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(*ENVELOPE)
        await gw.service.stop()
        await mta.expect_close()
        assert backend.events[-2:] == ["abort", "disconnect"]


async def test_a_stopped_service_has_closed_its_clients(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.quit()
        await gw.service.stop()
        await until(lambda: not backend.open_connections, "a client keeps its connections")


async def test_a_log_line_can_be_written_as_json(backend: Backend) -> None:
    backend.answers = {"mail": {"action": "nonsense"}}
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.send(MAI)
        await mta.packet()
        await mta.send(RCP)
        await mta.expect_close()
        for line in gw.log:
            json.dumps(line)
