"""The webhook client: asks a backend by HTTP. It knows nothing of milter and nothing of the JSON contract.

- `client`: `WebhookClient.call` - header fields, attempts, pauses; the door for everybody else
- `endpoint`: the settings of a backend and what follows from them
- `alternatives`, `circuit`: what is left alone for a while after failures: a URL, the whole webhook
- `signature`: Standard Webhooks. `secrecy`: configured header fields, hidden where a backend repeats them
- `transport`: the seam: values, protocols, the tree of errors
- `lean` (with `pool` and `connection`): the default transport, HTTP/1.1 on asyncio and httptools
- `httpx_transport`: the second transport, for proxies and HTTP/2
- `bodies`, `faults`: what both share: bounded bodies, and the names of troubles

Arrows point down: client -> lean, httpx_transport -> pool -> connection -> bodies, faults -> transport.
"""

from gateway.webhook.circuit import Circuit
from gateway.webhook.client import Answer, Attempt, Call, WebhookClient, transport_for
from gateway.webhook.endpoint import Endpoint
from gateway.webhook.secrecy import Secrecy, variable
from gateway.webhook.signature import parse_secret
from gateway.webhook.transport import (
    AnswerTooLarge,
    Body,
    BodyFailed,
    BrokenAnswer,
    Cause,
    CircuitOpen,
    ConnectFailed,
    DeadlineExceeded,
    MemoryBudget,
    NoRoom,
    StatusFailed,
    StreamedBody,
    TlsFailed,
    Transport,
    WebhookError,
)

__all__ = [
    "Answer",
    "AnswerTooLarge",
    "Attempt",
    "Body",
    "BodyFailed",
    "BrokenAnswer",
    "Call",
    "Cause",
    "Circuit",
    "CircuitOpen",
    "ConnectFailed",
    "DeadlineExceeded",
    "Endpoint",
    "MemoryBudget",
    "NoRoom",
    "Secrecy",
    "StatusFailed",
    "StreamedBody",
    "TlsFailed",
    "Transport",
    "WebhookClient",
    "WebhookError",
    "parse_secret",
    "transport_for",
    "variable",
]
