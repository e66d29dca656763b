"""A log of any length as what a report needs: inputs counted, quality by row up to a limit.

Inputs become counts at once. For quality each prediction keeps some 60 bytes; of more than
``MOST_KEPT`` predictions a sample that depends on the seed alone is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from afterfit.core.fingerprint import Fingerprint
from afterfit.core.signature import Signature
from afterfit.monitor.batches import Batch
from afterfit.monitor.log import Log, iso, moment
from afterfit.monitor.sample import Sample, mixed
from afterfit.monitor.state import is_one_value

__all__ = ["MOST_KEPT", "MOST_SAMPLED", "gather"]

MOST_KEPT = 1_000_000
MOST_SAMPLED = 25_000
_KEPT = ("scores", "probabilities", "codes", "truth", "queue_us", "infer_us", "marks", "ts")


def gather(
    batches: Iterable[Batch],
    signature: Signature,
    fingerprint: Fingerprint | None = None,
    *,
    since: str = "",
    until: str = "",
    digest: str = "",
    seed: int = 0,
    most: int = MOST_KEPT,
) -> Log:
    """Return the log of answered predictions, in any order; rows of one id count once.

    The first row of an id is its prediction; of the labels in its rows the greatest ``ts`` wins,
    of equal ones the last. ``fingerprint`` gives the bins on which inputs and outputs are counted.
    """
    gathering = _Gathering(signature, fingerprint, seed, most)
    bounds = (moment(since) if since else 0, moment(until) if until else 2**63 - 1)
    for batch in batches:
        inside = (batch.ts >= bounds[0]) & (batch.ts < bounds[1])
        part = batch if inside.all() else batch.take(inside)
        if len(part):
            gathering.add(part, digest)
    return gathering.log()


class _Seen:
    """The keys that were there, in sorted runs of which each is less than half of the one before.

    A key takes 8 bytes, and is looked for in few runs.
    """

    def __init__(self) -> None:
        self._runs: list[np.ndarray] = []

    def first(self, keys: np.ndarray) -> np.ndarray:
        """Return which keys were not there before, bool of [n], and keep them."""
        found = np.zeros(len(keys), dtype=bool)
        found[np.unique(keys, return_index=True)[1]] = True
        for run in self._runs:
            places = np.minimum(np.searchsorted(run, keys), len(run) - 1)
            found &= run[places] != keys
        new = np.sort(keys[found])
        while self._runs and len(self._runs[-1]) < 2 * len(new):
            new = np.sort(np.concatenate([self._runs.pop(), new]))
        if len(new):
            self._runs.append(new)
        return found


@dataclass
class _Gathering:
    signature: Signature
    fingerprint: Fingerprint | None
    seed: int
    most: int
    live: Fingerprint | None = None
    served: int = 0
    labelled: int = 0
    duplicates: int = 0
    elsewhere: int = 0
    versions: dict[str, Counter[str]] = field(default_factory=dict)
    span: list[int] = field(default_factory=list)
    kept: list[dict[str, np.ndarray | None]] = field(default_factory=list)
    kept_rows: int = 0
    seen: _Seen = field(default_factory=_Seen)
    late: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = field(default_factory=list)

    sample: Sample | None = None

    def __post_init__(self) -> None:
        if self.fingerprint is not None:
            self.live = self.fingerprint.blank()
            self.sample = Sample.like(self.fingerprint, self.seed, MOST_SAMPLED)

    def add(self, batch: Batch, digest: str) -> None:
        keys = _keys(batch)
        if keys is not None:
            first = self.seen.first(keys)
            if not first.all():
                self._add_late(batch.take(~first), keys[~first])
                self.duplicates += int((~first).sum())
                batch, keys = batch.take(first), keys[first]
        version = batch.scope.digest or "unknown"
        if not len(batch):
            return
        self.versions.setdefault(version, Counter())[batch.role] += len(batch)
        if digest and batch.scope.digest != digest:
            self.elsewhere += len(batch)
            return
        self.served += len(batch)
        known = batch.ts[batch.ts > 0]
        if len(known):
            times = [*self.span, int(known.min()), int(known.max())]
            self.span = [min(times), max(times)]
        if self.live is not None:
            self.live.update(batch.frame, batch.scores)
            if self.sample is not None and batch.marks is not None and batch.frame:
                self.sample.update(batch.marks, batch.frame, batch.scores, self.live)
        self._keep(batch, keys)

    def _add_late(self, batch: Batch, keys: np.ndarray) -> None:
        """Remember the labels of rows that were there before."""
        if batch.truth is not None:
            known = np.array([value is not None for value in batch.truth.tolist()], dtype=bool)
            self.late.append((keys[known], batch.ts[known], batch.truth[known]))

    def _keep(self, batch: Batch, keys: np.ndarray | None) -> None:
        if batch.truth is not None:
            self.labelled += sum(value is not None for value in batch.truth.tolist())
        self.kept.append({name: getattr(batch, name) for name in _KEPT} | {"keys": keys})
        self.kept_rows += len(batch)
        if self.kept_rows > 2 * self.most:
            self._reduce()

    def _reduce(self) -> None:
        """Keep the rows whose numbers come first when mixed with the seed."""
        whole = self._joined()
        if self.kept_rows > self.most and whole["marks"] is not None:
            keys = mixed(whole["marks"], self.seed)
            rows = np.sort(np.argpartition(keys, self.most - 1)[: self.most])
            whole = {name: None if part is None else part[rows] for name, part in whole.items()}
            self.kept_rows = self.most
        self.kept = [whole]

    def _joined(self) -> dict[str, Any]:
        parts: dict[str, list[np.ndarray]] = {}
        for kept in self.kept:
            for name, part in kept.items():
                if part is not None:
                    parts.setdefault(name, []).append(part)
        return dict.fromkeys((*_KEPT, "keys")) | {
            name: found[0] if len(found) == 1 else np.concatenate(found)
            for name, found in parts.items()
        }

    def log(self) -> Log:
        self._reduce()
        kept = self.kept[0]
        truth = _or_empty(kept["truth"], object, self.kept_rows)
        labels = self.labelled + (self._join_late(truth, kept) if self.late else 0)
        counts = {"served": self.served, "refused": 0, "failed": 0, "label": labels}
        more = {
            "label_joined": labels,
            "duplicate": self.duplicates,
            "of_other_versions": self.elsewhere,
        }
        waits = {name: _or_empty(kept[f"{name}_us"], np.int64) for name in ("queue", "infer")}
        marks = _or_empty(kept["marks"], np.uint64)
        return Log(
            counts=counts | {name: value for name, value in more.items() if value},
            versions={name: dict(roles) for name, roles in sorted(self.versions.items())},
            period=(iso(self.span[0]), iso(self.span[1])) if self.span else None,
            scores=_or_empty(kept["scores"], np.float64),
            probabilities=kept["probabilities"],
            codes=_or_empty(kept["codes"], np.int64),
            truth=truth,
            waits={name: values[values >= 0] for name, values in waits.items()},
            flags={},
            errors={},
            frame={},
            rows=(marks & np.uint64(0xFFFF_FFFF)).astype(np.int64),
            answers_only=True,
            live=self.live,
            sample=self.sample,
            ts=_or_empty(kept["ts"], np.int64),
        )

    def _join_late(self, truth: np.ndarray, kept: dict[str, Any]) -> int:
        """Set labels that came in later rows; return how many predictions had none before."""
        keys, ts, values = (np.concatenate(part) for part in zip(*self.late, strict=True))
        places = {key: row for row, key in enumerate(kept["keys"].tolist())}
        own, new = kept["ts"].copy(), 0
        for key, when, value in zip(keys.tolist(), ts.tolist(), values.tolist(), strict=True):
            row = places.get(key)
            if row is not None and (truth[row] is None or when >= own[row]):
                new += truth[row] is None
                truth[row], own[row] = value, when
        return new


def _keys(batch: Batch) -> np.ndarray | None:
    """Return a number of each id, int64 of [n]; None where a log has no ids.

    The numbers are of this process alone. Rows without an id are none of another's.
    """
    if is_one_value(batch.ids):
        return None
    ids = batch.ids.tolist()
    marks = np.zeros(len(ids), np.uint64) if batch.marks is None else batch.marks
    named = ((each or ("", mark)) for each, mark in zip(ids, marks.tolist(), strict=True))
    return np.fromiter(map(hash, named), np.int64, len(ids))


def _or_empty(values: np.ndarray | None, dtype: Any, n: int = 0) -> np.ndarray:
    if values is not None:
        return values
    return np.full(n, None, dtype) if n else np.empty(0, dtype)
