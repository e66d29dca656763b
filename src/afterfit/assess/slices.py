"""Weak slices: parts of the rows, described by one or two columns, where the model is worse.

They are searched for on one half of the rows and tested on the other, so that the test has not
seen what chose them. Rows that hang together (groups, neighbours in time) count as such.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from afterfit.assess.evidence import Evidence, Part, Rows
from afterfit.assess.findings.slices import HardSlice, WeakSlice
from afterfit.assess.slice_search import Coded, Found, distinct, search
from afterfit.assess.slice_test import LEAST_ROWS, Losses, Trial, confirm, losses_of
from afterfit.assess.splits import splits
from afterfit.assess.structure import units_of
from afterfit.core.cuts import cut
from afterfit.core.effort import more_time
from afterfit.core.finding import Check, Finding
from afterfit.core.frame import Frame
from afterfit.core.metric import Metric, in_percent
from afterfit.records.assess_slices import Slice, SliceSearch, SliceVerdict

__all__ = ["LEAST_OF_ALL", "LEAST_SHARE", "candidates", "halves", "weak_slices"]

LEAST_SHARE = 0.01
LEAST_OF_ALL = 200
MOST_DISCOVERY = 100_000
RANGES = 10
EACH = 5
"""Candidates of each of the two searches: by errors, and by errors that were not foreseen."""
MOST_TOLD = 3


def weak_slices(evidence: Evidence) -> Part:
    """Return the slices that are surely and markedly worse, and all that were tested."""
    n = len(evidence.truth)
    if n < LEAST_OF_ALL:
        text = f"{n} rows are too few to look for slices and to test them on others"
        return _both_skipped(text, needed_n=LEAST_OF_ALL)
    if not np.isfinite(evidence.predictions.main).all():
        return _both_skipped("some predictions are not finite")
    if evidence.left <= 0:
        text = "the time was over before slices were looked for"
        return _both_skipped(text, fix=more_time(evidence.config.effort))
    evidence.progress.step("slices")
    parts = halves(evidence, evidence.config.seed)
    if parts is None:
        return _both_skipped("the rows are of one group and cannot be halved", needed_n=n + 1)
    discovery, confirmation = parts
    losses = losses_of(evidence, discovery)
    least = max(LEAST_ROWS, math.ceil(LEAST_SHARE * len(discovery)))
    frame = {k: v for k, v in evidence.data.frame.items() if v.ndim == 1}
    found, whole = candidates(frame, losses, discovery, least, evidence.deadline)
    units = None if evidence.units is None else units_of(evidence.data.take(confirmation))
    trial = Trial(confirmation, losses, evidence.config.level, units)
    tested = confirm(frame, trial, found)
    told = SliceSearch(
        loss=losses.name,
        n_discovery=len(discovery),
        n_confirmation=len(confirmation),
        least=least,
        columns=len(frame),
        slices=tuple(sorted(tested, key=_order)),
        whole=whole,
        clipped=losses.clipped,
    )
    fix = more_time(evidence.config.effort)
    return Part(findings=tuple(_findings(told, losses, fix)), fields={"slices": told})


_VERDICTS: tuple[SliceVerdict, ...] = ("weak", "hard", "slight", "chance", "few")


def _order(part: Slice) -> tuple[int, float]:
    return _VERDICTS.index(part.verdict), -(part.gap.value or 0.0)


def _both_skipped(text: str, *, fix: str = "", **evidence: int) -> Part:
    checks: tuple[type[Check], ...] = (WeakSlice, HardSlice)
    return Part(
        findings=tuple(check.skipped(text, where="", fix=fix, **evidence) for check in checks)
    )


def halves(rows: Rows, seed: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the rows to search and those to test on; of very many, a sample is searched.

    Groups stay whole. Of rows with a time the earlier half is searched, since neighbours are alike.
    """
    units, n = rows.units, len(rows.truth)
    if units is not None and units.kind == "blocks":
        discovery, confirmation = np.sort(units.index[: n // 2]), np.sort(units.index[n // 2 :])
    else:
        group = None if units is None else units.index
        stratify = rows.signature.task != "regression"
        half = next(splits(rows.truth, 2, stratify=stratify, group=group, seed=seed), None)
        if half is None:
            return None
        discovery, confirmation = half.test, half.train
    if len(discovery) > MOST_DISCOVERY:
        random = np.random.default_rng(seed)
        discovery = np.sort(random.choice(discovery, MOST_DISCOVERY, replace=False))
    return discovery, confirmation


def candidates(
    frame: Frame, losses: Losses, discovery: np.ndarray, least: int, deadline: float
) -> tuple[list[Found], bool]:
    """Return the distinct slices of both searches, and whether they came to their ends."""
    columns = []
    for name, values in frame.items():
        part = values[discovery]
        made = cut(name, part, ranges=RANGES, least=least)
        columns.append(Coded(made, made.codes(part)))
    plain = losses.rows[discovery]
    pool, whole = search(columns, plain, least, deadline=deadline)
    first: list[Found] = []
    if losses.foreseen is not None:
        beyond = plain - losses.foreseen[discovery] + plain.mean()
        unforeseen, also = search(columns, beyond, least, deadline=deadline)
        first = distinct(unforeseen, columns, beyond, least, EACH)
        whole = whole and also
    return [*first, *distinct(pool, columns, plain, least, EACH, before=first)], whole


def _findings(told: SliceSearch, losses: Losses, longer: str) -> Iterator[Finding]:
    weak = [part for part in told.slices if part.verdict == "weak"]
    hard = [part for part in told.slices if part.verdict == "hard"]
    tested = sum(part.verdict != "few" for part in told.slices)
    words = "1 candidate slice" if tested == 1 else f"{tested} candidate slices"
    text = f"{words} of {told.columns} columns, tested on {told.n_confirmation} rows"
    for part in weak:
        yield WeakSlice.issue(
            _sentence(part, losses),
            where=part.name,
            fix="look at how these rows are filled, and train on more of them",
            n=part.n,
            adjusted_p=part.beyond_adjusted if losses.foreseen is not None else part.adjusted,
        )
    if not told.whole:
        yield WeakSlice.skipped(f"the time was over in the search: {text}", fix=longer)
    elif not weak:
        yield WeakSlice.passed(f"none is surely and markedly worse: {text}")
    if losses.foreseen is None:
        yield HardSlice.not_applicable("there are no probabilities that could foresee errors")
    elif hard:
        names = "; ".join(f"{part.name}: {_sentence(part, losses)}" for part in hard[:MOST_TOLD])
        more = f"; and {len(hard) - MOST_TOLD} more" if len(hard) > MOST_TOLD else ""
        yield HardSlice.tip(f"{names}{more}", n=sum(part.n for part in hard))
    else:
        yield HardSlice.passed(f"no such part was found: {text}")


def _sentence(part: Slice, losses: Losses) -> str:
    """Return what happens in a slice and elsewhere, in words."""
    inside, outside = part.inside.value or 0.0, part.outside.value or 0.0
    if not losses.rate:
        unit = f" {losses.unit}".rstrip()
        return f"mean absolute error {inside:.3g}{unit} in {part.n} rows, {outside:.3g} elsewhere"
    text = f"{in_percent(inside, 1)} errors in {part.n} rows"
    if part.foreseen is not None:
        text += f" ({in_percent(part.foreseen, 1)} foreseen by its probabilities)"
    text += f", {in_percent(outside, 1)} elsewhere"
    if part.verdict != "weak" or part.beyond is None or part.beyond.value is None:
        return text
    # A slice may have fewer errors than elsewhere, and be weak since hardly any were foreseen.
    return f"{text}; {_points(part.beyond)} beyond what was foreseen"


def _points(beyond: Metric) -> str:
    """Return a difference of shares in points, with its interval where it has one."""
    text = f"{100 * (beyond.value or 0.0):.1f}"
    if beyond.low is not None and beyond.high is not None:
        bounds = f"{100 * beyond.low:.1f} to {100 * beyond.high:.1f}, {in_percent(beyond.level)}"
        return f"{text} points ({bounds})"
    return f"{text} points"
