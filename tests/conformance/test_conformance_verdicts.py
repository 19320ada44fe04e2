"""V: what a webhook decides, as the MTA sees it. Where the answer is not in the contract, on_invalid decides."""

from typing import Any

import pytest
from gateway_harness import (
    ACCEPT,
    BOD,
    CON,
    CONTENT,
    DAT,
    ENVELOPE,
    EOH,
    EOM,
    HDR,
    HEL,
    MAI,
    OK,
    RCP,
    TEMPFAILED,
    Backend,
    P,
    gateway,
)

REJECTED = P(b"y550 5.7.1 Command rejected\0")


async def reply_at_rcpt(backend: Backend, answer: dict[str, Any]) -> bytes:
    """What the MTA is told where the backend answers this at rcpt."""
    backend.answers = {"rcpt": answer}
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(MAI)
        await mta.send(RCP)
        packet = await mta.packet()
        await mta.quit()
        return packet


async def refused_with(backend: Backend, **reply: object) -> bytes:
    return await reply_at_rcpt(backend, {"action": "reject", "reply": reply})


def is_fallback(packet: bytes) -> bool:
    return packet.decode("ascii").startswith(TEMPFAILED) and packet[-1:] == b"\0" and packet.count(b"\0") == 1


@pytest.mark.conformance("V01")
async def test_accept_at_mail_ends_the_transaction_and_not_the_session(backend: Backend) -> None:
    backend.answers = {"mail": [{"action": "accept"}, None]}
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.send(MAI)
        await mta.expect(ACCEPT)
        await mta.exchange(*ENVELOPE)
        await mta.quit()


@pytest.mark.conformance("V02")
async def test_tempfail_at_rcpt_has_the_default_text(backend: Backend) -> None:
    assert await reply_at_rcpt(backend, {"action": "tempfail"}) == b"y451 4.7.1 Try again later\0"


@pytest.mark.conformance("V02")
async def test_reject_at_data_has_the_default_text(backend: Backend) -> None:
    backend.answers = {"data": {"action": "reject"}}
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(*ENVELOPE)
        await mta.send(DAT)
        await mta.expect(REJECTED)


@pytest.mark.conformance("V02")
async def test_discard_at_the_end_of_the_message_is_one_packet(backend: Backend) -> None:
    backend.answers = {"end_of_message": {"action": "discard"}}
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(*ENVELOPE, *CONTENT)
        await mta.send(EOM)
        await mta.expect(P(b"d"))
        await mta.quit()


@pytest.mark.conformance("V03")
async def test_a_reply_has_its_code_enhanced_code_and_text(backend: Backend) -> None:
    assert await refused_with(backend, code=550, enhanced="5.7.1", text="No") == b"y550 5.7.1 No\0"


@pytest.mark.conformance("V04")
async def test_a_reply_of_two_lines_repeats_the_codes(backend: Backend) -> None:
    packet = await refused_with(backend, code=550, enhanced="5.7.1", text=["one", "two"])
    assert packet == b"y550-5.7.1 one\r\n550 5.7.1 two\0"


@pytest.mark.conformance("V05")
async def test_a_percent_sign_is_doubled(backend: Backend) -> None:
    assert await refused_with(backend, text="100% sure") == b"y550 5.7.1 100%% sure\0"


@pytest.mark.conformance("V06")
async def test_a_line_break_inside_a_line_is_invalid(backend: Backend) -> None:
    assert is_fallback(await refused_with(backend, text="a\r\nb"))


@pytest.mark.conformance("V07")
async def test_what_is_not_ascii_becomes_a_question_mark(backend: Backend) -> None:
    assert await refused_with(backend, text="caf\u00e9") == b"y550 5.7.1 caf?\0"


@pytest.mark.conformance("V08")
@pytest.mark.parametrize("code", [250, 600, "abc", 55, 550.5, True])
async def test_a_code_that_is_no_refusal_is_invalid(backend: Backend, code: object) -> None:
    assert is_fallback(await refused_with(backend, code=code))


@pytest.mark.conformance("V09")
async def test_an_enhanced_code_of_another_class_is_invalid(backend: Backend) -> None:
    assert is_fallback(await refused_with(backend, code=550, enhanced="4.7.1"))


@pytest.mark.conformance("V10")
async def test_a_missing_enhanced_code_is_added(backend: Backend) -> None:
    assert await refused_with(backend, code=554, text="No") == b"y554 5.7.1 No\0"


@pytest.mark.conformance("V11")
async def test_skip_goes_out_where_nobody_needs_more_of_the_body(backend: Backend) -> None:
    backend.answers = {"body": {"action": "skip"}}
    async with gateway(backend, webhook={"include": ["message.headers"]}) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(*ENVELOPE, DAT, HDR, EOH)
        await mta.send(BOD)
        await mta.expect(P(b"s"))
        await mta.send(EOM)
        await mta.expect(ACCEPT)
    assert "body" not in backend.only("end_of_message")["message"]


@pytest.mark.conformance("V11")
async def test_skip_stays_inside_where_the_end_of_the_message_shows_the_body(backend: Backend) -> None:
    backend.answers = {"body": {"action": "skip"}}
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(*ENVELOPE, *CONTENT, BOD)
        await mta.send(EOM)
        await mta.expect(ACCEPT)
    assert backend.only("end_of_message")["message"]["body"] == {"text": "body\r\nbody\r\n"}
    assert len(backend.data("body")) == 1


@pytest.mark.conformance("V12")
async def test_skip_is_never_sent_where_it_was_not_offered(backend: Backend) -> None:
    backend.answers = {"body": {"action": "skip"}}
    async with gateway(backend, webhook={"include": []}) as gw, gw.peer() as mta:
        await mta.start(steps=0)
        await mta.exchange(*ENVELOPE, DAT, HDR, EOH, BOD, BOD)
        await mta.send(EOM)
        await mta.expect(ACCEPT)
        await mta.quit()
    assert len(backend.data("body")) == 1


@pytest.mark.conformance("V12")
@pytest.mark.parametrize("event", ["mail", "rcpt", "data", "end_of_headers"])
async def test_skip_is_invalid_where_nothing_can_be_skipped(backend: Backend, event: str) -> None:
    backend.answers = {event: {"action": "skip"}}
    before = {"mail": (), "rcpt": (MAI,), "data": ENVELOPE, "end_of_headers": (*ENVELOPE, DAT, HDR)}
    packet = {"mail": MAI, "rcpt": RCP, "data": DAT, "end_of_headers": EOH}
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(*before[event])
        await mta.send(packet[event])
        assert is_fallback(await mta.packet())
        assert gw.lines(level="warning", containing="skip")


@pytest.mark.conformance("V12")
async def test_discard_at_connect_is_invalid(backend: Backend) -> None:
    backend.answers = {"connect": {"action": "discard"}}
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.negotiate()
        await mta.send(CON)
        assert is_fallback(await mta.packet())
        assert gw.lines(level="warning", containing="discard")


@pytest.mark.conformance("V13")
@pytest.mark.parametrize(
    ("answer", "packet"),
    [
        ({"action": "disconnect"}, b"y421 4.7.0 Closing connection\0"),
        ({"reply": {"code": 421, "text": "Bye"}}, b"y421 4.7.1 Bye\0"),
    ],
    ids=["action", "reply alone"],
)
async def test_after_a_421_the_mta_closes(backend: Backend, answer: dict[str, Any], packet: bytes) -> None:
    backend.answers = {"connect": answer}
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.negotiate()
        await mta.send(CON)
        await mta.expect(P(packet))
        await mta.expect_nothing()
        await mta.quit()


@pytest.mark.conformance("V14")
async def test_an_unknown_action_is_invalid_and_no_progress_goes_out(backend: Backend) -> None:
    assert is_fallback(await reply_at_rcpt(backend, {"action": "progress"}))


@pytest.mark.parametrize("policy", ["reject", "continue"])
async def test_on_invalid_decides_what_an_invalid_answer_means(backend: Backend, policy: str) -> None:
    backend.answers = {"rcpt": {"no such key": 1}}
    async with gateway(backend, webhook={"on_invalid": policy}) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(MAI)
        await mta.send(RCP)
        await mta.expect(REJECTED if policy == "reject" else OK)


async def test_an_answer_without_a_verdict_goes_on(backend: Backend) -> None:
    backend.answers = lambda _: {}
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.negotiate()
        await mta.exchange(CON, HEL, *ENVELOPE, *CONTENT)
        await mta.send(EOM)
        await mta.expect(ACCEPT)
