"""Two versions on the same rows: what they get right, which decisions flip and where, how fast."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from afterfit.assess.compare import compared_metrics, in_order
from afterfit.assess.config import AssessConfig
from afterfit.assess.evidence import Rows
from afterfit.assess.gain import Other, paired_comparison
from afterfit.assess.slice_test import LEAST_ROWS, TAIL, Losses, Trial, confirm
from afterfit.assess.slices import LEAST_OF_ALL, LEAST_SHARE, candidates, halves
from afterfit.assess.structure import units_of
from afterfit.core.bundle import Bundle
from afterfit.core.dataset import Dataset
from afterfit.core.frame import Predictions
from afterfit.core.metric import Metric
from afterfit.core.quality import encode_truth, labelled_rows
from afterfit.core.signature import Signature
from afterfit.errors import InputError, UsageError
from afterfit.models.hosted import HostedVariant
from afterfit.records.diff import Direction, Flip, FlipSlice, MetricPair, RowsCompared
from afterfit.stats.interval import mean_interval, wilson
from afterfit.stats.quantile import quantile_metric
from afterfit.store.tables import read_dataset

if TYPE_CHECKING:
    from afterfit.registry.version import Version
    from afterfit.workspace.space import Workspace

__all__ = ["compare_on_rows", "full_reference"]

TIMED_ROWS, WARM_ROWS = 200, 10
MOST_SECONDS = 60.0
"""For the search for slices, and for what is timed."""
RATE = 0.02
"""The share of false findings among slices that are told, at most; as in `assess`."""


def full_reference(space: Workspace, ref: str) -> str:
    """Return ``churn@3`` for ``3`` where the workspace has one model; else ``ref`` as it is."""
    if not re.fullmatch(r"\d{1,6}", ref):
        return ref
    names = space.registry.names()
    if len(names) == 1:
        return f"{names[0]}@{ref}"
    raise UsageError(
        f"{ref} is a number without a model",
        why=f"there are: {', '.join(names) or 'no models'}",
        fix=f"write, for example: {(names or ('churn',))[0]}@{ref}",
    )


class _Asked(NamedTuple):
    """One version that can be asked."""

    version: Version
    signature: Signature
    model: HostedVariant

    @property
    def name(self) -> str:
        return f"{self.version.name}@{self.version.number}"


def compare_on_rows(space: Workspace, old: str, new: str, source: Path) -> RowsCompared:
    """Return what two versions say of the same rows, each in a process of its own.

    Rows without a label count for flips, not for metrics. Raises InputError for rows that lack a
    column of either version, or where they answer different questions.
    """
    with ExitStack() as stack:
        before, after = (_opened(space, stack, ref) for ref in (old, new))
        _require_same_question(before, after)
        data = _rows(space, source, before.signature, after.signature)
        space.progress.step("predict")
        theirs = in_order(before.name, before.signature, _answers(before, data), after.signature)
        ours = _answers(after, data)
        config = AssessConfig(seed=space.config.line.seed)
        space.progress.step("compare")
        skipped: list[str] = []
        pairs, labelled = _metrics(after.signature, data, ours, theirs, config, skipped)
        moved = _moved(after.signature, ours, theirs)
        slices, tested = _slices(after.signature, data, ours, moved, config, skipped)
        return RowsCompared(
            source=str(source),
            data=data.digest,
            n=len(data),
            labelled=labelled,
            metrics=pairs,
            changed=_changed(moved, config.level),
            flips=_flips(after.signature, data, ours, theirs),
            slices=slices,
            tested=tested,
            largest=_largest(after.signature, ours, theirs),
            latency=_latency(before, after, data, config.level),
            skipped=tuple(skipped),
        )


def _opened(space: Workspace, stack: ExitStack, ref: str) -> _Asked:
    version = space.registry.resolve(ref)
    bundle = Bundle(space.registry.checkout(version))
    model = stack.enter_context(HostedVariant(bundle.folder, bundle.variant, bundle.signature))
    return _Asked(version, bundle.signature, model)


def _require_same_question(old: _Asked, new: _Asked) -> None:
    one, two = old.signature, new.signature
    if one.task != two.task or set(one.classes) != set(two.classes):
        raise InputError(
            f"{old.name} and {new.name} answer different questions",
            why=f"{one.task} with classes {list(one.classes)}, "
            f"{two.task} with classes {list(two.classes)}",
            fix="leave out --data to compare signature, files and records alone",
        )


def _rows(space: Workspace, source: Path, old: Signature, new: Signature) -> Dataset:
    """Return the rows with the roles of the configuration, and every column that either takes."""
    settings = space.config.data
    header = read_dataset(source).frame.keys()
    names = tuple(dict.fromkeys((*old.names, *new.names)))
    target = next((t for t in (settings.target, new.target, old.target) if t in header), None)
    roles = {"time": settings.time, "group": settings.group, "entity": settings.entity}
    given = {role: name for role, name in roles.items() if name and name in header}
    data = read_dataset(source, target=target, features=names, **given)
    gone = [name for name in names if name not in data.frame]
    if gone:
        raise InputError(
            f"the rows have no column {gone[0]!r}",
            where=str(source),
            why=f"{len(gone)} of the {len(names)} columns of both versions are not there",
            fix="give rows with the columns of both versions",
        )
    return data.select(names)


def _answers(asked: _Asked, data: Dataset) -> Predictions:
    return asked.model.predict(data.select(asked.signature.names).frame)


def _metrics(
    signature: Signature,
    data: Dataset,
    ours: Predictions,
    theirs: Other,
    config: AssessConfig,
    skipped: list[str],
) -> tuple[tuple[MetricPair, ...], int]:
    """Return each metric in pairs, and how many rows had a label."""
    known = np.flatnonzero(data.labelled())
    if not len(known):
        skipped.append("metrics: the rows have no labels")
        return (), 0
    labelled = labelled_rows(data)
    rows = Rows(signature, labelled, encode_truth(signature, labelled), ours.take(known))
    other = theirs._replace(answers=theirs.answers.take(known))
    found = []
    for name in compared_metrics(signature, theirs.signature):
        made = paired_comparison(rows, other, name, config)
        found.append(
            MetricPair(
                name=name,
                old=made.theirs,
                new=made.ours,
                gain=made.gain,
                direction=_direction(made.gain),
                share=made.share,
                needed_n=made.needed_n,
            )
        )
    return tuple(found), len(known)


def _direction(gain: Metric) -> Direction:
    if gain.low is not None and gain.low > 0:
        return "improved"
    if gain.high is not None and gain.high < 0:
        return "regressed"
    return "cannot tell"


class _Moved(NamedTuple):
    """How far each row's answer moved: 0 or 1 where a decision flips, else the value's change."""

    name: str
    unit: str
    by: np.ndarray
    flips: bool


def _moved(signature: Signature, ours: Predictions, theirs: Other) -> _Moved:
    if signature.task == "regression":
        return _Moved("change", signature.target, np.abs(ours.main - theirs.answers.main), False)
    flipped = signature.codes(ours) != theirs.signature.codes(theirs.answers)
    return _Moved("flips", "", flipped.astype(np.float64), True)


def _changed(moved: _Moved, level: float) -> Metric:
    n = len(moved.by)
    value = float(moved.by.mean()) if n else math.nan
    bounds = wilson(moved.by.sum(), n, level) if moved.flips else mean_interval(moved.by, level)
    return Metric.of(moved.name, value, bounds, n=n, level=level, unit=moved.unit, scope="rows")


def _flips(
    signature: Signature, data: Dataset, ours: Predictions, theirs: Other
) -> tuple[Flip, ...]:
    """Return each kind of flip, the most frequent first."""
    if signature.task == "regression":
        return ()
    new, old = signature.codes(ours), theirs.signature.codes(theirs.answers)
    truth = np.full(len(data), -1)
    known = np.flatnonzero(data.labelled())
    if len(known):
        truth[known] = encode_truth(signature, labelled_rows(data))
    found = []
    for was, now in {(int(a), int(b)) for a, b in zip(old, new, strict=True) if a != b}:
        inside = (old == was) & (new == now)
        told = {
            "was_right": int((truth[inside] == was).sum()),
            "is_right": int((truth[inside] == now).sum()),
        }
        labels = [str(signature.classes[code]) for code in (was, now)]
        some = told if (truth[inside] >= 0).any() else {}
        found.append(Flip(old=labels[0], new=labels[1], n=int(inside.sum()), **some))
    return tuple(sorted(found, key=lambda flip: (-flip.n, flip.old, flip.new)))


def _largest(signature: Signature, ours: Predictions, theirs: Other) -> float | None:
    """Return the largest change of a row's value or of a probability."""
    one, two = ours.main, theirs.answers.main
    plain = signature.task == "regression" or (signature.probabilities and one.ndim == two.ndim)
    return float(np.abs(one - two).max()) if plain and len(one) else None


def _slices(
    signature: Signature,
    data: Dataset,
    ours: Predictions,
    moved: _Moved,
    config: AssessConfig,
    skipped: list[str],
) -> tuple[tuple[FlipSlice, ...], int]:
    """Return where answers surely change more than elsewhere, and how many parts were tested."""
    n = len(data)
    if not moved.by.any():
        skipped.append("slices: no answer changes")
        return (), 0
    if n < LEAST_OF_ALL:
        skipped.append(f"slices: {n} rows are too few to look for them; {LEAST_OF_ALL} are needed")
        return (), 0
    truth = moved.by.astype(np.int64) if moved.flips else moved.by
    rows = Rows(signature, data, truth, ours)
    parts = halves(rows, config.seed)
    if parts is None:
        skipped.append("slices: the rows are of one group and cannot be halved")
        return (), 0
    discovery, confirmation = parts
    losses = _losses(moved, discovery)
    least = max(LEAST_ROWS, math.ceil(LEAST_SHARE * len(discovery)))
    frame = {k: v for k, v in data.frame.items() if v.ndim == 1}
    found, whole = candidates(frame, losses, discovery, least, time.monotonic() + MOST_SECONDS)
    if not whole:
        skipped.append(f"slices: the search was cut short after {MOST_SECONDS:g} s")
    units = None if rows.units is None else units_of(data.take(confirmation))
    tested = confirm(frame, Trial(confirmation, losses, config.level, units), found)
    told = [
        FlipSlice(name=s.name, n=s.n, inside=s.inside, outside=s.outside, gap=s.gap, adjusted=p)
        for s in tested
        if (p := s.adjusted) is not None and p <= RATE
    ]
    told.sort(key=lambda part: -(part.gap.value or 0.0))
    return tuple(told), sum(part.verdict != "few" for part in tested)


def _losses(moved: _Moved, discovery: np.ndarray) -> Losses:
    if moved.flips:
        return Losses(moved.name, "", moved.by)
    seen = moved.by[discovery]
    top = float(np.quantile(seen, TAIL)) or float(seen.max()) or float(moved.by.max())
    return Losses(moved.name, moved.unit, np.minimum(moved.by, top), clipped=top)


def _latency(old: _Asked, new: _Asked, data: Dataset, level: float) -> tuple[Metric, ...]:
    """Return the medians of one row, and of the difference, asked in turn on the same rows.

    The way to the process that holds the model and back is in both.
    """
    order = np.arange(min(len(data), TIMED_ROWS + WARM_ROWS))
    times = []
    for number, row in enumerate(_single(data, order)):
        pair = (old, new) if number % 2 else (new, old)
        taken = {asked.version.digest: _ms(asked, row) for asked in pair}
        times.append((taken[old.version.digest], taken[new.version.digest]))
    measured = np.array(times[min(WARM_ROWS, len(times) - 1) :])
    if not len(measured) or old.version.digest == new.version.digest:
        return ()
    columns = {
        f"{old.name}": measured[:, 0],
        f"{new.name}": measured[:, 1],
        "difference": measured[:, 1] - measured[:, 0],
    }
    return tuple(
        quantile_metric("latency_p50", values, 0.5, unit="ms", scope=scope, level=level)
        for scope, values in columns.items()
    )


def _single(data: Dataset, order: np.ndarray) -> Iterator[Dataset]:
    end = time.monotonic() + MOST_SECONDS
    for place in order:
        if time.monotonic() > end:
            return
        yield data.take(np.array([place]))


def _ms(asked: _Asked, row: Dataset) -> float:
    frame = row.select(asked.signature.names).frame
    started = time.perf_counter()
    asked.model.predict(frame)
    return 1000 * (time.perf_counter() - started)
