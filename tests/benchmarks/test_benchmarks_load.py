"""The load generator judges: it must take a right milter for right, and every wrong one for wrong."""

import asyncio
import struct
import subprocess
import sys
from contextlib import asynccontextmanager

import httpx
import pytest
from gateway_harness import Backend, gateway

from benchmarks import document
from benchmarks.load import Load, play
from benchmarks.mail import Mail, binary_body, text_body
from benchmarks.profiling import by_row
from benchmarks.scenarios import TYPICAL, Effort, four
from benchmarks.tables import Check, Table, over_runs
from benchmarks.targets import Bench
from benchmarks.usage import cpu_seconds, memory, tree

SMALL = Mail(3, text_body(500))
ADDS = {"end_of_message": {"changes": [{"op": "add_header", "name": "X-Bench", "value": "1"}]}}


def at(gw) -> str:
    """The gateway's address as the load generator spells it."""
    return "inet:" + gw.address.removeprefix("inet:").partition("@")[0]


@pytest.mark.parametrize("events", [None, ["end_of_message"], ["mail", "rcpt", "end_of_headers", "end_of_message"]])
async def test_the_gateway_answers_all_of_it_rightly(events):
    webhook = {} if events is None else {"events": events}
    async with Backend(ADDS) as backend, gateway(backend, webhook=webhook) as gw:
        result = await play(at(gw), Load(SMALL, 4, 25, 1))
    assert (result.messages, result.errors) == (25, [])
    assert len(result.latencies) == 25
    assert 0 < result.percentile(0.5) <= result.percentile(0.99)
    assert len(backend.of("end_of_message")) == 25
    assert backend.of("end_of_message")[0]["message"]["body"]["text"].encode() == SMALL.body


async def test_a_body_of_many_chunks_arrives_whole():
    body = binary_body(200_000)
    async with Backend(ADDS) as backend, gateway(backend, webhook={"events": ["end_of_message"]}) as gw:
        result = await play(at(gw), Load(Mail(1, body), 1, 1, 1))
    assert result.errors == []
    assert backend.only("end_of_message")["data"]["size"] > 200_000


@pytest.mark.parametrize(
    ("answers", "added", "error"),
    [
        ({}, 1, "0 header fields were added, 1 were expected"),
        (ADDS, 0, "1 header fields were added, 0 were expected"),
        ({"rcpt": {"action": "reject"}}, 0, "b'y' at b'R'"),
        ({"end_of_message": {"action": "tempfail"}}, None, "b'y' at the end of the message"),
        ({"end_of_message": {"action": "discard"}}, None, "b'd' at the end of the message"),
    ],
)
async def test_another_answer_is_an_error(answers, added, error):
    async with Backend(answers) as backend, gateway(backend) as gw:
        result = await play(at(gw), Load(SMALL, 1, 1, added))
    assert result.messages == 0
    assert len(result.errors) == 1
    assert error in result.errors[0]


@asynccontextmanager
async def milter(*replies: bytes):
    """A milter that says this, one reply for each read, and then hangs up."""

    async def serve(reader, writer):
        for reply in replies:
            if not await reader.read(65536):
                break
            writer.write(reply)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"inet:{server.sockets[0].getsockname()[1]}"


def packet(content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + content


TERMS = packet(b"O" + struct.pack(">III", 6, 1, 0))


@pytest.mark.parametrize(
    ("replies", "error"),
    [
        ([packet(b"c")], "b'c' to the offer"),
        ([TERMS, packet(b"r")], "b'r' at b'C'"),
        ([TERMS], "the milter hung up"),
        ([TERMS + packet(b"c")], "b'c' although no answer is owed"),
        ([TERMS, packet(b"c") * 2, b""], "although no answer is owed"),
    ],
)
async def test_a_milter_that_breaks_the_protocol_is_an_error(replies, error):
    async with milter(*replies) as address:
        result = await play(address, Load(SMALL, 1, 1, None))
    assert result.messages == 0
    assert error in result.errors[0]


async def test_nobody_there_is_an_error(tmp_path):
    result = await play(f"unix:{tmp_path / 'none'}", Load(SMALL, 2, 2))
    assert len(result.errors) == 2


BURN = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass\nprint('done', flush=True)"


def test_the_children_of_a_process_are_counted():
    parent = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BURN!r}])\nsys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        before = cpu_seconds(process.pid)
        assert process.stdout.readline() == b"done\n"
        assert cpu_seconds(process.pid) - before >= 0.25
        assert process.pid in tree(process.pid)
        assert memory(process.pid).now > 1000
        assert process.stdin is not None
        process.stdin.close()


async def test_the_stub_reads_bodies_of_both_kinds(tmp_path):
    bench = Bench(tmp_path)
    try:
        url = bench.stub()
        async with httpx.AsyncClient() as client:
            at_end = {"milter-event": "end_of_message"}
            for body in (b"x" * 100_000, _in_pieces()):
                answer = await client.post(url, content=body, headers=at_end)
                assert answer.json() == ADDS["end_of_message"]
            assert (await client.post(url, content=b"{}", headers={"milter-event": "rcpt"})).json() == {}
    finally:
        bench.close()


async def _in_pieces():
    for _ in range(20):
        yield b"y" * 1000


def test_a_scenario_gives_figures_without_errors(tmp_path):
    """Whole processes: gateway, stub and load generator."""
    bench = Bench(tmp_path)
    try:
        table = four(bench, Effort(0.01, 1))
    finally:
        bench.close()
    assert table.errors == []
    assert [row[0] for row in table.rows] == ["gateway, 4 events", "gateway, all events"]
    assert all(float(row[2].replace(",", "")) > 1 for row in table.rows)


def test_targets_hold_or_are_missed():
    assert Check("x", 1.5, 1.6).holds
    assert not Check("x", 1.7, 1.6).holds
    assert Check("rate", 1.0, 0.9, at_most=False).holds
    assert "MISSED" in str(Check("rate", 0.8, 0.9, at_most=False))


def test_a_target_holds_over_several_runs_only_where_it_holds_in_each():
    runs = [
        [Table("t", "Typical", ("",), checks=[Check("good", 1.0, 1.5), Check("bad", value, 1.5)])]
        for value in (1.4, 1.6, 1.4)
    ]
    assert over_runs(runs).rows == [
        ("Typical: good", "≤ 1.5", "1 x", "1 x", "1 x", "yes"),
        ("Typical: bad", "≤ 1.5", "1.4 x", "1.6 x", "1.4 x", "**NO**"),
    ]


def test_a_target_that_was_not_measured_in_each_run_does_not_hold():
    measured, missing = Table("t", "Typical", ("",), checks=[Check("good", 1.0, 1.5)]), Table("t", "Typical", ("",))
    assert over_runs([[measured], [missing]]).rows[0][2:] == ("1 x", "not measured", "**NO**")


def test_a_profile_attributes_time_to_our_innermost_function():
    stacks = """\
run (gateway/cli/run.py:1);run (asyncio/runners.py:1) 10
run (gateway/cli/run.py:1);put (gateway/webhook/pool.py:1);sleep (asyncio/tasks.py:1) 30
run (gateway/cli/run.py:1);decided (gateway/observe.py:1);write (gateway/cli/logs.py:1) 20
run (gateway/cli/run.py:1);judge (gateway/contract/response.py:1) 40
"""
    found = by_row(stacks, 200.0)
    assert {row: cost for row, cost in found.items() if cost} == {
        "rest": 20.0,
        "webhook": 60.0,
        "log": 40.0,
        "translate": 80.0,
    }


def test_the_page_shows_tables_charts_and_errors(tmp_path):
    table = Table("t", "A title", ("", "ms"), [("gateway", "1.0"), ("peer", "2.0")], [Check("ratio", 0.5, 1.0)])
    table.chart = [("gateway", 1.0), ("peer", 2.0)]
    table.errors.append("gateway: it broke")
    document.write([table, Table("u", "Typical", ("",))], tmp_path / "performance.md", "")
    text = (tmp_path / "performance.md").read_text()
    for part in ("### A title", "| gateway | 1.0 |", "ratio: 0.5 x (≤ 1): holds", "ERROR: gateway: it broke"):
        assert part in text
    assert "<svg" in (tmp_path / "performance" / "t.svg").read_text()
    assert not (tmp_path / "performance" / "u.svg").exists()


def test_a_typical_mail_is_what_the_page_says():
    commands = list(TYPICAL.commands())
    assert sum(command[:1] == b"L" for command in commands) == 20
    assert len(commands) == 26
