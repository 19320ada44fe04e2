"""docs/recording.md names what a line of a recording really has."""

import re

from docs_text import ROOT

from gateway.config import parse
from gateway.recording import Exchange
from gateway.recording.journal import FORMAT
from gateway.recording.records import Try

TEXT = (ROOT / "docs" / "recording.md").read_text()


def test_the_table_has_every_key_of_a_line() -> None:
    table = TEXT.split("## The format")[1]
    cells = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    named = {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}
    assert named == {"format", *Exchange.__struct_fields__, "request_base64", "response_base64"}
    assert f'`"format": {FORMAT}`' in TEXT
    assert f"each with `{' '.join(Try.__struct_fields__)}`" in TEXT


def test_the_keys_of_the_configuration_are_known() -> None:
    admin = {"record": True, "record_count": 10, "record_bytes": "1MiB", "record_age": "1h"}
    parse({"webhook": [{"name": "policy", "url": "http://127.0.0.1:8000/"}], "admin": admin})
    assert "`[admin] record = true`" in TEXT
    assert all(f"`{key}`" in TEXT for key in admin if key != "record")
