"""Greylisting for several mail servers at once: they share what they have seen, in Redis (`pip install redis`).

Redis also forgets by itself. Where it cannot be reached, this answers 500, and the gateway's `on_failure` decides:
`tempfail` (the default) makes everybody wait, `continue` nobody.
"""

import os
import time
from ipaddress import ip_network

from fastapi import FastAPI, Request
from redis.asyncio import Redis

DELAY_SECONDS = float(os.environ.get("GREYLIST_DELAY_SECONDS", "300"))
RETRY_SECONDS = 2 * 86400  # who does not come again within two days never will
KNOWN_SECONDS = 36 * 86400  # longer than a month, for the monthly newsletter
PREFIXES = {"inet": 24, "inet6": 64}  # a farm of senders tries again from a neighbouring address
LATER = {"action": "tempfail", "reply": {"code": 451, "enhanced": "4.7.1", "text": "Greylisted, please try again"}}

app = FastAPI()
redis = Redis.from_url(
    os.environ.get("REDIS_URL", "redis://127.0.0.1:6379"), socket_connect_timeout=2, socket_timeout=2
)


@app.post("/milter")
async def rcpt(request: Request) -> dict:
    call = await request.json()
    client = call["client"]
    if call["auth"] or not client["port"]:  # our own users; programs on this machine, which have no TCP port
        return {}
    network = ip_network((client["address"], PREFIXES[client["family"]]), strict=False)
    key = f"greylist:{network}:{call['envelope']['from']['address']}:{call['data']['address']}".lower()
    waited = await seconds_known(key, leave_trace=not call["dry_run"])
    return {} if waited >= DELAY_SECONDS else LATER


async def seconds_known(key: str, *, leave_trace: bool) -> float:
    now = time.time()
    if leave_trace:
        await redis.set(key, now, nx=True, ex=RETRY_SECONDS)  # nx: only the first time counts, whichever server saw it
    waited = now - float(await redis.get(key) or now)
    if leave_trace and waited >= DELAY_SECONDS:
        await redis.expire(key, KNOWN_SECONDS)
    return waited
