"""The examples that use another service, or keep data."""

from known import Known

KNOWN: dict[str, Known] = {}
