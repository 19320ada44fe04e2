"""The sample backend of `demo`: a few visible rules, in the words of the contract alone."""

import json
from typing import Any

from fastapi import FastAPI, Request

TAG = "[demo]"
DISCLAIMER = "\r\n-- \r\nThis mail passed the demo backend.\r\n"
EVENTS = ("rcpt", "end_of_message")
"""What it wants to be asked."""

Answer = dict[str, Any]


def demo_backend() -> FastAPI:
    """Build the backend; it remembers whom it has greylisted."""
    app = FastAPI(title="demo backend")
    seen: set[tuple[str, str]] = set()

    @app.post("/")
    async def answer(request: Request) -> Answer:
        call = json.loads(await request.body())
        match call["event"]:
            case "rcpt":
                return _judge_recipient(call, seen)
            case "end_of_message":
                return _judge_message(call["message"])
        return {}

    return app


def _judge_recipient(call: Answer, seen: set[tuple[str, str]]) -> Answer:
    """Nobody is not here, and a stranger has to come back."""
    recipient = call["data"]["address"]
    sender = (call["envelope"]["from"] or {"address": ""})["address"]
    if recipient.startswith("nobody@"):
        return {"action": "reject", "reply": {"code": 550, "enhanced": "5.1.1", "text": "Nobody is not here"}}
    if not sender.startswith("stranger@") or (sender, recipient) in seen:
        return {}
    if not call["dry_run"]:
        seen.add((sender, recipient))
    return {"action": "tempfail", "reply": {"enhanced": "4.7.1", "text": "Greylisted, try again"}}


def _judge_message(message: Answer) -> Answer:
    """Hold what speaks of a virus; tag the subject and add a disclaimer to everything else."""
    text = message["body"].get("text")
    if text is not None and "virus" in text.lower():
        return {"changes": [{"op": "quarantine", "reason": "it speaks of a virus"}]}
    subjects = [field for field in message["headers"] if field["name"].lower() == "subject"]
    subject = subjects[0]["value"] if subjects else "(no subject)"
    is_text = not subjects or "value_base64" not in subjects[0]
    changes: list[Answer] = []
    if is_text and not subject.startswith(TAG):
        changes.append({"op": "set_header", "name": "Subject", "value": f"{TAG} {subject}"})
    if text is not None:
        changes.append({"op": "replace_body", "text": text + DISCLAIMER})
    return {"changes": changes, "annotations": {"tagged": True}}
