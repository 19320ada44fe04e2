"""Signatures, judged by a verifier that is not ours."""

import base64
import time
from datetime import UTC, datetime

import pytest
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st
from webhook_backends import Spool, answer, says

from gateway.webhook.signature import parse_secret, signature, signature_of

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_the_example_of_the_specification():
    value = signature([parse_secret(SECRET)], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert value == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(
    key=st.binary(min_size=1, max_size=64),
    body=st.text(max_size=200),
    webhook_id=st.text("abcdef0123456789-", min_size=1),
)
def test_the_reference_library_verifies(key, body, webhook_id):
    now = int(time.time())
    value = signature([key], webhook_id, now, body.encode())
    theirs = standardwebhooks.Webhook(base64.b64encode(key).decode())
    assert theirs.sign(webhook_id, datetime.fromtimestamp(now, tz=UTC), body) == value


async def test_what_arrives_at_the_backend_verifies_with_each_secret(serve, connect, ask):
    texts = [SECRET, base64.b64encode(b"the new secret of 24 byte").decode()]
    backend = await serve(says(answer()))
    client = connect(backend, secrets=tuple(map(parse_secret, texts)))
    await client.call(ask(b'{"a":1}'))
    await client.call(ask(Spool([b'{"a"', b":", b"1}"])))
    await client.call(ask(b'"' + b"x" * 1_000_000 + b'"'))
    for got in backend.requests:
        assert len(got.headers["webhook-signature"].split(" ")) == 2
        for text in texts:
            standardwebhooks.Webhook(text).verify(got.body, got.headers)
    one, two, _ = backend.requests
    changed = {**one.headers, "webhook-id": "other"}
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(SECRET).verify(one.body, changed)
    assert one.body == two.body


@pytest.mark.parametrize("cut", [1, 7, 100])
async def test_streamed_equals_buffered(cut):
    body = bytes(range(256)) * 3
    spool = Spool([body[n : n + cut] for n in range(0, len(body), cut)])
    keys = [b"a" * 24, b"b" * 32]
    assert await signature_of(keys, "id", 17, spool) == signature(keys, "id", 17, body)
    assert await signature_of(keys, "id", 17, body) == signature(keys, "id", 17, body)


@pytest.mark.parametrize("text", [SECRET, SECRET.removeprefix("whsec_"), f"  {SECRET}\n"])
def test_secrets_are_read(text):
    assert parse_secret(text) == base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")


@pytest.mark.parametrize("text", ["", "whsec_", "  \n", "whsec_not base64", "whsec_abc", "pässword", "s3cret!!"])
def test_bad_secrets_are_refused_without_showing_them(text):
    with pytest.raises(ValueError, match="signing secret") as caught:
        parse_secret(text)
    assert not text.strip().removeprefix("whsec_") or text.strip() not in str(caught.value)
