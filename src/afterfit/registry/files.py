"""The storage of a local workspace: ``audit.jsonl`` and the files of ``registry/``.

Every change holds one lock and goes in one order: the line of the audit log first, brought to the
disk, then the files that it announces. A crash between the two is mended when the registry is
opened again or changed next, so the log and the files agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path

from afterfit.errors import ForbiddenError, IntegrityError
from afterfit.registry.audit import AuditLog, utc_now
from afterfit.registry.shelf import FileShelf
from afterfit.registry.storage import Pruning
from afterfit.registry.summary import FileCatalog
from afterfit.store.files import file_lock

__all__ = ["FileStorage"]


class FileStorage:
    """The files of the workspace in ``folder`` (its ``.afterfit``)."""

    def __init__(self, folder: Path, *, clock: Callable[[], datetime] = utc_now) -> None:
        self.audit = AuditLog(folder, clock=clock)
        self.shelf = FileShelf(folder / "registry")
        self.catalog = FileCatalog(self.audit, folder / "registry" / ".index")
        self._lock = folder / "registry" / "lock"

    def pruning(self) -> Pruning:
        """Return that bytes may go at any moment: here nobody announces it."""
        return Pruning(owner="any process of this machine")

    def used(self, now: float) -> dict[str, str]:
        """Return nothing: all servers of a local workspace keep their state in it."""
        del now
        return {}

    def settle(self) -> None:
        """Mend what a crash left, where somebody may."""
        # A damaged log or a read-only disk must not keep anybody from reading: the next change,
        # and verify_log, say what is wrong.
        with suppress(IntegrityError, ForbiddenError):
            if not self._settled():
                with self.changing():
                    pass

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the lock, with everything mended that a crash left."""
        with file_lock(self._lock):
            torn = self.audit.mend_head()
            recovered = self._finish_last()
            if torn:
                self.audit.cut_torn(torn)
            if recovered:
                self.audit.append("recover", who="afterfit", why=recovered)
            yield

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Keep writers away while the log is read, where this file system can be written."""
        with ExitStack() as stack:
            if self.audit.path.exists():
                # Where nobody can write, nobody has to be kept away.
                with suppress(ForbiddenError):
                    stack.enter_context(file_lock(self._lock))
            yield

    def _finish_last(self) -> str:
        """Do what the last line of the log announced, where a crash came before it was done."""
        last = self.audit.last_entry()
        if last is None or self.shelf.applied(last):
            return ""
        self.shelf.apply(last)
        return f"a crash came after line {last.seq} ({last.action}); it is done now"

    def _settled(self) -> bool:
        last = self.audit.last_entry()
        return self.audit.agrees() and (last is None or self.shelf.applied(last))
