"""Settings in the documents are taken by the programs that they are for."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from docs_text import ROOT, Block, blocks, blocks_of_all

from gateway.config import load

SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
RECIPES = ROOT / "docs" / "recipes.md"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n"
MASTER = "submission inet n - y - - smtpd\n"


def place(block: Block) -> str:
    return block.place


@pytest.mark.parametrize("block", blocks_of_all("toml"), ids=place)
def test_a_configuration_of_the_gateway_loads(block: Block, tmp_path: Path) -> None:
    text = re.sub(r'(?<=file = )(\[[^\]]*\]|"[^"]*")', lambda match: with_files(match[0], tmp_path), block.text)
    file = tmp_path / "gateway.toml"
    file.write_text(text)
    assert load(file, environ={}).webhook


def with_files(value: str, directory: Path) -> str:
    """The value with files that exist."""
    for name in re.findall(r'"([^"]*)"', value):
        there = directory / Path(name).name
        there.write_text(SECRET)
        there.chmod(0o600)
        value = value.replace(f'"{name}"', f'"{there}"')
    return value


def postconf(directory: Path, *args: str) -> list[str]:
    """What postconf prints about this configuration; a complaint is a failure."""
    program = shutil.which("postconf", path=SEARCH)
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("postconf is missing: apt-get install postfix", pytrace=False)
        pytest.skip("postconf is missing: apt-get install postfix")
    done = subprocess.run([program, "-c", directory, *args], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def configured(directory: Path, main: str, master: str = MASTER) -> Path:
    """A configuration of Postfix; variables that the document takes from elsewhere are defined."""
    given = [f"{name} = inet:127.0.0.1:1" for name in re.findall(r"\$(\w+_milter)\b", main)]
    (directory / "main.cf").write_text("\n".join(["compatibility_level = 3.6", *given, main]))
    (directory / "master.cf").write_text(master)
    os.utime(directory / "main.cf", (0, 0))  # a file that was written just now Postfix leaves alone for two seconds
    return directory


@pytest.mark.parametrize("block", blocks_of_all("postfix"), ids=place)
def test_postfix_knows_every_line_of_main_cf(block: Block, tmp_path: Path) -> None:
    directory = configured(tmp_path, block.text)
    wanted = dict(re.findall(r"^(\w+) = (.*)$", block.text, re.MULTILINE))
    shown = dict(re.findall(r"^(\w+) = (.*)$", "\n".join(postconf(directory, "-n")), re.MULTILINE))
    assert wanted
    assert {name: shown.get(name) for name in wanted} == wanted


@pytest.mark.parametrize("block", blocks_of_all("master"), ids=place)
def test_postfix_knows_every_line_of_master_cf(block: Block, tmp_path: Path) -> None:
    directory = configured(tmp_path, "smtpd_milters =", block.text)
    overrides = re.findall(r"^  -o (\w+)=(.*)$", block.text, re.MULTILINE)
    assert overrides
    assert [f"submission/inet/{name} = {value}" for name, value in sorted(overrides)] == postconf(directory, "-P")


def test_a_line_for_postconf_p_is_taken(tmp_path: Path) -> None:
    (block,) = blocks(RECIPES, "text")
    directory = configured(tmp_path, "")
    postconf(directory, "-P", block.text.strip())
    assert postconf(directory, "-P") == [block.text.strip().replace("=", " = ", 1)]


def test_the_same_line_of_sendmail_mc_is_in_readme_and_recipes() -> None:
    (readme,) = re.findall(r"^INPUT_MAIL_FILTER.*$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert readme in [block.text.strip() for block in blocks(RECIPES, "m4")]
