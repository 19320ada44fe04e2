"""How log lines look: JSON for machines, text for people; both on standard error."""

import logging
import sys

import structlog


def set_up_logs(form: str) -> None:
    """Send all log lines, also those of libraries, to standard error. `form` is json or text."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_nulls,
    ]
    rendering: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if form == "json"
        else [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                exception_formatter=structlog.dev.plain_traceback,  # the default shows variables: what the mail says
            )
        ]
    )
    structlog.configure(
        processors=[*shared, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)


def _without_nulls(_: object, __: str, values: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Leave out what is not known, and call the event by its name in the contract."""
    if "event_name" in values:
        values["milter_event"] = values.pop("event_name")
    return {key: value for key, value in values.items() if value is not None}
