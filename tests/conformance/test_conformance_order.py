"""S: what follows what."""

import pytest
from gateway_harness import (
    ABO,
    ACCEPT,
    CON,
    CONTENT,
    ENVELOPE,
    EOM,
    HEL,
    MAI,
    OPT,
    QNC,
    QUI,
    RCP,
    START,
    Backend,
    P,
    gateway,
)

ALL_UNANSWERED = 0x080 | 0x1000 | 0x2000 | 0x4000 | 0x8000 | 0x10000 | 0x20000 | 0x40000 | 0x80000
SECOND = (P(b"M<second@x.test>\0"), P(b"R<c@y.test>\0"))


@pytest.mark.conformance("S01")
async def test_where_nothing_is_answered_only_the_end_of_the_message_is(backend: Backend) -> None:
    async with gateway(backend, webhook={"events": ["end_of_message"]}) as gw, gw.peer() as mta:
        agreed = await mta.negotiate(steps=ALL_UNANSWERED)
        # nobody subscribes DATA, end of headers and UNKNOWN: they would be negotiated away, had the MTA offered that
        assert agreed.steps == ALL_UNANSWERED & ~(0x10000 | 0x20000 | 0x40000)
        await mta.send(*START, *ENVELOPE)
        await mta.exchange(CONTENT[0])
        await mta.send(CONTENT[1])
        await mta.exchange(CONTENT[2])
        await mta.send(CONTENT[3], EOM)
        await mta.expect(ACCEPT)
        await mta.quit()


@pytest.mark.conformance("S01")
async def test_a_whole_message_without_replies_can_come_in_one_write(backend: Backend) -> None:
    async with gateway(backend, webhook={"events": ["end_of_message"]}) as gw, gw.peer() as mta:
        await mta.negotiate()
        await mta.send(*START, *ENVELOPE, CONTENT[1], CONTENT[3], EOM)
        await mta.expect(ACCEPT)
        await mta.quit()
        shown = backend.only("end_of_message")
        assert shown["envelope"]["to"] == [{"address": "b@y.test", "params": {}}]
        assert shown["message"]["body"] == {"text": "body\r\n"}


@pytest.mark.conformance("S02")
async def test_aborts_are_never_answered(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(*ENVELOPE, *CONTENT)
        await mta.send(ABO, ABO)
        await mta.exchange(MAI)
        assert backend.data("abort") == [{"after": "body"}]


@pytest.mark.conformance("S03")
@pytest.mark.parametrize("between", [(ABO,), ()], ids=["as Postfix", "as Sendmail"])
async def test_two_messages_are_independent_and_a_finished_one_is_not_aborted(
    backend: Backend, between: tuple[bytes, ...]
) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(*ENVELOPE, *CONTENT)
        await mta.send(EOM)
        await mta.expect(ACCEPT)
        await mta.send(*between)
        await mta.exchange(*SECOND, *CONTENT)
        await mta.send(EOM)
        await mta.expect(ACCEPT)
        await mta.send(*between)
        await mta.quit()
        await gw.idle()
    first, second = backend.of("end_of_message")
    assert first["transaction_id"] != second["transaction_id"]
    assert second["envelope"]["from"]["address"] == "second@x.test"
    assert second["envelope"]["to"] == [{"address": "c@y.test", "params": {}}]
    assert len(second["message"]["headers"]) == 1
    assert "abort" not in backend.events
    assert backend.only("disconnect")["data"]["transactions"] == 2


@pytest.mark.conformance("S04")
async def test_mail_inside_a_transaction_begins_another(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(*ENVELOPE)
        await mta.exchange(SECOND[0])
        assert backend.data("abort") == [{"after": "rcpt"}]
        first, second = backend.of("mail")
        assert first["transaction_id"] == backend.only("abort")["transaction_id"] != second["transaction_id"]
        assert second["envelope"]["to"] == []


@pytest.mark.conformance("S05")
async def test_quit_inside_a_transaction_aborts_it_and_closes(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(*ENVELOPE)
        await mta.send(QUI)
        await mta.expect_close()
        await gw.idle()
        assert backend.events[-2:] == ["abort", "disconnect"]
        assert backend.only("disconnect")["data"]["cause"] == "quit"


@pytest.mark.conformance("S06")
async def test_after_quit_nc_nothing_of_the_old_session_is_visible(backend: Backend) -> None:
    backend.answers = {"connect": [{"context": {"session": "mine"}}, None]}
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.negotiate()
        await mta.send(P(b"DC{daemon_name}\0first\0"), CON)
        await mta.expect(P(b"c"))
        await mta.exchange(HEL, *ENVELOPE, *CONTENT)
        await mta.send(EOM)
        await mta.expect(ACCEPT)
        await mta.send(QNC)
        await mta.exchange(CON)
        second = backend.of("connect")[1]
        assert second["session_id"] != backend.of("connect")[0]["session_id"]
        assert second["client"]["helo"] is None
        assert second["envelope"] == {"from": None, "to": []}
        assert second["macros"] == {}
        assert second["context"] == {"session": None, "transaction": None}
        await mta.exchange(HEL, MAI)
        await mta.quit()
        await gw.idle()
        assert [data["cause"] for data in backend.data("disconnect")] == ["quit", "quit"]
        assert [data["transactions"] for data in backend.data("disconnect")] == [1, 1]


@pytest.mark.conformance("S07")
async def test_an_unknown_command_leaves_the_transaction_as_it_is(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(*ENVELOPE, P(b"UFOO bar\0"), SECOND[1])
        assert backend.data("unknown") == [{"command": "FOO bar"}]
        to = backend.of("rcpt")[1]["envelope"]["to"]
        assert [item["address"] for item in to] == ["b@y.test", "c@y.test"]
        await mta.exchange(*CONTENT)
        await mta.send(EOM)
        await mta.expect(ACCEPT)


@pytest.mark.conformance("S08")
async def test_an_unknown_command_byte_closes_the_connection(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.send(P(b"z"))
        await mta.expect_close()
        assert gw.lines(level="warning", containing="unknown command byte")


@pytest.mark.conformance("S09")
async def test_with_every_event_negotiated_away_the_end_of_a_message_passes(backend: Backend) -> None:
    async with gateway(backend, webhook={"events": ["negotiate"]}) as gw, gw.peer() as mta:
        agreed = await mta.negotiate()
        assert agreed.steps & 0x37F == 0x37F
        await mta.send(P(b"DCj\0mx\0"), P(b"DH"), P(b"DMi\0Q1\0"), P(b"DR{rcpt_addr}\0r\0"), P(b"DEi\0Q1\0"), EOM)
        await mta.expect(ACCEPT)
        await mta.quit()


@pytest.mark.conformance("S09")
async def test_macros_of_every_stage_are_available_at_the_end_of_the_message(backend: Backend) -> None:
    webhook = {"events": ["end_of_message"], "include": []}
    async with gateway(backend, webhook=webhook) as gw, gw.peer() as mta:
        await mta.negotiate()
        await mta.send(P(b"DCj\0mx\0"), CON, P(b"DH{tls_version}\0TLSv1.3\0"), HEL, P(b"DM{auth_type}\0PLAIN\0"), MAI)
        await mta.send(RCP, P(b"DEi\0Q1\0"), EOM)
        await mta.expect(ACCEPT)
        shown = backend.only("end_of_message")
        assert shown["macros"] == {"j": "mx", "{tls_version}": "TLSv1.3", "{auth_type}": "PLAIN", "i": "Q1"}
        assert shown["queue_id"] == "Q1"
        assert shown["message"] == {"size": None}


@pytest.mark.conformance("S10")
async def test_a_second_end_of_message_closes_the_connection(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(*ENVELOPE, *CONTENT)
        await mta.send(EOM)
        await mta.expect(ACCEPT)
        await mta.send(EOM)
        await mta.expect_close()


async def test_quit_before_anything_else_closes_without_a_word(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.send(QUI)
        await mta.expect_close()
        await gw.idle()
        assert gw.warnings() == []


@pytest.mark.parametrize("packet", [ABO, QNC, P(b"DCj\0mx\0"), EOM], ids=["abort", "quit_nc", "macros", "eom"])
async def test_nothing_but_an_offer_comes_first(backend: Backend, packet: bytes) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.send(packet, OPT)
        await mta.expect_close()
