"""What the README shows can be typed as it stands."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.config import Flags, load
from gateway.contract.response import decode_response
from gateway.contract.words import ACTIONS, Event, Op

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def test_the_configuration_loads_and_shows_the_defaults(tmp_path: Path) -> None:
    (toml,) = blocks("toml")
    file = tmp_path / "gateway.toml"
    file.write_text(toml)
    shown = load(file, environ={}, flags=Flags())
    bare = load(None, environ={}, flags=Flags(webhook="http://127.0.0.1:8000/milter"))
    assert shown.limits == bare.limits
    assert (shown.listen, shown.socket_mode, shown.admin) == (bare.listen, bare.socket_mode, bare.admin)
    policy, default = shown.webhook[0].model_dump(), bare.webhook[0].model_dump()
    differing = {key for key in policy if policy[key] != default[key]}
    assert differing <= {"name", "events", "on_failure", "on_invalid"}
    assert shown.webhook[0].failure_for("rcpt") == bare.webhook[0].failure_for("rcpt")


@pytest.mark.parametrize(
    "text", [line for block in blocks("toml") for line in block.splitlines() if line.startswith("# ")]
)
def test_an_optional_line_of_the_configuration_is_a_known_key(text: str, tmp_path: Path) -> None:
    line = text[2:].split("  #", maxsplit=1)[0]
    if re.search(r"/run/|\.pem", line):
        for name in re.findall(r'"([^"]*(?:/run/|\.pem)[^"]*)"', line):
            secret = tmp_path / Path(name).name
            secret.write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
            line = line.replace(name, str(secret))
    table = "[admin]" if line.startswith("token_file") else ""
    webhook = '[[webhook]]\nname = "a"\nurl = "https://127.0.0.1:8000/"\n'
    file = tmp_path / "gateway.toml"
    file.write_text(f"{table}\n{line}\n{webhook}" if table else f"{webhook}{line}\n")
    load(file, environ={}, flags=Flags())


def test_the_answer_is_in_the_contract() -> None:
    answers = [block for block in blocks("json") if '"version"' not in block]
    assert answers
    for answer in answers:
        decode_response(answer.encode())


def test_the_request_has_the_keys_of_a_real_one() -> None:
    (request,) = [json.loads(block) for block in blocks("json") if '"version"' in block]
    sample = subprocess.run(
        [sys.executable, "-m", "gateway", "sample", "rcpt"], cwd=ROOT, capture_output=True, check=True, timeout=60
    )
    assert list(request) == list(json.loads(sample.stdout))


def test_every_event_and_every_change_is_named() -> None:
    for event in Event:
        assert re.search(rf"^\| `{event}` \|", README, re.MULTILINE), event
    for op in Op:
        assert f"`{op}`" in README, op
    for action in set().union(*ACTIONS.values()):
        assert f"`{action}`" in README, action


def test_the_filter_refuses_the_recipient_that_it_names(tmp_path: Path) -> None:
    source = next(block for block in blocks("sh") if "filter.py" in block)
    (program,) = re.findall(r"<<'END'\n(.*?)^END$", source, re.DOTALL | re.MULTILINE)
    assert "8000" in program
    program = program.replace(
        'ThreadingHTTPServer(("127.0.0.1", 8000), Filter).serve_forever()',
        'server = ThreadingHTTPServer(("127.0.0.1", 0), Filter)\nprint(server.server_port, flush=True)\n'
        "server.serve_forever()",
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            sample = next(block for block in blocks("sh") if "milter-gateway sample" in block)
            line = sample.replace(".venv/bin/milter-gateway", f"{sys.executable} -m gateway").replace("8000", str(port))
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            done = subprocess.run(["sh", "-c", line], capture_output=True, env=environment, timeout=60, check=True)
        finally:
            process.kill()
    assert json.loads(done.stdout)["reply"] == {"code": 550, "enhanced": "5.1.1", "text": "No such user"}
