"""From file, environment and flags to checked settings, or to all of the faults in one go."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gateway.config.checks import Finding, cross_check
from gateway.config.faults import ConfigError, Fault, Path, dotted, not_one_of, reason_for
from gateway.config.settings import Settings
from gateway.config.sources import (
    FILE_VARIABLE,
    Flags,
    Layer,
    environment_layer,
    file_layer,
    flags_layer,
    keys_of,
    merge,
    owner_of,
)

LOG_FORMATS: Final = ("json", "text")
NO_SOURCE: Final = "configuration"
"""Named as the source where there is no file and something is missing."""


def load(
    file: FilePath | None,
    *,
    environ: Mapping[str, str],
    flags: Flags | None = None,
    webhook_required: bool = True,
) -> Settings:
    """Read the configuration.

    Args:
        file: the TOML file; None means the one named by ``MILTER_GATEWAY_CONFIG``, or none at all.
        environ: the environment, also for ``{ env = "NAME" }``.
        flags: what the command line says.
        webhook_required: whether it is a fault to have no webhook.

    Raises ConfigError with every fault.

    """
    flags = flags or Flags()
    if file is None and environ.get(FILE_VARIABLE):
        file = FilePath(environ[FILE_VARIABLE])
    base = Layer(NO_SOURCE, {}) if file is None else file_layer(file)
    layers = (base, environment_layer(environ), flags_layer(flags))
    return _checked(layers, environ, (*layers[1].faults, *_flag_faults(flags)), webhook_required=webhook_required)


def parse(
    values: Mapping[str, Any],
    *,
    environ: Mapping[str, str] | None = None,
    webhook_required: bool = True,
) -> Settings:
    """Check values given as TOML would give them, for programs that need no file; raises ConfigError too."""
    return _checked((Layer(NO_SOURCE, dict(values)),), environ or {}, (), webhook_required=webhook_required)


def _checked(
    layers: Sequence[Layer],
    environ: Mapping[str, str],
    known: tuple[Fault, ...],
    *,
    webhook_required: bool,
) -> Settings:
    """Merge and validate; the cross checks run in any case, so that nothing is told only on the second try."""
    values = merge(layers)
    settings: Settings | None = None
    findings: list[Finding] = []
    try:
        settings = Settings.model_validate(values, context={"environ": environ})
    except ValidationError as error:
        findings = [_finding(details, values) for details in error.errors(include_url=False)]
    webhook_lost = any(fault.key.startswith("webhook") for fault in known)
    findings += cross_check(values, webhook_required=webhook_required and not webhook_lost)
    faults = [Fault(owner_of(path, layers), dotted(path, values), reason) for path, reason in findings]
    if settings is None or faults or known:
        raise ConfigError(dict.fromkeys((*known, *faults)))
    return settings


def _flag_faults(flags: Flags) -> Iterator[Fault]:
    """Check the flags that are no keys of the file."""
    if flags.events and flags.webhook is None:
        yield Fault("flag --events", "", "needs --webhook beside it")
    if flags.log_format is not None and flags.log_format not in LOG_FORMATS:
        yield Fault("flag --log-format", "", not_one_of(flags.log_format, LOG_FORMATS))


def _finding(error: ErrorDetails, values: Mapping[str, Any]) -> Finding:
    """Translate one of pydantic's errors."""
    path = _written_path(error["loc"], values)
    return path, reason_for(error, keys_of(path[:-1]))


def _written_path(loc: Path, values: Mapping[str, Any]) -> Path:
    """Cut a location off where the written value ends.

    pydantic locates errors in what validators made of a value (a text that stands for a list) and marks bad keys
    with ``[key]``; the operator knows only what was written. A missing key is the one step that may lead nowhere.
    """
    here: Any = values
    for position, step in enumerate(loc):
        if isinstance(here, Mapping):
            here = here.get(step)
        elif isinstance(here, list) and isinstance(step, int):
            here = here[step]
        else:
            return loc[:position]
    return loc
