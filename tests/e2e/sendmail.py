"""A private Sendmail, from packages that are unpacked and not installed."""

import os
import re
import signal
import socket
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from .mta import REFUSED_BY_MTA, MilterAddress, Mta, QueuedMail
from .sasl import Saslauthd
from .sendmail_root import SendmailUnavailableError, program, unpacked_sendmail
from .smtp_client import SmtpClient
from .support import HOST, require_program, run, unavailable

MC = """\
OSTYPE(`linux')dnl
define(`QUEUE_DIR', `{directory}/queue')dnl
define(`STATUS_FILE', `{directory}/statistics')dnl
define(`confPID_FILE', `{directory}/sendmail.pid')dnl
define(`confSERVICE_SWITCH_FILE', `{directory}/service.switch')dnl
define(`confCONTROL_SOCKET_NAME', `')dnl
define(`HELP_FILE', `')dnl
define(`ALIAS_FILE', `')dnl
undefine(`confCW_FILE')dnl
define(`confRUN_AS_USER', `root')dnl
define(`confDOMAIN_NAME', `sendmail.test')dnl
define(`confMAX_DAEMON_CHILDREN', `0')dnl
define(`confMAX_MESSAGE_SIZE', `209715200')dnl
define(`confREFUSE_LA', `1000')dnl
define(`confQUEUE_LA', `1000')dnl
define(`confDELAY_LA', `1000')dnl
define(`confTO_IDENT', `0')dnl
define(`confDELIVERY_MODE', `background')dnl
define(`confCACERT_PATH', `{directory}')dnl
define(`confCACERT', `{certificate}')dnl
define(`confSERVER_CERT', `{certificate}')dnl
define(`confSERVER_KEY', `{key}')dnl
define(`confAUTH_MECHANISMS', `PLAIN LOGIN')dnl
TRUST_AUTH_MECH(`PLAIN LOGIN')dnl
define(`SMART_HOST', `relay:[{host}]')dnl
define(`RELAY_MAILER_ARGS', `TCP $h {sink_port}')dnl
FEATURE(`promiscuous_relay')dnl
FEATURE(`accept_unqualified_senders')dnl
FEATURE(`accept_unresolvable_domains')dnl
FEATURE(`no_default_msa')dnl
FEATURE(`nocanonify')dnl
DAEMON_OPTIONS(`Family=inet, Name=MTA, Port={port}, Addr={host}')dnl
INPUT_MAIL_FILTER(`gateway', `S={milter}{flags}, T={timeouts}')dnl
{extra}
MAILER(`smtp')dnl
LOCAL_CONFIG
ESASL_CONF_PATH={sasl}
LOCAL_RULESETS
SLocal_check_rcpt
R$*	$: $>3 $1
R{refused} < @ {refused_at} $* >	$#error $@ 5.1.1 $: "550 No such user here"
"""


class Sendmail(Mta):
    """Sendmail with TLS and SASL.

    ``filter_flags`` is what F= says of a failing milter: ``T`` 451, ``R`` 550, ``4`` 421, empty: let mail pass.
    ``timeouts`` is T=, here Sendmail's own defaults. ``extra`` are more lines for its .mc file.
    """

    name = "sendmail"
    base = "/var/cache"  # Sendmail takes no certificate or SASL settings from below a directory that all may write

    def __init__(self, *, filter_flags: str = "T", timeouts: str = "C:5m;S:10s;R:10s;E:5m", extra: str = "") -> None:
        self.filter_flags = filter_flags
        self.timeouts = timeouts
        self.extra = extra
        self._m4 = require_program("m4", "m4")
        self._process: subprocess.Popen[bytes] | None = None
        if os.geteuid() != 0:
            unavailable("Sendmail can be started by root only")
        if run("unshare", "-u", "true").returncode:
            unavailable("Sendmail needs a UTS namespace: the container lacks CAP_SYS_ADMIN")
        try:
            self._root = unpacked_sendmail()
        except SendmailUnavailableError as error:
            unavailable(str(error))

    def log(self) -> str:
        """Every SMTP line of every session, and what it printed; its syslog has no reader here."""
        files = (self.directory / "transcript", self.directory / "output")
        return "".join(file.read_text(errors="replace") for file in files if file.exists())

    def queue(self) -> list[QueuedMail]:
        mails = (_queued(file) for file in sorted((self.directory / "queue").glob("[hq]f*")))
        return [mail for mail in mails if mail]

    def purge(self) -> None:
        for file in (self.directory / "queue").iterdir():
            file.unlink(missing_ok=True)

    def sendmail_command(
        self, sender: str, recipients: Sequence[str], message: bytes, *, unix_socket: bool = False
    ) -> subprocess.CompletedProcess[bytes]:
        """SMTP on standard input (-bs): Sendmail's only local submission that a milter sees.

        The client is ``localhost``, of unknown family; of family unix where standard input is a Unix socket. The
        output has all replies; the exit code is 1 where the message was refused.
        """
        command = self._command("-bs")
        ours, theirs = socket.socketpair()
        with theirs:
            pipes = [] if unix_socket else ["sh", "-c", 'cat | "$@" | cat', "sh"]
            process = subprocess.Popen([*pipes, *command], stdin=theirs.fileno(), stdout=theirs.fileno())
        try:
            with SmtpClient(ours) as client:
                client.ehlo("localhost")
                reply = client.send(sender, recipients, message)
                client.quit()
        finally:
            process.wait(10)
        return subprocess.CompletedProcess(command, int(not reply.ok), client.transcript().encode(), b"")

    def _start(self, milter: MilterAddress, sink_port: int, certificate: Path, key: Path) -> None:
        (self.directory / "queue").mkdir(mode=0o700)
        (self.directory / "service.switch").write_text("hosts files\naliases files\npasswd files\n")
        passwords = self._check_passwords(Saslauthd)
        (self.directory / "Sendmail.conf").write_text(
            f"pwcheck_method: saslauthd\nsaslauthd_path: {passwords}\nmech_list: PLAIN LOGIN\n"
        )
        user, _, domain = REFUSED_BY_MTA.partition("@")
        (self.directory / "sendmail.mc").write_text(
            MC.format(
                directory=self.directory, host=HOST, port=self.port, sink_port=sink_port, certificate=certificate,
                key=key, sasl=self.directory, milter=milter.sendmail, timeouts=self.timeouts,
                flags=f", F={self.filter_flags}" if self.filter_flags else "", extra=self.extra,
                refused=user, refused_at=domain.replace(".", " . "),
            )
        )  # fmt: skip
        macros = self._root / "usr/share/sendmail/cf"
        done = run(self._m4, f"-D_CF_DIR_={macros}/", macros / "m4/cf.m4", self.directory / "sendmail.mc")
        (self.directory / "sendmail.cf").write_bytes(done.stdout)
        with (self.directory / "output").open("wb") as output:
            self._process = subprocess.Popen(
                self._command("-bD", "-X", str(self.directory / "transcript")),
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip

    def _stop(self) -> None:
        if self._process:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)
            self._process.wait(10)
            self._process = None

    def _greets(self) -> bool:
        if self._process and self._process.poll() is not None:
            raise AssertionError("Sendmail ended at once")
        return super()._greets()

    def _command(self, *args: str) -> list[str]:
        """Sendmail with a dotted host name in a UTS namespace of its own; without a dot it waits 60 s at start."""
        named = ["unshare", "-u", "sh", "-c", 'hostname sendmail.test; exec "$@"', "sh"]
        return [*named, str(program(self._root)), "-C", str(self.directory / "sendmail.cf"), *args]


def _queued(control: Path) -> QueuedMail | None:
    """Read a queue control file (``qf``, or ``hf`` where quarantined) and its data file."""
    try:
        lines = control.read_bytes().decode("utf-8", "surrogateescape")
        body = control.with_name("df" + control.name[2:]).read_bytes()
    except FileNotFoundError:
        return None  # delivered in the meantime
    records = re.split(r"\n(?![ \t])", lines)
    fields = [re.sub(r"^H\?[^?]*\?", "", record) for record in records if record.startswith("H")]
    head = "".join(f"{field}\n" for field in fields)

    def of(code: str) -> list[str]:
        return [record[1:] for record in records if record[:1] == code]

    return QueuedMail(
        id=control.name[2:],
        held=control.name.startswith("hf"),
        sender="".join(of("S")).strip("<>"),
        recipients=tuple(re.sub(r"^[^:]*:", "", recipient).strip("<>") for recipient in of("R")),
        reason=next(iter(of("q")), None),
        content=head.encode("utf-8", "surrogateescape") + b"\n" + body,
    )
