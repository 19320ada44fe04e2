"""The gateway as a process of its own, and what it takes of the machine."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from gateway_harness import ACCEPT, CON, ENVELOPE, EOM, HDR, HEL, Backend, MtaPeer, P, Received

MAILS = 100
MAIL_BYTES = 20_000_000
ASKED = 8
"""Mails whose end is sent: JSON for all of them would only measure this machine."""
CHUNK = P(b"B" + b"x" * 65_000)
MEMORY_MIB = 64


def memory_mib(process: asyncio.subprocess.Process, key: str) -> float:
    """VmHWM, the most that was ever resident, or VmRSS, what is now."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


async def listens(address: str) -> bool:
    try:
        await (await MtaPeer.to(address)).close()
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    return True


@asynccontextmanager
async def gateway_process(backend: Backend, directory: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    address = f"unix:{directory}/gw.sock"
    (directory / "gw.toml").write_text(
        f'listen = ["{address}"]\n[admin]\nlisten = ""\n[limits]\nmemory_bytes = "{MEMORY_MIB}MiB"\n'
        f'[[webhook]]\nname = "w"\nurl = "{backend.url}"\nevents = ["end_of_message"]\n'
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "run", "-c", str(directory / "gw.toml"), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(20):
            while not await listens(address):
                await asyncio.sleep(0.02)
        yield process, address
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 20) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def upload(mta: MtaPeer) -> None:
    await mta.negotiate()
    await mta.send(CON, HEL, *ENVELOPE, HDR)
    for _ in range(MAIL_BYTES // 65_000):
        await mta.send(CHUNK)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
async def test_a_hundred_large_mails_at_once_take_little_memory(tmp_path: Path) -> None:
    def forget(request: Received) -> None:
        assert len(request.raw) > MAIL_BYTES - 65_000
        request.raw = b""

    async with Backend(forget) as backend, gateway_process(backend, tmp_path) as (process, address):
        idle = memory_mib(process, "VmRSS")
        peers = [await MtaPeer.to(address) for _ in range(MAILS)]
        await asyncio.gather(*(upload(mta) for mta in peers))
        for mta in peers[:ASKED]:
            await mta.send(EOM)
        for mta in peers[:ASKED]:
            await mta.expect(ACCEPT, seconds=60)
        assert memory_mib(process, "VmHWM") - idle < 256
        for mta in peers:
            await mta.close()
        assert len(backend.requests) == ASKED
