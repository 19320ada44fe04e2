"""Where values come from: the TOML file, the environment and the flags, as layers of which the later wins.

A layer keeps its name with its values, so that a fault can say who is to blame.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path as FilePath
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, PlainValidator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, TomlConfigSettingsSource

from gateway.config.faults import ConfigError, Fault, Path
from gateway.config.settings import Settings

PREFIX: Final = "MILTER_GATEWAY_"
FILE_VARIABLE: Final = f"{PREFIX}CONFIG"
ENVIRONMENT: Final = "environment"

# What Kubernetes and Docker put into the environment of every container beside a service named milter-gateway.
_SERVICE_LINKS: Final = re.compile(r"SERVICE_(HOST|PORT)(_.*)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?")
_WHOLE_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Flags:
    """What the command line may say."""

    listen: tuple[str, ...] = ()
    webhook: str | None = None
    events: tuple[str, ...] = ()
    admin: str | None = None
    workers: int | None = None
    log_format: str | None = None


@dataclass(frozen=True, slots=True)
class Layer:
    """Values from one source; `owners` names the source more closely for some of the paths."""

    source: str
    values: dict[str, Any]
    owners: Mapping[Path, str] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()

    def owner(self, path: Path) -> str:
        """Name whom the value at this path comes from."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.owners:
                return self.owners[path[:length]]
        return self.source

    def has(self, path: Path) -> bool:
        """Whether there is a value at this path of tables."""
        here: Any = self.values
        for step in path:
            if not isinstance(here, Mapping) or step not in here:
                return False
            here = here[step]
        return True


def file_layer(file: FilePath) -> Layer:
    """Read the TOML file."""
    try:
        if not file.is_file():
            file.open("rb").close()  # for the reason; a pipe or a device would be skipped in silence
            raise ConfigError([Fault(str(file), "", "is not a regular file")])
        return Layer(str(file), TomlConfigSettingsSource(BaseSettings, toml_file=file)())
    except OSError as error:
        reason = f"cannot be read: {error.strerror or error}"
    except UnicodeDecodeError:
        reason = "is not valid TOML: it is not UTF-8"
    except (ValueError, RecursionError) as error:
        reason = f"is not valid TOML: {' '.join(str(error).split())}"
    raise ConfigError([Fault(str(file), "", reason)])


def environment_layer(environ: Mapping[str, str]) -> Layer:
    """Read the variables with our prefix; a shorter name first, so that ``LIMITS`` comes before ``LIMITS__HEADERS``."""
    values: dict[str, Any] = {}
    faults: list[Fault] = []
    for name in sorted(environ):
        short = name.removeprefix(PREFIX)
        if name in (short, FILE_VARIABLE) or _SERVICE_LINKS.fullmatch(short):
            continue
        path = short.lower().split("__")
        try:
            _put(values, path, _decoded(_field_at(path), environ[name]))
        except ValueError as error:
            faults.append(Fault(ENVIRONMENT, ".".join(path), str(error)))
    return Layer(ENVIRONMENT, values, faults=tuple(faults))


def flags_layer(flags: Flags) -> Layer:
    """Read the flags; ``--webhook`` is a list of one, and so replaces every webhook of the file."""
    given: dict[str, tuple[Any, str]] = {}
    if flags.listen:
        given["listen"] = list(flags.listen), "flag --listen"
    if flags.webhook is not None:
        events = {"events": list(flags.events)} if flags.events else {}
        given["webhook"] = [{"name": "webhook", "url": flags.webhook, **events}], "flag --webhook"
    if flags.admin is not None:
        given["admin"] = {"listen": flags.admin}, "flag --admin"
    if flags.workers is not None:
        given["workers"] = flags.workers, "flag --workers"
    owners: dict[Path, str] = {(key,): owner for key, (_, owner) in given.items()}
    owners["webhook", 0, "events"] = "flag --events"
    return Layer("flags", {key: value for key, (value, _) in given.items()}, owners)


def merge(layers: Sequence[Layer]) -> dict[str, Any]:
    """Lay the layers over each other: tables key by key, everything else as a whole."""
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = _merged(merged, layer.values)
    return merged


def owner_of(path: Path, layers: Sequence[Layer]) -> str:
    """Name the source of the value at a path, where a list comes as a whole; the file lacks what nobody gave."""
    whole = tuple(takewhile(lambda step: isinstance(step, str), path))
    owners = [layer for layer in layers if layer.has(whole)]
    return owners[-1].owner(path) if owners else layers[0].source


def field_of(annotation: object, step: str | int) -> object:
    """Return the field or the type that a step leads to inside a type, or None."""
    annotation = _plain(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation.model_fields.get(str(step))
    inner = get_args(annotation)
    return inner[1 if get_origin(annotation) is dict else 0] if inner else None


def keys_of(path: Path) -> tuple[str, ...]:
    """Return the keys that the table at a path has."""
    here: object = Settings
    for step in path:
        here = field_of(here, step)
    plain = _plain(here)
    return tuple(plain.model_fields) if isinstance(plain, type) and issubclass(plain, BaseModel) else ()


def _plain(annotation: object) -> object:
    """Strip a field, ``Annotated`` and ``| None`` off a type."""
    if isinstance(annotation, FieldInfo):
        return _plain(annotation.annotation)
    if hasattr(annotation, "__metadata__"):
        return _plain(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        inner = [each for each in get_args(annotation) if each is not type(None)]
        return _plain(inner[0]) if len(inner) == 1 else annotation
    return annotation


def _field_at(path: Sequence[str]) -> object:
    here: object = Settings
    for position, step in enumerate(path):
        if get_origin(_plain(here)) in (tuple, frozenset):
            whole = "__".join(path[:position]).upper()
            raise ValueError(f"a list is given as a whole, in {PREFIX}{whole}")
        here = field_of(here, step)
    return here


def _decoded(target: object, written: str) -> Any:
    """Turn the text of a variable into what TOML would have given for this field; a bad text stays a text."""
    if isinstance(target, FieldInfo) and any(isinstance(each, PlainValidator) for each in target.metadata):
        return written
    plain = _plain(target)
    origin = get_origin(plain) or plain
    if origin is bool:
        return {"true": True, "false": False}.get(written.lower(), written)
    if origin is int:
        return int(written) if _WHOLE_NUMBER.fullmatch(written) else written
    if origin in (tuple, frozenset):
        return _list(plain, written)
    if origin is dict or (isinstance(origin, type) and issubclass(origin, BaseModel)):
        return _json(written)
    return written


def _list(plain: object, written: str) -> Any:
    """Read a list: JSON, or texts with commas between them."""
    item = _plain(get_args(plain)[0])
    tables = isinstance(item, type) and issubclass(item, BaseModel)
    if tables or written.lstrip().startswith("["):
        return _json(written)
    return [part.strip() for part in written.split(",")] if written.strip() else []


def _json(written: str) -> Any:
    try:
        return json.loads(written)
    except (ValueError, RecursionError):
        raise ValueError("is not valid JSON") from None


def _put(values: dict[str, Any], path: Sequence[str], value: Any) -> None:
    """Set a value in nested tables; what stands in the way of a table gives way to it."""
    *parents, last = path
    for step in parents:
        if not isinstance(values.get(step), dict):
            values[step] = {}
        values = values[step]
    both = isinstance(values.get(last), dict) and isinstance(value, dict)
    values[last] = _merged(values[last], value) if both else value


def _merged(lower: dict[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two tables into a new one."""
    merged = dict(lower)
    for key, value in upper.items():
        below = merged.get(key)
        merged[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged
