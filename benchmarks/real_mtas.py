"""The scenarios with a real Postfix and a real Sendmail; they are the private instances of the end-to-end tests."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.scenarios import Effort
from benchmarks.tables import Check, Table
from benchmarks.targets import Bench, MissingError, Process

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from e2e.mails import mail
from e2e.postfix import Postfix
from e2e.sendmail import Sendmail
from e2e.sink import Sink
from e2e.support import free_port, require_program

TWO = ["bob@site.example", "carol@site.example"]


class _FastPostfix(Postfix):
    """Without delivery: what is left is SMTP, the queue file and the milter."""

    def __init__(self, milter: str) -> None:
        lines = (f"smtpd_milters = {milter}", "non_smtpd_milters =", "relayhost =", "default_transport = discard:")
        super().__init__(extra="\n".join(lines))


@contextmanager
def _running(mta: Any, milter: str, sink_port: int) -> Iterator[Any]:
    mta.start(milter, free_port(), sink_port)
    try:
        yield mta
    finally:
        mta.stop()


def _spec(process: Process) -> str:
    kind, _, where = process.address.partition(":")
    return f"inet:{where}@127.0.0.1" if kind == "inet" else process.address


def sendmail(bench: Bench, effort: Effort) -> Table:
    """Real Sendmail over TCP: one message with two recipients."""
    url, sink = bench.stub(), Sink()
    table = Table("sendmail", "Real Sendmail over TCP, a message with two recipients", ("", "ms/message"))
    table.chart_unit = "ms per message"
    starts: Mapping[str, Callable[[], Process]] = {
        "gateway, end_of_message": lambda: bench.gateway("sm", url, tcp=True, events=["end_of_message"]),
        "gateway, all events": lambda: bench.gateway("sm-all", url, tcp=True),
        "libmilter (C), no HTTP": lambda: bench.libmilter(tcp=True),
    }
    found: dict[str, float] = {}
    try:
        for name, start in starts.items():
            try:
                process = start()
            except MissingError as error:
                table.left_out.append(str(error))
                continue
            found[name] = _sendmail_ms(process, sink.port, effort.messages(20))
            table.rows.append((name, f"{found[name]:.1f}"))
            table.chart.append((name, found[name]))
    finally:
        sink.stop()
    peer = found.get("libmilter (C), no HTTP")
    if peer:
        ratio = found["gateway, end_of_message"] / peer
        table.checks.append(Check("time per message, gateway to libmilter", ratio, 0.1))
    return table


def _sendmail_ms(process: Process, sink_port: int, count: int) -> float:
    times = []
    with _running(Sendmail(), _spec(process), sink_port) as mta, mta.connect() as client:
        client.ehlo()
        for number in range(count + 1):
            began = time.perf_counter()
            reply = client.send("ann@client.example", TWO, mail(f"bench {number}"))
            times.append((time.perf_counter() - began) * 1000)
            if reply.code != 250:
                raise RuntimeError(f"Sendmail answered {reply}")
    return median(times[1:])


def postfix(bench: Bench, effort: Effort) -> Table:
    """Real Postfix, eight SMTP sessions at once."""
    url, at_end = bench.stub(), ["end_of_message"]
    table = Table("postfix", "Real Postfix, 8 SMTP sessions, one header field is added", ("", "messages/s"))
    table.chart_unit = "ms per message"
    starts: Mapping[str, Callable[[], Process]] = {
        "gateway, unix": lambda: bench.gateway("pf-unix", url, events=at_end),
        "gateway, TCP": lambda: bench.gateway("pf-tcp", url, tcp=True, events=at_end),
        "libmilter (C), no HTTP, TCP": lambda: bench.libmilter(tcp=True),
    }
    processes: dict[str, Process] = {}
    for name, start in starts.items():
        try:
            processes[name] = start()
        except MissingError as error:
            table.left_out.append(str(error))
    rates: dict[str, list[float]] = {name: [] for name in processes}
    for _ in range(effort.rounds):
        for name, process in processes.items():
            if process.address.startswith("unix:"):
                Path(process.address.removeprefix("unix:")).chmod(0o666)
            rates[name].append(_postfix_rate(_spec(process), effort.messages(1000)))
    found = {name: median(each) for name, each in rates.items()}
    for name, rate in found.items():
        table.rows.append((name, f"{rate:,.0f}"))
        table.chart.append((name, 1000 / rate))
    ratio = found["gateway, TCP"] / found["gateway, unix"]
    table.checks.append(Check("messages a second, TCP to unix", ratio, 0.9, at_most=False))
    peer = found.get("libmilter (C), no HTTP, TCP")
    if peer:
        ratio = found["gateway, TCP"] / peer
        table.checks.append(Check("messages a second over TCP, gateway to libmilter", ratio, 5.0, at_most=False))
    return table


def _postfix_rate(milter: str, count: int) -> float:
    source = require_program("smtp-source", "postfix")
    spelled = (
        milter if milter.startswith("unix:") else "inet:127.0.0.1:" + milter.removeprefix("inet:").partition("@")[0]
    )
    with _running(_FastPostfix(spelled), milter, 9) as mta:
        command = [source, "-d", "-s", "8", "-l", "4096", "-f", "ann@client.example", "-t", "bob@site.example"]
        _send(command, mta.port, 50)
        began = time.perf_counter()
        _send(command, mta.port, count)
        return count / (time.perf_counter() - began)


def _send(command: list[str], port: int, count: int) -> None:
    done = subprocess.run(
        [*command, "-m", str(count), f"inet:127.0.0.1:{port}"], capture_output=True, timeout=120, check=False
    )
    if done.returncode or done.stderr:
        raise RuntimeError(f"smtp-source: {done.stderr.decode()}")


REAL: Mapping[str, Callable[[Bench, Effort], Table]] = {"sendmail": sendmail, "postfix": postfix}
