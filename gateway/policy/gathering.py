"""What the events of a session add to its facts; without replies, calls or decisions."""

from collections.abc import Callable, Iterable, Mapping

from gateway.mail.address import Address
from gateway.mail.draft import Draft
from gateway.mail.fields import Field, size_on_wire
from gateway.milter import messages as m
from gateway.milter.constants import Steps
from gateway.policy.rules import Bounds, StoredBody
from gateway.policy.stamp import new_id
from gateway.translate.facts import Disconnected, SessionFacts, TransactionFacts
from gateway.translate.terms import EVENT_OF


class Gathering:
    """The facts of one SMTP session as they grow."""

    def __init__(self, bounds: Bounds, new_body: Callable[[], StoredBody]) -> None:
        self.session = SessionFacts(new_id())
        self.transaction: TransactionFacts | None = None
        self.body: StoredBody | None = None
        self.leading_space = False
        """Whether header values come with their leading space (Steps.LEADING_SPACE)."""
        self._steps = Steps(0)
        self._bounds = bounds
        self._new_body = new_body

    def agreed(self, steps: Steps) -> None:
        """The negotiation is over."""
        self._steps = steps
        self.leading_space = bool(steps & Steps.LEADING_SPACE)

    def note(self, event: object, macros: Mapping[bytes, bytes]) -> None:
        """Take an event in; `macros` are those in scope at it."""
        self.session.see_macros(macros, at_mail=type(event) is m.Mail)
        self.take(event)
        queue_id = macros.get(b"i")
        if queue_id and self.transaction is not None:
            self.transaction.queue_id = queue_id

    def take(self, event: object) -> None:
        """Take an event in whose macros nobody looks at."""
        kind = type(event)
        take = _TAKE.get(kind)
        if take is not None:
            take(self, event)
        if self.transaction is not None and kind in _LAST_EVENT:
            self.transaction.last_event = _LAST_EVENT[kind]

    def end_transaction(self) -> None:
        """The transaction has its final answer, or was aborted."""
        self.transaction = None
        if self.body is not None:
            self.body.close()
            self.body = None

    def lose_body(self, reason: str) -> None:
        """The disk refused the body: keep nothing of it, but go on counting."""
        self.current.body_lost = reason
        if self.body is not None:
            self.body.close()

    def draft(self) -> Draft:
        """The draft of the open transaction, made at first use."""
        transaction = self.current
        if transaction.draft is None:
            transaction.draft = Draft(
                transaction.fields,
                transaction.sender,
                transaction.recipients,
                fields_known=transaction.headers_seen,
            )
        return transaction.draft

    @property
    def current(self) -> TransactionFacts:
        """The open transaction; one is begun where the MTA was asked to leave MAIL out."""
        if self.transaction is None:
            self.transaction = TransactionFacts(new_id())
            self.session.transactions += 1
        return self.transaction

    def _begin_transaction(self, event: m.Mail) -> None:
        self.end_transaction()
        self.current.sender = Address(event.sender, event.params)

    def _connect(self, event: m.Connect) -> None:
        self.session.see_connect(event)

    def _helo(self, event: m.Helo) -> None:
        self.session.see_helo(event.name)

    def _rcpt(self, event: m.Rcpt) -> None:
        transaction = self.current
        transaction.rcpt_events += 1
        if len(transaction.recipients) >= self._bounds.recipients:
            transaction.too_many_recipients = True
        else:
            transaction.recipients.append(Address(event.recipient, event.params))

    def _header(self, event: m.Header) -> None:
        self.take_fields((event,))

    def take_fields(self, events: Iterable[m.Header]) -> None:
        """Take header fields in."""
        transaction, bounds = self.current, self._bounds
        transaction.headers_seen = True
        fields, count, size = transaction.fields, transaction.field_count, transaction.header_size
        leading_space = self.leading_space
        for event in events:
            name, raw = event.name, event.value if leading_space else b" " + event.value
            count += 1
            size += size_on_wire(name, raw)
            if count > bounds.headers or size > bounds.message_bytes:
                transaction.too_large = True
            else:
                fields.append(Field(name, raw, raw))
        transaction.field_count, transaction.header_size = count, size

    def _end_of_headers(self, _: m.EndOfHeaders) -> None:
        transaction = self.current
        transaction.headers_complete = True
        transaction.headers_seen = transaction.headers_seen or not self._steps & Steps.NO_HEADERS

    def _body(self, event: m.Body) -> None:
        transaction = self.current
        transaction.headers_complete = transaction.body_seen = True
        transaction.body_size += len(event.chunk)
        if self.body is None:
            self.body = transaction.body = self._new_body()
        room = max(0, self._bounds.message_bytes - transaction.header_size - 2 - self.body.size)
        if len(event.chunk) > room:
            transaction.too_large = True
        if room and not transaction.body_lost:
            self.body.append(event.chunk[:room])

    def _end_of_message(self, _: m.EndOfMessage) -> None:
        transaction = self.current
        transaction.headers_complete = True
        transaction.headers_seen = transaction.headers_seen or not self._steps & Steps.NO_HEADERS
        transaction.body_seen = transaction.body_seen or not self._steps & Steps.NO_BODY


_TAKE: Mapping[type, Callable[..., None]] = {
    m.Mail: Gathering._begin_transaction,
    m.Connect: Gathering._connect,
    m.Helo: Gathering._helo,
    m.Rcpt: Gathering._rcpt,
    m.Header: Gathering._header,
    m.EndOfHeaders: Gathering._end_of_headers,
    m.Body: Gathering._body,
    m.EndOfMessage: Gathering._end_of_message,
}

_LAST_EVENT = {kind: name for kind, name in EVENT_OF.items() if kind not in (m.Abort, m.Unknown, Disconnected)}
"""What an abort comes after."""
