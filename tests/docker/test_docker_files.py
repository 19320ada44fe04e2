"""What ships for Docker and systemd holds what its documentation says; `.ci/compose` runs it for real."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from docker_files import COMPOSE, ROOT

from gateway import config

SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
UNIT = ROOT / "docs/milter-gateway.service"
MOST_EXPOSURE = 15  # tenths; systemd calls up to 20 "OK", a unit without any of it has 96


def settings(tmp_path: Path) -> config.Settings:
    """The gateway's configuration in compose, with a token as the service admin-token makes one."""
    token = tmp_path / "token"
    token.write_text("n0t-a-secret")
    token.chmod(0o600)
    text = (COMPOSE / "gateway.toml").read_text().replace("/var/lib/milter-gateway/admin-token", str(token))
    file = tmp_path / "gateway.toml"
    file.write_text(text)
    return config.load(file, environ={})


def test_the_configuration_in_compose_is_valid(tmp_path: Path) -> None:
    made = settings(tmp_path)
    assert [webhook.name for webhook in made.webhook] == ["tag_subject", "rspamd"]
    assert made.admin.record and made.admin.token_file is not None
    assert not made.warnings()


def test_docker_waits_longer_for_the_gateway_than_it_drains(tmp_path: Path) -> None:
    grace = int(SERVICES["gateway"]["stop_grace_period"].removesuffix("s"))
    unit = int(re.findall(r"^TimeoutStopSec=(\d+)$", UNIT.read_text(), re.MULTILINE)[0])
    assert min(grace, unit) > settings(tmp_path).limits.drain_timeout + 5  # 5 s more for requests of the inspector


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_hardened_and_published_on_loopback_only(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"] and service["pids_limit"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    assert "privileged" not in service and service.get("network_mode", "none") == "none"
    assert name == "postfix" or "cap_add" not in service


def test_the_webhooks_of_the_configuration_are_services_of_compose(tmp_path: Path) -> None:
    urls = [str(url) for webhook in settings(tmp_path).webhook for url in webhook.url]
    hosts = {re.findall(r"http://([a-z-]+):8000/milter", url)[0] for url in urls}
    assert hosts <= SERVICES.keys()
    for host in hosts:
        module = SERVICES[host]["entrypoint"][1].partition(":")[0]
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file()


@pytest.fixture
def analyze() -> str:
    """The path of systemd-analyze."""
    path = shutil.which("systemd-analyze")
    if path is None:
        reason = "systemd-analyze is missing: apt-get install systemd"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return path


def unit_here(tmp_path: Path) -> Path:
    """The unit, with the gateway of this environment."""
    program = str(Path(sys.executable).parent / "milter-gateway")
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/milter-gateway/bin/milter-gateway", program))
    return unit


def test_the_unit_is_one_for_systemd(analyze: str, tmp_path: Path) -> None:
    done = subprocess.run(
        (analyze, "verify", "--man=no", unit_here(tmp_path)), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert UNIT.name not in done.stderr  # a key that systemd does not know is a warning only


def test_the_unit_has_few_rights(analyze: str, tmp_path: Path) -> None:
    command = (analyze, "security", "--offline=true", f"--threshold={MOST_EXPOSURE}", "--no-pager", unit_here(tmp_path))
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout[-300:] + done.stderr
