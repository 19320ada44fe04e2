"""How commands end: exit codes, and the error that carries one readable message."""

OK = 0
FAILED = 1
USAGE_ERROR = 2
INTERRUPTED = 130
"""128 + SIGINT, as shells count."""


class CommandError(Exception):
    """A command cannot go on; the message is for the user, `code` is the exit code."""

    def __init__(self, message: str, code: int = USAGE_ERROR) -> None:
        super().__init__(message)
        self.code = code
