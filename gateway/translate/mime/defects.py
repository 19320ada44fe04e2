"""What was amiss in a message, in words."""

MAX_DEFECTS = 100


class Defects:
    """Each defect once, in order of appearance; `where` names a field or a part."""

    def __init__(self) -> None:
        self._found: dict[str, None] = {}

    def add(self, where: str, what: str) -> None:
        """Note one."""
        if len(self._found) < MAX_DEFECTS:
            self._found[f"{where}: {what}"] = None

    def listed(self) -> list[str]:
        """All of them."""
        full = len(self._found) >= MAX_DEFECTS
        return [*self._found, "message: more defects are not listed"] if full else list(self._found)
