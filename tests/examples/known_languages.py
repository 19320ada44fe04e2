"""The examples that show another language."""

from known import Known

KNOWN: dict[str, Known] = {}
