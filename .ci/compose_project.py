"""The project of `.ci/compose_check.py`: Compose, swaks, the mailbox and the admin API, as the steps use them."""

import base64
import json
import os
import re
import shlex
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

PROFILES = ("sendmail", "rspamd")
PORTS = {"SMTP_PORT": 2525, "SENDMAIL_SMTP_PORT": 2526, "RSPAMD_SMTP_PORT": 2527, "ADMIN_PORT": 8025}


class CheckError(Exception):
    """Something is not as it must be."""


def check(holds: object, what: str, found: object = "") -> None:
    if not holds:
        raise CheckError(f"not true that {what}" + (f": {found}" if found != "" else ""))


def run(
    *args: str | Path, within: float = 60, ok: tuple[int, ...] = (0,), cwd: Path | None = None, stdin: str = ""
) -> str:
    """The standard output of a program."""
    done = subprocess.run(
        args, input=stdin, capture_output=True, text=True, timeout=within, check=False, cwd=cwd, errors="replace"
    )
    if done.returncode not in ok:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-30:])
        raise CheckError(f"{shlex.join(map(str, args))} ended with {done.returncode}:\n{tail}")
    return done.stdout


def wait_until(probe: Callable[[], T | None], what: str, within: float = 60) -> T:
    end = time.monotonic() + within
    while not (result := probe()):
        if time.monotonic() > end:
            raise CheckError(f"waited {within:g} s in vain for {what}")
        time.sleep(0.2)
    return result


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Compose:
    """The project: `docker compose` or `docker-compose`, whichever is there."""

    def __init__(self, directory: Path, network: str) -> None:
        self.directory = directory
        self.name = f"gateway-check-{os.getpid()}"
        self.label = f"label=com.docker.compose.project={self.name}"
        self.ports = {name: free_port() for name in PORTS}
        os.environ.update({name: str(port) for name, port in self.ports.items()})
        os.environ["COMPOSE_IGNORE_ORPHANS"] = "true"  # services of a profile that a command does not name
        self._program = shlex.split(os.environ.get("COMPOSE", "")) or self._found()
        self._files = ["-f", "docker-compose.yml"]
        self.services = self("config", "--services", profiles=PROFILES).split()
        self._override(network)

    def _found(self) -> list[str]:
        v2 = subprocess.run(("docker", "compose", "version"), capture_output=True, check=False, timeout=60)
        return ["docker", "compose"] if v2.returncode == 0 else ["docker-compose"]

    def _override(self, network: str) -> None:
        """Images with names of our own; builds reach the package registries through this network."""
        build = {} if network == "default" else {"build": {"network": network}}
        services = {name: {"image": self.image(name), **build} for name in self.services}
        (self.directory / "override.json").write_text(json.dumps({"services": services}))
        self._files += ["-f", "override.json"]

    def image(self, service: str) -> str:
        return f"{self.name}-{service}"

    def __call__(self, *args: str, profiles: tuple[str, ...] = (), within: float = 120, stdin: str = "") -> str:
        flags = [flag for name in profiles for flag in ("--profile", name)]
        command = (*self._program, "-p", self.name, *self._files, *flags, *args)
        return run(*command, within=within, cwd=self.directory, stdin=stdin)

    def container(self, service: str) -> str:
        filters = (self.label, f"label=com.docker.compose.service={service}")
        ids = run("docker", "ps", "-aq", *(word for each in filters for word in ("--filter", each))).split()
        check(len(ids) == 1, f"service {service} has one container", ids)
        return ids[0]

    def inspect(self, service: str) -> dict:
        return json.loads(run("docker", "inspect", self.container(service)))[0]

    def inside(self, service: str, *command: str, ok: tuple[int, ...] = (0,)) -> str:
        return run("docker", "exec", self.container(service), *command, ok=ok)

    def logs(self, service: str) -> str:
        return logs_of(self.container(service))

    def up(self, *services: str, profiles: tuple[str, ...] = ()) -> float:
        """Start the services, and those they depend on; how long until all are healthy."""
        began = time.monotonic()
        self("up", "-d", "--no-build", *services, profiles=profiles, within=300)
        for service in services or ("postfix", "gateway", "backend", "mailbox"):
            self.wait_healthy(service)
        return time.monotonic() - began

    def _health(self, service: str) -> str:
        return self.inspect(service)["State"]["Health"]["Status"]

    def wait_healthy(self, service: str) -> None:
        try:
            wait_until(lambda: self._health(service) == "healthy", f"the health of {service}", 180)
        except CheckError as error:
            raise CheckError(f"{error}; its log:\n{self.logs(service)[-3000:]}") from error


def logs_of(container: str) -> str:
    return run("sh", "-c", 'exec docker logs "$1" 2>&1', "sh", container)


def swaks_line(project: Path) -> str:
    """The line that a reader types, from README.md if it is there, or else from docs/docker.md."""
    texts = ((project / name).read_text() for name in ("README.md", "docs/docker.md"))
    lines = re.findall(rf"^swaks .*127.0.0.1:{PORTS['SMTP_PORT']} .*$", "\n".join(texts), re.MULTILINE)
    check(lines, "the documents have a swaks line")
    return lines[0]


def swaks(compose: Compose, port: str = "SMTP_PORT", *more: str, ok: tuple[int, ...] = (0,)) -> str:
    """Type it, at another port perhaps; the transcript."""
    words = shlex.split(swaks_line(compose.directory))
    check(f"127.0.0.1:{PORTS['SMTP_PORT']}" in words, "the swaks line goes to the published port", words)
    at = words.index(f"127.0.0.1:{PORTS['SMTP_PORT']}")
    words[at] = f"127.0.0.1:{compose.ports[port]}"
    return run(*words, *more, within=120, ok=ok)


def message_id(transcript: str) -> str:
    found = re.search(r"Message-Id: (<\S+>)", transcript)
    check(found, "swaks shows what it sends", transcript[-500:])
    return found[1] if found else ""


def delivered(compose: Compose, ident: str) -> str:
    """A mail as the mailbox printed it."""

    def probe() -> str | None:
        mails = re.findall(r"^==== mail from .*?^==== end", compose.logs("mailbox"), re.MULTILINE | re.DOTALL)
        return next((mail for mail in mails if ident in mail), None)

    return wait_until(probe, f"the mail {ident} in the mailbox")


def fetch(compose: Compose, path: str, password: str | None = None) -> tuple[int, str]:
    """Status and text of the admin API, asked as a browser does."""
    request = urllib.request.Request(f"http://127.0.0.1:{compose.ports['ADMIN_PORT']}{path}")
    if password is not None:
        request.add_header("authorization", "Basic " + base64.b64encode(f"me:{password}".encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
