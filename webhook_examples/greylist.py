"""Ask strangers to come again in five minutes: mail servers do (RFC 6647), spam software seldom does.

The gateway keeps context for the length of an SMTP session. What must last longer is yours to keep: here, in SQLite.
"""

import os
import sqlite3
import time
from contextlib import closing
from ipaddress import ip_network

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool

FILE = os.environ.get("GREYLIST_FILE", "greylist.sqlite3")
DELAY_SECONDS = float(os.environ.get("GREYLIST_DELAY_SECONDS", "300"))
FORGET_SECONDS = 35 * 86400  # longer than a month, for the monthly newsletter
PREFIXES = {"inet": 24, "inet6": 64}  # a farm of senders tries again from a neighbouring address

SCHEMA = """
CREATE TABLE IF NOT EXISTS seen (network, sender, recipient, first, last, PRIMARY KEY (network, sender, recipient));
CREATE INDEX IF NOT EXISTS seen_last ON seen (last);
"""
REMEMBER = "INSERT INTO seen VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET last = excluded.last RETURNING first"
LATER = {"action": "tempfail", "reply": {"code": 451, "enhanced": "4.7.1", "text": "Greylisted, please try again"}}

app = FastAPI()


@app.post("/milter")
async def rcpt(request: Request) -> dict:
    call = await request.json()
    if call["auth"] or not call["client"]["port"]:  # our own users; programs on this machine, which have no TCP port
        return {}
    seconds = await run_in_threadpool(seconds_known, call)  # the disk may be slow: other calls go on meanwhile
    return LATER if seconds < DELAY_SECONDS else {}


def seconds_known(call: dict) -> float:
    client, sender, recipient = call["client"], call["envelope"]["from"]["address"], call["data"]["address"]
    network = ip_network((client["address"], PREFIXES[client["family"]]), strict=False)
    now = time.time()
    with closing(sqlite3.connect(FILE)) as database:
        database.executescript(SCHEMA)
        database.execute("DELETE FROM seen WHERE last < ?", (now - FORGET_SECONDS,))
        key = (str(network), sender.lower(), recipient.lower())
        (first,) = database.execute(REMEMBER, (*key, now, now)).fetchone()
        if not call["dry_run"]:  # a rehearsal leaves no trace
            database.commit()
    return now - first
