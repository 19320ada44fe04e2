"""M: macros."""

import pytest
from gateway_harness import (
    ACCEPT,
    CON,
    CONTENT,
    DAT,
    ENVELOPE,
    EOM,
    HDR,
    HEL,
    MAI,
    OK,
    RCP,
    START,
    Backend,
    P,
    gateway,
)


@pytest.mark.conformance("M01")
async def test_macros_are_not_answered_and_are_shown_with_their_command(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.negotiate()
        await mta.send(P(b"DCj\0mx\0{daemon_name}\0MTA\0"), CON)
        await mta.expect(OK)
        shown = backend.only("connect")
        assert shown["macros"] == {"j": "mx", "{daemon_name}": "MTA"}
        assert (shown["mta"]["name"], shown["mta"]["daemon"]) == ("mx", "MTA")
        await mta.quit()


@pytest.mark.conformance("M02")
async def test_empty_lists_and_lists_before_each_field_keep_the_protocol_in_step(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.negotiate()
        await mta.exchange(CON)
        await mta.send(P(b"DH"), HEL)
        await mta.expect(OK)
        await mta.exchange(*ENVELOPE, DAT)
        for _ in range(2):
            await mta.send(P(b"DLi\0Q1\0"), HDR)
            await mta.expect(OK)
        await mta.quit()
        assert [request["macros"] for request in backend.of("header")] == [{"i": "Q1"}] * 2


@pytest.mark.conformance("M03")
@pytest.mark.parametrize("name", [b"i", b"{i}"])
async def test_a_name_of_one_letter_is_shown_bare_however_it_came(backend: Backend, name: bytes) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.send(P(b"DM" + name + b"\0Q1\0"), MAI)
        await mta.expect(OK)
        assert backend.only("mail")["macros"] == {"i": "Q1"}
        assert backend.only("mail")["queue_id"] == "Q1"


@pytest.mark.conformance("M04")
async def test_macros_of_a_recipient_are_seen_at_that_recipient_only(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(MAI)
        for value in (b"r1", b"r2"):
            await mta.send(P(b"DR{rcpt_addr}\0" + value + b"\0"), RCP)
            await mta.expect(OK)
        await mta.exchange(RCP, *CONTENT)
        await mta.send(EOM)
        await mta.expect(ACCEPT)
        assert [request["macros"].get("{rcpt_addr}") for request in backend.of("rcpt")] == ["r1", "r2", None]
        assert "{rcpt_addr}" not in backend.only("end_of_message")["macros"]


@pytest.mark.conformance("M05")
async def test_a_queue_id_does_not_outlive_its_message(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.send(P(b"DMi\0Q1\0"))
        await mta.exchange(*ENVELOPE, *CONTENT)
        await mta.send(P(b"DEi\0Q1\0"), EOM)
        await mta.expect(ACCEPT)
        await mta.send(P(b"DM"))
        await mta.exchange(*ENVELOPE)
        assert [request["queue_id"] for request in backend.of("mail")] == ["Q1", None]
        assert backend.of("mail")[1]["macros"] == {}
        assert backend.of("rcpt")[1]["queue_id"] is None


@pytest.mark.conformance("M06")
async def test_an_odd_string_is_ignored(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.send(P(b"DMi\0Q1\0odd\0"), MAI)
        await mta.expect(OK)
        assert backend.only("mail")["macros"] == {"i": "Q1"}


@pytest.mark.conformance("M06")
async def test_a_list_without_its_last_nul_is_ignored_as_a_whole(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.send(P(b"DMi\0Q1"), MAI)
        await mta.expect(OK)
        assert backend.only("mail")["macros"] == {}


@pytest.mark.conformance("M06")
async def test_a_list_without_a_stage_closes_the_connection(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.send(P(b"D"))
        await mta.expect_close()


async def test_a_value_that_is_not_utf8_keeps_its_bytes(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.negotiate()
        await mta.send(P(b"DCj\0\xff\0"), *START)
        await mta.expect(OK + OK)
        assert backend.only("helo")["macros"] == {"j": "\ufffd", "j_base64": "/w=="}


async def test_tls_and_auth_are_read_from_the_macros(backend: Backend) -> None:
    tls = b"DH{tls_version}\0TLSv1.3\0{cipher}\0AES\0{cipher_bits}\000256\0{cert_subject}\0\0{cert_issuer}\0CA\0"
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.negotiate()
        await mta.exchange(CON)
        await mta.send(P(tls), HEL)
        await mta.expect(OK)
        await mta.send(P(b"DM{auth_type}\0PLAIN\0{auth_authen}\0ann\0"), MAI)
        await mta.expect(OK)
        shown = backend.only("mail")
        assert shown["tls"] == {
            "version": "TLSv1.3",
            "cipher": "AES",
            "bits": 256,
            "cert_subject": None,
            "cert_issuer": "CA",
        }
        assert shown["auth"] == {"mechanism": "PLAIN", "user": "ann", "author": None}


async def test_an_abort_shows_the_queue_id_of_its_own_transaction(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.send(P(b"DMi\0Q1\0"))
        await mta.exchange(*ENVELOPE)
        await mta.send(P(b"DMi\0Q2\0"))
        await mta.exchange(MAI)
        assert backend.only("abort")["queue_id"] == "Q1"
        assert backend.of("mail")[1]["queue_id"] == "Q2"


async def test_a_queue_id_seen_at_a_recipient_is_known_from_then_on(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(*ENVELOPE)
        await mta.send(P(b"DRi\0Q1\0"))
        await mta.exchange(RCP, *CONTENT)
        await mta.send(EOM)
        await mta.expect(ACCEPT)
        assert backend.only("end_of_message")["queue_id"] == "Q1"
