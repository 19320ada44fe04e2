"""What tests may ask of a mail server, whichever it is."""

import abc
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from .sasl import Checker, Dovecot, Saslauthd
from .smtp_client import ConnectionGoneError, SmtpClient
from .support import wait_until, write_certificate

REFUSED_BY_MTA = "refused@mta.test"
"""A recipient that each of the mail servers refuses by itself, with 550 5.1.1, whatever the milter says."""


@dataclass(frozen=True)
class MilterAddress:
    """Where the milter listens, as each side spells that.

    ``inet:PORT@HOST`` is Sendmail's spelling, and that of ``milter-gateway --listen``; Postfix has ``inet:HOST:PORT``.
    ``unix:PATH`` is the same everywhere.
    """

    sendmail: str
    postfix: str

    @classmethod
    def parse(cls, spec: str) -> Self:
        """Read any of these."""
        if match := re.fullmatch(r"inet:(\d+)@([^:@]+)", spec) or re.fullmatch(r"inet:([^:@]+):(\d+)", spec):
            port, host = sorted(match.groups(), key=str.isdigit, reverse=True)
            return cls(f"inet:{port}@{host}", f"inet:{host}:{port}")
        if spec.startswith("unix:/"):
            return cls(spec, spec)
        raise ValueError(f"not a milter address: {spec}")


@dataclass(frozen=True)
class QueuedMail:
    """A message in a mail server's queue. ``reason`` is a quarantine's; Postfix does not keep it."""

    id: str
    held: bool
    sender: str
    recipients: tuple[str, ...]
    reason: str | None
    content: bytes
    """Header and body with LF line ends, as the queue keeps them."""


class Mta(abc.ABC):
    """A private mail server in a directory of its own; a short one, as Unix sockets want it."""

    name: str
    base = "/tmp"
    directory: Path
    port: int
    _checker: Checker | None = None

    def start(self, milter: str, smtp_port: int, sink_port: int) -> None:
        """Start, and wait until it greets. ``milter`` in either spelling; all mail goes to ``sink_port``."""
        self.directory = Path(tempfile.mkdtemp(prefix=f"{self.name}-", dir=self.base))
        self.directory.chmod(0o755)  # daemons run as other users
        self.port = smtp_port
        try:
            certificate, key = write_certificate(self.directory)
            self._start(MilterAddress.parse(milter), sink_port, certificate, key)
            wait_until(self._greets, f"the greeting of {self.name}")
        except AssertionError as error:
            error.add_note(self.log()[-3000:])
            self.stop()
            raise
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it and forget everything it had; once more does no harm."""
        self._stop()
        if self._checker:
            self._checker.stop()
            self._checker = None
        shutil.rmtree(self.directory, ignore_errors=True)

    def connect(self, *, within: float = 30.0, source: str | None = None) -> SmtpClient:
        """A new SMTP session with it."""
        return SmtpClient(self.port, within=within, source=source)

    def held(self, subject: str, within: float = 10.0) -> QueuedMail:
        """Wait for a quarantined message with this subject."""
        return self.wait_for_queued(lambda mail: mail.held and _subject(mail) == subject, within)

    def wait_for_queued(self, wanted: Callable[[QueuedMail], bool], within: float = 10.0) -> QueuedMail:
        """Wait for a message in the queue."""
        return wait_until(lambda: next(filter(wanted, self.queue()), None), "a queued message", within)

    @abc.abstractmethod
    def log(self) -> str:
        """Everything it has logged so far."""

    @abc.abstractmethod
    def queue(self) -> list[QueuedMail]:
        """All messages that are in its queue now, held ones too."""

    @abc.abstractmethod
    def purge(self) -> None:
        """Delete all messages in its queue."""

    @abc.abstractmethod
    def sendmail_command(
        self, sender: str, recipients: Sequence[str], message: bytes
    ) -> subprocess.CompletedProcess[bytes]:
        """Local submission, without TCP."""

    @abc.abstractmethod
    def _start(self, milter: MilterAddress, sink_port: int, certificate: Path, key: Path) -> None: ...

    @abc.abstractmethod
    def _stop(self) -> None: ...

    def _check_passwords(self, protocol: type[Dovecot | Saslauthd]) -> Path:
        socket = self.directory / "passwords"
        self._checker = Checker(socket, protocol)
        return socket

    def _greets(self) -> bool:
        """Whether it greets; even a refusal of all mail will do, as the milter need not be there yet."""
        try:
            with SmtpClient(self.port, within=10) as client, suppress(ConnectionGoneError):
                client.quit()
        except (OSError, ConnectionGoneError):
            return False
        return True


def _subject(mail: QueuedMail) -> str | None:
    match = re.search(rb"^Subject: ?(.*)$", mail.content, re.MULTILINE | re.IGNORECASE)
    return match[1].decode("utf-8", "replace") if match else None
