"""One SMTP session: facts gathered, webhooks asked in order, one decision for each event.

The first reject, tempfail, discard or disconnect ends an event; where nobody refuses, this module decides between
CONTINUE, ACCEPT and SKIP, and at the end of the message hands over the net result of all changes.
"""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from gateway.contract import request as r
from gateway.contract.words import SESSION_GATES, Action, Event
from gateway.mail.edits import edits
from gateway.milter import messages as m
from gateway.milter.constants import MAX_VERSION
from gateway.milter.smtp_reply import reply_code
from gateway.policy.gathering import Gathering
from gateway.policy.inquiry import ENDING, Inquiry
from gateway.policy.member import Member
from gateway.policy.member_terms import NO_WISHES, terms_for
from gateway.policy.negotiation import UNAGREED, Agreed
from gateway.policy.rules import Observer, Settled
from gateway.policy.setup import Setup
from gateway.translate.answer import Judgement
from gateway.translate.facts import Disconnected, SessionFacts, TransactionFacts
from gateway.translate.render import rejected_by_mta
from gateway.translate.terms import EVENT_OF

CONTINUE = m.Continue()
_ACCEPT = m.Accept()


class Decision(Struct, frozen=True):
    """What the MTA is told: edits, then one reply."""

    reply: m.Reply
    edits: Sequence[m.Edit] = ()


_GO_ON = Decision(CONTINUE)


def _count(made: Sequence[m.Edit]) -> int:
    """How many changes these are; the chunks of a body are one."""
    chunks = sum(isinstance(edit, m.ReplaceBody) for edit in made)
    return len(made) - max(chunks - 1, 0)


class Conversation:
    """One SMTP session on a milter connection."""

    def __init__(self, setup: Setup, observer: Observer) -> None:
        self._setup = setup
        self._observer = observer
        self._facts = Gathering(setup.bounds, setup.new_body)
        self._members = tuple(map(Member, setup.webhooks))
        self._agreed = UNAGREED
        self._inquiry = Inquiry(setup, observer, self._facts)
        self._refused_at_data = False
        self._to_ask: Sequence[Member] = ()
        """Those who are to be asked about the event that was noted last."""
        self._asking: Member | None = None

    @property
    def session(self) -> SessionFacts:
        """What is known of the session."""
        return self._facts.session

    @property
    def transaction(self) -> TransactionFacts | None:
        """What is known of the open transaction."""
        return self._facts.transaction

    @property
    def wants_flush(self) -> bool:
        """Whether a part of the body waits to be written to disk."""
        return self._facts.body is not None and self._facts.body.wants_flush

    @property
    def holds_unwritten(self) -> bool:
        """Whether any part of it waits, however small."""
        return self._facts.body is not None and self._facts.body.unwritten

    async def flush(self) -> None:
        """Write it; with its first part on disk, send it to who may have it already. Raises OSError."""
        body = self._facts.body
        if body is None:
            return
        first = not body.written and self._facts.current.last_event == Event.BODY
        await body.flush()
        if first:
            self._begin_upload()

    def _begin_upload(self) -> None:
        """Where the first webhook that will be asked at the end takes multipart, it can have the message as it comes.

        Not where its body is signed as a whole, or where somebody is asked about parts of the body, since an answer
        may then change what was sent.
        """
        if Event.BODY in self._agreed.subscribed or self._facts.current.too_large:
            return
        asked = (member for member in self._members if self._is_asked(member, Event.END_OF_MESSAGE))
        member = next(asked, None)
        if member is None or not member.webhook.streams or member.terms.missing:
            return
        self._inquiry.begin_upload(member)

    def lose_body(self, reason: str) -> None:
        """The body cannot be kept: calls that are to show it fail."""
        self._facts.lose_body(reason)

    def renew(self) -> "Conversation":
        """Begin the next SMTP session on the same connection and terms (QUIT_NC)."""
        fresh = Conversation(self._setup, self._observer)
        fresh._members = self._members
        fresh._adopt(self._agreed)
        fresh.session.milter_version = self.session.milter_version
        for member in fresh._members:
            member.begin_session()
        self._observer.began(fresh.session)
        return fresh

    # ── what arrives ────────────────────────────────────────────────────────────────────────────────────────

    def note(self, event: object, macros: Mapping[bytes, bytes]) -> bool:
        """Take an event in. True where somebody is to be asked: then `judge` it, otherwise `settle` it.

        Where `wants_flush` holds afterwards, `flush` comes first.
        """
        kind = type(event)
        self._asking = None
        if kind is m.Mail:
            self._begin_transaction()
        elif kind is m.Data:
            self._refused_at_data = False
        elif kind is m.Abort:
            self._inquiry.drop_upload()
        self._facts.note(event, macros)
        if kind is m.Connect and self.session.emulated:
            self._warn_emulated()
        name = EVENT_OF[kind]
        if name in self._agreed.subscribed:
            self._to_ask = [member for member in self._members if self._is_asked(member, name)]
        else:
            self._to_ask = ()
        return bool(self._to_ask)

    @property
    def quiet(self) -> frozenset[type]:
        """The kinds of events for which `take` does in place of `note` and `settle`."""
        return self._agreed.quiet

    def take(self, event: object) -> None:
        """Take an event in about which nobody is asked and nothing is to be decided."""
        self._facts.take(event)

    def take_fields(self, events: Iterable[m.Header]) -> None:
        """Take header fields in, likewise."""
        self._facts.take_fields(events)

    def _begin_transaction(self) -> None:
        self._inquiry.begin_transaction()
        self._refused_at_data = False
        for member in self._members:
            member.begin_transaction()

    def end_transaction(self) -> None:
        """The transaction is over: its context and annotations vanish."""
        self._facts.end_transaction()
        self._begin_transaction()

    @property
    def asks(self) -> bool:
        """Whether somebody is to be asked about the event that was noted last."""
        return bool(self._to_ask)

    def _is_asked(self, member: Member, event: Event) -> bool:
        if event is Event.NEGOTIATE:
            return Event.NEGOTIATE in member.webhook.events
        if not member.wants(event) or not member.webhook.when.holds(event, self.session, self.transaction):
            return False
        if event is Event.ABORT:
            return self.transaction is not None and not self._refused_at_data
        if event is Event.RCPT:
            return self._asks_about_recipient(member)
        if event is Event.HEADER:
            return not self._facts.current.too_large
        return True

    def _asks_about_recipient(self, member: Member) -> bool:
        if self._facts.current.too_many_recipients:
            return False
        return member.webhook.rejected_recipients or not rejected_by_mta(self.session)

    def _warn_emulated(self) -> None:
        for member in self._members:
            if member.wants(Event.RCPT):
                self._inquiry.warn(
                    member,
                    "mail from the local sendmail command: Postfix cannot refuse it at a recipient; "
                    "a refusal at rcpt leaves it in the queue, so refuse such mail at end_of_message",
                )

    # ── negotiation ─────────────────────────────────────────────────────────────────────────────────────────

    @property
    def asks_about_terms(self) -> bool:
        """Whether somebody wants to be asked about the MTA's offer: then `negotiate`, otherwise `agree`."""
        return any(self._is_asked(member, Event.NEGOTIATE) for member in self._members)

    async def negotiate(self, offer: m.Negotiate, deadline: float) -> m.Agreement:
        """Answer the MTA's offer after asking those who want to be asked."""
        self.session.milter_version = min(offer.version, MAX_VERSION)
        for member in self._members:
            member.terms = terms_for(member.webhook, offer, NO_WISHES)
            if self._is_asked(member, Event.NEGOTIATE):
                member.wishes = (await self._inquiry.put(member, offer, (), deadline)).wants or NO_WISHES
        return self.agree(offer)

    def agree(self, offer: m.Negotiate) -> m.Agreement:
        """Answer the MTA's offer with what all webhooks together need."""
        self.session.milter_version = min(offer.version, MAX_VERSION)
        self._adopt(self._setup.agreements.reach(offer, [member.wishes for member in self._members]))
        for member in self._members:
            missing = member.terms.missing
            if missing:
                reason = f"it requires {', '.join(missing)}, which is not offered here"
                self._inquiry.warn(member, f"{reason} (by the MTA, `events` or `allow`): every call will fail")
        self._observer.began(self.session)
        return self._agreed.agreement

    def _adopt(self, agreed: Agreed) -> None:
        self._agreed = agreed
        for member, terms in zip(self._members, agreed.terms, strict=False):
            member.terms = terms
        self._facts.agreed(agreed.agreement.steps)
        self._inquiry.may_quarantine = agreed.may_quarantine

    # ── decisions ───────────────────────────────────────────────────────────────────────────────────────────

    async def judge(self, event: object, deadline: float) -> Decision:
        """Ask the webhooks in order; `deadline` on the loop's clock holds for all of them together."""
        name = EVENT_OF[type(event)]
        previous: tuple[r.Previous, ...] = ()
        accepted, last = False, self._to_ask[-1]
        for member in self._to_ask:
            self._asking = member
            judgement = await self._inquiry.put(member, event, previous, deadline)
            if judgement.action in ENDING and not self._is_verdict_ignored(name):
                return self._end(name, judgement, member)
            accepted = accepted or judgement.action is Action.ACCEPT
            if member is not last:
                previous = (*previous, r.Previous(member.webhook.name, judgement.action, member.annotations.copy()))
        return self.settle(event, accepted=accepted)

    def _is_verdict_ignored(self, event: Event) -> bool:
        return event is Event.RCPT and rejected_by_mta(self.session)

    def settle(self, event: object, *, accepted: bool = False) -> Decision:
        """Decide where nobody refused; `accepted`: somebody answered "accept" just now."""
        name = EVENT_OF[type(event)]
        if name is Event.RCPT and self.transaction is not None:
            return self._settle_recipient(accepted=accepted)
        if name is Event.END_OF_MESSAGE:
            return self._settle_message()
        if name is Event.ABORT:
            if self.transaction is not None:
                self._observer.aborted(self.session, self.transaction)
            self.end_transaction()
        return self._go_on(name, accepted=accepted)

    def _settle_recipient(self, *, accepted: bool) -> Decision:
        transaction = self._facts.current
        if transaction.too_many_recipients:
            # where the MTA does not wait for an answer here, the whole message is refused at its end
            transaction.too_many_recipients = self._agreed.rcpt_unanswered
            return Decision(self._too_many())
        if rejected_by_mta(self.session):
            self._drop_recipient()
        return self._go_on(Event.RCPT, accepted=accepted)

    def _go_on(self, event: Event, *, accepted: bool) -> Decision:
        """CONTINUE; ACCEPT or SKIP where nobody needs more."""
        if accepted and self._nobody_wants_more(event):
            if event not in SESSION_GATES:
                self._settled(Settled(event, Action.ACCEPT, None, None))
                self.end_transaction()
            return Decision(_ACCEPT)
        if event is Event.BODY and self._may_skip_body():
            self._facts.current.body_cut = True
            return Decision(m.Skip())
        return _GO_ON

    def _may_skip_body(self) -> bool:
        """Whether the rest of the body is of use to nobody, and the MTA understands SKIP."""
        return self._agreed.may_skip and not any(member.needs_body() for member in self._members)

    def _nobody_wants_more(self, event: Event) -> bool:
        if any(member.wants_more(event) for member in self._members):
            return False
        return not self._inquiry.holds_something

    def _settle_message(self) -> Decision:
        transaction = self._facts.current
        if transaction.too_many_recipients:
            reply = self._too_many()
            self._settled(Settled(Event.END_OF_MESSAGE, Action.TEMPFAIL, reply, None))
            self.end_transaction()
            return Decision(reply)
        self._inquiry.apply_held()
        if self._inquiry.session_hold is not None:
            self._facts.draft().apply([self._inquiry.session_hold], ())
        made: Sequence[m.Edit] = ()
        if transaction.draft is not None:
            made = edits(transaction.draft, leading_space=self._facts.leading_space)
        hold = None if transaction.draft is None else transaction.draft.hold
        by = None if hold is None else hold.by
        self._settled(Settled(Event.END_OF_MESSAGE, Action.ACCEPT, None, by, _count(made), hold is not None))
        self.end_transaction()
        return Decision(_ACCEPT, made)

    def _end(self, event: Event, judgement: Judgement, member: Member) -> Decision:
        """A refusal or a discard."""
        reply: m.Reply = m.Discard() if judgement.reply is None else judgement.reply
        self._settled(Settled(event, judgement.action, judgement.reply, member.webhook.name))
        if event is Event.RCPT and judgement.action is not Action.DISCARD:
            self._drop_recipient()
        elif event is Event.DATA and judgement.action is not Action.DISCARD:
            self._refused_at_data = True  # the client may try DATA again: what was held before stays until the abort
            self._inquiry.drop_changes_of_data()
        elif event not in (Event.UNKNOWN, *SESSION_GATES):
            self.end_transaction()
        return Decision(reply)

    def _too_many(self) -> m.ReplyCode:
        """RFC 5321 §4.5.3.1.10."""
        return reply_code(452, "4.5.3", [f"Too many recipients (session {self.session.id})"])

    def _drop_recipient(self) -> None:
        """The recipient in question is refused: it leaves the envelope, and its changes fall with it."""
        transaction = self._facts.current
        transaction.recipients.pop()
        self._inquiry.drop_changes_of_recipient(transaction.rcpt_events)

    def _settled(self, settled: Settled) -> None:
        self._observer.decided(self.session, self.transaction, settled)

    def give_up(self, event: object) -> Decision:
        """The gateway stops: what applies for the webhook under way and for those not reached."""
        name = EVENT_OF[type(event)]
        reached = 0 if self._asking is None else self._to_ask.index(self._asking)
        for member in self._to_ask[reached:]:
            judgement = self._inquiry.apply_policy(
                member, name, member.webhook.on_failure, "shutdown", "the gateway stops"
            )
            if judgement.action in ENDING:
                return self._end(name, judgement, member)
        return self.settle(event)

    async def report(self, event: m.Abort | Disconnected, macros: Mapping[bytes, bytes], deadline: float) -> None:
        """Tell those who want to know of an end; there is nothing to answer to the MTA."""
        if self.note(event, macros):
            await self.judge(event, deadline)
        else:
            self.settle(event)
        if isinstance(event, Disconnected):
            self._observer.ended(self.session, event.cause)
