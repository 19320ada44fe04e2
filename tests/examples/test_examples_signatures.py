"""What examples do to DKIM signatures, as Debian's opendkim sees it: it signs, an example changes, it verifies."""

import asyncio
import base64
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from example_processes import Filter, require
from known import Need
from mails import PLAIN, mail
from program import Program

from gateway.mta.player import Player

SIGNER = "192.0.2.25"
"""Whose mail is signed; the mail of other clients is verified."""


def write_keys(directory: Path) -> None:
    """A key, and what DNS says of it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    (directory / "key").write_bytes(pem)
    public = base64.b64encode(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    (directory / "dns").write_text(f"test._domainkey.client.example v=DKIM1; k=rsa; p={public.decode()}\n")


def configuration(directory: Path) -> str:
    (directory / "internal").write_text(SIGNER + "\n")
    return (
        f"Mode sv\nDomain client.example\nSelector test\nSyslog no\nRequireSafeKeys no\n"
        f"Socket local:{directory}/milter\nKeyFile {directory}/key\n"
        f"TestDNSData {directory}/dns\nInternalHosts {directory}/internal\n"
    )


def is_listening(path: Path) -> bool | None:
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(path))
    except OSError:
        return None
    return True


@pytest.fixture(scope="module")
def opendkim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The socket of an opendkim that signs and verifies."""
    require(Need("opendkim", "opendkim"))
    directory = tmp_path_factory.mktemp("dkim")
    write_keys(directory)
    (directory / "conf").write_text(configuration(directory))
    running = Program(f"opendkim -f -x {directory}/conf", directory / "log", {})
    try:
        running.wait_for(lambda _: is_listening(directory / "milter"), "socket")
        yield directory / "milter"
    finally:
        running.kill()  # asked to end, it takes up to five seconds
        running.wait()


async def through(opendkim: Path, raw: bytes, client: str) -> bytes:
    reader, writer = await asyncio.open_unix_connection(str(opendkim))
    try:
        return (await Player(reader, writer).play(mail(raw, client=client))).result.message()
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    ("example", "mark", "judgement"),
    [
        ("safe_tag.mjs", b"X-External-Sender: yes", "pass"),
        ("tag_subject.py", b"Subject: [EXTERNAL]", "fail"),
        ("banner.php", b"This mail comes from outside", "fail"),
    ],
)
async def test_a_signature_outlives_the_safe_tag_alone(
    opendkim: Path, filter_of: Callable[[str], Filter], example: str, mark: bytes, judgement: str
) -> None:
    signed = await through(opendkim, PLAIN, SIGNER)
    marked = (await filter_of(example).play(mail(signed))).result.message()
    verified = await through(opendkim, marked, "198.51.100.7")
    assert signed.startswith(b"DKIM-Signature:")
    assert mark in marked
    assert re.findall(rb"\bdkim=(\w+)", verified) == [judgement.encode()]
