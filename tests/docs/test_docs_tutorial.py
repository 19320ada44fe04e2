"""The tutorial is true: each of its commands is typed as it stands into a shell, and prints what the tutorial shows.

Only the ports are others, so that the test disturbs nobody on this machine.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from docs_text import ROOT, Block, blocks
from terminal import Terminal, answers, clean_environment, free_port, same_output, started, wait_until

TUTORIAL = ROOT / "docs" / "tutorial.md"
SEARCH = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
PORTS = ("8000", "8025", "20025")
"""The filter's, the admin API's and the milter's."""

GATEWAY = """\
#!/bin/sh
[ "$1" = send ] && set -- "$@" --milter inet:{milter}@127.0.0.1
exec {python} -m gateway "$@"
"""
UVICORN = '#!/bin/sh\nexec {python} -m uvicorn "$@"\n'


def require(name: str, package: str) -> None:
    """Be sure that a program is there; in CI it must be."""
    if shutil.which(name, path=SEARCH) is None:
        reason = f"{name} is missing: apt-get install {package}"
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


def on(ports: dict[str, int], text: str) -> str:
    """The text with other ports."""
    return re.sub(rf"\b({'|'.join(PORTS)})\b", lambda match: str(ports[match[1]]), text)


@pytest.fixture
def ports() -> dict[str, int]:
    return {name: free_port() for name in PORTS}


@pytest.fixture
def clone(tmp_path: Path, ports: dict[str, int]) -> Path:
    """A directory that looks like a clone whose virtual environment is made."""
    directory = tmp_path / "clone"
    programs = directory / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, script in (("milter-gateway", GATEWAY), ("uvicorn", UVICORN)):
        (programs / name).write_text(script.format(python=sys.executable, milter=ports["20025"]))
        (programs / name).chmod(0o755)
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, directory)
    (directory / ".venv" / ".installed").touch()
    (directory / "postfix").mkdir()
    (directory / "postfix" / "main.cf").write_text("compatibility_level = 3.6\n")
    os.utime(directory / "postfix" / "main.cf", (0, 0))  # one that was written just now Postfix leaves alone for 2 s
    return directory


@pytest.fixture
def environment(clone: Path, ports: dict[str, int]) -> dict[str, str]:
    """Where the gateway listens unless it is told otherwise; the Postfix that is configured is nobody's."""
    return clean_environment(
        PATH=SEARCH,
        PYTHONPATH=str(ROOT),
        MAIL_CONFIG=str(clone / "postfix"),
        MILTER_GATEWAY_LISTEN=f"inet:{ports['20025']}@127.0.0.1",
        MILTER_GATEWAY_ADMIN__LISTEN=f"127.0.0.1:{ports['8025']}",
    )


@pytest.mark.timeout(300)
def test_every_command_works_and_prints_what_is_shown(
    clone: Path, environment: dict[str, str], ports: dict[str, int]
) -> None:
    require("curl", "curl")
    require("postconf", "postfix")
    terminal = Terminal(clone, environment)
    try:
        commands = typed(terminal, clone, ports)
    finally:
        terminal.close()
    assert commands == [block.text for block in session() if block.language == "sh"]
    shown = subprocess.run(["postconf", "-n"], env=environment, capture_output=True, text=True, timeout=30, check=True)
    assert f"smtpd_milters = inet:127.0.0.1:{ports['20025']}" in shown.stdout.splitlines()


def session() -> list[Block]:
    """All that is typed and saved after the demo, up to the other languages."""
    all_of_them = blocks(TUTORIAL)
    end = next(number for number, block in enumerate(all_of_them) if block.language == "js")
    begin = next(number for number, block in enumerate(all_of_them) if block.language == "python")
    return all_of_them[begin:end]


def typed(terminal: Terminal, clone: Path, ports: dict[str, int]) -> list[str]:
    """Go through the tutorial; the commands that were typed."""
    commands, printed = [], ""
    for block in session():
        match block.language:
            case "python" | "toml":
                named = re.findall(r"`([\w.]+\.(?:py|toml))`", block.lead)
                (clone / named[-1]).write_text(on(ports, block.text))
            case "sh":
                printed = terminal.type(on(ports, block.text))
                commands.append(block.text)
                wait_for_servers(block.text, ports)
                if block.text.startswith("tail "):
                    assert mails_on_the_page(ports) == 2
            case "text":
                assert same_output(on(ports, block.text), printed), f"{block.place} shows something else:\n{printed}"
    return commands


def wait_for_servers(commands: str, ports: dict[str, int]) -> None:
    """What a person who types more slowly does not notice: a server needs a moment to start."""
    if "uvicorn" in commands:
        wait_until(lambda: answers(f"http://127.0.0.1:{ports['8000']}/"), "the filter")
    if "milter-gateway run" in commands:
        wait_until(lambda: answers(f"http://127.0.0.1:{ports['8025']}/readyz"), "the gateway")


def is_page(url: str) -> bool:
    """Whether a browser is shown a page there."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.headers.get_content_type() == "text/html" and b"milter-gateway" in answer.read()


def mails_on_the_page(ports: dict[str, int]) -> int:
    """How many sessions the page of the gateway lists."""
    address = f"http://127.0.0.1:{ports['8025']}"
    assert is_page(f"{address}/")
    with urllib.request.urlopen(f"{address}/v1/sessions", timeout=10) as answer:
        return len(json.load(answer)["sessions"])


def test_the_demo_starts_by_make_and_shows_its_page(clone: Path, environment: dict[str, str]) -> None:
    require("make", "make")
    demo, shown = blocks(TUTORIAL)[:2]
    assert demo.text == "make demo\n"
    lines = [re.split("…|:8025", line)[0] for line in shown.text.splitlines() if line != "…"]
    with started(["make", "demo"], clone, environment) as process:
        assert process.stdout is not None
        printed = [next(process.stdout)]
        while not any(line.startswith("  verdict:") for line in printed):
            printed.append(next(process.stdout))
        missing = [line for line in lines if not any(each.startswith(line) for each in printed)]
        page = re.search(r"page +(http://\S+)", "".join(printed))
        assert page is not None
        assert is_page(page[1])
    assert missing == []


@pytest.mark.parametrize(
    ("language", "program", "package", "command"),
    [
        ("js", "node", "nodejs", ["node", "filter.mjs"]),
        ("php", "php", "php-cli", ["php", "-S", "127.0.0.1:8000", "filter.php"]),
        ("python", "python3", "python3", [sys.executable, "filter_plain.py"]),
    ],
)
def test_the_filter_in_another_language_answers_the_same(
    tmp_path: Path, language: str, program: str, package: str, command: list[str]
) -> None:
    require(program, package)
    port = free_port()
    block = blocks(TUTORIAL, language)[-1]
    assert command[-1] in block.lead
    source = re.sub(r"\b8000\b", str(port), block.text)
    (tmp_path / command[-1]).write_text(source)
    with started([word.replace("8000", str(port)) for word in command], tmp_path, clean_environment()):
        url = f"http://127.0.0.1:{port}/milter"
        wait_until(lambda: posts(url, "Lunch?") is not None, "the filter")
        assert posts(url, "Lunch?") == {
            "changes": [{"op": "set_header", "name": "Subject", "value": "[EXTERNAL] Lunch?"}]
        }
        assert posts(url, "CASINO") == {"action": "reject", "reply": {"text": "We do not gamble"}}
        assert posts(url, None) == {"changes": [{"op": "set_header", "name": "Subject", "value": "[EXTERNAL]"}]}


def posts(url: str, subject: str | None) -> object:
    """The answer to a message with this subject; None while nobody listens."""
    headers = [{"name": "From", "value": "ann@client.example"}]
    headers += [] if subject is None else [{"name": "Subject", "value": subject}]
    body = json.dumps({"event": "end_of_message", "message": {"headers": headers}}).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body), timeout=10) as answer:
            value: object = json.load(answer)
            return value
    except urllib.error.URLError as error:
        assert not isinstance(error, urllib.error.HTTPError), error
        return None
