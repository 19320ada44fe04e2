"""The milters under test: started as processes of their own, each on a socket in a scratch directory."""

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from benchmarks.peers import rspamd_conf

_HERE = Path(__file__).parent
_START_SECONDS = 30.0
_STOP_SECONDS = 15.0


class MissingError(Exception):
    """A peer cannot be built or started here; the message says what to install."""


@dataclass(slots=True)
class Process:
    """Something that runs. `address` is `unix:PATH` or `inet:PORT`."""

    name: str
    address: str
    popen: subprocess.Popen[bytes]
    log: Path = field(default_factory=Path)

    @property
    def pid(self) -> int:
        """The process at the top of the tree."""
        return self.popen.pid

    def stop(self) -> None:
        """SIGTERM, and SIGKILL where that does not help."""
        self.popen.terminate()
        try:
            self.popen.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
        if self.popen.stdout is not None:
            self.popen.stdout.close()


class Bench:
    """Everything that runs for the benchmarks; `close` ends it."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self._running: list[Process] = []
        self._built: Path | None = None

    def close(self) -> None:
        """End what was started, the last first."""
        while self._running:
            self._running.pop().stop()

    def stop(self, process: Process) -> None:
        """End one of them."""
        self._running.remove(process)
        process.stop()

    def stub(self, delay: float = 0.0) -> str:
        """Start a backend; its URL."""
        command = [sys.executable, "-m", "benchmarks.stub", "--delay", str(delay)]
        popen = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=_HERE.parent)
        assert popen.stdout is not None
        port = int(popen.stdout.readline())
        self._running.append(Process("stub", f"inet:{port}", popen))
        return f"http://127.0.0.1:{port}/"

    def gateway(
        self,
        name: str,
        url: str,
        *,
        tcp: bool = False,
        workers: int = 1,
        limits: Mapping[str, object] = MappingProxyType({}),
        **webhook: object,
    ) -> Process:
        """Start the gateway with one webhook; further settings of the webhook by name."""
        address = f"inet:{_free_port()}" if tcp else f"unix:{self.scratch / name}.sock"
        listen = f"{address}@127.0.0.1" if tcp else address
        settings = {"name": "bench", "url": url} | webhook
        lines = [
            f'listen = ["{listen}"]',
            f"workers = {workers}",
            "[admin]",
            'listen = ""',
            "[limits]",
            *_toml_lines({"connections": 10000, **limits}),
            "[[webhook]]",
            *_toml_lines(settings),
        ]
        config = self.scratch / f"{name}.toml"
        config.write_text("\n".join(lines) + "\n")
        return self._start(name, address, [sys.executable, "-m", "gateway", "run", "-c", str(config)])

    def libmilter(self, *, tcp: bool = False) -> Process:
        """Build and start the C milter. Raises MissingError."""
        binary = self._built or self._build_libmilter()
        address = f"inet:{_free_port()}" if tcp else f"unix:{self.scratch / 'libmilter.sock'}"
        spec = f"{address}@127.0.0.1" if tcp else address
        return self._start("libmilter in C", address, [str(binary), spec])

    def _build_libmilter(self) -> Path:
        if not Path("/usr/include/libmilter/mfapi.h").exists() or not shutil.which("cc"):
            raise MissingError("libmilter: apt-get install gcc libmilter-dev")
        self._built = self.scratch / "libmilter"
        command = ["cc", "-O2", "-o", str(self._built), str(_HERE / "peers/libmilter.c"), "-lmilter", "-lpthread"]
        subprocess.run(command, check=True)
        return self._built

    def pymilter(self, url: str, mode: str) -> Process:
        """Start pymilter with requests; `mode` events or message. Raises MissingError."""
        python = "/usr/bin/python3"
        found = (
            Path(python).exists()
            and not subprocess.run(
                [python, "-c", "import Milter, requests"], check=False, stderr=subprocess.DEVNULL
            ).returncode
        )
        if not found:
            raise MissingError("pymilter: apt-get install python3-milter python3-requests")
        path = self.scratch / f"pymilter-{mode}.sock"
        command = [python, str(_HERE / "peers/pymilter_requests.py"), str(path), url, mode]
        return self._start("pymilter + requests", f"unix:{path}", command)

    def bare(self, url: str, mode: str) -> Process:
        """Start the least that a Python event loop can do; `mode` events or message."""
        path = self.scratch / f"bare-{mode}.sock"
        command = [sys.executable, "-m", "benchmarks.peers.bare_loop", str(path), url, mode]
        return self._start("bare Python loop", f"unix:{path}", command)

    def rspamd(self, url: str) -> Process:
        """Start rspamd's milter proxy, with the stub in the place of its scanner. Raises MissingError."""
        program = shutil.which("rspamd", path="/usr/bin:/usr/local/bin")
        if program is None:
            raise MissingError("rspamd: apt-get install rspamd")
        directory = self.scratch / "rspamd"
        directory.mkdir(exist_ok=True)
        directory.chmod(0o777)
        path = directory / "milter.sock"
        config = directory / "rspamd.conf"
        config.write_text(rspamd_conf.text(directory, path, url))
        command = [program, "-f", "-c", str(config), "--insecure"]
        return self._start("rspamd proxy", f"unix:{path}", command)

    def _start(self, name: str, address: str, command: Sequence[str]) -> Process:
        log = self.scratch / f"{name.replace(' ', '-').replace('/', '-')}.log"
        with log.open("ab") as sink:
            popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, cwd=_HERE.parent)
        process = Process(name, address, popen, log)
        self._running.append(process)
        _wait(lambda: _answers(process), process)
        return process


def _toml_lines(settings: Mapping[str, object]) -> list[str]:
    return [f"{key} = {_toml(value)}" for key, value in settings.items()]


def _toml(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return str(value) if isinstance(value, int) else f'"{value}"'


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(process: Process) -> bool:
    kind, _, where = process.address.partition(":")
    with socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET) as probe, suppress(OSError):
        probe.connect(where if kind == "unix" else ("127.0.0.1", int(where)))
        return True
    return False


def _wait(ready: Callable[[], bool], process: Process) -> None:
    end = time.monotonic() + _START_SECONDS
    while not ready():
        if process.popen.poll() is not None or time.monotonic() > end:
            raise MissingError(f"{process.name} does not start; its log: {process.log.read_text()[-800:]}")
        time.sleep(0.05)
