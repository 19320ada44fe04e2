"""E: senders and recipients."""

import base64

import pytest
from gateway_harness import (
    ACCEPT,
    CONTENT,
    ENVELOPE,
    EOM,
    MAI,
    OK,
    RCP,
    START,
    Backend,
    P,
    gateway,
)

REFUSED_BY_MTA = P(b"DR{rcpt_mailer}\0error\0{rcpt_host}\0005.1.1\0{rcpt_addr}\0no user\0")
SECOND = P(b"R<c@y.test>\0")


def addresses(request: dict) -> list[str]:
    return [item["address"] for item in request["envelope"]["to"]]


@pytest.mark.conformance("E01")
async def test_parameters_of_mail_are_shown_by_name(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(P(b"M<a@x>\0SIZE=100\0BODY=8BITMIME\0"))
        assert backend.data("mail") == [{"address": "a@x", "params": {"SIZE": "100", "BODY": "8BITMIME"}}]


@pytest.mark.conformance("E02")
@pytest.mark.parametrize("packet", [P(b"M<>\0"), P(b"M\0")], ids=["brackets", "nothing at all"])
async def test_the_null_sender_is_an_empty_address(backend: Backend, packet: bytes) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(packet)
        assert backend.data("mail") == [{"address": "", "params": {}}]
        assert backend.only("mail")["envelope"]["from"] == {"address": "", "params": {}}


@pytest.mark.conformance("E03")
@pytest.mark.parametrize("packet", [P(b"M<a@x>"), P(b"M")], ids=["no NUL", "empty"])
async def test_a_malformed_mail_closes_the_connection(backend: Backend, packet: bytes) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.send(packet)
        await mta.expect_close()


@pytest.mark.conformance("E03")
@pytest.mark.parametrize("packet", [P(b"R<b@x>"), P(b"R")], ids=["no NUL", "empty"])
async def test_a_malformed_rcpt_closes_the_connection(backend: Backend, packet: bytes) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(MAI)
        await mta.send(packet)
        await mta.expect_close()


@pytest.mark.conformance("E04")
async def test_addresses_lose_one_pair_of_brackets_and_nothing_else(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(
            MAI,
            P(b"Rplain@x\0"),
            P(b"R<@r.test:u@x>\0"),
            P(b'R<"a b"@x>\0'),
            P(b"R<postmaster>\0"),
        )
        shown = [data["address"] for data in backend.data("rcpt")]
        assert shown == ["plain@x", "@r.test:u@x", '"a b"@x', "postmaster"]


@pytest.mark.conformance("E05")
async def test_an_address_that_is_not_utf8_keeps_its_bytes(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(MAI, P(b"R<\xff\xfe@x>\0"))
        data = backend.only("rcpt")["data"]
        assert data["address"] == "\ufffd\ufffd@x"
        assert base64.b64decode(data["address_base64"]) == b"\xff\xfe@x"


@pytest.mark.conformance("E06")
async def test_a_refused_recipient_is_not_among_the_recipients(backend: Backend) -> None:
    backend.answers = {"rcpt": [{"action": "reject"}, None]}
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(MAI)
        await mta.send(RCP)
        await mta.expect(P(b"y550 5.7.1 Command rejected\0"))
        await mta.exchange(SECOND, *CONTENT)
        await mta.send(EOM)
        await mta.expect(ACCEPT)
        assert [addresses(request) for request in backend.of("rcpt")] == [["b@y.test"], ["c@y.test"]]
        assert [data["index"] for data in backend.data("rcpt")] == [0, 1]
        assert addresses(backend.only("end_of_message")) == ["c@y.test"]


@pytest.mark.conformance("E07")
async def test_a_recipient_without_a_sender_closes_the_connection(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.send(RCP)
        await mta.expect_close()


@pytest.mark.conformance("E08")
async def test_a_recipient_that_the_mta_refused_is_shown_and_not_counted(backend: Backend) -> None:
    backend.answers = {"rcpt": [{"action": "reject"}, None]}
    async with gateway(backend, webhook={"rejected_recipients": True}) as gw, gw.peer() as mta:
        agreed = await mta.start()
        assert agreed.steps & 0x800
        await mta.exchange(MAI)
        await mta.send(REFUSED_BY_MTA, RCP)
        await mta.expect(OK)  # the verdict is ignored
        await mta.exchange(SECOND, *CONTENT)
        await mta.send(EOM)
        await mta.expect(ACCEPT)
        first, second = backend.data("rcpt")
        assert first == {"address": "b@y.test", "params": {}, "index": 0, "rejected_by_mta": True}
        assert second == {"address": "c@y.test", "params": {}, "index": 1}
        assert addresses(backend.only("end_of_message")) == ["c@y.test"]


@pytest.mark.conformance("E08")
async def test_a_recipient_that_the_mta_refused_is_no_event_for_those_who_did_not_ask(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        assert not (await mta.start()).steps & 0x800
        await mta.exchange(MAI)
        await mta.send(REFUSED_BY_MTA)
        await mta.exchange(RCP, SECOND, *CONTENT)
        assert [data["address"] for data in backend.data("rcpt")] == ["c@y.test"]
        assert addresses(backend.only("end_of_headers")) == ["c@y.test"]


@pytest.mark.conformance("E09")
async def test_parameters_that_came_joined_are_taken_apart(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(P(b"M<a@x>\0SIZE=5 BODY=7BIT\0"))
        assert backend.data("mail") == [{"address": "a@x", "params": {"SIZE": "5", "BODY": "7BIT"}}]


async def test_parameter_names_are_in_capitals_and_those_without_value_are_true(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(P(b"M<a@x>\0smtputf8\0Size=10\0"), P(b"R<b@y>\0notify=NEVER\0"))
        assert backend.data("mail")[0]["params"] == {"SMTPUTF8": True, "SIZE": "10"}
        assert backend.data("rcpt")[0]["params"] == {"NOTIFY": "NEVER"}


async def test_more_recipients_than_allowed_are_refused_and_not_asked_about(backend: Backend) -> None:
    async with gateway(backend, limits={"recipients": 1}) as gw, gw.peer() as mta:
        await mta.negotiate()
        await mta.exchange(*START, *ENVELOPE)
        session = backend.only("connect")["session_id"]
        await mta.send(SECOND)
        await mta.expect(P(f"y452 4.5.3 Too many recipients (session {session})\0".encode()))
        await mta.exchange(*CONTENT)
        await mta.send(EOM)
        await mta.expect(ACCEPT)
        assert len(backend.data("rcpt")) == 1
        assert addresses(backend.only("end_of_message")) == ["b@y.test"]
