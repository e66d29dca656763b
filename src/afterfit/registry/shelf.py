"""The files of the registry: one immutable file a version, and what may change beside it.

::

    registry/head                          the end of the audit log
    registry/lock                          held by whoever changes something
    registry/NAME/versions/000001.json     number, digest, when and by whom; written once
    registry/NAME/evidence/000001.json     step -> digest of its record
    registry/NAME/aliases/champion.json    number and digest, and the line of the log that moved it

Every file follows from a line of the audit log, which is written first; so what a crash kept
from being written is written when the registry is opened again.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from afterfit.core.digest import canonical_json
from afterfit.errors import ConflictError, IntegrityError
from afterfit.registry.audit import Entry
from afterfit.registry.history import move_of
from afterfit.store.files import is_temporary, read_bytes, write_bytes, write_new

T = TypeVar("T")
REGISTER = "register"
EVIDENCE = "evidence"
_READ_ONLY = 0o444


class VersionFile(msgspec.Struct, frozen=True, kw_only=True):
    """A version as its file holds it; ``seq`` is its line of the audit log."""

    name: str
    number: int
    digest: str
    created: str
    who: str
    seq: int


class EvidenceFile(msgspec.Struct, frozen=True, kw_only=True):
    """Step -> record digest, as of line ``seq`` of the audit log."""

    seq: int
    records: dict[str, str]


class AliasFile(msgspec.Struct, frozen=True, kw_only=True):
    """Where an alias points since line ``seq`` of the audit log."""

    alias: str
    number: int
    digest: str
    seq: int


class FileShelf:
    """Reads and writes the files of the registry below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> tuple[str, ...]:
        """Return the names that have a version, sorted."""
        if not self.folder.is_dir():
            return ()
        folders = (path for path in self.folder.iterdir() if (path / "versions").is_dir())
        return tuple(sorted(path.name for path in folders))

    def versions(self, name: str) -> list[VersionFile]:
        """Return every version of a name by its number; raises IntegrityError."""
        return [_read(path, VersionFile) for path in _files(self.folder / name / "versions")]

    def version(self, name: str, number: int) -> VersionFile | None:
        """Return one version of a name, None where there is no such number."""
        path = self.version_path(name, number)
        return _read(path, VersionFile) if path.exists() else None

    def next_number(self, name: str) -> int:
        """Return the number after the highest."""
        numbers = (int(path.stem) for path in _files(self.folder / name / "versions"))
        return max(numbers, default=0) + 1

    def alias(self, name: str, alias: str) -> AliasFile | None:
        """Return where an alias points, None where it was never moved."""
        path = self.alias_path(name, alias)
        return _read(path, AliasFile) if path.exists() else None

    def aliases(self, name: str) -> list[AliasFile]:
        """Return every alias of a name, sorted by its own name."""
        return [_read(path, AliasFile) for path in _files(self.folder / name / "aliases")]

    def evidence(self, name: str, number: int) -> EvidenceFile:
        """Return the evidence of a version, empty where none was given."""
        path = self.evidence_path(name, number)
        return _read(path, EvidenceFile) if path.exists() else EvidenceFile(seq=0, records={})

    def place(self, name: str = "", kind: str = "", key: str = "") -> str:
        """Return where something is kept: all, a name, or one thing of a kind."""
        file = f"{int(key):06d}.json" if key.isdigit() else f"{key}.json" if key else ""
        return str(self.folder / name / kind / file)

    def version_path(self, name: str, number: int) -> Path:
        """Return the file of a version."""
        return self.folder / name / "versions" / f"{number:06d}.json"

    def evidence_path(self, name: str, number: int) -> Path:
        """Return the file of a version's evidence."""
        return self.folder / name / "evidence" / f"{number:06d}.json"

    def alias_path(self, name: str, alias: str) -> Path:
        """Return the file of an alias."""
        return self.folder / name / "aliases" / f"{alias}.json"

    def applied(self, entry: Entry) -> bool:
        """Return whether the files hold what a line of the log announced, or something later."""
        if entry.action == REGISTER:
            number = int(entry.to)
            written = self.version_path(entry.name, number).exists()
            return written and self._has_evidence(entry, number)
        if entry.action == EVIDENCE:
            return self._has_evidence(entry, int(entry.to))
        move = move_of(entry)
        if move is None:
            return True
        found = self.alias(move.name, move.alias)
        return found is not None and found.seq >= entry.seq

    def apply(self, entry: Entry) -> None:
        """Write what a line of the log announced; doing it again changes nothing."""
        if entry.action == REGISTER:
            self._write_version(entry)
            self._write_evidence(entry)
        elif entry.action == EVIDENCE:
            self._write_evidence(entry)
        elif not self.applied(entry):
            self._write_alias(entry)

    def _write_version(self, entry: Entry) -> None:
        path = self.version_path(entry.name, int(entry.to))
        if not write_new(path, canonical_json(version_of(entry)), mode=_READ_ONLY):
            found = _read(path, VersionFile)
            if found != version_of(entry):
                raise ConflictError(
                    f"{entry.name}@{entry.to} exists already, with another digest",
                    where=str(path),
                    why=f"line {entry.seq} of the audit log gave this number to "
                    f"{str(entry.details['digest'])[:16]}…, the file says {found.digest[:16]}…",
                    fix="restore audit.jsonl and registry/ from a copy of the workspace",
                )

    def _write_evidence(self, entry: Entry) -> None:
        number, added = int(entry.to), dict(entry.details.get("evidence", {}))
        known = self.evidence(entry.name, number)
        if added and known.seq < entry.seq:
            both = EvidenceFile(seq=entry.seq, records={**known.records, **added})
            write_bytes(self.evidence_path(entry.name, number), canonical_json(both))

    def _write_alias(self, entry: Entry) -> None:
        move = move_of(entry)
        if move is not None:
            content = AliasFile(alias=move.alias, number=move.to, digest=move.digest, seq=move.seq)
            write_bytes(self.alias_path(move.name, move.alias), canonical_json(content))

    def _has_evidence(self, entry: Entry, number: int) -> bool:
        if not entry.details.get("evidence"):
            return True
        return self.evidence(entry.name, number).seq >= entry.seq


def version_of(entry: Entry) -> VersionFile:
    """Return the version that a ``register`` line announces."""
    return VersionFile(
        name=entry.name,
        number=int(entry.to),
        digest=str(entry.details["digest"]),
        created=entry.time,
        who=entry.who,
        seq=entry.seq,
    )


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.glob("*.json") if not is_temporary(path))


def _read(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(read_bytes(path), type=kind)
    except msgspec.MsgspecError as error:
        raise IntegrityError(
            f"{path.name} of the registry cannot be read",
            where=str(path),
            why=str(error),
            fix="restore it from a copy of the workspace",
        ) from None
