"""Which macro is visible when.

A MACRO packet belongs to the command that follows it, and a later set hides an earlier one. libmilter's clearing
(`mi_clr_macros`): CONNECT drops HELO and later, HELO drops MAIL and later, and so on; we drop the sets of a transaction
also when it ends, so that no queue id outlives its message. The sets of RCPT, HEADER, BODY and UNKNOWN are visible at
that one event only. Packets are decoded when somebody looks.
"""

from collections.abc import Iterable, Mapping

from gateway.milter.codec import decode_macros
from gateway.milter.constants import Command, MacroStage

_LASTING = (
    Command.CONNECT,
    Command.HELO,
    Command.MAIL,
    Command.DATA,
    Command.END_OF_HEADERS,
    Command.END_OF_MESSAGE,
)
_TRANSACTION = _LASTING[2:]
_CLEARED_BY: Mapping[bytes, tuple[bytes, ...]] = {
    Command.CONNECT: _LASTING[1:],
    Command.HELO: _LASTING[2:],
    Command.MAIL: _LASTING[3:],
    Command.RCPT: _LASTING[3:],
}
_PASSING = frozenset((Command.RCPT, Command.HEADER, Command.BODY, Command.UNKNOWN))

SENDMAIL_DEFAULTS: Mapping[MacroStage, tuple[str, ...]] = {  # sendmail cf/m4/cfhead.m4
    MacroStage.CONNECT: ("j", "_", "{daemon_name}", "{if_name}", "{if_addr}"),
    MacroStage.HELO: ("{tls_version}", "{cipher}", "{cipher_bits}", "{cert_subject}", "{cert_issuer}"),
    MacroStage.MAIL: (
        "i",
        "{auth_type}",
        "{auth_authen}",
        "{auth_ssf}",
        "{auth_author}",
        "{mail_mailer}",
        "{mail_host}",
        "{mail_addr}",
    ),
    MacroStage.RCPT: ("{rcpt_mailer}", "{rcpt_host}", "{rcpt_addr}"),
    MacroStage.END_OF_MESSAGE: ("{msg_id}",),
}
POSTFIX_DEFAULTS: Mapping[MacroStage, tuple[str, ...]] = {  # postfix milter_*_macros
    MacroStage.CONNECT: ("j", "{daemon_name}", "{daemon_addr}", "v", "_"),
    MacroStage.HELO: ("{tls_version}", "{cipher}", "{cipher_bits}", "{cert_subject}", "{cert_issuer}"),
    MacroStage.MAIL: (
        "i",
        "{auth_type}",
        "{auth_authen}",
        "{auth_author}",
        "{mail_addr}",
        "{mail_host}",
        "{mail_mailer}",
    ),
    MacroStage.RCPT: ("i", "{rcpt_addr}", "{rcpt_host}", "{rcpt_mailer}"),
    MacroStage.DATA: ("i",),
    MacroStage.END_OF_HEADERS: ("i",),
    MacroStage.END_OF_MESSAGE: ("i",),
}


class MacroScope:
    """The macros of one SMTP session, by the rules above."""

    __slots__ = ("_announced", "_merged", "_merged_of", "_passing", "_sets", "_stale", "of_aborted")

    def __init__(self) -> None:
        self._sets: dict[bytes, bytes] = {}
        self._passing: bytes | None = None
        self._announced: dict[bytes, bytes] = {}
        self._merged: Mapping[bytes, bytes] = {}
        self._merged_of: list[bytes] = []
        self._stale = False
        self.of_aborted: Mapping[bytes, bytes] = self._merged
        """What was visible in the transaction that was aborted last."""

    def announce(self, stage: bytes, payload: bytes) -> None:
        """A MACRO packet arrived; it takes effect with the next command."""
        self._announced[stage] = payload

    def begin(self, code: bytes) -> None:
        """The command `code` arrived."""
        if code in _CLEARED_BY:
            self._clear(_CLEARED_BY[code])
        passing = None
        if self._announced:
            passing = self._take(code)
        if passing != self._passing:
            self._passing = passing
            self._stale = True

    @property
    def passing(self) -> bytes | None:
        """The set of the present command, undecoded, where it is one that passes with it."""
        return self._passing

    def _clear(self, stages: Iterable[bytes]) -> None:
        for stage in stages:
            if self._sets.pop(stage, None) is not None:
                self._stale = True

    def _take(self, code: bytes) -> bytes | None:
        """Take over the announced sets that stay, and return the one that passes with this command.

        Postfix repeats the same ones before every command.
        """
        announced, self._announced = self._announced, {}
        passing = announced.pop(code, None) if code in _PASSING else None
        for stage, payload in announced.items():
            if stage in _LASTING and self._sets.get(stage) != payload:
                self._sets[stage] = payload
                self._stale = True
        return passing

    def end_transaction(self, *, aborted: bool = False) -> None:
        """The message is over: MAIL's set and all later ones vanish."""
        if aborted:
            self.of_aborted = self.visible()
        self._passing = None
        self._clear(_TRANSACTION)
        self._stale = True

    def visible(self) -> Mapping[bytes, bytes]:
        """All macros in scope, names without braces. The same object as long as nothing changed."""
        if self._stale:
            self._stale = False
            payloads = [self._sets[stage] for stage in _LASTING if stage in self._sets]
            if self._passing is not None:
                payloads.append(self._passing)
            if payloads != self._merged_of:
                self._merged, self._merged_of = _merged(payloads), payloads
        return self._merged


def _merged(payloads: Iterable[bytes]) -> dict[bytes, bytes]:
    """The pairs of several packets; a later one hides an earlier one."""
    merged: dict[bytes, bytes] = {}
    for payload in payloads:
        merged.update(decode_macros(payload))
    return merged
