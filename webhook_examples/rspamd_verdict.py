"""Ask rspamd what it thinks of a mail, and do what it says (https://docs.rspamd.com/developers/protocol).

Set `format = "multipart"`: rspamd checks signatures, so it must have the mail as it travelled. While rspamd does not
answer this is a 500, and the gateway's `on_failure` decides.
"""

import json
import os
import re

import httpx
from fastapi import FastAPI, Request

REFUSALS = {"reject": "reject", "soft reject": "tempfail", "greylist": "tempfail"}
TEXTS = {"reject": "This looks like spam", "tempfail": "Please try again later"}

app = FastAPI()
rspamd = httpx.AsyncClient(base_url=os.environ.get("RSPAMD_URL", "http://127.0.0.1:11333"), timeout=60)


@app.post("/milter")
async def end_of_message(request: Request) -> dict:
    async with request.form(max_part_size=64 << 20) as form:
        call, mail = json.loads(form["event"]), await form["message"].read()
    answer = await rspamd.post("/checkv2", content=mail, headers=facts(call))
    scan = answer.raise_for_status().json()
    told = {"annotations": {"rspamd_action": scan["action"], "rspamd_score": scan["score"]}}
    if action := REFUSALS.get(scan["action"]):
        text = scan.get("messages", {}).get("smtp_message") or TEXTS[action]
        return {**told, "action": action, "reply": {"text": text.splitlines()}}
    return {**told, "changes": [*header_changes(scan.get("milter", {})), *marks(scan)]}


def facts(call: dict) -> list[tuple[str, bytes]]:
    """The session as header fields of HTTP, where control characters, which a client may have sent, cannot stand."""
    client, envelope, auth = call["client"], call["envelope"], call["auth"] or {}
    unnamed = client["name"].startswith(("[", "unknown"))
    found = [("IP", client["address"]), ("Hostname", not unnamed and client["name"]), ("Helo", client["helo"])]
    found += [("From", f"<{envelope['from']['address']}>"), *(("Rcpt", f"<{to['address']}>") for to in envelope["to"])]
    found += [("User", auth.get("user")), ("Queue-Id", call["queue_id"])]
    return [(name, re.sub(r"[\x00-\x20\x7f]+", " ", value).strip().encode()) for name, value in found if value]


def header_changes(milter: dict) -> list[dict]:
    """What rspamd's module milter_headers asks for."""
    removed = milter.get("remove_headers", {}).items()  # 0 is all
    changes = [{"op": "delete_header", "name": name, "nth": nth or "all"} for name, nth in removed]
    for name, added in milter.get("add_headers", {}).items():
        for one in added if isinstance(added, list) else [added]:
            field = one if isinstance(one, dict) else {"value": one}
            at = "start" if field.get("order", -1) >= 0 else "end"
            changes.append({"op": "add_header", "name": name, "value": field["value"], "at": at})
    return changes


def marks(scan: dict) -> list[dict]:
    mark = {"add header": ("X-Spam", "Yes"), "rewrite subject": ("Subject", scan.get("subject"))}.get(scan["action"])
    return [{"op": "set_header", "name": mark[0], "value": mark[1]}] if mark else []
