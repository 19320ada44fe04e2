"""What every end-to-end helper needs: programs, ports, deadlines, certificates."""

import os
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar

import pytest
import trustme

T = TypeVar("T")
HOST = "127.0.0.1"
SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def unavailable(reason: str) -> NoReturn:
    """Skip the test; in CI, where every part must be there, fail it."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def require_program(name: str, package: str) -> str:
    """The path of an installed program. ``package`` is the Debian package that brings it."""
    path = shutil.which(name, path=SEARCH)
    if path is None:
        unavailable(f"{name} is missing: apt-get install {package}")
    return path


def free_port() -> int:
    """A TCP port that nobody listens on, outside the range the kernel hands out by itself."""
    while True:
        port = random.randint(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port


def wait_until(probe: Callable[[], T | None], what: str, within: float = 20.0) -> T:
    """Poll until ``probe`` gives something true; ``AssertionError`` after ``within`` seconds."""
    end = time.monotonic() + within
    while True:
        if result := probe():
            return result
        if time.monotonic() > end:
            raise AssertionError(f"waited {within:g} s in vain for {what}")
        time.sleep(0.02)


def wait_for_port(port: int, within: float = 20.0) -> None:
    """Wait until something accepts connections on this port."""

    def probe() -> bool:
        with socket.socket() as peer:
            peer.settimeout(1)
            return peer.connect_ex((HOST, port)) == 0

    wait_until(probe, f"a listener on port {port}", within)


def run(*args: str | Path, stdin: bytes = b"", within: float = 60.0) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end; its output is in the result, its exit code is the caller's business."""
    return subprocess.run(args, input=stdin, capture_output=True, timeout=within, check=False)


def write_certificate(directory: Path) -> tuple[Path, Path]:
    """A self-made server certificate and its key, as PEM files."""
    leaf = trustme.CA().issue_cert("localhost", HOST)
    certificate, key = directory / "cert.pem", directory / "key.pem"
    certificate.write_bytes(b"".join(part.bytes() for part in leaf.cert_chain_pems))
    key.touch(mode=0o600)
    key.write_bytes(leaf.private_key_pem.bytes())
    return certificate, key
