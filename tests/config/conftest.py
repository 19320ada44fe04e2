"""Fixtures of the configuration's tests."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from config_texts import Load, Refuse

from gateway.config import ConfigError, Flags, Settings, load


@pytest.fixture
def load_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Load a TOML text as gw.toml of the working directory."""
    monkeypatch.chdir(tmp_path)

    def run(text: str, environ: Mapping[str, str] | None = None, **flags: object) -> Settings:
        Path("gw.toml").write_text(text)
        return load(Path("gw.toml"), environ=environ or {}, flags=Flags(**flags))  # type: ignore[arg-type]

    return run


@pytest.fixture
def refuse(load_text: Load) -> Refuse:
    """Load a TOML text and return the lines of its faults."""

    def run(text: str, environ: Mapping[str, str] | None = None, **flags: object) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load_text(text, environ, **flags)
        assert str(caught.value).splitlines() == [str(fault) for fault in caught.value.faults]
        return [str(fault) for fault in caught.value.faults]

    return run
