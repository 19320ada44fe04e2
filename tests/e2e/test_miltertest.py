"""The gateway against miltertest, a milter client on libmilter's own definitions."""

from pathlib import Path

from .backend import Backend, Json
from .conftest import Gateways
from .support import require_program, run

SCRIPT = Path(__file__).with_name("session.lua")
CHANGES = [
    {"op": "add_header", "name": "X-New", "value": "v"},
    {"op": "set_header", "name": "X-Tag", "value": "new"},
    {"op": "delete_header", "name": "X-Old"},
    {"op": "add_rcpt", "address": "joe@site.example"},
    {"op": "replace_body", "text": "new\r\n"},
    {"op": "quarantine", "reason": "held"},
]


def refuse_or_change(event: Json) -> Json:
    subject = event["message"]["headers"][0]["value"]
    if subject.startswith("refuse"):
        return {"action": "reject", "reply": {"code": 554, "enhanced": "5.7.9", "text": "50% no"}}
    return {"changes": CHANGES}


def test_a_whole_session(gateway: Gateways, backend: Backend, milter_port: int) -> None:
    miltertest = require_program("miltertest", "miltertest")
    running = gateway()
    backend.on("rcpt", lambda event: {"action": "reject"} if "eve" in event["data"]["address"] else {})
    backend.on("end_of_message", refuse_or_change)
    done = run(miltertest, "-D", f"PORT={milter_port}", "-s", SCRIPT)
    assert done.returncode == 0, f"{done.stdout.decode()}{done.stderr.decode()}{running.lines}"

    gone = backend.wait("disconnect")
    assert gone["data"]["transactions"] == 4
    first, second = (call.json for call in backend.calls("end_of_message"))
    assert (first["queue_id"], second["queue_id"]) == ("first", "second")
    assert first["message"]["body"] == {"text": "one\r\ntwo\r\n"}
    assert [one["address"] for one in first["envelope"]["to"]] == ["bob@site.example"]
    assert [call.json["queue_id"] for call in backend.calls("abort")] == ["third", "fourth"]
