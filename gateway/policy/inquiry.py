"""One event put to one webhook, and a judgement made of whatever comes back: its answer, or its configured policy.

Here changes are kept, too: those answered before the header is known are held, and applied once it is, each to what its
own request showed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from gateway.contract import request as r
from gateway.contract.response import InvalidAnswerError
from gateway.contract.words import REPORTS, SESSION_GATES, Action, Event
from gateway.mail import changes as c
from gateway.mail.fields import Field
from gateway.policy.ask import INVALID, Asked, Question, ask
from gateway.policy.gathering import Gathering
from gateway.policy.member import Member
from gateway.policy.rules import Fallback, Observer, OnFailure, OnTooLarge
from gateway.policy.setup import Setup
from gateway.policy.upload import Upload
from gateway.translate.answer import PASS, REFUSALS, Judgement, refusal
from gateway.translate.facts import TransactionFacts
from gateway.translate.render import rejected_by_mta
from gateway.translate.terms import EVENT_OF
from gateway.webhook import Cause

ENDING = REFUSALS | {Action.DISCARD}
"""The actions that end an event."""

_WITH_MESSAGE = (Event.END_OF_HEADERS, Event.END_OF_MESSAGE)
_ON_INVALID = (INVALID, Cause.TOO_LARGE)


@dataclass(frozen=True, slots=True)
class _Held:
    """The changes of one early answer; they fall with the recipient at whose RCPT they were answered."""

    changes: tuple[c.Change, ...]
    event: Event
    rcpt: int | None


class Inquiry:
    """Asks webhooks about the events of one SMTP session."""

    def __init__(self, setup: Setup, observer: Observer, facts: Gathering) -> None:
        self._setup = setup
        self._observer = observer
        self._facts = facts
        self._held: list[_Held] = []
        self._upload: Upload | None = None
        self.may_quarantine = False
        """Whether the MTA agreed to hold messages."""
        self.session_hold: c.Hold | None = None
        """Why every message of this session is to be held, None where it is not."""

    def begin_transaction(self) -> None:
        """Drop what is held for the last one."""
        self._held = []
        self.drop_upload()

    def begin_upload(self, member: Member) -> None:
        """Begin to send a message to this webhook while it still arrives."""
        self.apply_held()
        transaction, body = self._facts.current, self._facts.body
        draft = transaction.draft
        if body is not None and (draft is None or draft.body is None):
            fields = draft.shown() if draft else transaction.fields
            self._upload = Upload(member, self._facts.session.id, fields, body, self._setup.release)

    def _claim_upload(self, member: Member) -> Upload | None:
        """The upload, where it is for this webhook."""
        if self._upload is None:
            return None
        if self._upload.member is not member:
            self.drop_upload()
            return None
        claimed, self._upload = self._upload, None
        return claimed

    def drop_upload(self) -> None:
        """Break off what is sent of a message that comes to nothing, or to something else."""
        if self._upload is not None:
            self._upload.cancel()
            self._upload = None

    @property
    def holds_something(self) -> bool:
        """Whether a change waits for the end of the message."""
        transaction = self._facts.transaction
        drafted = transaction is not None and transaction.draft is not None
        return bool(self._held) or drafted or self.session_hold is not None

    def drop_changes_of_recipient(self, number: int) -> None:
        """The recipient of this RCPT event was refused: what was answered there falls with it."""
        self._held = [held for held in self._held if held.rcpt != number]

    def drop_changes_of_data(self) -> None:
        """DATA was refused: if the client tries it again, everybody is asked again."""
        self._held = [held for held in self._held if held.event is not Event.DATA]

    def apply_held(self) -> None:
        """The header is known now: apply what was answered before, each answer to the original."""
        held, self._held = self._held, []
        for item in held:
            draft = self._facts.draft()
            draft.apply(item.changes, draft.arrived())

    async def put(self, member: Member, event: object, previous: tuple[r.Previous, ...], deadline: float) -> Judgement:
        """Ask one webhook and take its answer over; where it gives none, what its policy says."""
        name, facts = EVENT_OF[type(event)], self._facts
        transaction = facts.transaction
        unsent = self._unsent(member, name, transaction)
        if unsent is not None:
            return unsent
        if self._held and name not in REPORTS and transaction is not None and transaction.headers_complete:
            self.apply_held()
        question = Question(event, name, member, facts.session, transaction, previous, deadline, self._setup.dry_run)
        upload = self._claim_upload(member) if name is Event.END_OF_MESSAGE else None
        asked = await ask(question, self._setup.bounds, upload)
        if asked.reserved:
            self._setup.release(asked.reserved)
        self._observer.exchanged(facts.session, transaction, asked.exchange)
        if asked.error is not None or asked.judgement is None:
            return self._fall_back(member, name, asked)
        judgement = asked.judgement
        if name is Event.RCPT and rejected_by_mta(facts.session):
            judgement = replace(judgement, action=Action.CONTINUE, reply=None)  # the MTA has refused it already
        self._take(member, name, judgement, asked.shown.fields)
        return judgement

    def _unsent(self, member: Member, event: Event, transaction: TransactionFacts | None) -> Judgement | None:
        """The judgement where the webhook is not to be called, None where it is."""
        if member.terms.missing:
            missing = ", ".join(member.terms.missing)
            reason = f"it requires {missing}, which is not offered here (by the MTA, `events` or `allow`)"
            return self.apply_policy(member, event, member.webhook.on_failure, "unmet_requirement", reason)
        if transaction is None or event not in _WITH_MESSAGE:
            return None
        if transaction.body_lost and event is Event.END_OF_MESSAGE and member.webhook.needs_body:
            reason = f"no room for the message on disk: {transaction.body_lost}"
            return self.apply_policy(member, event, member.webhook.on_failure, Cause.NO_ROOM, reason)
        if not transaction.too_large:
            return None
        match member.webhook.on_too_large:
            case OnTooLarge.CONTINUE:
                self.warn(member, f"not asked: the message of {transaction.size} bytes is over the limits")
                return PASS
            case OnTooLarge.TEMPFAIL:
                reason = f"the message of {transaction.size} bytes is over the limits"
                return self.apply_policy(member, event, {}, "message_too_large", reason)
            case OnTooLarge.TRUNCATE | OnTooLarge.HEADERS:
                return None

    def _take(self, member: Member, event: Event, judgement: Judgement, shown: Sequence[Field] | None) -> None:
        if judgement is PASS:
            return
        member.take(event, judgement)
        for text in judgement.warnings:
            self.warn(member, text)
        if judgement.next is not None and event in SESSION_GATES:
            self.warn(member, f"`next` at {event} has no effect: no transaction has begun")
        if judgement.annotations:
            facts = self._facts
            told = {key: _concealed(value, member) for key, value in judgement.annotations.items()}
            self._observer.noted(facts.session, facts.transaction, member.webhook.name, told)
        if judgement.changes and judgement.action not in ENDING:
            changes = tuple(_named(item, member) for item in judgement.changes)
            if shown is None:
                self._hold(changes, event)
            else:
                self._facts.draft().apply(changes, shown)

    def _hold(self, changes: tuple[c.Change, ...], event: Event) -> None:
        rcpt = self._facts.current.rcpt_events if event is Event.RCPT else None
        self._held.append(_Held(changes, event, rcpt))

    def _fall_back(self, member: Member, event: Event, asked: Asked) -> Judgement:
        error = asked.error
        cause = INVALID if isinstance(error, InvalidAnswerError) or error is None else error.cause
        policy = member.webhook.on_invalid if cause in _ON_INVALID else member.webhook.on_failure
        return self.apply_policy(member, event, policy, cause, str(error))

    def apply_policy(
        self, member: Member, event: Event, policy: Mapping[Event, OnFailure], cause: str, reason: str
    ) -> Judgement:
        """Judge instead of a webhook that gave no usable answer; events not in `policy` are tempfailed."""
        applied = OnFailure.CONTINUE if event in REPORTS else policy.get(event, OnFailure.TEMPFAIL)
        if applied is OnFailure.QUARANTINE and not self.may_quarantine:
            applied = OnFailure.TEMPFAIL
        facts = self._facts
        fallback = Fallback(
            member.webhook.name, event, str(cause), member.webhook.secrecy.conceal_text(reason), applied
        )
        self._observer.fell_back(facts.session, facts.transaction, fallback)
        match applied:
            case OnFailure.CONTINUE:
                return PASS
            case OnFailure.QUARANTINE:
                self._quarantine(member, event, cause)
                return PASS
            case OnFailure.REJECT:
                return Judgement(Action.REJECT, refusal(Action.REJECT))
            case OnFailure.TEMPFAIL:
                text = f"Try again later (session {facts.session.id})"
                return Judgement(Action.TEMPFAIL, refusal(Action.TEMPFAIL, text))

    def _quarantine(self, member: Member, event: Event, cause: str) -> None:
        reason = f"webhook {member.webhook.name} failed: {cause} (session {self._facts.session.id})".encode()
        hold = c.Hold(reason, member.webhook.name)
        if event is Event.UNKNOWN or event in SESSION_GATES:
            self.session_hold = hold
        else:
            self._hold((hold,), event)

    def warn(self, member: Member, text: str) -> None:
        """Tell the operator."""
        text = member.webhook.secrecy.conceal_text(text)
        self._observer.warned(self._facts.session, self._facts.transaction, member.webhook.name, text)


def _named(change: c.Change, member: Member) -> c.Change:
    """The change; one that decides what becomes of the mail says whose it is."""
    return c.Hold(change.reason, member.webhook.name) if isinstance(change, c.Hold) else change


def _concealed(value: object, member: Member) -> object:
    return member.webhook.secrecy.conceal_text(value) if isinstance(value, str) else value
