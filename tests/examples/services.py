"""Private instances of what the examples talk to: Redis and rspamd, each in a directory of its own."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

from program import Program

RULES = Path(__file__).with_name("rspamd_rules.lua")
STARTS = 5
"""Tries for rspamd, which cannot choose a free port itself: another program may be quicker."""


@contextlib.contextmanager
def running(program: Program) -> Iterator[Program]:
    """A program that ends with the block."""
    try:
        yield program
    finally:
        program.terminate()
        program.wait()


@contextlib.contextmanager
def redis_at(path: Path) -> Iterator[str]:
    """A Redis server that keeps nothing on disk; its URL."""
    line = f"redis-server --port 0 --unixsocket {path} --dir {path.parent} --save '' --appendonly no"
    with running(Program(line, path.with_suffix(".log"), {})) as server:
        server.wait_for(lambda output: "eady to accept connections" in output or None, "ready Redis")
        yield f"unix://{path}"


@contextlib.contextmanager
def rspamd_in(directory: Path) -> Iterator[str]:
    """An rspamd scanner with no other rules than those beside this file; its URL."""
    for _ in range(STARTS):
        port = _free_port()
        (directory / "rspamd.conf").write_text(_rspamd_conf(directory, port))
        line = f"rspamd --no-fork --insecure --config {directory}/rspamd.conf"
        with running(Program(line, directory / "rspamd.log", {})) as server:
            if server.wait_for(_has_started, "scanner"):
                yield f"http://127.0.0.1:{port}"
                return
    raise AssertionError(f"rspamd found no free port in {STARTS} tries")


def _has_started(output: str) -> bool | None:
    if "Address already in use" in output:
        return False
    return True if "listening for control commands" in output else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _rspamd_conf(directory: Path, port: int) -> str:
    domains = directory / "domains.dat"
    domains.write_text("example\n")  # rspamd's own list takes ten seconds to compile
    return f"""
options {{
  filters = "";
  pidfile = "{directory}/rspamd.pid";
  tempdir = "{directory}";
  rundir = "{directory}";
  dbdir = "{directory}";
  cores_dir = "{directory}";
  hs_cache_dir = "{directory}";
  control_socket = "{directory}/control.sock";
  url_tld = "{domains}";
  dns {{ nameserver = ["127.0.0.1:{port}"]; timeout = 0.1s; retransmits = 1; }}
}}
logging {{ type = "console"; level = "info"; }}
worker "normal" {{ bind_socket = "127.0.0.1:{port}"; count = 1; }}
actions {{ reject = 15; add_header = 6; greylist = 4; }}
milter_headers {{ use = ["x-spamd-bar"]; }}
modules {{ path = "/usr/share/rspamd/plugins/milter_headers.lua"; }}
lua = "{RULES}";
"""
