"""Refuse recipients that do not exist, while the client is still on the line: no bounce is ever needed.

The refusal hits this recipient alone; the mail goes on to the others.
"""

from fastapi import FastAPI, Request

DOMAIN = "site.example"
MAILBOXES = {"ann", "bob", "postmaster"}  # ask your database here; postmaster always exists (RFC 5321 section 4.5.1)

app = FastAPI()


@app.post("/milter")
async def rcpt(request: Request) -> dict:
    call = await request.json()
    mailbox, _, domain = call["data"]["address"].lower().rpartition("@")
    if domain != DOMAIN or mailbox in MAILBOXES:  # whether to relay to other domains is the MTA's own decision
        return {}
    return {
        "action": "reject",
        "reply": {"code": 550, "enhanced": "5.1.1", "text": "No mailbox of this name here"},
    }
