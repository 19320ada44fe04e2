"""The shapes of the inspector's answers, for the documentation of the API and for whoever reads it in a typed language.

They describe; nothing is checked against them while the gateway serves (the tests do that). Times are RFC 3339.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Verdict = Literal["accepted", "rejected", "tempfailed", "discarded", "quarantined", "aborted"]
Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class Shape(BaseModel):
    """Nothing but what is said here."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Reply(Shape):
    """What the MTA was told."""

    code: int
    enhanced: str | None
    text: str = Field(description="without the codes; several lines have line breaks between them")


class Client(Shape):
    """An SMTP client, in short."""

    name: str | None
    address: str | None
    helo: str | None


class SessionClient(Client):
    """An SMTP client as it connected."""

    port: int | None
    family: str


class TransactionRow(Shape):
    """A mail transaction as a row of a list."""

    transaction_id: str
    session_id: str
    began: Moment
    ended: Moment | None = Field(description="null while it is open")
    client: Client
    simulated: bool = Field(description="not mail, but a message that somebody tried out")
    queue_id: str | None
    sender: str | None = Field(alias="from")
    recipients: list[str] = Field(alias="to")
    subject: str | None = Field(description="as it arrived; kept only where bodies are recorded")
    size: int | None
    verdict: Verdict | None = Field(description="null while it is open")
    reply: Reply | None
    decided_by: str | None = Field(
        description="the webhook whose answer, or failure, decided, holding included; null: all let it pass"
    )
    reason: str | None = Field(description="the latest failure of a webhook, and what was applied in its place")
    latency_ms: float = Field(description="all calls of the transaction together")
    changes: int
    webhooks: list[str] = Field(description="those that were asked")
    failures: int = Field(description="calls that gave no usable answer")
    annotations: dict[str, dict[str, str | float | bool]] = Field(description="by webhook")


class SessionRow(Shape):
    """An SMTP session with its transactions, the oldest first."""

    session_id: str
    began: Moment
    ended: Moment | None
    client: SessionClient | None
    mta: dict[str, str | None]
    simulated: bool
    cause: Literal["quit", "eof", "error", "shutdown"] | None = Field(description="why it ended")
    refused: Reply | None = Field(description="what it was told where it was refused before any mail")
    transactions: list[TransactionRow]


class SessionList(Shape):
    """The newest first."""

    recording: bool = Field(description="whether bodies and subjects are kept: [admin] record")
    sessions: list[SessionRow]


class ExchangeRow(Shape):
    """A call and its answer, without their bodies."""

    id: str
    time: Moment
    session_id: str
    transaction_id: str | None
    webhook: str
    event: str
    url: str | None = Field(description="of the last attempt")
    status: int | None = Field(description="the HTTP status; null without an answer")
    action: str | None
    failure: str | None = Field(description="what went wrong, in words")
    cause: str = Field(description="the same in one word, as in the log")
    attempts: int
    elapsed_ms: float
    dry_run: bool
    simulated: bool
    recorded: bool = Field(description="whether its bodies are kept")
    content_type: str
    request_bytes: int | None
    response_bytes: int


class Message(Shape):
    """A message in the shape of section 4 of the contract."""

    size: int | None = Field(description="null where no webhook asked for the body; then it is absent")
    headers: list[dict[str, str]]
    body: dict[str, str] = {}


class TransactionWhole(TransactionRow):
    """A transaction with its calls, and its message where that is kept."""

    exchanges: list[ExchangeRow]
    before: Message | None = Field(description="as the MTA sent it")
    after: Message | None = Field(description="with the changes that were made")


class ExchangeList(Shape):
    """The newest first."""

    recording: bool
    exchanges: list[ExchangeRow]


class Attempt(Shape):
    """One attempt of a call."""

    number: int
    url: str
    elapsed_ms: float
    status: int | None
    error: str | None


class ExchangeWhole(ExchangeRow):
    """A call and its answer; a body that is neither JSON nor text stands in the sibling `…_base64`."""

    request_headers: dict[str, str] = Field(description="a secret is named, `$NAME`, never shown")
    request: Any
    request_base64: str = ""
    response: Any
    response_base64: str = ""
    answer_type: str
    tries: list[Attempt]


class Replayed(Shape):
    """The answer of now, and in what it differs from that of then."""

    id: str
    event: str
    url: str
    status: int | None
    action: str
    failure: str | None
    same: bool
    differences: list[str]
    elapsed_ms: float
    response: Any
    response_base64: str = ""


class Failure(Shape):
    """The latest failure of a webhook."""

    time: Moment
    reason: str


class WebhookRow(Shape):
    """A webhook as it is configured, and how its latest calls went."""

    name: str
    urls: list[str]
    events: list[str]
    format: Literal["json", "multipart"]
    signed: bool
    calls: int
    failures: int
    last_failure: Failure | None
    last_ok: Moment | None
    p50_ms: float | None
    p95_ms: float | None


class WebhookList(Shape):
    """In the order in which they are asked."""

    recording: bool
    webhooks: list[WebhookRow]


class RefusedRecipient(Shape):
    """A recipient that was refused, with what the client was told."""

    address: str
    address_base64: str = ""
    reply: dict[str, Any] | None


class SimulatedExchange(Shape):
    """A call of a simulation."""

    id: str
    webhook: str
    event: str
    request: Any
    status: int | None
    response: Any
    action: str | None
    failure: str | None
    attempts: int
    elapsed_ms: float


class Simulated(Shape):
    """What became of a message that was tried out."""

    verdict: Literal["accepted", "rejected", "tempfailed", "discarded", "quarantined", "error"]
    reply: dict[str, Any] | None = Field(description="code, enhanced, text: a list of lines")
    error: str = ""
    session_id: str | None = Field(description="where the inspector keeps it")
    transaction_id: str | None = Field(description="null where no transaction began")
    refused: list[RefusedRecipient]
    changes: list[dict[str, Any]] = Field(description="in the words of section 6 of the contract")
    envelope: dict[str, Any] | None
    message: Message | None = Field(description="after the changes")
    exchanges: list[SimulatedExchange]


def described(answers: type[BaseModel] | str) -> dict[str, Any]:
    """Say in OpenAPI what a route answers: JSON of this shape, or another type of content."""
    if isinstance(answers, str):
        return {"content": {answers: {"schema": {"type": "string"}}}, "description": "OK"}
    return {"model": answers, "description": (answers.__doc__ or "").strip()}
