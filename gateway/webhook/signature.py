"""Standard Webhooks signatures (https://www.standardwebhooks.com): secrets, and the `webhook-signature` value.

Pure but for the reading of a streamed body. It must not know HTTP or where secrets are stored.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from contextlib import aclosing

from gateway.webhook.bodies import SLICE_BYTES, slices
from gateway.webhook.transport import Body

PREFIX = "whsec_"


def parse_secret(text: str) -> bytes:
    """The key of a secret as users store it: `whsec_` and base64, or the base64 alone, blanks around ignored.

    Raises:
        ValueError: it is empty or not base64; the message never shows the secret.

    """
    encoded = text.strip().removeprefix(PREFIX)
    if not encoded:
        raise ValueError("the signing secret is empty; expected whsec_ followed by base64")
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        # "from None": the cause's message or traceback might show the secret.
        raise ValueError(
            "the signing secret is not base64; expected whsec_ followed by base64, or base64 alone"
        ) from None


def signed_prefix(webhook_id: str, timestamp: int) -> bytes:
    """What is signed before the body: id, dot, timestamp, dot."""
    return f"{webhook_id}.{timestamp}.".encode()


def signature(secrets: Sequence[bytes], webhook_id: str, timestamp: int, body: bytes) -> str:
    """The header value for a body in memory: `v1,<base64>` for each secret, separated by a space.

    Args:
        secrets: active keys, as `parse_secret` returns them.
        webhook_id: the value of `webhook-id`.
        timestamp: the value of `webhook-timestamp`, unix seconds.
        body: the bytes as sent.

    """
    signed = signed_prefix(webhook_id, timestamp) + body
    return " ".join([_v1(hmac.digest(secret, signed, "sha256")) for secret in secrets])


async def signature_of(secrets: Sequence[bytes], webhook_id: str, timestamp: int, body: Body) -> str:
    """The same for any body; a long one is hashed piece by piece and lets other connections run in between.

    Raises:
        BodyFailed: a streamed body could not be read.

    """
    if isinstance(body, bytes) and len(body) <= SLICE_BYTES:
        return signature(secrets, webhook_id, timestamp, body)
    prefix = signed_prefix(webhook_id, timestamp)
    hashes = [hmac.new(secret, prefix, hashlib.sha256) for secret in secrets]
    async with aclosing(slices(body)) as pieces:
        async for piece in pieces:
            for each in hashes:
                each.update(piece)
            await asyncio.sleep(0)
    return " ".join([_v1(each.digest()) for each in hashes])


def _v1(digest: bytes) -> str:
    return "v1," + base64.b64encode(digest).decode("ascii")
