"""What must be true of docker-compose.yml and the image, each as a step that prints what it found.

    python3 .ci/compose_check.py PROJECT [BUILD_NETWORK]

PROJECT is a copy of the tracked files: it is edited. `.ci/compose` makes it, and a Docker daemon where none is. The
standard library is all this needs. Everything it makes has a name of its own and is removed at the end.
"""

import json
import re
import shlex
import signal
import smtplib
import subprocess
import sys
import time
from collections.abc import Callable
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

from compose_project import (
    PROFILES,
    CheckError,
    Compose,
    check,
    delivered,
    fetch,
    logs_of,
    message_id,
    run,
    swaks,
    swaks_line,
    wait_until,
)

GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
"""What every spam scanner must refuse (https://spamassassin.apache.org/gtube/)."""


def builds(compose: Compose) -> str:
    began = time.monotonic()
    compose("build", profiles=PROFILES, within=900)
    took = time.monotonic() - began
    base = image_size("python:3.11-slim-bookworm")
    own = image_size(compose.image("gateway")) - base
    others = (f"{name} {image_size(compose.image(name)) / 1e6:.0f} MB" for name in ("postfix", "sendmail", "rspamd"))
    return f"{took:.0f} s; gateway {own / 1e6:.0f} MB above its base of {base / 1e6:.0f} MB; {', '.join(others)}"


def image_size(image: str) -> int:
    return int(run("docker", "image", "inspect", "--format", "{{.Size}}", image))


def context_is_small(compose: Compose) -> str:
    """Nothing but what the image is built from goes to the daemon, whatever lies about in a work tree."""
    litter = [compose.directory / name for name in (".venv/x", "tests/x", "gateway/__pycache__/x.pyc", ".git/x")]
    for path in litter:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    dockerfile = "FROM python:3.11-slim-bookworm\nCOPY . /all\n"
    (compose.directory / "all.Dockerfile").write_text(dockerfile)
    image = f"{compose.name}-context"
    try:
        run("docker", "build", "--quiet", "-f", "all.Dockerfile", "-t", image, ".", cwd=compose.directory, within=120)
        listed = run("docker", "run", "--rm", "--network", "none", image, "find", "/all", "-type", "f").split()
    finally:
        run("docker", "image", "rm", "--force", image, ok=(0, 1))
    roots = {path.split("/")[2] for path in listed}
    allowed = {"gateway", "pyproject.toml", "requirements.lock", "README.md", "LICENSE", "all.Dockerfile"}
    check(roots <= allowed, "the build context holds only what the image needs", roots - allowed)
    check(not [path for path in listed if path.endswith(".pyc")], "the build context holds no caches", listed)
    return f"{len(listed)} files"


def starts(compose: Compose) -> str:
    took = compose.up()
    state = compose.inspect("admin-token")["State"]
    check(state["ExitCode"] == 0, "the token is made", state)
    return f"healthy after {took:.0f} s"


def loopback_only(compose: Compose) -> str:
    published = []
    for service in all_running(compose):
        for bindings in compose.inspect(service)["NetworkSettings"]["Ports"].values():
            published += [(service, each["HostIp"], each["HostPort"]) for each in bindings or ()]
    check({host for _, host, _ in published} == {"127.0.0.1"}, "all is published on loopback only", published)
    network = json.loads(run("docker", "network", "inspect", f"{compose.name}_inside"))[0]
    check(network["Internal"], "the inner network has no way out")
    return ", ".join(f"{service} {port}" for service, _, port in published)


def all_running(compose: Compose) -> list[str]:
    services = [name for name in compose.services if name != "admin-token"]  # that one has ended
    stopped = [name for name in services if not compose.inspect(name)["State"]["Running"]]
    check(not stopped, "everything runs", stopped)
    return services


def hardened(compose: Compose) -> str:
    for service in all_running(compose):
        host = compose.inspect(service)["HostConfig"]
        check(host["ReadonlyRootfs"], f"{service}: the root file system is read-only")
        check(host["CapDrop"] == ["ALL"], f"{service}: capabilities are dropped", host["CapDrop"])
        check("no-new-privileges:true" in host["SecurityOpt"], f"{service}: no new privileges", host["SecurityOpt"])
        check(host["Memory"] and host["PidsLimit"], f"{service}: memory and processes are limited")
        written = compose.inside(service, "sh", "-c", "echo x 2>/dev/null >/usr/x && echo written || true")
        check(not written, f"{service} cannot write to its root file system", written)
        if service != "postfix":  # whose master must be root, with a few capabilities
            status = compose.inside(service, "cat", "/proc/1/status")
            check(not re.search(r"^[UG]id:\s.*\b0\b", status, re.MULTILINE), f"{service} is not root", status)
            check(re.search(r"^CapEff:\s0+$", status, re.MULTILINE), f"{service} has no capabilities", status)
    return compose.inside("gateway", "id").strip()


def mail_is_changed(compose: Compose) -> str:
    ident = message_id(swaks(compose))
    mail = delivered(compose, ident)
    check("\nSubject: [EXTERNAL] Lunch?\n" in mail, "the subject is tagged", mail)
    check("(Postfix)" in mail, "Postfix took it", mail)
    return f"{swaks_line(compose.directory)} -> Subject: [EXTERNAL] Lunch?"


def inspector_answers(compose: Compose) -> str:
    check(fetch(compose, "/healthz")[0] == 200, "healthz answers without a password")
    for path in ("/", "/v1/exchanges", "/docs"):
        status, text = fetch(compose, path)
        check(status == 401, f"{path} asks for a password", (status, text[:200]))
        check(fetch(compose, path, "wrong")[0] == 401, f"{path} takes a wrong password")
    password = compose.inside("gateway", "cat", "/var/lib/milter-gateway/admin-token").strip()
    check(f"password {password}" in compose.logs("admin-token"), "the log tells the password")
    check(len(password) >= 20, "the password is not short")
    status, page = fetch(compose, "/", password)
    check(status == 200 and "<html" in page.lower(), "the inspector is a page", (status, page[:200]))
    status, text = fetch(compose, "/v1/exchanges", password)
    webhooks = [each["webhook"] for each in json.loads(text)["exchanges"]]
    check(status == 200 and "tag_subject" in webhooks, "the inspector knows the exchange", (status, text[:500]))
    return f"a page of {len(page)} bytes, {len(webhooks)} exchange(s)"


def password_can_be_chosen(compose: Compose) -> str:
    """The line of docs/docker.md."""
    found = re.search(
        r"^docker compose (run .* admin-token .*) <my-password$",
        (compose.directory / "docs/docker.md").read_text(),
        re.MULTILINE,
    )
    check(found, "docs/docker.md tells how the password is chosen")
    compose(*shlex.split(found[1] if found else ""), stdin="of-my-own-choice\n")
    compose("restart", "gateway")
    compose.wait_healthy("gateway")
    status, text = fetch(compose, "/v1/sessions", "of-my-own-choice")
    check(status == 200, "the new password is the one", (status, text[:200]))
    return "of-my-own-choice"


def edits_are_loaded(compose: Compose) -> str:
    example = compose.directory / "webhook_examples/tag_subject.py"
    text = example.read_text()
    check("[EXTERNAL]" in text, "tag_subject.py holds the tag")
    example.write_text(text.replace("[EXTERNAL]", "[OUTSIDE]"))
    began = time.monotonic()

    def probe() -> bool:
        mail = delivered(compose, message_id(swaks(compose, ok=(0, 26, 28))))
        return "\nSubject: [OUTSIDE] Lunch?\n" in mail

    wait_until(probe, "the edited filter", 60)
    example.write_text(text)
    return f"seen after {time.monotonic() - began:.0f} s"


def configuration_is_reloaded(compose: Compose) -> str:
    """After an editor put a new file in place of the old one."""
    file = compose.directory / "docs/compose/gateway.toml"
    text = file.read_text()
    for name in ("renamed", "tag_subject"):
        fresh = file.with_suffix(".new")
        fresh.write_text(text.replace('"tag_subject"', f'"{name}"'))
        fresh.replace(file)
        compose("kill", "-s", "HUP", "gateway")
        wanted = f'"webhooks":["{name}","rspamd"],"event":"reloaded"'
        wait_until(lambda wanted=wanted: wanted in compose.logs("gateway"), f"the configuration with {name}")
    return "twice"


def nothing_passes_unfiltered(compose: Compose) -> str:
    compose("stop", "-t", "10", "backend")
    refused = swaks(compose, ok=(26,))
    check(re.search(r"<\*\* +451 4\.\d+\.\d+ ", refused), "mail is put off while the backend is away", refused[-500:])
    compose.up("backend")
    compose("stop", "gateway")
    put_off = swaks(compose, ok=(21, 22, 23, 24, 25, 26))
    check(re.search(r"<\*\* +451 4\.7\.1 ", put_off), "mail is put off while the gateway is away", put_off[-500:])
    compose.up("gateway")
    return "451 while the backend is away, 451 while the gateway is away"


def sendmail_profile(compose: Compose) -> str:
    took = compose.up("sendmail", profiles=("sendmail",))
    mail = delivered(compose, message_id(swaks(compose, "SENDMAIL_SMTP_PORT")))
    check("\nSubject: [EXTERNAL] Lunch?\n" in mail, "the subject is tagged", mail)
    check(re.search(r"by mx\.demo\.example \(8\.", mail), "Sendmail took it", mail)
    return f"healthy after {took:.0f} s; Subject: [EXTERNAL] Lunch?"


def rspamd_profile(compose: Compose) -> str:
    took = compose.up("rspamd", "backend-rspamd", profiles=("rspamd",))
    mail = delivered(compose, message_id(swaks(compose, "RSPAMD_SMTP_PORT")))
    check("\nSubject: [EXTERNAL] Lunch?\n" in mail, "good mail passes, and is tagged", mail)
    refused = swaks(compose, "RSPAMD_SMTP_PORT", "--body", GTUBE, ok=(26,))
    reply = re.search(r"<\*\* +(5\d\d .*)", refused)
    check(reply, "GTUBE is refused", refused[-500:])
    unasked = delivered(compose, message_id(swaks(compose, "SMTP_PORT", "--body", GTUBE)))
    check(GTUBE in unasked, "the first port does not ask rspamd", unasked)
    return f"healthy after {took:.0f} s; GTUBE: {reply[1] if reply else ''}"


def sigterm_drains(compose: Compose) -> str:
    """A mail begun before SIGTERM is filtered and delivered; then the gateway ends, with 0."""
    ident = f"<drain-{time.time_ns()}@client.example>"
    gateway = compose.container("gateway")
    with smtplib.SMTP("127.0.0.1", compose.ports["SMTP_PORT"], timeout=60) as client:
        client.ehlo("client.example")
        check(client.mail("ann@client.example")[0] == 250, "MAIL is taken")
        check(client.rcpt("bob@demo.example")[0] == 250, "RCPT is taken")
        check(client.docmd("DATA")[0] == 354, "DATA is taken")  # Postfix holds back before what needs no reply
        began = time.monotonic()
        stop = subprocess.Popen(("docker", "stop", "-t", "45", gateway), stdout=subprocess.DEVNULL)
        try:
            wait_until(lambda: '"stopping"' in compose.logs("gateway"), "the gateway's word that it stops", 30)
            check(compose.inspect("gateway")["State"]["Running"], "the gateway waits for the open mail")
            client.send(mail_with(ident) + b".\r\n")
            code, text = client.getreply()
            check(code == 250, "the open mail is taken", (code, text))
        finally:
            client.close()
            stop.wait(60)
    took = time.monotonic() - began
    state = compose.inspect("gateway")["State"]
    check(state["ExitCode"] == 0 and not state["OOMKilled"], "the gateway ends with 0", state)
    check(took < 30, "it ends when the last mail has ended", took)
    check("\nSubject: [EXTERNAL] open\n" in delivered(compose, ident), "the open mail is tagged")
    compose.up("gateway")
    check("[EXTERNAL]" in delivered(compose, message_id(swaks(compose))), "mail flows after a restart")
    return f"exit code 0 after {took:.1f} s, the open mail delivered with its tag"


def large_mail_passes(compose: Compose) -> str:
    """Above spool_above a mail goes to /tmp, the only place where the gateway may write."""
    ident = f"<large-{time.time_ns()}@client.example>"
    mail = mail_with(ident, "x" * 76 + "\r\n", 40_000)
    with smtplib.SMTP("127.0.0.1", compose.ports["SMTP_PORT"], timeout=60) as client:
        client.sendmail("ann@client.example", ["bob@demo.example"], mail)
    check("\nSubject: [EXTERNAL] open\n" in delivered(compose, ident), "the large mail is tagged")
    return f"{len(mail)} bytes"


def mail_with(ident: str, line: str = "hello\r\n", count: int = 1) -> bytes:
    mail = EmailMessage()
    mail["Subject"], mail["Message-ID"] = "open", ident
    mail.set_content(line * count)
    return mail.as_bytes(policy=SMTP)


def tidy_logs(compose: Compose) -> str:
    """Nothing complains in the logs of what works."""
    gateway = [line for line in compose.logs("gateway").splitlines() if '"level":"error"' in line]
    check(not gateway, "the gateway logs no errors", gateway[:3])
    postfix = [line for line in compose.logs("postfix").splitlines() if re.search(r" (fatal|panic|error): ", line)]
    check(not postfix, "Postfix logs no errors", postfix[:3])
    return f"{len(compose.logs('gateway').splitlines())} lines of the gateway"


def unix_socket_is_shared(compose: Compose) -> str:
    """docs/docker.md, "Beside your own mail server": a directory whose group is the MTA's."""
    directory = compose.directory / "socket"
    directory.mkdir()
    group, name = 54321, f"{compose.name}-socket"
    volume = f"{directory}:/run/milter-gateway"
    image = compose.image("gateway")
    run("docker", "run", "--rm", "--user", "0", "-v", volume, "--entrypoint", "install", image,
        *("-d", "-o", "10025", "-g", str(group), "-m", "2750", "/run/milter-gateway"))  # fmt: skip
    hardening = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
    run("docker", "run", "-d", "--name", name, "--network", "none", *hardening, "-v", volume, image, "run",
        *("--listen", "unix:/run/milter-gateway/gw.sock", "--webhook", "http://127.0.0.1:8000/milter"))  # fmt: skip
    send = ("send", "--milter", "unix:/run/milter-gateway/gw.sock", "--rcpt", "bob@demo.example")
    as_user = ("docker", "run", "--rm", "--network", "none", "--cap-drop", "ALL", "-v", volume, "--user")
    try:
        wait_until(lambda: '"listening"' in logs_of(name), "the gateway at its socket")
        mta = run(*as_user, f"65534:{group}", image, *send, ok=(11,))
        check("451" in mta, "the MTA's group reaches the gateway, whose webhook is away", mta)
        run(*as_user, "65534:65534", image, *send, ok=(1,))
        run("docker", "stop", name)
        state = json.loads(run("docker", "inspect", "--format", "{{json .State}}", name))
        check(state["ExitCode"] == 0, "it ends with 0", state)
    finally:
        run("docker", "rm", "--force", "--volumes", name)
        run("docker", "run", "--rm", "--user", "0", "-v", f"{compose.directory}:/project", "--entrypoint", "rm",
            image, "-rf", "/project/socket")  # fmt: skip
    return "the MTA's group may, others may not; exit code 0"


def leaves_nothing(compose: Compose) -> str:
    took = time.monotonic()
    compose("down", "-v", profiles=PROFILES, within=180)
    took = time.monotonic() - took
    label = ("--filter", compose.label)
    kinds = (("container", "-a"), ("volume",), ("network",))
    left = [run("docker", kind, "ls", "-q", *more, *label) for kind, *more in kinds]
    check(not "".join(left), "down -v leaves nothing", left)
    return f"down -v takes {took:.0f} s, and no container, volume or network is left"


STEPS: tuple[Callable[[Compose], str], ...] = (
    builds,
    context_is_small,
    starts,
    mail_is_changed,
    inspector_answers,
    password_can_be_chosen,
    edits_are_loaded,
    configuration_is_reloaded,
    nothing_passes_unfiltered,
    sendmail_profile,
    rspamd_profile,
    loopback_only,
    hardened,
    sigterm_drains,
    large_mail_passes,
    tidy_logs,
    unix_socket_is_shared,
    leaves_nothing,
)


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("out of time"))  # and tidy up
    compose = Compose(Path(sys.argv[1]).resolve(), sys.argv[2] if len(sys.argv) > 2 else "default")
    step = STEPS[0]
    try:
        for step in STEPS:
            began = time.monotonic()
            found = step(compose)
            print(f"ok    {time.monotonic() - began:5.1f} s  {step.__name__.replace('_', ' ')}: {found}", flush=True)
    except (CheckError, OSError, subprocess.SubprocessError, smtplib.SMTPException) as error:
        print(f"FAIL           {step.__name__.replace('_', ' ')}: {error}", flush=True)
        return 1
    finally:
        compose("down", "-v", profiles=PROFILES, within=180)
        run("docker", "image", "rm", "--force", *map(compose.image, compose.services), ok=(0, 1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
