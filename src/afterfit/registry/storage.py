"""Where a registry keeps what it knows: an audit log, a shelf of versions, and a way to look.

Two kinds are built in: the files of a local workspace (`registry.files`) and the tables of a
database that a team shares (`registry.shared.postgres`). Both keep the same promise: inside of
``changing`` nobody else changes anything, and what was announced by a line of the log is done with
it or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from afterfit.registry.audit import Entry, LogCheck
from afterfit.registry.history import Move
from afterfit.registry.shelf import AliasFile, EvidenceFile, VersionFile
from afterfit.registry.version import Version

__all__ = ["Catalog", "Journal", "Pruning", "Shelf", "Storage"]


class Pruning(NamedTuple):
    """How often taking bytes away began or ended, and who does it now; empty for nobody."""

    turn: int = 0
    owner: str = ""

    def since(self, before: Pruning) -> bool:
        """Return whether bytes may have gone since an earlier moment."""
        return bool(self.owner) or self.turn != before.turn


class Journal(Protocol):
    """The audit log: lines that each hold the hash of the last."""

    def append(
        self,
        action: str,
        *,
        who: str,
        name: str = "",
        source: str = "",
        to: str = "",
        why: str = "",
        details: dict[str, Any] | None = None,
    ) -> Entry:
        """Return the new last line; only inside of ``Storage.changing``."""
        ...

    def entries(self) -> Iterator[Entry]:
        """Yield every line in order, each checked against the one before; raises IntegrityError."""
        ...

    def verify(self) -> LogCheck:
        """Return lines and head hash; raises IntegrityError naming the line that was changed."""
        ...


class Shelf(Protocol):
    """Versions, evidence and aliases, each as it is kept."""

    def names(self) -> tuple[str, ...]:
        """Return the names that have a version, sorted."""
        ...

    def versions(self, name: str) -> list[VersionFile]:
        """Return every version of a name by its number."""
        ...

    def version(self, name: str, number: int) -> VersionFile | None:
        """Return one version, None where there is no such number."""
        ...

    def next_number(self, name: str) -> int:
        """Return the number after the highest."""
        ...

    def alias(self, name: str, alias: str) -> AliasFile | None:
        """Return where an alias points, None where it was never moved."""
        ...

    def aliases(self, name: str) -> list[AliasFile]:
        """Return every alias of a name, sorted by its own name."""
        ...

    def evidence(self, name: str, number: int) -> EvidenceFile:
        """Return the evidence of a version, empty where none was given."""
        ...

    def apply(self, entry: Entry) -> None:
        """Do what a line of the log announced; doing it again changes nothing."""
        ...

    def place(self, name: str = "", kind: str = "", key: str = "") -> str:
        """Return where something is kept, for a message: all, a name, or one thing of a kind."""
        ...


class Catalog(Protocol):
    """Answers about many versions at once, as fast as ten thousand of them ask for."""

    def files(self, name: str) -> list[VersionFile]:
        """Return every version of a name by its number."""
        ...

    def versions(self, names: Iterable[str]) -> list[Version]:
        """Return every version of these names with its aliases and evidence, in their order."""
        ...

    def moves(self, name: str, alias: str) -> list[Move]:
        """Return every move of an alias, in order."""
        ...

    def pruned(self) -> set[tuple[str, int]]:
        """Return name and number of each version whose bytes went, and did not come back."""
        ...


class Storage(Protocol):
    """All that a registry stands on."""

    @property
    def audit(self) -> Journal:
        """The audit log."""
        ...

    @property
    def shelf(self) -> Shelf:
        """What is kept of versions and aliases."""
        ...

    @property
    def catalog(self) -> Catalog:
        """Answers about many versions."""
        ...

    def pruning(self) -> Pruning:
        """Return what tells, asked before a push and in its change, whether bytes went."""
        ...

    def used(self, now: float) -> dict[str, str]:
        """Return who stands on each digest, as far as servers elsewhere have said it (s)."""
        ...

    def settle(self) -> None:
        """Mend what a crash left, where somebody may; called when a registry is opened."""
        ...

    def changing(self) -> AbstractContextManager[None]:
        """Keep everybody else from changing anything, with all mended that a crash left."""
        ...

    def reading(self) -> AbstractContextManager[None]:
        """Keep writers away, or see none of what they do, while the whole log is read."""
        ...
