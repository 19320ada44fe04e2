"""Keep a copy of each mail in a file, and let the mail go on only when its copy is safe on the disk.

Set `format = "multipart"`, and let this be the last webhook. What goes wrong here is a 500, so that the gateway's
`on_failure` puts the mail off: the client still has it, and comes again.

S3 in place of the disk: `store` is one PUT. S3 answers 200 when the whole object is there to stay, and shows nothing of
it before: wait for that 200, and only then answer here.
"""

import hashlib
import json
import os
from io import BytesIO
from pathlib import Path
from shutil import copyfileobj
from typing import BinaryIO
from uuid import uuid4

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool

os.umask(0o077)  # mail is nobody else's business
ARCHIVE = Path(os.environ.get("ARCHIVE_DIRECTORY", "archive"))
ARCHIVE.mkdir(exist_ok=True)
DIRECTORY = os.open(ARCHIVE, os.O_DIRECTORY)

app = FastAPI()


@app.post("/milter")
async def end_of_message(request: Request) -> dict:
    async with request.form(max_part_size=64 << 20) as form:  # a long mail waits in a temporary file, not in memory
        call = json.loads(form["event"])
        if call["dry_run"]:
            return {}
        return {"annotations": {"archived": await run_in_threadpool(keep, call, form["message"].file)}}


def keep(call: dict, mail: BinaryIO) -> str:
    digest = hashlib.file_digest(mail, "sha256").hexdigest()
    mail.seek(0)
    name = f"{call['time'][:10]}-{call['queue_id'] or call['transaction_id']}-{digest[:16]}"  # queue ids come again
    store(f"{name}.json", BytesIO(json.dumps(call).encode()))  # the envelope: the mail does not tell it
    store(f"{name}.eml", mail)
    return name


def store(name: str, content: BinaryIO) -> None:
    """All of it or nothing: what a power cut leaves is a .part at most."""
    part = ARCHIVE / f"{uuid4()}.part"
    try:
        with part.open("xb") as file:
            copyfileobj(content, file)
            file.flush()
            os.fsync(file.fileno())
        part.rename(ARCHIVE / name)
        os.fsync(DIRECTORY)  # the new name, too
    finally:
        part.unlink(missing_ok=True)
