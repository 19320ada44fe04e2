"""The sample backend of `demo`: a few visible rules, in the words of the contract alone."""

import asyncio
import json
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from gateway.cli.demo_rules import Rules

TAG = "[demo]"
DISCLAIMER = "\r\n-- \r\nThis mail passed the demo backend.\r\n"
EVENTS = ("rcpt", "end_of_message")
"""What it wants to be asked."""

_THINKING_SECONDS = 1.0
_NOBODY_IS_HERE = {"action": "reject", "reply": {"code": 550, "enhanced": "5.1.1", "text": "Nobody is not here"}}
_COME_BACK = {"action": "tempfail", "reply": {"enhanced": "4.7.1", "text": "Greylisted, try again"}}

Answer = dict[str, Any]


def demo_backend(rules: Rules) -> FastAPI:
    """Build the backend; it remembers whom it has greylisted."""
    app = FastAPI(title="demo backend")
    backend = _Backend(rules)

    @app.post("/")
    async def answer(request: Request) -> JSONResponse:
        return await backend.answer(json.loads(await request.body()))

    return app


class _Backend:
    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._sent_away: set[tuple[str, str]] = set()

    async def answer(self, call: Answer) -> JSONResponse:
        """Judge by the rules that apply now."""
        if call["event"] == "rcpt":
            return JSONResponse(self._judge_recipient(call))
        if call["event"] != "end_of_message":
            return JSONResponse({})
        if "slow" in self._rules:
            await asyncio.sleep(_THINKING_SECONDS)
        if "broken" in self._rules:
            return JSONResponse({"error": "the rule `broken` is on"}, 500)
        return JSONResponse(self._judge_message(call["message"]))

    def _judge_recipient(self, call: Answer) -> Answer:
        """Nobody is not here, and a stranger has to come back."""
        recipient = call["data"]["address"]
        sender = (call["envelope"]["from"] or {"address": ""})["address"]
        if "refuse_nobody" in self._rules and recipient.startswith("nobody@"):
            return _NOBODY_IS_HERE
        if "greylist" in self._rules and sender.startswith("stranger@"):
            return self._greylist((sender, recipient), dry_run=call["dry_run"])
        return {}

    def _greylist(self, pair: tuple[str, str], *, dry_run: bool) -> Answer:
        """Whoever came back is let in, and a stranger again: so it can be seen each time."""
        known = pair in self._sent_away
        if not dry_run:
            (self._sent_away.discard if known else self._sent_away.add)(pair)
        return {} if known else _COME_BACK

    def _judge_message(self, message: Answer) -> Answer:
        """Hold what speaks of a virus; tag the subject and add a disclaimer to everything else."""
        text = message["body"].get("text")
        if "hold_viruses" in self._rules and text is not None and "virus" in text.lower():
            return {"changes": [{"op": "quarantine", "reason": "it speaks of a virus"}]}
        changes = self._subject_changes(message["headers"])
        if "disclaimer" in self._rules and text is not None:
            changes.append({"op": "replace_body", "text": text + DISCLAIMER})
        return {"changes": changes, "annotations": {"tagged": "tag_subject" in self._rules}}

    def _subject_changes(self, fields: list[Answer]) -> list[Answer]:
        subjects = [field for field in fields if field["name"].lower() == "subject"]
        subject = subjects[0]["value"] if subjects else "(no subject)"
        is_text = not subjects or "value_base64" not in subjects[0]
        if "tag_subject" not in self._rules or not is_text or subject.startswith(TAG):
            return []
        return [{"op": "set_header", "name": "Subject", "value": f"{TAG} {subject}"}]
