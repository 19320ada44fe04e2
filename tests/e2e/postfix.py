"""A private Postfix beside the machine's own."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from .mta import REFUSED_BY_MTA, MilterAddress, Mta, QueuedMail
from .sasl import Dovecot
from .support import HOST, require_program, run, unavailable, wait_until

MAIN = """\
compatibility_level = 3.6
queue_directory = {directory}/spool
data_directory = {directory}/data
maillog_file = {directory}/mail.log
maillog_file_prefixes = {directory}
myhostname = postfix.test
mydestination =
inet_interfaces = {host}
inet_protocols = all
mynetworks = 0.0.0.0/0
local_header_rewrite_clients =
alias_maps =
alias_database =
relayhost = [{host}]:{sink_port}
smtp_host_lookup = native
smtp_dns_support_level = disabled
smtpd_recipient_restrictions =
    check_recipient_access inline:{{{{{refused} = 550 5.1.1 No such user here}}}}
    permit_mynetworks permit_sasl_authenticated reject
smtpd_relay_restrictions =
smtpd_authorized_xclient_hosts = 127.0.0.0/8
smtpd_authorized_xforward_hosts = 127.0.0.0/8
message_size_limit = 209715200
mailbox_size_limit = 0
smtputf8_enable = yes
smtputf8_autodetect_classes = all
smtpd_recipient_limit = 20000
smtpd_recipient_overshoot_limit = 20000
smtpd_error_sleep_time = 0
smtpd_hard_error_limit = 10000
smtpd_junk_command_limit = 10000
smtpd_client_connection_count_limit = 0
smtpd_tls_security_level = may
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_tls_received_header = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {passwords}
smtpd_milters = {milter}
non_smtpd_milters = {milter}
milter_protocol = 6
milter_default_action = {default_action}
"""

# service type private unpriv chroot wakeup maxproc command
MASTER = """\
{host}:{port} inet n - {chroot} - 200 smtpd
pickup unix n - n 5 1 pickup
cleanup unix n - {chroot} - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix(Mta):
    """Postfix with TLS, SASL, XCLIENT and SMTPUTF8.

    ``extra`` are more lines for main.cf; the last one wins. ``chrooted``: smtpd and cleanup are, as Debian has them.
    """

    name = "postfix"

    def __init__(self, *, default_action: str = "tempfail", extra: str = "", chrooted: bool = False) -> None:
        self.default_action = default_action
        self.extra = extra
        self.chrooted = chrooted
        self._program = Path(require_program("postfix", "postfix"))
        if os.geteuid() != 0:
            unavailable("Postfix can be started by root only")

    def log(self) -> str:
        file = self.directory / "mail.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def queue(self) -> list[QueuedMail]:
        done = self._run("postqueue", "-j")
        return list(self._mails(done.stdout.decode().splitlines()))

    def purge(self) -> None:
        for queue in ("maildrop", "hold", "incoming", "active", "deferred"):
            self._run("postsuper", "-d", "ALL", queue)

    def sendmail_command(
        self, sender: str, recipients: Sequence[str], message: bytes
    ) -> subprocess.CompletedProcess[bytes]:
        """Postfix's sendmail(1): the milter sees it in a session that cleanup(8) makes up, after this returned."""
        return run(self._tool("sendmail"), "-C", self._etc, "-i", "-f", sender, "--", *recipients, stdin=message)

    def _start(self, milter: MilterAddress, sink_port: int, certificate: Path, key: Path) -> None:
        for name in ("etc", "spool", "data"):
            (self.directory / name).mkdir()
        shutil.chown(self.directory / "data", "postfix")
        settings = {
            "directory": self.directory, "host": HOST, "port": self.port, "sink_port": sink_port,
            "milter": milter.postfix, "certificate": certificate, "key": key,
            "passwords": self._check_passwords(Dovecot),
            "default_action": self.default_action, "refused": REFUSED_BY_MTA, "chroot": "y" if self.chrooted else "n",
        }  # fmt: skip
        (self._etc / "main.cf").write_text(_without_overridden(MAIN.format(**settings) + self.extra))
        (self._etc / "master.cf").write_text(MASTER.format(**settings))
        done = self._run("postfix", "start")
        if done.returncode:
            raise RuntimeError(f"postfix start: {done.stderr.decode()}{self.log()}")

    def _stop(self) -> None:
        if (self._etc / "master.cf").exists():
            self._run("postfix", "abort")
            wait_until(lambda: self._run("postfix", "status").returncode != 0, "the end of Postfix")

    def _mails(self, lines: Sequence[str]) -> Iterator[QueuedMail]:
        for line in lines:
            entry = json.loads(line)
            queue_id = entry["queue_id"]
            content = self._run("postcat", "-hbq", queue_id)
            if content.returncode:
                continue  # delivered in the meantime
            yield QueuedMail(
                id=queue_id,
                held=entry["queue_name"] == "hold",
                sender=entry["sender"],
                recipients=tuple(recipient["address"] for recipient in entry["recipients"]),
                reason=None,
                content=content.stdout,
            )

    @property
    def _etc(self) -> Path:
        return self.directory / "etc"

    def _tool(self, name: str) -> Path:
        return self._program.with_name(name)

    def _run(self, name: str, *args: str) -> subprocess.CompletedProcess[bytes]:
        return run(self._tool(name), "-c", self._etc, *args)


def _without_overridden(text: str) -> str:
    """The last entry of each parameter alone.

    Every daemon warns of each other one at its start, postlogd too, and to itself: ten are enough for it to hang.
    """
    entries: dict[str, str] = {}
    for entry in re.split(r"\n(?=\S)", text):
        entries[entry.partition("=")[0].strip()] = entry.rstrip()
    return "\n".join(entries.values()) + "\n"
