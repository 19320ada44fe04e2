"""How log lines look: JSON for machines, text for people; both on standard error."""

import logging
import sys
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import IO, AnyStr, BinaryIO, Generic, TextIO, cast

import msgspec
import structlog


class _Stream(Generic[AnyStr]):
    """Standard error for log lines: where it cannot be written (a full disk, a reader that is gone) mail goes on."""

    def __init__(self, stream: IO[AnyStr]) -> None:
        self._stream: IO[AnyStr] = stream

    def write(self, line: AnyStr) -> None:
        """Write as far as possible."""
        try:  # noqa: SIM105 - for each message, and `suppress` costs as much as the rest
            self._stream.write(line)
        except OSError:
            pass

    def flush(self) -> None:
        """Likewise."""
        try:  # noqa: SIM105 - likewise
            self._stream.flush()
        except OSError:
            pass


_to_json = msgspec.json.Encoder(enc_hook=str).encode


def set_up_logs(form: str, worker: int | None = None) -> None:
    """Send all log lines, also those of libraries, to standard error.

    `form` is json or text; `worker` is said in each line where several processes serve.
    """
    wrapper = structlog.make_filtering_bound_logger(logging.INFO)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        _add_time,
        _without_nulls,
        *([] if worker is None else [_says("worker", worker)]),
    ]
    if form == "json":
        structlog.configure(
            processors=[*shared, structlog.processors.format_exc_info, _render],
            wrapper_class=wrapper,
            logger_factory=structlog.BytesLoggerFactory(file=cast("BinaryIO", _Stream(sys.stderr.buffer))),
        )
    else:
        console = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            exception_formatter=structlog.dev.plain_traceback,  # the default shows variables: what the mail says
        )
        structlog.configure(
            processors=[*shared, console],
            wrapper_class=wrapper,
            logger_factory=structlog.PrintLoggerFactory(file=cast("TextIO", _Stream(sys.stderr))),
        )
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)


def _render(_: object, __: str, values: structlog.typing.EventDict) -> bytes:
    return _to_json(values)


def _says(key: str, value: object) -> structlog.typing.Processor:
    def add(_: object, __: str, values: structlog.typing.EventDict) -> structlog.typing.EventDict:
        values[key] = value
        return values

    return add


def _add_time(_: object, __: str, values: structlog.typing.EventDict) -> structlog.typing.EventDict:
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    values["timestamp"] = f"{_second(seconds)}.{nanoseconds // 1000:06}Z"
    return values


@lru_cache(maxsize=1)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _without_nulls(_: object, __: str, values: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Leave out what is not known, and call the event by its name in the contract."""
    if "event_name" in values:
        values["milter_event"] = values.pop("event_name")
    return {key: value for key, value in values.items() if value is not None}
