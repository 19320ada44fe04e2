"""All that keeps, as one: the archive for the inspector, and the file."""

from gateway.recording.archive import Archive
from gateway.recording.attempts import Attempts
from gateway.recording.journal import Journal
from gateway.recording.records import Kept


class Recording:
    """A `Keeper` in front of those that are switched on.

    Args:
        archive: None where there is no admin API.
        journal: None where no file was asked for.
        record_bytes: what all bodies may take; 0: none are kept.

    """

    def __init__(self, archive: Archive | None = None, journal: Journal | None = None, record_bytes: int = 0) -> None:
        self.archive = archive
        self.attempts = Attempts() if archive is None else archive.attempts
        self.record_bytes = record_bytes
        self._journal = journal
        self._keepers = tuple(keeper for keeper in (archive, journal) if keeper is not None)

    @property
    def keeps(self) -> bool:
        """Whether anything is kept at all: if not, nothing need be made."""
        return bool(self._keepers)

    def keep(self, what: Kept) -> None:
        """See `Keeper`."""
        for keeper in self._keepers:
            keeper.keep(what)

    def let_go(self) -> None:
        """Nobody watches any more: the program stops."""
        if self.archive is not None:
            self.archive.feed.close()

    def close(self) -> None:
        """Write what waits for the disk."""
        if self._journal is not None:
            self._journal.close()
