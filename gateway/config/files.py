"""Files that the configuration names: they are read at load, so that a missing secret is found then and not in mail.

Contents never show in a ``repr``; a secret that everybody may read loads, with a warning.
"""

import base64
import binascii
import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

from pydantic import PlainValidator

SECRET_LIMIT: Final = 65536
"""No token or key is longer; it keeps a wrong path from filling the memory."""

_SHORT_KEY: Final = 24  # Standard Webhooks: "between 24 bytes (192 bits) and 64 bytes (512 bits)"
_TOKEN: Final = re.compile(rb"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class FileSecret:
    """A secret, the file that it came from, and what is doubtful about either."""

    path: Path
    value: bytes = field(repr=False)
    warnings: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The secret as text; tokens are ASCII."""
        return self.value.decode("ascii")


def read_secret(value: object) -> FileSecret:
    """Read a named file and strip the white space around its content."""
    path = _regular_file(value)
    try:
        with path.open("rb") as file:
            content = file.read(SECRET_LIMIT + 1)
    except OSError as error:
        raise ValueError(_cannot_read(path, error)) from None
    if len(content) > SECRET_LIMIT:
        raise ValueError(f"{path} is too large for a secret: more than {SECRET_LIMIT} bytes")
    if not content.strip():
        raise ValueError(f"{path} is empty")
    return FileSecret(path, content.strip(), exposure(path))


def read_token(value: object) -> FileSecret:
    """Read a bearer token: one word of printable ASCII."""
    secret = read_secret(value)
    if not _TOKEN.fullmatch(secret.value):
        raise ValueError(f"{secret.path} must hold one token of printable ASCII without blanks")
    return secret


def read_signing_key(value: object) -> FileSecret:
    """Read a secret of Standard Webhooks: base64, with or without ``whsec_`` before it."""
    secret = read_secret(value)
    try:
        key = base64.b64decode(secret.value.removeprefix(b"whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise ValueError(f"{secret.path} must hold a Standard Webhooks secret: whsec_ and base64")
    short = (f"{secret.path} holds a short secret: Standard Webhooks asks for 24 bytes or more",)
    return FileSecret(secret.path, key, secret.warnings + (short if len(key) < _SHORT_KEY else ()))


def readable(value: object) -> Path:
    """Return the path of a file that can be opened; its content is somebody else's to judge."""
    path = _regular_file(value)
    try:
        path.open("rb").close()
    except OSError as error:
        raise ValueError(_cannot_read(path, error)) from None
    return path


def exposure(path: Path) -> tuple[str, ...]:
    """Warn of a file that every user of the machine may read."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return ()
    return (f"{path} can be read by everyone: chmod o-r",) if mode & stat.S_IROTH else ()


def _regular_file(value: object) -> Path:
    """Return the path if a regular file stands there; a FIFO or a device could block the start for ever."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("must be the path of a file")
    path = Path(value)
    try:
        mode = path.stat().st_mode
    except UnicodeEncodeError:
        raise ValueError("must be the path of a file") from None
    except OSError as error:
        raise ValueError(_cannot_read(path, error)) from None
    if not stat.S_ISREG(mode):
        raise ValueError(f"{path} is not a regular file")
    return path


def _cannot_read(path: Path, error: OSError) -> str:
    return f"cannot read {path}: {os.strerror(error.errno or 0)}"


ReadableFile = Annotated[Path, PlainValidator(readable)]
TokenFile = Annotated[FileSecret, PlainValidator(read_token)]
SigningKeyFile = Annotated[FileSecret, PlainValidator(read_signing_key)]
