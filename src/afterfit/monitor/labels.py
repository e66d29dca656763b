"""The join of predictions and the labels that come later, in one file and at constant memory.

What a prediction's label is depends only on what was read, never on its order: of all labels of
its id, and of its entity where they name no prediction, the one with the greatest time counts. So
a duplicate, a correction, a late label, or one that comes before its prediction changes
nothing but what it should. Source and join go on together: rows and the cursor behind them are
written in one transaction, so a process that is killed loses nothing and counts nothing twice.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from afterfit.core.cuts import Cut
from afterfit.core.frame import is_missing
from afterfit.errors import IntegrityError
from afterfit.monitor.batches import Batch, Cursor, Labels
from afterfit.records.signals import Scope

__all__ = ["HOUR_US", "Joined", "LabelJoin", "Series"]

HOUR_US = 3_600_000_000
CHUNK = 10_000
BUSY_S = 30.0
VERSION = 1
_SCHEMA = """
CREATE TABLE predictions (
  number INTEGER PRIMARY KEY, series INTEGER NOT NULL, id TEXT NOT NULL, entity TEXT NOT NULL,
  ts INTEGER NOT NULL, served INTEGER NOT NULL, code INTEGER NOT NULL, score REAL,
  probabilities BLOB, groups TEXT NOT NULL, told TEXT,
  truth TEXT, label_ts INTEGER, first_ts INTEGER);
CREATE UNIQUE INDEX predictions_id ON predictions (id, series) WHERE id <> '';
CREATE INDEX predictions_entity ON predictions (entity) WHERE entity <> '';
CREATE INDEX predictions_time ON predictions (series, ts);
CREATE TABLE labels (
  id TEXT NOT NULL, entity TEXT NOT NULL, model TEXT NOT NULL, first_ts INTEGER NOT NULL,
  ts INTEGER NOT NULL, value TEXT NOT NULL, PRIMARY KEY (id, entity, model)) WITHOUT ROWID;
CREATE INDEX labels_entity ON labels (entity) WHERE entity <> '';
CREATE TABLE series (number INTEGER PRIMARY KEY, model TEXT NOT NULL, key TEXT UNIQUE NOT NULL);
CREATE TABLE cursors (source TEXT PRIMARY KEY, cursor TEXT NOT NULL);
CREATE TABLE tallies (name TEXT PRIMARY KEY, n INTEGER NOT NULL);
CREATE TABLE touched (series INTEGER, hour INTEGER, PRIMARY KEY (series, hour)) WITHOUT ROWID;
"""
_LABEL = """
INSERT INTO labels VALUES (:id, :entity, :model, :ts, :ts, :value)
ON CONFLICT DO UPDATE SET
  first_ts = min(first_ts, excluded.first_ts),
  value = CASE WHEN (excluded.ts, excluded.value) > (ts, value)
          THEN excluded.value ELSE value END,
  ts = max(ts, excluded.ts)
"""
# Every label of a prediction; ``p`` is the prediction. Of equal times the greatest text counts.
_OF_ONE = """
SELECT {what} FROM (
  SELECT l.ts, l.value, l.first_ts, l.model FROM labels l WHERE p.id <> '' AND l.id = p.id
  UNION ALL
  SELECT l.ts, l.value, l.first_ts, l.model FROM labels l
  WHERE p.entity <> '' AND l.entity <> '' AND l.entity = p.entity
    AND (l.id = '' OR NOT EXISTS (SELECT 1 FROM predictions q WHERE q.id = l.id AND q.id <> '')))
WHERE model IN ('', (SELECT s.model FROM series s WHERE s.number = p.series))
"""
_BEST = _OF_ONE + " ORDER BY ts DESC, value DESC LIMIT 1"
_JOIN = f"""
UPDATE predictions AS p SET
  truth = coalesce(({_BEST.format(what="value")}), told),
  label_ts = coalesce(({_BEST.format(what="ts")}), CASE WHEN told IS NULL THEN NULL ELSE ts END),
  first_ts = coalesce(({_OF_ONE.format(what="min(first_ts)")}),
                      CASE WHEN told IS NULL THEN NULL ELSE ts END)
WHERE number IN (SELECT number FROM temp.stale)
"""  # noqa: S608 - only constants of this module


class Series(msgspec.Struct, frozen=True):
    """Of what a window is: a version's scope and the role it served in."""

    scope: Scope
    role: str = "primary"


@dataclass(frozen=True)
class Joined:
    """Some predictions in the order of time, each with what is known of it.

    ``ts`` int64 µs; ``scores`` float64, NaN without one; ``codes`` int64, -1 where unknown;
    ``probabilities`` float64 of [n, classes] or None; ``truth`` object, None without a label;
    ``groups`` maps each named column to the group of every row, empty text where unknown.
    """

    ts: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]
    codes: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float64] | None
    truth: npt.NDArray[np.object_]
    groups: Mapping[str, npt.NDArray[np.object_]]

    def __len__(self) -> int:
        """Return the number of predictions."""
        return len(self.ts)


class LabelJoin:
    """Predictions and labels in the file at ``path``, which is made where it is not there.

    ``cuts`` says which columns' groups are kept beside each prediction, and how numbers are cut.
    Rows without an id, entity or label of their own can never get one and are not kept. One
    process writes at a time; others may read. Raises IntegrityError for a file that is no join.
    """

    def __init__(self, path: Path, *, cuts: Sequence[Cut] = ()) -> None:
        self.path = path
        self._cuts = tuple(cuts)
        try:
            # Made by its owner alone: it holds who was predicted what.
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
            self._prepare()
        except sqlite3.DatabaseError as error:
            raise IntegrityError(
                "the join of predictions and labels cannot be read",
                where=str(path),
                why=str(error),
                fix=f"move it away, and have the log read again: mv {path} {path}.broken",
            ) from None

    def _prepare(self) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        self._db.execute("PRAGMA journal_mode = WAL")
        # With a write-ahead log, a killed process loses nothing; a power cut may lose the last
        # transactions, cursor and rows together, which are then read again.
        self._db.execute("PRAGMA synchronous = NORMAL")
        if version not in (0, VERSION):
            raise IntegrityError(
                f"the join has version {version}, this is version {VERSION}",
                where=str(self.path),
                fix=f"move it away, and have the log read again: mv {self.path} {self.path}.old",
            )
        if not version:
            self._db.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version = {VERSION};COMMIT;")
        self._db.execute("CREATE TEMP TABLE stale (number INTEGER PRIMARY KEY)")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def transaction(self, source: str, cursor: Cursor) -> Iterator[None]:
        """Write all that is added within and the cursor behind it, or nothing."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute(
                "INSERT OR REPLACE INTO cursors VALUES (?, ?)", (source, json.dumps(cursor))
            )
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def cursor(self, source: str) -> Cursor:
        """Return where a source goes on; empty is its beginning."""
        row = self._db.execute("SELECT cursor FROM cursors WHERE source = ?", (source,)).fetchone()
        found: Cursor = json.loads(row[0]) if row else {}
        return found

    def add(self, part: Batch | Labels) -> None:
        """Add predictions or labels; what is there already changes nothing and is counted."""
        self._db.execute("DELETE FROM temp.stale")
        if isinstance(part, Labels):
            self._add_labels(part)
        else:
            self._add_predictions(part)
        self._db.execute(_JOIN)
        self._db.execute(
            "INSERT OR IGNORE INTO touched SELECT series, ts / ? FROM predictions "
            "WHERE number IN (SELECT number FROM temp.stale)",
            (HOUR_US,),
        )

    def _add_labels(self, labels: Labels) -> None:
        columns = (labels.ids, labels.entities, labels.ts, labels.values)
        rows: list[dict[str, Any]] = [
            {
                "id": str(i or ""),
                "entity": str(e or ""),
                "model": labels.model,
                "ts": int(ts),
                "value": json.dumps(_plain(value)),
            }
            for i, e, ts, value in zip(*(c.tolist() for c in columns), strict=True)
            if (i or e) and not is_missing(value)
        ]
        known = "SELECT 1 FROM labels WHERE (id, entity, model, ts, value) = (?, ?, ?, ?, ?)"
        for row in rows:
            same = tuple(row[name] for name in ("id", "entity", "model", "ts", "value"))
            if self._db.execute(known, same).fetchone():
                self._tally("duplicate_labels")
                continue
            self._db.execute(_LABEL, row)
            self._stale("id <> '' AND id = ?", row["id"])
            self._stale("entity <> '' AND entity = ?", row["entity"])

    def _add_predictions(self, batch: Batch) -> None:
        series = self._series(batch)
        insert = (
            "INSERT OR IGNORE INTO predictions (series, id, entity, ts, served, code, score, "
            "probabilities, groups, told) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        )
        for row in self._rows(batch):
            done = self._db.execute(insert, (series, *row))
            if not done.rowcount:
                self._tally("duplicate_predictions")
                continue
            self._db.execute("INSERT OR IGNORE INTO temp.stale VALUES (?)", (done.lastrowid,))
            # A label of this id may have been taken for others of its entity until now.
            of_id = "SELECT entity FROM labels WHERE id <> '' AND id = ?"
            self._stale(f"entity <> '' AND entity IN ({of_id})", row[0])

    def _rows(self, batch: Batch) -> Iterator[tuple[Any, ...]]:
        n = len(batch)
        groups = self._groups(batch)
        told = [None] * n if batch.truth is None else batch.truth.tolist()
        shown = batch.probabilities if batch.probabilities is not None else [None] * n
        columns = (batch.ids, batch.entities, batch.ts, batch.kinds, batch.codes, batch.scores)
        lists = (column.tolist() for column in columns)
        for i, entity, ts, kind, code, score, p, group, truth in zip(
            *lists, shown, groups, told, strict=True
        ):
            own = None if is_missing(truth) else json.dumps(_plain(truth))
            if i or entity or own is not None:
                packed = p.tobytes() if p is not None and len(p) > 2 else None
                value = None if score != score else score  # noqa: PLR0124 - NaN
                served = kind == "served"
                yield i or "", entity or "", ts, served, code, value, packed, group, own

    def _groups(self, batch: Batch) -> list[str]:
        names: dict[str, list[str]] = {}
        for cut in self._cuts:
            if cut.name in batch.frame:
                words = {span.first: span.name for span in cut.spans() if span.first == span.last}
                codes = cut.codes(batch.frame[cut.name]).tolist()
                names[cut.name] = [words.get(code, "") for code in codes]
        if not names:
            return ["{}"] * len(batch)
        lines = zip(*names.values(), strict=True)
        return [json.dumps(dict(zip(names, line, strict=True))) for line in lines]

    def _series(self, batch: Batch) -> int:
        key = msgspec.json.encode(Series(batch.scope, batch.role)).decode()
        self._db.execute(
            "INSERT OR IGNORE INTO series (model, key) VALUES (?, ?)", (batch.scope.model, key)
        )
        number: int = self._db.execute(
            "SELECT number FROM series WHERE key = ?", (key,)
        ).fetchone()[0]
        return number

    def _stale(self, where: str, value: str) -> None:
        """Mark predictions whose label is to be looked up anew."""
        if value:
            self._db.execute(
                f"INSERT OR IGNORE INTO temp.stale SELECT number FROM predictions WHERE {where}",  # noqa: S608
                (value,),
            )

    def _tally(self, name: str) -> None:
        self._db.execute(
            "INSERT INTO tallies VALUES (?, 1) ON CONFLICT DO UPDATE SET n = n + 1", (name,)
        )

    def series(self) -> list[Series]:
        """Return all versions and roles of which there is a prediction."""
        rows = self._db.execute("SELECT key FROM series ORDER BY number").fetchall()
        return [msgspec.json.decode(key, type=Series) for (key,) in rows]

    def tallies(self) -> dict[str, int]:
        """Return how many predictions, labels, duplicates of both and unknown labels there are.

        A label is unknown while no prediction has its id or entity: it may be early. ``early``
        counts labels that say they were known before their prediction was made, which two clocks
        that differ do; they count like others.
        """
        found = dict(self._db.execute("SELECT name, n FROM tallies").fetchall())
        queries = {
            "predictions": "SELECT count(*) FROM predictions",
            "labels": "SELECT count(*) FROM labels",
            "labelled": "SELECT count(*) FROM predictions WHERE truth IS NOT NULL",
            "early": "SELECT count(*) FROM predictions WHERE label_ts < ts",
            "unknown_labels": "SELECT count(*) FROM labels l WHERE NOT EXISTS (SELECT 1 FROM "
            "predictions p WHERE p.id <> '' AND p.id = l.id) AND NOT EXISTS (SELECT 1 FROM "
            "predictions p WHERE p.entity <> '' AND p.entity = l.entity)",
        }
        return found | {name: self._db.execute(q).fetchone()[0] for name, q in queries.items()}

    def touched(self) -> list[tuple[Series, int]]:
        """Return each hour (µs since 1970, its start) whose predictions or labels changed."""
        rows = self._db.execute(
            "SELECT s.key, t.hour FROM touched t JOIN series s ON s.number = t.series "
            "ORDER BY s.number, t.hour"
        ).fetchall()
        return [(msgspec.json.decode(key, type=Series), hour * HOUR_US) for key, hour in rows]

    def forget_touched(self, hours: Sequence[tuple[Series, int]]) -> None:
        """Take hours off the list, after all that is told of them has been written."""
        self._db.executemany(
            "DELETE FROM touched WHERE hour = ? AND series = "
            "(SELECT number FROM series WHERE key = ?)",
            [(at // HOUR_US, msgspec.json.encode(series).decode()) for series, at in hours],
        )

    def read(self, series: Series, start: int, end: int) -> Iterator[Joined]:
        """Yield the served predictions of a window in the order of time, 10,000 at a time."""
        key = msgspec.json.encode(series).decode()
        found = self._db.execute(
            "SELECT ts, score, code, probabilities, truth, groups FROM predictions "
            "WHERE series = (SELECT number FROM series WHERE key = ?) AND served "
            "AND ts >= ? AND ts < ? ORDER BY ts, id, number",
            (key, start, end),
        )
        while rows := found.fetchmany(CHUNK):
            yield _joined(rows)

    def query(self, text: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Return the rows of a query of this module's tables; see `maturity`."""
        return self._db.execute(text, values).fetchall()

    def prune(self, before: int) -> int:
        """Forget predictions and labels from before a moment (µs); return how many predictions.

        A prediction that stays keeps the label it has, unless another one comes for it.
        """
        self._db.execute("BEGIN IMMEDIATE")
        gone = self._db.execute("DELETE FROM predictions WHERE ts < ?", (before,)).rowcount
        self._db.execute("DELETE FROM labels WHERE ts < ?", (before,))
        self._db.execute("DELETE FROM touched WHERE hour < ?", (before // HOUR_US,))
        self._db.execute("COMMIT")
        return gone


def _joined(rows: list[tuple[Any, ...]]) -> Joined:
    ts, scores, codes, shown, truth, groups = zip(*rows, strict=True)
    width = max((len(p) // 8 for p in shown if p is not None), default=0)
    table = None
    if width:
        table = np.full((len(rows), width), np.nan)
        for place, packed in enumerate(shown):
            if packed is not None and len(packed) == 8 * width:
                table[place] = np.frombuffer(packed)
    values = np.empty(len(rows), object)
    values[:] = [None if text is None else json.loads(text) for text in truth]
    known = [json.loads(text) for text in groups]
    names = dict.fromkeys(name for group in known for name in group)
    return Joined(
        np.array(ts, np.int64),
        np.array([np.nan if s is None else s for s in scores], np.float64),
        np.array(codes, np.int64),
        table,
        values,
        {name: np.array([g.get(name, "") for g in known], object) for name in names},
    )


def _plain(value: Any) -> Any:
    """Return a label as JSON knows it."""
    return value.item() if isinstance(value, np.generic) else value
