"""Debian's Sendmail, unpacked into a cache directory: as a package it cannot be installed beside Postfix.

``python -m e2e.sendmail_root`` (with ``tests`` on the path) unpacks it ahead of the tests. Only the standard library.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

PACKAGES = ("sendmail-bin", "sendmail-cf")
LIBRARIES = "libnsl2 libwrap0 liblockfile1 libldap-2.5-0 libsasl2-2 libsasl2-modules m4"


class SendmailUnavailableError(Exception):
    """Why there is no Sendmail here."""


def cache_directory() -> Path:
    """Where the unpacked packages are kept from one run to the next."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "milter-gateway-tests" / "sendmail"


def unpacked_sendmail() -> Path:
    """The directory with Sendmail's ``usr`` in it; unpacked now if it is not there yet."""
    root = cache_directory()
    if not program(root).exists():
        root.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root.parent) as temporary:
            fresh = Path(temporary) / "root"
            _unpack(Path(temporary), fresh)
            shutil.rmtree(root, ignore_errors=True)
            fresh.rename(root)
    missing = [line.split()[0] for line in _run("ldd", str(program(root))).splitlines() if "not found" in line]
    if missing:
        raise SendmailUnavailableError(f"Sendmail lacks {' '.join(missing)}: apt-get install {LIBRARIES}")
    return root


def program(root: Path) -> Path:
    """The daemon inside an unpacked tree."""
    return root / "usr/libexec/sendmail/sendmail"


def _unpack(work: Path, root: Path) -> None:
    for package in PACKAGES:
        _run("apt-get", "download", "-q", package, cwd=work)
    for archive in work.glob("*.deb"):
        _run("dpkg", "-x", str(archive), str(root))


def _run(*args: str, cwd: Path | None = None) -> str:
    try:
        done = subprocess.run(args, cwd=cwd, check=True, capture_output=True, text=True, timeout=120)
    except FileNotFoundError as error:
        raise SendmailUnavailableError(f"{args[0]} is missing: Sendmail's packages are unpacked with it") from error
    except subprocess.SubprocessError as error:
        detail = getattr(error, "stderr", None) or error
        raise SendmailUnavailableError(f"{' '.join(args)} failed (apt-get update?): {detail}") from error
    return done.stdout


if __name__ == "__main__":
    unpacked_sendmail()
