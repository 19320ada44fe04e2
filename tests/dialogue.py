"""An MTA that keeps to what was negotiated, on top of `gateway_harness`; and a check of every request on the way.

async with dialogue({"rcpt": {"action": "reject"}}) as talk:
    await talk.mta.say(CON, HEL, MAI)
    assert await talk.mta.say(RCP) == [b"y550 5.7.1 Command rejected\\0"]
    assert talk.backend.only("rcpt")["data"]["address"] == "b@y.test"
"""

import email.parser
import email.policy
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from gateway_harness import CON, DAT, EOH, EOM, HEL, MAI, OK, QUI, RCP, Agreed, Backend, Gateway, MtaPeer, P, Received
from gateway_harness import gateway as run_gateway
from published import check_request

from gateway.policy.setup import Setup

_FLAGS = {  # code: (left out, not answered); milter-protocol.md, 4.2
    b"C": (0x1, 0x1000),
    b"H": (0x2, 0x2000),
    b"M": (0x4, 0x4000),
    b"R": (0x8, 0x8000),
    b"T": (0x200, 0x10000),
    b"L": (0x20, 0x80),
    b"N": (0x40, 0x40000),
    b"B": (0x10, 0x80000),
    b"U": (0x100, 0x20000),
    b"E": (0, 0),
}
_NEVER_ANSWERED = (b"D", b"A", b"Q", b"K")


def macros(stage: bytes, values: Mapping[str, bytes | str]) -> bytes:
    """A MACRO packet; names as they travel."""
    pairs = b"".join(
        name.encode() + b"\0" + (value if isinstance(value, bytes) else value.encode()) + b"\0"
        for name, value in values.items()
    )
    return P(b"D" + stage + pairs)


def connect(host: bytes = b"mx.test", address: bytes = b"192.0.2.1", port: int = 25, family: bytes = b"4") -> bytes:
    """A CONNECT packet."""
    return P(b"C" + host + b"\0" + family + port.to_bytes(2, "big") + address + b"\0")


def mail(sender: bytes = b"<a@x.test>", *params: bytes) -> bytes:
    """A MAIL packet."""
    return P(b"M" + b"".join(item + b"\0" for item in (sender, *params)))


def rcpt(recipient: bytes = b"<b@y.test>", *params: bytes) -> bytes:
    """A RCPT packet."""
    return P(b"R" + b"".join(item + b"\0" for item in (recipient, *params)))


def header(name: bytes, value: bytes) -> bytes:
    """A HEADER packet; `value` with its leading space."""
    return P(b"L" + name + b"\0" + value + b"\0")


def body(chunk: bytes) -> bytes:
    """A BODY packet."""
    return P(b"B" + chunk)


SUBJECT = header(b"Subject", b" hi")
SHORT_BODY = body(b"body\r\n")
ENVELOPE = (CON, HEL, MAI, RCP)
CONTENT = (DAT, SUBJECT, EOH, SHORT_BODY)


@dataclass(slots=True)
class Mta:
    """The MTA's side: sends what was negotiated and waits where it was negotiated."""

    peer: MtaPeer
    agreed: Agreed

    async def say(self, *packets: bytes) -> list[bytes]:
        """Send packets one by one; the replies of those that are answered, edits before them included."""
        replies: list[bytes] = []
        for packet in packets:
            code = packet[4:5]
            if code in _NEVER_ANSWERED:
                await self.peer.send(packet)
                continue
            left_out, unanswered = _FLAGS[code]
            if self.agreed.steps & left_out:
                continue
            await self.peer.send(packet)
            if not self.agreed.steps & unanswered:
                replies += await self.peer.packets_until_reply()
        return replies

    async def pass_on(self, *packets: bytes) -> None:
        """Say packets, each of which is answered with CONTINUE."""
        for packet in packets:
            replies = await self.say(packet)
            assert set(replies) <= {b"c"}, (packet, replies)

    async def end(self) -> list[bytes]:
        """END OF MESSAGE: edits, then the final reply."""
        return await self.say(EOM)

    async def mail(self, *content: bytes) -> list[bytes]:
        """A whole message in an open session, passed until its end; the answer to the end."""
        await self.pass_on(MAI, RCP, *(content or CONTENT))
        return await self.end()

    async def quit(self) -> None:
        """End the session."""
        await self.peer.quit()


@dataclass(slots=True)
class Dialogue:
    """One negotiated connection between an MTA, the gateway and its backends."""

    backends: Sequence[Backend]
    gateway: Gateway
    mta: Mta

    @property
    def backend(self) -> Backend:
        """The first backend."""
        return self.backends[0]

    def failures(self) -> list[dict[str, Any]]:
        """The log lines about webhooks that gave no usable answer."""
        return [line for line in self.gateway.log if line["event"] == "webhook failed"]

    def warnings(self) -> list[dict[str, Any]]:
        """The log lines of warnings about or from webhooks."""
        return [line for line in self.gateway.log if line["event"] == "webhook warning"]


def json_of(received: Received) -> dict[str, Any]:
    """The JSON of a request, also of a multipart one."""
    if received.headers["content-type"].startswith("multipart/"):
        return dict(json.loads(parts_of(received)["event"]))
    return received.json


def parts_of(received: Received) -> dict[str, bytes]:
    """The parts of a multipart request by name, read by the standard library."""
    head = f"content-type: {received.headers['content-type']}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + received.raw)
    boundary = message.get_boundary()
    assert boundary is not None
    parts: dict[str, bytes] = {}
    for part in received.raw.split(b"--" + boundary.encode())[1:-1]:
        fields, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name = fields.split(b'name="')[1].split(b'"')[0].decode()
        parts[name] = content.removesuffix(b"\r\n")
    return parts


@asynccontextmanager
async def dialogue(
    *answers: Any,
    actions: int = 0x1FF,
    steps: int = 0x1FFFFF,
    version: int = 6,
    webhooks: Sequence[Mapping[str, Any]] | None = None,
    setup: Callable[[Setup], Setup] | None = None,
    **settings: Any,
) -> AsyncIterator[Dialogue]:
    """Run a gateway before one backend for each of `answers`, and negotiate.

    Args:
        answers: what each backend answers.
        actions: that the MTA offers, as the following two.
        steps: see there.
        version: see there.
        webhooks: keys of each [[webhook]]; name and url are added.
        setup: changes what the settings made.
        settings: of `gateway_harness.gateway`.

    """
    async with AsyncExitStack() as stack:
        backends = [await stack.enter_async_context(Backend(answer)) for answer in answers or ({},)]
        if webhooks is not None:
            settings["webhooks"] = [
                {"name": f"webhook{number}" if number > 1 else "webhook", "url": backend.url, **keys}
                for number, (backend, keys) in enumerate(zip(backends, webhooks, strict=True), 1)
            ]
        running = await stack.enter_async_context(run_gateway(*backends, **settings))
        if setup is not None:
            running.service.generation.setup = setup(running.service.generation.setup)
        peer = await stack.enter_async_context(running.peer())
        yield Dialogue(backends, running, Mta(peer, await peer.negotiate(version, actions, steps)))
        for backend in backends:
            for received in backend.requests:
                check_request(json_of(received))


__all__ = [
    "CON",
    "CONTENT",
    "DAT",
    "ENVELOPE",
    "EOH",
    "EOM",
    "HEL",
    "MAI",
    "OK",
    "QUI",
    "RCP",
    "SHORT_BODY",
    "SUBJECT",
    "Dialogue",
    "Mta",
    "body",
    "connect",
    "dialogue",
    "header",
    "json_of",
    "macros",
    "mail",
    "parts_of",
    "rcpt",
]
