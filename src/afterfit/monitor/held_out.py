"""The false alarms that a calibration makes on rows of the reference that it has not seen."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from afterfit.core.finding import Finding
from afterfit.core.fingerprint import Fingerprint, build
from afterfit.core.frame import Frame, Predictions, row_count
from afterfit.core.metric import in_percent
from afterfit.core.signature import Signature
from afterfit.errors import InputError
from afterfit.monitor.bins import families, groups_of, line_of
from afterfit.monitor.calibrate import (
    LEAST_ROWS,
    REPLICATES,
    Calibration,
    calibrate_codes,
    coded,
)
from afterfit.monitor.findings import Calibrated, FalseAlarmsAsAsked
from afterfit.stats.interval import wilson, wilson_of_error

__all__ = ["MeasuredRate", "calibration_findings", "measured_rate"]

FOLDS = 5
WINDOWS = 1000
NEAR = 1.25
"""A rate that may be this much off in either direction is as asked."""


class MeasuredRate(msgspec.Struct, frozen=True, kw_only=True):
    """How many of ``windows`` windows of ``n`` rows were alarms where ``asked`` would be right.

    ``low`` and ``high`` bound the share at 95 %. Windows of one fifth of the rows share them and
    their thresholds, so the bounds follow from how the fifths differ; where none was an alarm, from
    as many windows as share no row.
    """

    family: str
    n: int
    asked: float
    windows: int
    alarms: int
    low: float
    high: float

    @property
    def rate(self) -> float:
        """The share of windows that were alarms."""
        return self.alarms / self.windows

    def told(self) -> str:
        """Return it in a sentence."""
        return (
            f"{in_percent(self.rate, 2)} of {self.windows} windows of {self.n} held-out rows were "
            f"alarms ({in_percent(self.low, 2)} to {in_percent(self.high, 2)}), "
            f"asked were {in_percent(self.asked, 2)}"
        )


def measured_rate(
    frame: Frame,
    signature: Signature,
    scores: npt.NDArray[np.float64] | None = None,
    *,
    n: int = 200,
    asked: float = 0.01,
    in_time_order: bool = False,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> list[MeasuredRate]:
    """Return the measured rate of false alarms, of the inputs and, with scores, of the output.

    A fifth of the rows after another is held out (a stretch of neighbours where they are
    ``in_time_order``); the rest is the reference, and windows of ``n`` rows come from what was held
    out, neighbours again. Raises InputError where a fifth has not four such windows.
    """
    rows = row_count(frame)
    if n < LEAST_ROWS or rows // FOLDS < 4 * n:
        raise InputError(
            "the reference is too small to measure false alarms",
            where=f"{rows} rows",
            why=f"windows of {n} rows are cut from a fifth of them",
            fix=f"take windows of {LEAST_ROWS} to {max(LEAST_ROWS, rows // FOLDS // 4)} rows",
        )
    generator = np.random.default_rng(seed)
    order = np.arange(rows) if in_time_order else generator.permutation(rows)
    alarms: dict[str, list[int]] = {}
    each = WINDOWS // FOLDS
    for held in np.array_split(order, FOLDS):
        rest = np.setdiff1d(np.arange(rows), held)
        cut = list(_windows(held, n, each, generator, in_time_order=in_time_order))
        part = {column.name: frame[column.name][rest] for column in signature.columns}
        kept = None if scores is None else Predictions(values=scores[rest])
        reference = build(part, signature, kept)
        codes = coded(reference, frame, scores)
        calibration = calibrate_codes(
            reference,
            {family: rows[rest] for family, rows in codes.items()},
            in_time_order=in_time_order,
            replicates=replicates,
            seed=seed,
            most=n,
        )
        for family, count in _alarms(reference, calibration, codes, cut, asked):
            alarms.setdefault(family, []).append(count)
    return [_rate(family, n, asked, counts, rows) for family, counts in alarms.items()]


def calibration_findings(
    calibration: Calibration, rates: Sequence[MeasuredRate] = ()
) -> Iterator[Finding]:
    """Yield what to think of alarms: from what thresholds come, and whether they keep to it."""
    if calibration.method == "counts":
        yield Calibrated.tip(
            "drift is judged by counts alone, which take columns and rows as independent",
            fix="calibrate with the reference's rows",
        )
    else:
        blocks = f" in blocks of {calibration.block}" if calibration.method == "blocks" else ""
        yield Calibrated.passed(f"from {calibration.n_ref} reference rows{blocks}")
    for rate in rates:
        if rate.low <= rate.asked * NEAR and rate.high >= rate.asked / NEAR:
            yield FalseAlarmsAsAsked.passed(rate.told(), where=rate.family)
        elif rate.high < rate.asked:
            yield FalseAlarmsAsAsked.tip(
                f"fewer than asked: {rate.told()}",
                where=rate.family,
                fix="ask for more false alarms if small changes matter: false_alarms_per_month",
            )
        else:
            yield FalseAlarmsAsAsked.issue(
                rate.told(),
                where=rate.family,
                fix="say whether the rows are in the order of time; or take references by season",
            )
    if not rates:
        yield FalseAlarmsAsAsked.skipped("false alarms were not measured on held-out rows")


def _rate(family: str, n: int, asked: float, alarms: Sequence[int], rows: int) -> MeasuredRate:
    """Return the rate over the fifths, of each of which the alarms were counted."""
    each = WINDOWS // FOLDS
    windows, total = each * FOLDS, sum(alarms)
    rate = total / windows
    bounds = wilson(0, rows // n)
    if 0 < rate < 1:
        apart = float(np.std(np.array(alarms) / each, ddof=1)) / math.sqrt(FOLDS)
        alone = math.sqrt(rate * (1 - rate) / windows)
        bounds = wilson_of_error(rate, max(apart, alone), FOLDS - 1)
    elif rate == 1:
        bounds = wilson(rows // n, rows // n)
    return MeasuredRate(
        family=family,
        n=n,
        asked=asked,
        windows=windows,
        alarms=total,
        low=bounds.low,
        high=bounds.high,
    )


def _windows(
    held: npt.NDArray[np.int64],
    n: int,
    count: int,
    generator: np.random.Generator,
    *,
    in_time_order: bool,
) -> Iterator[npt.NDArray[np.int64]]:
    """Yield windows of rows that were held out, none twice in one window."""
    for _ in range(count):
        if in_time_order:
            start = int(generator.integers(0, len(held) - n + 1))
            yield held[start : start + n]
        else:
            yield generator.choice(held, n, replace=False)


def _alarms(
    reference: Fingerprint,
    calibration: Calibration,
    codes: Mapping[str, npt.NDArray[np.int32]],
    windows: list[npt.NDArray[np.int64]],
    asked: float,
) -> Iterator[tuple[str, int]]:
    """Yield how many windows, rows of which ``codes`` are known, are alarms, by family."""
    for family, columns in families(reference):
        line, n = line_of(columns), len(windows[0])
        counts = [np.bincount(codes[family][w].ravel(), minlength=len(line)) for w in windows]
        after = np.stack(counts).astype(np.float64)
        found = [group.surprises(line, after, n).greatest() for group in groups_of(columns)]
        limit = calibration.threshold(family, n, asked)
        yield family, int((np.maximum.reduce(found) > limit).sum())
