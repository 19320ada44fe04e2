"""One ``[[webhook]]``: which events go where, when, and what happens if no good answer comes back."""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from gateway.config.faults import not_one_of
from gateway.config.files import ReadableFile, SigningKeyFile, exposure
from gateway.config.units import PositiveDuration
from gateway.config.values import (
    EVENT_PLACEHOLDER,
    ClientRule,
    Entry,
    FieldName,
    FieldValue,
    Listed,
    Name,
    Proxy,
    SocketPath,
    Urls,
)
from gateway.contract.words import Action, Event, Op

FailureWord = Literal["tempfail", "continue", "reject", "quarantine"]
TooLargeWord = Literal["tempfail", "continue", "truncate", "headers"]
Part = Literal["message.headers", "message.body", "message.parsed"]

PERMISSIONS: Final = (*Action, *Op)
"""What `allow` may list."""


def _known_event(value: object) -> object:
    """Refuse the one event that belongs to a mode that is not built."""
    if value == "outcome":
        raise ValueError('"outcome" is the event of mode "observe", which is not supported yet')
    return value


def _known_mode(value: object) -> object:
    if value in ("shadow", "observe"):
        raise ValueError(f'mode "{value}" is not supported yet')
    if value != "enforce":
        raise ValueError(not_one_of(value, ("enforce", "shadow", "observe")))
    return value


def _permission(value: str) -> str:
    if value not in PERMISSIONS:
        raise ValueError(not_one_of(value, PERMISSIONS))
    return value


def _policy_key(value: str) -> str:
    if value != "default" and value not in list(Event):
        raise ValueError(not_one_of(value, ("default", *Event)))
    return value


def _policy(value: object) -> object:
    """Let a single word stand for the table ``{ default = word }``."""
    match value:
        case str():
            return {"default": value}
        case dict():
            return value
    raise ValueError("must be a text, or a table with an entry for each event")


def _each_once(value: object) -> object:
    """Refuse two spellings of one HTTP field, of which one would silently win."""
    names = [str(name).lower() for name in value] if isinstance(value, dict) else []
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice!a} is given more than once")
    return value


Policy = Annotated[
    dict[Annotated[str, AfterValidator(_policy_key)], FailureWord],
    BeforeValidator(_policy),
]
"""What to do, by event, with "default" for all the others; `tempfail` where nothing is said."""

Entries = Annotated[tuple[Entry, ...], Listed, Field(min_length=1)]


class Table(BaseModel):
    """A table of the configuration: it does not change, and knows all of its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class When(Table):
    """The facts under which a webhook is asked; all must hold, and a fact that is not known does not."""

    client: Annotated[tuple[ClientRule, ...], Listed, Field(min_length=1)] | None = None
    authenticated: Annotated[bool, Field(strict=True)] | None = None
    auth_user: Entries | None = None
    from_domain: Entries | None = None
    rcpt_domain: Entries | None = None
    helo: Entries | None = None
    daemon: Entries | None = None
    tls: Annotated[bool, Field(strict=True)] | None = None


class Tls(Table):
    """Whom to trust, and who we are, towards an https backend."""

    ca_file: ReadableFile | None = None
    cert_file: ReadableFile | None = None
    key_file: ReadableFile | None = None


class Webhook(Table):
    """A backend and how it is called."""

    name: Name
    url: Urls
    events: Annotated[tuple[Annotated[Event, BeforeValidator(_known_event)], ...], Listed, Field(min_length=1)] = (
        *Event,
    )
    include: Annotated[frozenset[Part], Listed] = frozenset(("message.headers", "message.body"))
    format: Literal["json", "multipart"] = "json"
    rejected_recipients: Annotated[bool, Field(strict=True)] = False
    when: When = When()
    timeout: PositiveDuration = 8.0
    timeout_end_of_message: PositiveDuration = 120.0
    retries: Annotated[int, Field(strict=True, ge=0)] = 2
    on_failure: Policy = Field(default_factory=dict)
    on_invalid: Policy = Field(default_factory=dict)
    on_too_large: TooLargeWord = "tempfail"
    allow: Annotated[frozenset[Annotated[str, AfterValidator(_permission)]], Listed] | None = None
    mode: Annotated[Literal["enforce"], BeforeValidator(_known_mode)] = "enforce"
    secret_file: Annotated[tuple[SigningKeyFile, ...], Listed, Field(min_length=1)] = ()
    headers: Annotated[dict[FieldName, FieldValue], BeforeValidator(_each_once)] = Field(default_factory=dict)
    tls: Tls = Tls()
    uds: SocketPath | None = None
    proxy: Proxy | None = None
    http2: Annotated[bool, Field(strict=True)] = False

    def failure_for(self, event: str) -> FailureWord:
        """What happens when the call of this event fails."""
        return self.on_failure.get(event) or self.on_failure.get("default", "tempfail")

    def invalid_for(self, event: str) -> FailureWord:
        """What happens when the answer to this event is not in the contract."""
        return self.on_invalid.get(event) or self.on_invalid.get("default", "tempfail")

    def allows(self, word: str) -> bool:
        """Whether the webhook may answer this action or change; continue and accept always."""
        return self.allow is None or word in self.allow or word in (Action.CONTINUE, Action.ACCEPT)

    def urls_for(self, event: str) -> tuple[str, ...]:
        """Return the URLs that this event is posted to, in the order in which they are tried."""
        return tuple(url.replace(EVENT_PLACEHOLDER, event) for url in self.url)

    def timeout_for(self, event: str) -> float:
        """Return the seconds that one call of this event may take, all attempts together."""
        return self.timeout_end_of_message if event == Event.END_OF_MESSAGE else self.timeout

    def warnings(self) -> tuple[str, ...]:
        """Say what is doubtful about the secrets."""
        found = [warning for secret in self.secret_file for warning in secret.warnings]
        found += [warning for header in self.headers.values() for warning in header.warnings]
        return (*found, *(exposure(self.tls.key_file) if self.tls.key_file else ()))
