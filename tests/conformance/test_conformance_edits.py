"""A: changes of the message, as the MTA sees them."""

import struct
from typing import Any

import pytest
from gateway_harness import (
    ACCEPT,
    BOD,
    CONTENT,
    DAT,
    ENVELOPE,
    EOH,
    EOM,
    MAI,
    OK,
    RCP,
    STEPS_WITHOUT_LEADING_SPACE,
    TEMPFAILED,
    Backend,
    P,
    gateway,
)

ADD = {"op": "add_header", "name": "X-A", "value": "v"}


def index(number: int) -> bytes:
    return struct.pack(">I", number)


def headers(*names: str) -> list[bytes]:
    return [P(b"L" + name.encode() + b"\0" + str(number).encode() + b"\0") for number, name in enumerate(names)]


async def told(
    backend: Backend,
    *changes: dict[str, Any],
    action: str | None = None,
    fields: tuple[str, ...] = ("Subject",),
    steps: int = STEPS_WITHOUT_LEADING_SPACE,
    actions: int = 0x1FF,
    recipient: bytes = RCP,
) -> list[bytes]:
    """The packets that answer the end of a message where the backend asks for these changes."""
    backend.answers = {"end_of_message": {"action": action, "changes": list(changes)}}
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start(steps=steps, actions=actions)
        await mta.exchange(MAI, recipient, DAT, *headers(*fields), EOH, BOD)
        await mta.send(EOM)
        packets = await mta.packets_until_reply()
        await mta.quit()
        return packets


def is_fallback(packets: list[bytes]) -> bool:
    return len(packets) == 1 and packets[0].decode().startswith(TEMPFAILED)


@pytest.mark.conformance("A01")
async def test_a_field_is_added_at_the_end(backend: Backend) -> None:
    assert await told(backend, ADD) == [b"hX-A\0v\0", b"a"]


@pytest.mark.conformance("A01")
async def test_a_field_is_added_above_everything(backend: Backend) -> None:
    assert await told(backend, {**ADD, "at": "start"}) == [b"i" + index(0) + b"X-A\0v\0", b"a"]


@pytest.mark.conformance("A02")
async def test_changes_of_one_name_go_from_the_last_to_the_first(backend: Backend) -> None:
    packets = await told(
        backend,
        {"op": "delete_header", "name": "X-A", "nth": 1},
        {"op": "change_header", "name": "X-A", "nth": 2, "value": "w"},
        fields=("X-A", "Subject", "X-A"),
    )
    assert packets == [b"m" + index(2) + b"X-A\0w\0", b"m" + index(1) + b"X-A\0\0", b"a"]


@pytest.mark.conformance("A03")
async def test_the_third_field_of_a_name_is_deleted_before_the_first(backend: Backend) -> None:
    packets = await told(
        backend,
        {"op": "delete_header", "name": "X-A", "nth": 1},
        {"op": "delete_header", "name": "X-A", "nth": 3},
        fields=("X-A", "X-A", "X-A"),
    )
    assert packets == [b"m" + index(3) + b"X-A\0\0", b"m" + index(1) + b"X-A\0\0", b"a"]


@pytest.mark.conformance("A04")
async def test_a_fold_goes_out_as_a_line_feed(backend: Backend) -> None:
    assert await told(backend, {**ADD, "value": "a\r\n b"}) == [b"hX-A\0a\n b\0", b"a"]


@pytest.mark.conformance("A04")
async def test_a_value_that_would_be_another_field_is_invalid(backend: Backend) -> None:
    assert is_fallback(await told(backend, {**ADD, "value": "a\nInjected: x"}))


@pytest.mark.conformance("A05")
@pytest.mark.parametrize("name", ["X Y", "", "X:Y", "X\nY", "X\0Y", "caf\u00e9"])
async def test_a_name_that_is_no_field_name_is_invalid(backend: Backend, name: str) -> None:
    assert is_fallback(await told(backend, {**ADD, "name": name}))


@pytest.mark.conformance("A06")
async def test_a_large_body_goes_out_in_chunks_with_nothing_between(backend: Backend) -> None:
    packets = await told(backend, {"op": "replace_body", "text": "b" * 70000})
    assert [(packet[:1], len(packet) - 1) for packet in packets] == [(b"b", 65535), (b"b", 4465), (b"a", 0)]


@pytest.mark.conformance("A06")
async def test_an_empty_body_is_one_empty_packet(backend: Backend) -> None:
    assert await told(backend, {"op": "replace_body", "text": ""}) == [b"b", b"a"]


@pytest.mark.conformance("A07")
async def test_the_body_goes_out_last_however_the_changes_are_listed(backend: Backend) -> None:
    packets = await told(
        backend,
        {"op": "replace_body", "text": "new"},
        {"op": "quarantine", "reason": "why"},
        {"op": "delete_rcpt", "address": "b@y.test"},
        {"op": "change_from", "address": "z@x.test"},
        ADD,
        {**ADD, "at": "start"},
        {"op": "change_header", "name": "Subject", "nth": 1, "value": "w"},
    )
    codes = b"".join(packet[:1] for packet in packets)
    assert codes.startswith(b"m")
    assert codes.endswith(b"qba")
    assert sorted(codes) == sorted(b"mhie-qba")


@pytest.mark.conformance("A08")
async def test_a_recipient_is_added_with_and_without_parameters(backend: Backend) -> None:
    with_params = {"op": "add_rcpt", "address": "c@z", "params": {"NOTIFY": "NEVER"}}
    assert await told(backend, with_params) == [b"2<c@z>\0NOTIFY=NEVER\0", b"a"]
    assert await told(backend, {"op": "add_rcpt", "address": "<c@z>"}) == [b"+<c@z>\0", b"a"]


@pytest.mark.conformance("A09")
async def test_the_null_sender_goes_out_in_brackets(backend: Backend) -> None:
    assert await told(backend, {"op": "change_from", "address": ""}) == [b"e<>\0", b"a"]


@pytest.mark.conformance("A10")
@pytest.mark.parametrize("spelled", [b"<b@y.test>", b"b@y.test"], ids=["brackets", "bare"])
async def test_a_recipient_is_deleted_in_the_spelling_of_its_command(backend: Backend, spelled: bytes) -> None:
    packets = await told(
        backend, {"op": "delete_rcpt", "address": "b@y.test"}, recipient=P(b"R" + spelled + b"\0NOTIFY=NEVER\0")
    )
    assert packets == [b"-" + spelled + b"\0", b"a"]


@pytest.mark.conformance("A11")
async def test_quarantine_comes_before_the_accept(backend: Backend) -> None:
    packets = await told(backend, {"op": "quarantine", "reason": "why"}, action="accept")
    assert packets == [b"qwhy\0", b"a"]


@pytest.mark.conformance("A12")
@pytest.mark.parametrize(
    ("missing", "change"),
    [
        (0x01, ADD),
        (0x02, {"op": "replace_body", "text": ""}),
        (0x02, {"op": "replace_message", "text": "A: b\r\n\r\n"}),
        (0x04, {"op": "add_rcpt", "address": "c@z"}),
        (0x80, {"op": "add_rcpt", "address": "c@z", "params": {"NOTIFY": "NEVER"}}),
        (0x08, {"op": "delete_rcpt", "address": "b@y.test"}),
        (0x10, {"op": "delete_header", "name": "Subject"}),
        (0x11, {"op": "set_header", "name": "Subject", "value": "v"}),
        (0x10, {"op": "set_header", "name": "Subject", "value": "v"}),
        (0x01, {"op": "set_header", "name": "Subject", "value": "v"}),
        (0x20, {"op": "quarantine", "reason": "why"}),
        (0x40, {"op": "change_from", "address": ""}),
    ],
    ids=lambda value: value if isinstance(value, int) else value["op"],
)
async def test_a_change_that_was_not_agreed_makes_the_answer_invalid(
    backend: Backend, missing: int, change: dict[str, Any]
) -> None:
    assert is_fallback(await told(backend, change, actions=0x1FF & ~missing))


@pytest.mark.conformance("A12")
async def test_with_the_flag_for_parameters_alone_a_recipient_can_be_added_with_them(backend: Backend) -> None:
    with_params = {"op": "add_rcpt", "address": "c@z", "params": {"NOTIFY": "NEVER"}}
    assert await told(backend, with_params, actions=0x1FF & ~0x04) == [b"2<c@z>\0NOTIFY=NEVER\0", b"a"]


@pytest.mark.conformance("A13")
@pytest.mark.parametrize(
    ("event", "packet"), [("mail", MAI), ("rcpt", RCP), ("data", DAT), ("body", BOD)], ids=lambda value: str(value)[:8]
)
async def test_a_change_answered_early_is_held_until_the_end(backend: Backend, event: str, packet: bytes) -> None:
    backend.answers = {event: {"changes": [ADD]}}
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start(steps=STEPS_WITHOUT_LEADING_SPACE)
        await mta.exchange(*ENVELOPE, *CONTENT)
        await mta.send(EOM)
        await mta.expect(P(b"hX-A\0v\0") + ACCEPT)
        shown = backend.only("end_of_message")["message"]["headers"]
        assert {"name": "X-A", "value": "v"} in shown


@pytest.mark.conformance("A14")
async def test_a_refusal_drops_the_changes_beside_it(backend: Backend) -> None:
    assert await told(backend, ADD, action="reject") == [b"y550 5.7.1 Command rejected\0"]


@pytest.mark.conformance("A15")
async def test_with_leading_space_agreed_values_go_out_with_it(backend: Backend) -> None:
    assert await told(backend, ADD, steps=0x1FFFFF) == [b"hX-A\0 v\0", b"a"]


async def test_a_change_answered_at_a_refused_recipient_falls_with_it(backend: Backend) -> None:
    async with Backend({"rcpt": {"changes": [ADD]}}) as first:
        backend.answers = {"rcpt": [{"action": "reject"}, None]}
        async with gateway(first, backend) as gw, gw.peer() as mta:
            await mta.start(steps=STEPS_WITHOUT_LEADING_SPACE)
            await mta.exchange(MAI)
            await mta.send(RCP)
            await mta.expect(P(b"y550 5.7.1 Command rejected\0"))
            await mta.exchange(P(b"R<c@y.test>\0"), *CONTENT)
            await mta.send(EOM)
            assert await mta.packets_until_reply() == [b"hX-A\0v\0", b"a"]


async def test_changes_of_two_webhooks_are_one_net_result(backend: Backend) -> None:
    change = {"op": "change_header", "name": "Subject", "nth": 1, "value": "first"}
    delete = {"op": "delete_header", "name": "Subject"}
    backend.answers = {"end_of_message": {"changes": [change, ADD]}}
    async with Backend({"end_of_message": {"changes": [delete, {**ADD, "value": "w"}]}}) as second:
        async with gateway(backend, second) as gw, gw.peer() as mta:
            await mta.start(steps=STEPS_WITHOUT_LEADING_SPACE)
            await mta.exchange(*ENVELOPE, *CONTENT)
            await mta.send(EOM)
            packets = await mta.packets_until_reply()
        assert packets[0] == b"m" + index(1) + b"Subject\0\0"
        assert len(packets) == 4
        shown = second.only("end_of_message")["message"]["headers"]
        assert shown == [{"name": "Subject", "value": "first"}, {"name": "X-A", "value": "v"}]


async def test_an_accept_at_rcpt_is_no_accept_on_the_wire_while_changes_are_held(backend: Backend) -> None:
    backend.answers = {"rcpt": {"action": "accept", "changes": [ADD]}}
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start(steps=0)
        await mta.exchange(*ENVELOPE, *CONTENT)
        await mta.send(EOM)
        await mta.expect(P(b"hX-A\0v\0") + ACCEPT)
        assert "end_of_message" not in backend.events
        await mta.exchange(MAI)
        await mta.send(RCP)
        await mta.expect(OK)
