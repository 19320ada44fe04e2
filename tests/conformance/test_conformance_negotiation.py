"""N: what is agreed."""

import struct

import pytest
from gateway_harness import (
    ACCEPT,
    CON,
    CONTENT,
    ENVELOPE,
    EOM,
    HEL,
    OK,
    OPT,
    RCP,
    STEPS_WITHOUT_LEADING_SPACE,
    TEMPFAILED,
    Backend,
    P,
    gateway,
    offer,
)


@pytest.mark.conformance("N01")
async def test_version_two_is_answered_with_version_two(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.send(offer(2, 0x3F, 0x7F))
        await mta.expect(P(b"O" + struct.pack(">III", 2, 0x3F, 0)))


@pytest.mark.conformance("N02")
async def test_a_later_version_is_answered_with_six(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        assert (await mta.negotiate(version=7)).version == 6


@pytest.mark.conformance("N02")
async def test_further_bytes_in_the_offer_change_nothing(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta, gw.peer() as other:
        plain = await other.negotiate()
        await mta.send(offer(extra=b"\x01\x02\x03\x04"))
        await mta.expect(plain.packet)


@pytest.mark.conformance("N03")
@pytest.mark.parametrize(
    "first", [offer(version=1), P(b"O" + bytes(11)), CON], ids=["version 1", "eleven bytes", "no offer"]
)
async def test_a_beginning_that_is_no_offer_is_closed(backend: Backend, first: bytes) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.send(first)
        await mta.expect_close()


@pytest.mark.conformance("N03")
async def test_a_second_offer_is_closed(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.send(OPT)
        await mta.expect_close()


@pytest.mark.conformance("N04")
async def test_a_small_offer_is_never_answered_with_more(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.send(offer(6, 0x21, 0))
        await mta.expect(P(b"O" + struct.pack(">III", 6, 0x21, 0)))


@pytest.mark.conformance("N04")
async def test_a_change_that_was_not_offered_makes_the_answer_invalid(backend: Backend) -> None:
    backend.answers = {
        "end_of_message": {
            "changes": [
                {"op": "add_header", "name": "X-A", "value": "v"},
                {"op": "change_from", "address": "z@x.test"},
            ]
        }
    }
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start(6, 0x21, 0)
        await mta.exchange(*ENVELOPE, *CONTENT)
        await mta.send(EOM)
        assert (await mta.packet()).decode().startswith(TEMPFAILED)
        assert gw.lines(level="warning", containing="change_from")


@pytest.mark.conformance("N05")
async def test_a_required_change_that_is_not_offered_is_logged_and_fails_every_call(backend: Backend) -> None:
    backend.answers = {"negotiate": {"wants": {"changes": ["change_from"]}}}
    async with gateway(backend) as gw, gw.peer() as mta:
        assert (await mta.negotiate(6, 0x21, 0)).steps == 0
        assert gw.lines(level="warning", containing="change_from")
        for packet in (CON, HEL, *ENVELOPE[:1]):
            await mta.send(packet)
            assert (await mta.packet()).decode().startswith(TEMPFAILED)
        assert backend.events == ["negotiate"]


@pytest.mark.conformance("N06")
async def test_steps_that_were_not_offered_are_not_taken(backend: Backend) -> None:
    async with gateway(backend, webhook={"events": ["end_of_message"]}) as gw, gw.peer() as mta:
        agreed = await mta.start(6, 0x1FF, 0)
        assert agreed.steps == 0
        await mta.exchange(*ENVELOPE, *CONTENT)
        await mta.send(EOM)
        await mta.expect(ACCEPT)
        assert backend.events == ["end_of_message"]


@pytest.mark.conformance("N07")
async def test_macro_lists_are_the_union_of_all_defaults_and_wishes(backend: Backend) -> None:
    backend.answers = {"negotiate": {"wants": {"macros": {"end_of_message": ["{wanted}"]}}}}
    macros = {"connect": ["{client_resolve}"], "end_of_headers": ["{configured}"]}
    async with gateway(backend, macros=macros) as gw, gw.peer() as mta:
        lists = (await mta.negotiate()).lists
    assert set(lists) <= set(range(7))
    assert {b"j", b"_", b"v", b"{daemon_name}", b"{daemon_addr}", b"{if_name}", b"{if_addr}"} <= set(lists[0])
    assert {b"{client_addr}", b"{client_name}", b"{client_port}", b"{client_resolve}"} <= set(lists[0])
    assert {b"{tls_version}", b"{cipher}", b"{cipher_bits}", b"{cert_subject}", b"{cert_issuer}"} <= set(lists[1])
    assert {b"i", b"{auth_type}", b"{auth_authen}", b"{auth_author}", b"{auth_ssf}", b"{mail_addr}"} <= set(lists[2])
    assert {b"i", b"{rcpt_addr}", b"{rcpt_host}", b"{rcpt_mailer}"} <= set(lists[3])
    assert b"i" in lists[4]
    assert {b"i", b"{msg_id}", b"{wanted}"} <= set(lists[5])
    assert {b"i", b"{configured}"} <= set(lists[6])


@pytest.mark.conformance("N08")
async def test_without_the_flag_no_macro_lists_are_sent(backend: Backend) -> None:
    async with gateway(backend, macros={"connect": ["j"]}) as gw, gw.peer() as mta:
        assert len((await mta.negotiate(actions=0xFF)).packet) == 4 + 1 + 12


@pytest.mark.conformance("N09")
async def test_larger_packets_are_never_agreed(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        assert not (await mta.negotiate(steps=0x301FFFFF)).steps & 0x70000000


async def test_what_nobody_subscribes_is_negotiated_away(backend: Backend) -> None:
    async with gateway(backend, webhook={"events": ["rcpt"]}) as gw, gw.peer() as mta:
        agreed = await mta.negotiate(steps=STEPS_WITHOUT_LEADING_SPACE)
        # NR_CONN, NR_HELO, NR_MAIL: shown at rcpt; NOBODY, NOHDRS, NOEOH, NOUNKNOWN, NODATA: of no use
        assert agreed.steps == 0x001000 | 0x002000 | 0x004000 | 0x10 | 0x20 | 0x40 | 0x100 | 0x200
        await mta.send(CON, HEL, *ENVELOPE)
        await mta.expect(OK)
        await mta.send(RCP)
        await mta.expect(OK)
        await mta.quit()
        assert backend.events == ["rcpt", "rcpt"]


async def test_a_required_event_that_is_not_offered_fails_only_that_webhook(backend: Backend) -> None:
    backend.answers = {"negotiate": [{"wants": {"events": ["unknown"]}}]}
    async with Backend() as healthy:
        webhooks = [
            {"name": "a", "url": backend.url, "on_failure": "continue"},
            {"name": "b", "url": healthy.url, "events": ["connect"]},
        ]
        async with gateway(webhooks=webhooks) as gw, gw.peer() as mta:
            await mta.negotiate(version=2, actions=0x3F, steps=0x7F)
            await mta.send(CON)
            await mta.expect(OK)
            assert backend.events == ["negotiate"]
            assert healthy.events == ["connect"]
            assert gw.lines(level="warning", containing="unknown")
