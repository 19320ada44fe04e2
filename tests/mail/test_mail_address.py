"""Envelope addresses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mail.address import Address, address_fault, in_brackets, split_params, strip_brackets


@pytest.mark.parametrize(
    ("spelled", "bare"),
    [
        (b"<a@x>", b"a@x"),
        (b"a@x", b"a@x"),
        (b"<>", b""),
        (b"", b""),
        (b"<@r:a@x>", b"@r:a@x"),
        (b'<"a b"@x>', b'"a b"@x'),
        (b"<<a@x>>", b"<a@x>"),
        (b"<a@x", b"<a@x"),
        (b"<", b"<"),
    ],
    ids=repr,
)
def test_one_pair_of_brackets_is_left_out(spelled: bytes, bare: bytes) -> None:
    assert strip_brackets(spelled) == bare
    assert Address(spelled).bare == bare


@pytest.mark.parametrize(
    ("spelled", "domain"),
    [
        (b"<a@X.Test>", b"x.test"),
        (b'<"a@b"@x>', b"x"),
        (b"<postmaster>", None),
        (b"<>", None),
        (b"<@r.test:a@x>", b"x"),
    ],
    ids=repr,
)
def test_a_domain_is_what_follows_the_last_at_sign(spelled: bytes, domain: bytes | None) -> None:
    assert Address(spelled).domain == domain


@pytest.mark.parametrize(
    "bare", [b"", b"a@x", b'"<a>"@x', b'"a\\"<b"@x', b"@r:a@x", b"\xff@x", b"postmaster"], ids=repr
)
def test_an_address_that_can_be_sent(bare: bytes) -> None:
    assert address_fault(bare) is None


@pytest.mark.parametrize(
    "bare",
    [b"a\0@x", b"a\r@x", b"a\n@x", b'"a\n"@x', b"a@x>", b"<a@x", b"a@x> NOTIFY=NEVER <b@y", b'"a"<@x', b'"<a@x'],
    ids=repr,
)
def test_an_address_that_cannot_be_sent(bare: bytes) -> None:
    assert address_fault(bare)


@given(st.binary(max_size=30))
def test_brackets_put_on_come_off_again(bare: bytes) -> None:
    assert strip_brackets(in_brackets(bare)) == bare


@pytest.mark.parametrize(
    ("params", "pairs"),
    [
        ([], []),
        ([b"SIZE=100", b"BODY=8BITMIME"], [(b"SIZE", b"100"), (b"BODY", b"8BITMIME")]),
        ([b"size=1 body=7bit"], [(b"SIZE", b"1"), (b"BODY", b"7bit")]),
        ([b"SMTPUTF8"], [(b"SMTPUTF8", None)]),
        ([b"AUTH=<a=b>"], [(b"AUTH", b"<a=b>")]),
        ([b"X="], [(b"X", b"")]),
        ([b"  "], []),
    ],
    ids=repr,
)
def test_parameters_are_pairs_with_keys_in_capitals(
    params: list[bytes], pairs: list[tuple[bytes, bytes | None]]
) -> None:
    assert split_params(params) == pairs
