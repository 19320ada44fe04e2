"""The examples that use another service, or keep data."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from known import Known, Need
from services import redis_at, rspamd_in

NODE = Need("node", "nodejs")
SECRET = "whsec_c2lnbmVkIGJ5IHRoZSBnYXRld2F5IG9mIHRoZSB0ZXN0cw=="


@contextlib.contextmanager
def redis(directory: Path) -> Iterator[Mapping[str, str]]:
    """A Redis server."""
    with redis_at(directory / "redis.sock") as url:
        yield {"REDIS_URL": url}


@contextlib.contextmanager
def rspamd(directory: Path) -> Iterator[Mapping[str, str]]:
    """A scanner."""
    with rspamd_in(directory) as url:
        yield {"RSPAMD_URL": url}


@contextlib.contextmanager
def archive(directory: Path) -> Iterator[Mapping[str, str]]:
    """A place for mails."""
    yield {"ARCHIVE_DIRECTORY": str(directory / "archive")}


@contextlib.contextmanager
def spam_file(directory: Path) -> Iterator[Mapping[str, str]]:
    """A database of its own."""
    yield {"SPAM_FILE": str(directory / "spam.sqlite3")}


@contextlib.contextmanager
def secret(directory: Path) -> Iterator[Mapping[str, str]]:
    """A secret, where both the gateway and the example find it."""
    file = directory / "webhook.secret"
    file.touch(0o600)
    file.write_text(SECRET + "\n")
    yield {"WEBHOOK_SECRET_FILE": str(file)}


KNOWN: dict[str, Known] = {
    "greylist_redis.py": Known(
        {"action": "tempfail", "reply": {"code": 451, "enhanced": "4.7.1", "text": "Greylisted, please try again"}},
        needs=(Need("redis-server", "redis-server"),),
        surroundings=redis,
    ),
    "archive.py": Known({"annotations": {"archived": "2026-11-22-4c2XyZ1abc-51ae8aac4c8ccd22"}}, surroundings=archive),
    "rspamd_verdict.py": Known(
        {
            "action": "reject",
            "reply": {"text": ["Gtube pattern"]},
            "annotations": {"rspamd_action": "reject", "rspamd_score": 15.0},
        },
        needs=(Need("rspamd", "rspamd"),),
        surroundings=rspamd,
    ),
    "spam_score.py": Known(
        {
            "changes": [{"op": "set_header", "name": "X-Spam-Score", "value": "0.50"}],
            "annotations": {"spam_score": 0.5},
        },
        surroundings=spam_file,
    ),
    "signed.mjs": Known({"x_status": 401}, needs=(NODE,), surroundings=secret),
    "CatchAll.java": Known(
        {
            "changes": [
                {"op": "delete_rcpt", "address": "hello@shop.example"},
                {"op": "add_rcpt", "address": "sales@site.example"},
            ]
        },
        needs=(Need("java --version", "default-jre-headless"),),
        start_seconds=60.0,
    ),
}
