"""Configured header fields, where a backend repeats them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.webhook import Secrecy

SECRECY = Secrecy([("authorization", "Bearer s3cr3t-value"), ("x-key", 'quo"ted\\key'), ("x-site", "short")])


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("it was Bearer s3cr3t-value!", "it was $AUTHORIZATION!"),
        ("s3cr3t-value and s3cr3t-value", "$AUTHORIZATION and $AUTHORIZATION"),
        (json.dumps({"key": 'quo"ted\\key'}), '{"key": "$X_KEY"}'),
        ("Bearer of news, short", "Bearer of news, short"),
        ("", ""),
    ],
)
def test_a_name_stands_in_place_of_the_value(said: str, shown: str) -> None:
    assert SECRECY.conceal_text(said) == shown
    assert SECRECY.conceal(said.encode()) == shown.encode()


def test_a_value_within_another_does_not_leave_its_rest() -> None:
    both = Secrecy([("x-one", "abcdefgh"), ("x-two", "abcdefgh-ijklmnop")])
    assert both.conceal(b"abcdefgh-ijklmnop abcdefgh") == b"$X_TWO $X_ONE"


@pytest.mark.parametrize("headers", [[], [("x-a", "")], [("x-a", "1234567")]])
def test_without_secrets_there_is_nothing_to_do(headers: list[tuple[str, str]]) -> None:
    assert not Secrecy(headers)


@given(st.text(min_size=8, max_size=30), st.text(max_size=20), st.text(max_size=20))
def test_no_secret_is_left(secret: str, before: str, after: str) -> None:
    secrecy = Secrecy([("x", secret)])
    assert secret not in secrecy.conceal_text(before + secret + after) or secret in before + "$X" + after
