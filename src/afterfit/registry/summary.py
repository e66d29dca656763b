"""What the audit log says of all versions, kept in one file so that nobody reads all of it.

``registry/.index`` holds versions, evidence and moves as of one line of the log, and the byte at
which that line ends. Whoever asks reads on from there, so the file may be old, and where it is
gone, damaged or not of this log it is made again of the log: deleting it is always safe.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import msgspec

from afterfit.core.digest import sha256_bytes
from afterfit.errors import AfterfitError, IntegrityError
from afterfit.registry.audit import AuditLog, Entry, Head
from afterfit.registry.history import Move, move_of, note_pruned
from afterfit.registry.shelf import EVIDENCE, REGISTER, VersionFile, version_of
from afterfit.registry.version import Version
from afterfit.store.files import write_bytes

__all__ = ["FileCatalog"]

_KEEP_AFTER = 256
"""Lines that are read again by each process before one of them writes the file anew."""
_FORMAT = b"afterfit-index-2\n"


class Summary(msgspec.Struct, kw_only=True):
    """What the lines up to ``head``, which ends at the byte ``offset``, say."""

    head: Head = Head()
    offset: int = 0
    files: dict[str, list[VersionFile]] = {}
    evidence: dict[str, dict[int, dict[str, str]]] = {}
    moved: dict[str, list[Move]] = {}
    pruned: set[tuple[str, int]] = set()

    def add(self, entry: Entry, offset: int) -> None:
        """Take in the next line."""
        if entry.action == REGISTER:
            self.files.setdefault(entry.name, []).append(version_of(entry))
        if entry.action in {REGISTER, EVIDENCE}:
            known = self.evidence.setdefault(entry.name, {})
            added = entry.details.get("evidence", {})
            known[int(entry.to)] = {**known.get(int(entry.to), {}), **added}
        move = move_of(entry)
        if move is not None:
            self.moved.setdefault(entry.name, []).append(move)
        note_pruned(self.pruned, entry)
        self.head, self.offset = Head(seq=entry.seq, hash=entry.hash), offset

    def versions(self, name: str) -> list[Version]:
        """Return every version of a name by its number."""
        pointing: dict[int, list[str]] = {}
        for alias, number in sorted({m.alias: m.to for m in self.moved.get(name, [])}.items()):
            pointing.setdefault(number, []).append(alias)
        evidence = self.evidence.get(name, {})
        return [
            Version(
                name=name,
                number=file.number,
                digest=file.digest,
                created=file.created,
                who=file.who,
                aliases=tuple(pointing.get(file.number, ())),
                evidence=evidence.get(file.number, {}),
            )
            for file in self.files.get(name, [])
        ]


class FileCatalog:
    """Answers from the audit log of a local workspace, which is read once and then followed."""

    def __init__(self, audit: AuditLog, path: Path) -> None:
        self.path = path
        self._audit = audit
        self._known: Summary | None = None
        self._kept = 0

    def files(self, name: str) -> list[VersionFile]:
        """Return every version of a name by its number."""
        return list(self._now().files.get(name, ()))

    def versions(self, names: Iterable[str]) -> list[Version]:
        """Return every version of these names with its aliases and evidence, in their order."""
        known = self._now()
        return [version for name in names for version in known.versions(name)]

    def moves(self, name: str, alias: str) -> list[Move]:
        """Return every move of an alias, in order."""
        return [move for move in self._now().moved.get(name, ()) if move.alias == alias]

    def pruned(self) -> set[tuple[str, int]]:
        """Return name and number of each version whose bytes went, and did not come back."""
        return set(self._now().pruned)

    def _now(self) -> Summary:
        """Return what the log says now; raises IntegrityError for a line that was changed."""
        known = self._known if self._known is not None else self._read()
        try:
            known = self._followed(known)
        except IntegrityError:
            # It may be of another log, restored from a copy: the log alone decides.
            known, self._kept = self._followed(Summary()), 0
        self._known = known
        if known.head.seq - self._kept > _KEEP_AFTER:
            self._keep(known)
        return known

    def _followed(self, known: Summary) -> Summary:
        head = self._audit.head()
        size = self._audit.size()
        shrunk = size < known.offset
        other = head.seq == known.head.seq and head.hash != known.head.hash
        if shrunk or other or head.seq + 1 < known.head.seq:
            known, self._kept = Summary(), 0
        if size > known.offset:
            for entry, offset in self._audit.since(known.offset, known.head):
                known.add(entry, offset)
        return known

    def _read(self) -> Summary:
        with suppress(OSError, msgspec.MsgspecError):
            data = self.path.read_bytes()
            start = len(_FORMAT) + 64
            if data.startswith(_FORMAT) and sha256_bytes(data[start:]) == data[
                len(_FORMAT) : start
            ].decode("ascii", "replace"):
                known = msgspec.msgpack.decode(data[start:], type=Summary)
                self._kept = known.head.seq
                return known
        return Summary()

    def _keep(self, known: Summary) -> None:
        data = msgspec.msgpack.encode(known)
        # A read-only or full disk makes the next reader slower, and nothing worse.
        with suppress(AfterfitError):
            write_bytes(self.path, _FORMAT + sha256_bytes(data).encode() + data)
        self._kept = known.head.seq
