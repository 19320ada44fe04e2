"""H: header and body."""

import base64
import struct

import pytest
from gateway_harness import (
    ACCEPT,
    BOD,
    CONTENT,
    DAT,
    ENVELOPE,
    EOH,
    EOM,
    HDR,
    OK,
    START,
    STEPS_WITHOUT_LEADING_SPACE,
    Backend,
    P,
    gateway,
)


async def message_of(backend: Backend, *content: bytes, steps: int = STEPS_WITHOUT_LEADING_SPACE) -> dict:
    """Send a message of these packets, each answered; return it as end_of_message showed it."""
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start(steps=steps)
        await mta.exchange(*ENVELOPE, DAT, *content)
        await mta.send(EOM)
        await mta.expect(ACCEPT)
        await mta.quit()
    shown: dict = backend.only("end_of_message")["message"]
    return shown


async def fields_of(backend: Backend, *headers: bytes, steps: int = STEPS_WITHOUT_LEADING_SPACE) -> list[dict]:
    fields: list[dict] = (await message_of(backend, *headers, EOH, steps=steps))["headers"]
    return fields


@pytest.mark.conformance("H01")
async def test_an_empty_value_and_a_folded_one_are_kept(backend: Backend) -> None:
    assert await fields_of(backend, P(b"LX\0\0"), P(b"LX\0a\n b\n\tc\0")) == [
        {"name": "X", "value": ""},
        {"name": "X", "value": "a\n b\n\tc"},
    ]


@pytest.mark.conformance("H02")
async def test_without_leading_space_agreed_nothing_more_is_stripped(backend: Backend) -> None:
    assert await fields_of(backend, P(b"LX\0 two\0")) == [{"name": "X", "value": " two"}]


@pytest.mark.conformance("H03")
async def test_with_leading_space_agreed_one_is_left_out_of_the_value(backend: Backend) -> None:
    fields = await fields_of(backend, P(b"LX\0 v\0"), P(b"LX\0\tv\0"), P(b"LX\0v\0"), P(b"LX\0\0"), steps=0x1FFFFF)
    assert fields == [
        {"name": "X", "value": "v"},
        {"name": "X", "value": "\tv", "field_base64": base64.b64encode(b"X:\tv").decode()},
        {"name": "X", "value": "v", "field_base64": base64.b64encode(b"X:v").decode()},
        {"name": "X", "value": "", "field_base64": base64.b64encode(b"X:").decode()},
    ]


@pytest.mark.conformance("H04")
@pytest.mark.parametrize("packet", [P(b"LX\0"), P(b"LX\0v"), P(b"L")], ids=["no value", "no NUL", "empty"])
async def test_a_malformed_header_closes_the_connection(backend: Backend, packet: bytes) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(*ENVELOPE, DAT)
        await mta.send(packet)
        await mta.expect_close()
        assert "header" not in backend.events


@pytest.mark.conformance("H05")
async def test_further_strings_behind_a_value_are_ignored(backend: Backend) -> None:
    assert await fields_of(backend, P(b"LX\0v\0extra\0")) == [{"name": "X", "value": "v"}]


@pytest.mark.conformance("H06")
async def test_a_value_that_is_not_utf8_keeps_its_bytes(backend: Backend) -> None:
    (field,) = await fields_of(backend, P(b"LX\0\xe9\xff\0"))
    assert field["value"] == "\ufffd\ufffd"
    assert base64.b64decode(field["value_base64"]) == b"\xe9\xff"


@pytest.mark.conformance("H07")
async def test_fields_keep_their_order_and_are_counted_by_name_whatever_the_case(backend: Backend) -> None:
    names = [f"X-{number}" for number in range(300)]
    names[10], names[150], names[290] = "X-Same", "x-same", "X-SAME"
    change = {"op": "change_header", "name": "x-SAME", "nth": 3, "value": "new"}
    backend.answers = {"end_of_message": {"changes": [change]}}
    webhook = {"events": ["header", "end_of_message"]}
    async with gateway(backend, webhook=webhook) as gw, gw.peer() as mta:
        await mta.start(steps=0)
        await mta.exchange(*ENVELOPE, DAT, *(P(b"L" + name.encode() + b"\0v\0") for name in names), EOH)
        await mta.send(EOM)
        await mta.expect(P(b"m" + struct.pack(">I", 3) + b"X-SAME\0new\0") + ACCEPT)
    assert [data["index"] for data in backend.data("header")] == list(range(300))
    assert [data["name"] for data in backend.data("header")] == names
    assert [field["name"] for field in backend.only("end_of_message")["message"]["headers"]] == names


@pytest.mark.conformance("H08")
async def test_a_message_without_header_and_body_has_empty_ones(backend: Backend) -> None:
    assert await message_of(backend, EOH) == {"size": 2, "headers": [], "body": {"text": ""}}


@pytest.mark.conformance("H09")
async def test_a_line_end_that_is_split_between_chunks_is_joined(backend: Backend) -> None:
    shown = await message_of(backend, EOH, P(b"Bab\r"), P(b"B\ncd\r\n"))
    assert shown["body"] == {"text": "ab\r\ncd\r\n"}
    assert [(data["offset"], data["size"]) for data in backend.data("body")] == [(0, 3), (3, 5)]


@pytest.mark.conformance("H10")
async def test_body_bytes_in_the_end_of_message_packet_belong_to_the_body(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(*ENVELOPE, DAT, HDR, EOH)
        await mta.send(P(b"Elast\r\n"))
        await mta.expect(ACCEPT)
        await mta.quit()
    assert backend.only("end_of_message")["message"]["body"] == {"text": "last\r\n"}
    assert backend.only("body")["data"] == {"offset": 0, "size": 6, "text": "last\r\n"}


@pytest.mark.conformance("H10")
async def test_a_refusal_of_the_last_chunk_is_the_only_reply_to_its_packet(backend: Backend) -> None:
    backend.answers = {"body": {"action": "reject"}}
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(*ENVELOPE, DAT, HDR, EOH)
        await mta.send(P(b"Elast\r\n"))
        await mta.expect(P(b"y550 5.7.1 Command rejected\0"))
        await mta.exchange(*ENVELOPE)
    assert "end_of_message" not in backend.events


@pytest.mark.conformance("H11")
async def test_a_nul_in_the_body_survives(backend: Backend) -> None:
    shown = await message_of(backend, EOH, P(b"Ba\0b\r\n"))
    assert shown["body"] == {"base64": base64.b64encode(b"a\0b\r\n").decode()}


@pytest.mark.conformance("H12")
async def test_a_header_after_the_body_closes_the_connection(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(*ENVELOPE, *CONTENT)
        await mta.send(HDR)
        await mta.expect_close()


async def test_every_byte_of_a_message_can_be_rebuilt_from_what_was_sent(backend: Backend) -> None:
    fields = [
        (b"A", b" plain"),
        (b"B", b"\ttab"),
        (b"C", b""),
        (b"D", b"  \xff\xfe"),
        (b"\xe9", b"\xe9"),
        (b"E", b" a\n b"),
    ]
    body = bytes(range(256)) + b"\r\n"
    shown = await message_of(
        backend, *(P(b"L" + name + b"\0" + raw + b"\0") for name, raw in fields), EOH, P(b"B" + body), steps=0x1FFFFF
    )
    assert [rebuilt(field) for field in shown["headers"]] == [name + b":" + raw for name, raw in fields]
    assert base64.b64decode(shown["body"]["base64"]) == body
    folds = sum(raw.count(b"\n") for _, raw in fields)
    assert shown["size"] == sum(len(n) + 1 + len(raw) + 2 for n, raw in fields) + folds + 2 + len(body)


def rebuilt(field: dict) -> bytes:
    if "field_base64" in field:
        return base64.b64decode(field["field_base64"])
    name = base64.b64decode(field["name_base64"]) if "name_base64" in field else field["name"].encode()
    value = base64.b64decode(field["value_base64"]) if "value_base64" in field else field["value"].encode()
    return name + b": " + value


async def test_an_empty_body_packet_is_answered(backend: Backend) -> None:
    assert (await message_of(backend, EOH, P(b"B"), BOD))["body"] == {"text": "body\r\n"}


async def test_the_number_of_fields_is_told_at_their_end(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.negotiate()
        await mta.exchange(*START, *ENVELOPE, DAT, HDR, HDR)
        await mta.send(EOH)
        await mta.expect(OK)
    assert backend.only("end_of_headers")["data"] == {"count": 2}
