"""Bytes are exact: from what is posted every field, address and body can be rebuilt byte for byte."""

import asyncio
import base64
import json
from collections.abc import Mapping
from typing import Any

import jsonschema
from hypothesis import given
from hypothesis import strategies as st

from gateway.contract.schema import request_schema
from gateway.milter import messages as m
from gateway.policy.gathering import Gathering
from gateway.policy.rules import Bounds
from gateway.spool import MemoryBudget, Spool
from gateway.translate.payload import json_stream
from gateway.translate.render import Audience, Occasion, encode, render

VALIDATOR = jsonschema.Draft202012Validator(request_schema())
OCCASION = Occasion(id="019b0c1e-7f00-7a11-8000-5d1c2f00aa07", time="2026-11-22T09:20:03.412Z")

strings = st.one_of(
    st.binary(max_size=40).map(lambda raw: raw.replace(b"\0", b"")),
    st.text(max_size=20).map(lambda text: text.replace("\0", "").encode("utf-8", "surrogatepass")),
    st.sampled_from(
        [b"", b" ", b"\xff", b"\xed\xa0\x80", b"caf\xc3\xa9", b"\xef\xbf\xbd", b"a\n b\n\tc", b'"\\', b"\r"]
    ),
)
names = st.binary(min_size=1, max_size=20).filter(lambda raw: not set(raw) & set(b"\0:"))
bodies = st.one_of(
    st.binary(max_size=200), st.text(max_size=100).map(str.encode), st.sampled_from([b"", b"\0", b"\xc3"])
)


def stated(item: Mapping[str, Any], key: str) -> bytes:
    """A reader's rule: the sibling where there is one, UTF-8 otherwise."""
    sibling = item.get(key + "_base64")
    if sibling is None:
        return str(item[key]).encode()
    assert "\N{REPLACEMENT CHARACTER}" in item[key]
    return base64.b64decode(sibling, validate=True)


def field_bytes(item: Mapping[str, Any]) -> bytes:
    """A reader's rule for a whole field, as `name:value` on the wire."""
    whole = item.get("field_base64")
    if whole is not None:
        return base64.b64decode(whole, validate=True)
    return stated(item, "name") + b": " + stated(item, "value")


def body_bytes(item: Mapping[str, Any]) -> bytes:
    """A reader's rule for a body."""
    assert ("text" in item) != ("base64" in item)
    if "text" in item:
        assert "\0" not in item["text"]
        return str(item["text"]).encode()
    return base64.b64decode(item["base64"], validate=True)


def gathered(*events: Any, macros: Mapping[bytes, bytes] | None = None, spool_above: int = 1 << 20) -> Gathering:
    """The facts after these events, with the leading space agreed."""
    facts = Gathering(Bounds(), lambda: Spool(MemoryBudget(1 << 20), spool_above))
    facts.leading_space = True
    for event in events:
        facts.note(event, macros or {})
    return facts


def posted(event: Any, facts: Gathering) -> dict[str, Any]:
    """The JSON that a webhook gets: valid UTF-8 and as the schema says."""

    async def encoded() -> bytes:
        shown = render(event, facts.session, facts.transaction, Audience("webhook"), OCCASION)
        if shown.body is None or isinstance(shown.body, bytes) or shown.body.in_memory() is not None:
            return encode(shown.request)
        assert isinstance(shown.body, Spool)
        await shown.body.flush()
        payload = json_stream(shown.request, shown.body)
        whole = b"".join([chunk async for chunk in payload.chunks()])
        assert len(whole) == payload.size
        assert payload.size == len(whole)
        return whole

    raw = asyncio.run(encoded())
    text = raw.decode("utf-8", "strict")
    decoded: dict[str, Any] = json.loads(text)
    json.dumps(decoded, ensure_ascii=False).encode("utf-8", "strict")  # a lone surrogate would fail
    VALIDATOR.validate(decoded)
    return decoded


@given(st.lists(st.tuples(names, strings), max_size=4))
def test_every_field_can_be_rebuilt(pairs: list[tuple[bytes, bytes]]) -> None:
    event = m.EndOfHeaders()
    facts = gathered(m.Mail(b"<a@b>"), *(m.Header(*pair) for pair in pairs), event)
    shown = posted(event, facts)["message"]["headers"]
    assert [field_bytes(item) for item in shown] == [name + b":" + value for name, value in pairs]


@given(names, strings)
def test_a_single_field_can_be_rebuilt(name: bytes, value: bytes) -> None:
    event = m.Header(name, value)
    assert field_bytes(posted(event, gathered(m.Mail(b"<a@b>"), event))["data"]) == name + b":" + value


@given(names, strings)
def test_field_base64_is_there_exactly_where_the_byte_after_the_colon_is_no_space(name: bytes, value: bytes) -> None:
    event = m.Header(name, value)
    assert ("field_base64" in posted(event, gathered(m.Mail(b"<a@b>"), event))["data"]) is (value[:1] != b" ")


@given(st.lists(bodies, max_size=4), st.sampled_from([0, 50, 1 << 20]))
def test_every_body_can_be_rebuilt_from_memory_and_from_disk(chunks: list[bytes], spool_above: int) -> None:
    event = m.EndOfMessage()
    kept = [chunk for chunk in chunks if chunk]
    facts = gathered(m.Mail(b"<a@b>"), *map(m.Body, kept), event, spool_above=spool_above)
    try:
        request = posted(event, facts)
        assert body_bytes(request["message"]["body"]) == b"".join(kept)
    finally:
        facts.end_transaction()


@given(bodies)
def test_a_body_is_text_exactly_where_it_is_utf8_without_nul(raw: bytes) -> None:
    try:
        is_text = "\0" not in raw.decode("utf-8", "strict")
    except UnicodeDecodeError:
        is_text = False
    event = m.EndOfMessage()
    shown = posted(event, gathered(m.Mail(b"<a@b>"), m.Body(raw), event))["message"]["body"]
    assert list(shown) == (["text"] if is_text else ["base64"])


@given(bodies.filter(bool), bodies.filter(bool))
def test_a_chunk_of_the_body_can_be_rebuilt(first: bytes, second: bytes) -> None:
    event = m.Body(second)
    data = posted(event, gathered(m.Mail(b"<a@b>"), m.Body(first), event))["data"]
    assert body_bytes({key: data[key] for key in ("text", "base64") if key in data}) == second
    assert (data["offset"], data["size"]) == (len(first), len(second))


def bare(spelled: bytes) -> bytes:
    """Without one surrounding pair of brackets."""
    return spelled[1:-1] if spelled.startswith(b"<") and spelled.endswith(b">") and len(spelled) > 1 else spelled


@given(strings, strings, st.booleans())
def test_every_address_can_be_rebuilt(sender: bytes, recipient: bytes, brackets: bool) -> None:
    spelled = [b"<" + item + b">" if brackets else item for item in (sender, recipient)]
    event = m.Rcpt(spelled[1])
    request = posted(event, gathered(m.Mail(spelled[0]), event))
    assert stated(request["envelope"]["from"], "address") == bare(spelled[0])
    assert [stated(item, "address") for item in request["envelope"]["to"]] == [bare(spelled[1])]
    assert stated(request["data"], "address") == bare(spelled[1])


@given(strings, strings)
def test_the_names_of_the_client_can_be_rebuilt(host: bytes, helo: bytes) -> None:
    event = m.Helo(helo)
    request = posted(event, gathered(m.Connect(host, b"L", 0, b"/run/\xff"), event))
    assert stated(request["client"], "name") == host
    assert stated(request["client"], "helo") == stated(request["data"], "name") == helo
    assert stated(request["client"], "address") == b"/run/\xff"


@given(strings)
def test_an_unknown_command_can_be_rebuilt(command: bytes) -> None:
    event = m.Unknown(command)
    assert stated(posted(event, gathered(event))["data"], "command") == command


@given(st.dictionaries(st.sampled_from([b"i", b"j", b"client_ptr", b"auth_authen", b"cert_subject"]), strings))
def test_every_macro_can_be_rebuilt(values: dict[bytes, bytes]) -> None:
    event = m.Mail(b"<a@b>")
    shown = posted(event, gathered(event, macros={b"tls_version": b"TLSv1.3", **values}))["macros"]
    for name, value in values.items():
        key = name.decode() if len(name) == 1 else "{" + name.decode() + "}"
        assert stated(shown, key) == value


@given(st.lists(st.tuples(st.from_regex(rb"[A-Za-z0-9-]{1,8}", fullmatch=True), strings), max_size=4))
def test_parameters_never_break_the_json(pairs: list[tuple[bytes, bytes]]) -> None:
    event = m.Mail(b"<a@b>", tuple(key + b"=" + value for key, value in pairs))
    posted(event, gathered(event))
