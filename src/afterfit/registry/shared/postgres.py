"""The registry of a team in PostgreSQL: each change is one transaction under one lock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import msgspec

from afterfit.core.digest import canonical_json
from afterfit.errors import IntegrityError, InternalError, NotFoundError, UnavailableError
from afterfit.registry.audit import (
    Entry,
    Head,
    LogCheck,
    broken,
    check_link,
    checked,
    decoded,
    following,
    utc_now,
)
from afterfit.registry.history import Move, move_of, note_pruned
from afterfit.registry.shared.database import Away, Database
from afterfit.registry.shared.presence import present, pruning_of
from afterfit.registry.shared.tables import CREATE, MADE, MAKING
from afterfit.registry.shelf import (
    EVIDENCE,
    REGISTER,
    AliasFile,
    EvidenceFile,
    VersionFile,
    version_of,
)
from afterfit.registry.storage import Pruning
from afterfit.registry.version import Version

__all__ = ["PostgresStorage"]

_HEAD = "SELECT seq, hash FROM afterfit_registry_head"
_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
_PATIENCE = "SET LOCAL idle_in_transaction_session_timeout = '60s'"
_VERSION = "SELECT name, number, digest, created, who, seq FROM afterfit_registry_versions"
_ALIAS = "SELECT alias, number, digest, seq FROM afterfit_registry_aliases"
_decode_records = msgspec.json.Decoder(dict[str, str]).decode
_LISTED = """
SELECT v.name, v.number, v.digest, v.created, v.who, e.records, a.aliases
FROM afterfit_registry_versions v
LEFT JOIN afterfit_registry_evidence e USING (name, number)
LEFT JOIN (SELECT name, number, array_agg(alias ORDER BY alias) AS aliases
           FROM afterfit_registry_aliases GROUP BY name, number) a USING (name, number)
WHERE v.name = ANY(%s) ORDER BY v.number
"""


class PostgresStorage:
    """The tables of a database; with ``create`` they are made where they are not there.

    Raises NotFoundError where there are none, UnavailableError, ForbiddenError, DependencyError.
    """

    def __init__(
        self, address: str, *, create: bool = True, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self.database = Database(address)
        self.audit = PostgresJournal(self.database, clock)
        self.shelf = PostgresShelf(self.database)
        self.catalog = PostgresCatalog(self.database, self.shelf)
        if not self._made():
            if not create:
                raise NotFoundError(
                    "there is no workspace in this database",
                    where=self.database.where,
                    why="a workspace is made by the first `afterfit ship`",
                    fix="look at the address, or ship into it: afterfit ship MODEL",
                )
            self._make()

    def pruning(self) -> Pruning:
        """Return how often taking bytes away began or ended, and who does it now."""
        return pruning_of(self.database)

    def used(self, now: float) -> dict[str, str]:
        """Return who stands on each digest: the endpoints that were heard of in the last week."""
        return present(self.database, now)

    def settle(self) -> None:
        """Do nothing: a transaction that a crash cut short has left nothing."""

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Do what the block does in one transaction, which begins by locking the head."""
        self.audit.written, done = [], False
        try:
            with self.database.transaction(_PATIENCE):
                self.audit.begin()
                yield
                done = True
        except Away as error:
            if not (done and self._committed(error)):
                raise
        finally:
            self.audit.head = None

    @contextmanager
    def reading(self) -> Iterator[None]:
        """See the log and the tables as they are at one moment."""
        with self.database.transaction(_SNAPSHOT):
            yield

    def _committed(self, error: Away) -> bool:
        """Return whether what was sent when the connection was lost has been committed."""
        if not self.audit.written:
            return True
        last = self.audit.written[-1]
        try:
            found = self.audit.line(last.seq)
        except UnavailableError:
            raise UnavailableError(
                "the database went away while it committed",
                where=error.where,
                why=f"whether line {last.seq} ({last.action}) is in the log cannot be known now; "
                "it is there whole or not at all",
                fix="look when the database is back: afterfit version log",
            ) from None
        return found is not None and found.hash == last.hash

    def _made(self) -> bool:
        return bool(self.database.rows(MADE)[0][0])

    def _make(self) -> None:
        with self.database.transaction():
            self.database.run(MAKING)
            for statement in () if self._made() else CREATE:
                self.database.run(statement)


class PostgresJournal:
    """The audit log as rows; the head is a row of its own."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self.head: Head | None = None
        self.written: list[Entry] = []
        self._database = database
        self._clock = clock
        self._where = f"{database.where} afterfit_registry_log"

    def begin(self) -> None:
        """Lock the head against every other change, until the transaction ends."""
        seq, digest = self._database.rows(f"{_HEAD} FOR UPDATE")[0]
        self.head = Head(seq=seq, hash=digest)
        last = self.line(seq)
        if (last.hash if last else Head().hash) != digest or self.line(seq + 1):
            raise broken(self._where, seq, "afterfit_registry_head holds another hash for it")

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
        """Return the new last line, which is there when the transaction ends."""
        if self.head is None:
            raise InternalError("a line of the log is written only inside of a change")
        entry = following(
            self.head, self._clock(), action,
            who=who, name=name, source=source, to=to, why=why, details=details,
        )  # fmt: skip
        self._database.run(
            "INSERT INTO afterfit_registry_log (seq, name, action, line) VALUES (%s, %s, %s, %s)",
            (entry.seq, name, action, canonical_json(entry).decode()),
        )
        self._database.run(
            "UPDATE afterfit_registry_head SET seq = %s, hash = %s", (entry.seq, entry.hash)
        )
        self.head = Head(seq=entry.seq, hash=entry.hash)
        self.written.append(entry)
        return entry

    def line(self, seq: int) -> Entry | None:
        """Return one line, held against its own hash; None where it is not there."""
        found = self._database.rows("SELECT line FROM afterfit_registry_log WHERE seq = %s", (seq,))
        if not found:
            return None
        entry = decoded(found[0][0].encode(), seq, self._where)
        if entry.computed_hash() != entry.hash or entry.seq != seq:
            raise broken(self._where, seq, "its own hash does not fit its words")
        return entry

    def entries(self) -> Iterator[Entry]:
        """Yield every line in order, each checked against the one before; raises IntegrityError."""
        previous = Head()
        query = "SELECT name, action, line FROM afterfit_registry_log ORDER BY seq"
        for name, action, line in self._database.rows(query):
            entry = decoded(line.encode(), previous.seq + 1, self._where)
            previous = check_link(entry, previous, self._where)
            if (name, action) != (entry.name, entry.action):
                raise broken(self._where, entry.seq, "its columns do not say what the line says")
            yield entry

    def verify(self) -> LogCheck:
        """Return the number of lines and the head hash; raises IntegrityError naming the line."""
        seq, digest = self._database.rows(_HEAD)[0]
        return checked(self.entries(), Head(seq=seq, hash=digest), self._where, ahead=0)


class PostgresShelf:
    """Versions, evidence and aliases as rows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def names(self) -> tuple[str, ...]:
        """Return the names that have a version, sorted."""
        query = "SELECT DISTINCT name FROM afterfit_registry_versions"
        return tuple(sorted(name for (name,) in self._database.rows(query)))

    def versions(self, name: str) -> list[VersionFile]:
        """Return every version of a name by its number."""
        rows = self._database.rows(f"{_VERSION} WHERE name = %s ORDER BY number", (name,))
        return [_version(row) for row in rows]

    def version(self, name: str, number: int) -> VersionFile | None:
        """Return one version, None where there is no such number."""
        rows = self._database.rows(f"{_VERSION} WHERE name = %s AND number = %s", (name, number))
        return _version(rows[0]) if rows else None

    def next_number(self, name: str) -> int:
        """Return the number after the highest."""
        query = "SELECT coalesce(max(number), 0) FROM afterfit_registry_versions WHERE name = %s"
        return int(self._database.rows(query, (name,))[0][0]) + 1

    def alias(self, name: str, alias: str) -> AliasFile | None:
        """Return where an alias points, None where it was never moved."""
        rows = self._database.rows(f"{_ALIAS} WHERE name = %s AND alias = %s", (name, alias))
        return _alias(rows[0]) if rows else None

    def aliases(self, name: str) -> list[AliasFile]:
        """Return every alias of a name, sorted by its own name."""
        rows = self._database.rows(f"{_ALIAS} WHERE name = %s", (name,))
        return sorted((_alias(row) for row in rows), key=lambda each: each.alias)

    def evidence(self, name: str, number: int) -> EvidenceFile:
        """Return the evidence of a version, empty where none was given."""
        query = (
            "SELECT seq, records FROM afterfit_registry_evidence WHERE name = %s AND number = %s"
        )
        rows = self._database.rows(query, (name, number))
        if not rows:
            return EvidenceFile(seq=0, records={})
        return EvidenceFile(seq=rows[0][0], records=_records(rows[0][1], self._database.where))

    def apply(self, entry: Entry) -> None:
        """Do what a line of the log announced, in its transaction."""
        if entry.action == REGISTER:
            new = version_of(entry)
            self._database.run(
                "INSERT INTO afterfit_registry_versions (name, number, digest, created, who, seq)"
                " VALUES (%s, %s, %s, %s, %s, %s)",
                (new.name, new.number, new.digest, new.created, new.who, new.seq),
            )
        if entry.action in {REGISTER, EVIDENCE} and entry.details.get("evidence"):
            self._write_evidence(entry)
        move = move_of(entry)
        if move is not None:
            self._database.run(
                "INSERT INTO afterfit_registry_aliases (name, alias, number, digest, seq)"
                " VALUES (%s, %s, %s, %s, %s) ON CONFLICT (name, alias) DO UPDATE SET"
                " number = excluded.number, digest = excluded.digest, seq = excluded.seq",
                (move.name, move.alias, move.to, move.digest, move.seq),
            )

    def place(self, name: str = "", kind: str = "", key: str = "") -> str:
        """Return where something is kept: all, a name, or one thing of a kind."""
        table = f"afterfit_registry_{kind or 'versions'}"
        return " ".join(part for part in (self._database.where, table, name, key) if part)

    def _write_evidence(self, entry: Entry) -> None:
        number = int(entry.to)
        both = {**self.evidence(entry.name, number).records, **entry.details["evidence"]}
        self._database.run(
            "INSERT INTO afterfit_registry_evidence (name, number, seq, records)"
            " VALUES (%s, %s, %s, %s) ON CONFLICT (name, number) DO UPDATE SET"
            " seq = excluded.seq, records = excluded.records",
            (entry.name, number, entry.seq, canonical_json(both).decode()),
        )


class PostgresCatalog:
    """Answers about many versions, each one query."""

    def __init__(self, database: Database, shelf: PostgresShelf) -> None:
        self._database = database
        self._shelf = shelf

    def files(self, name: str) -> list[VersionFile]:
        """Return every version of a name by its number."""
        return self._shelf.versions(name)

    def versions(self, names: Iterable[str]) -> list[Version]:
        """Return every version of these names with its aliases and evidence, in their order."""
        found: dict[str, list[Version]] = {name: [] for name in names}
        for name, number, digest, created, who, records, aliases in self._database.rows(
            _LISTED, (list(found),)
        ):
            version = Version(
                name=name,
                number=number,
                digest=digest,
                created=created,
                who=who,
                aliases=tuple(aliases or ()),
                evidence=_records(records, self._database.where) if records else {},
            )
            found[name].append(version)
        return [version for versions in found.values() for version in versions]

    def pruned(self) -> set[tuple[str, int]]:
        """Return name and number of each version whose bytes went, and did not come back."""
        found: set[tuple[str, int]] = set()
        for entry in self._lines("action IN ('prune', 'restore')", ()):
            note_pruned(found, entry)
        return found

    def moves(self, name: str, alias: str) -> list[Move]:
        """Return every move of an alias, in order; raises IntegrityError for a changed line."""
        lines = self._lines("name = %s AND action IN ('promote', 'rollback')", (name,))
        found = (move_of(entry) for entry in lines)
        return [move for move in found if move is not None and move.alias == alias]

    def _lines(self, condition: str, values: tuple[Any, ...]) -> Iterator[Entry]:
        """Yield some lines of the log in order, each held against its own hash."""
        where = f"{self._database.where} afterfit_registry_log"
        query = f"SELECT seq, line FROM afterfit_registry_log WHERE {condition} ORDER BY seq"  # noqa: S608 - ours
        for seq, line in self._database.rows(query, values):
            entry = decoded(line.encode(), seq, where)
            if entry.computed_hash() != entry.hash or entry.seq != seq:
                raise broken(where, seq, "its own hash does not fit its words")
            yield entry


def _version(row: tuple[Any, ...]) -> VersionFile:
    name, number, digest, created, who, seq = row
    return VersionFile(name=name, number=number, digest=digest, created=created, who=who, seq=seq)


def _alias(row: tuple[Any, ...]) -> AliasFile:
    alias, number, digest, seq = row
    return AliasFile(alias=alias, number=number, digest=digest, seq=seq)


def _records(text: str, where: str) -> dict[str, str]:
    try:
        return _decode_records(text)
    except msgspec.MsgspecError as error:
        raise IntegrityError(
            "evidence in the database cannot be read",
            where=f"{where} afterfit_registry_evidence",
            why=str(error),
            fix="restore the tables from a copy of the database",
        ) from None
