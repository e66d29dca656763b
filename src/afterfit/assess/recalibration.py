"""Whether a simple map makes the probabilities better, judged on rows that fitted nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from afterfit.assess import findings
from afterfit.assess.evidence import Evidence
from afterfit.assess.splits import Split, splits
from afterfit.core.finding import Finding
from afterfit.core.formulae import find_formula, row_losses
from afterfit.core.metric import Metric, known
from afterfit.errors import InputError, in_record
from afterfit.records.assess_calibration import LossChange, Recalibration
from afterfit.stats.paired import mean_difference
from afterfit.stats.recalibration import Map, fit_isotonic, fit_platt, fit_temperature

FOLDS, INNER_FOLDS = 5, 2
LEAST_OF_SIDE = 20
MOST_ROWS = 50_000
WORTH_OF_LOSS = 0.01
"""A gain of less than 1 % of the log loss is not worth a map."""
CHOSEN, AS_IT_IS = "chosen", ""
LOSSES = ("log_loss", "brier")
Fit = Callable[[Any, Any], Map | None]
BINARY: dict[str, Fit] = {
    "temperature": fit_temperature,
    "platt": fit_platt,
    "isotonic": fit_isotonic,
}
SEVERAL: dict[str, Fit] = {"temperature": fit_temperature}
"""A map of each class apart would change which one is likeliest, so there is one for all."""


@dataclass(frozen=True)
class Recalibrated:
    """What maps do to the losses; ``tested`` are rows and what the chosen map says of them.

    ``best`` is the map of least cross-fitted log loss, empty where leaving it as it is has that.
    ``why`` says why nothing was tried, and ``needed_n`` how many rows would do.
    """

    told: tuple[Recalibration, ...] = ()
    best: str = AS_IT_IS
    tested: tuple[np.ndarray, np.ndarray] | None = None
    why: str = ""
    needed_n: int = 0


@dataclass(frozen=True)
class _Sample:
    """Rows to fit and judge with; ``p`` of [n] for two classes, else of [n, classes]."""

    rows: np.ndarray
    p: np.ndarray
    truth: np.ndarray
    methods: Mapping[str, Fit]

    def loss(self, name: str, p: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return the loss of each of some rows, given probabilities ``p`` of them."""
        return row_losses(name, self.truth[rows].astype(np.int64), p)


def recalibrated(evidence: Evidence, probabilities: np.ndarray) -> Recalibrated:
    """Return each map's losses before and after, cross-fitted over five parts of the rows.

    ``probabilities`` are of [n, classes] within 0 to 1. Groups stay together, and with a time
    column maps are judged on later rows than those that fitted them.
    """
    sample = _sample(evidence, probabilities)
    counts = np.bincount(sample.truth.astype(np.int64), minlength=2)
    if min(counts.max(), len(sample.truth) - counts.max()) < LEAST_OF_SIDE:
        text = f"maps are fitted and judged on at least {LEAST_OF_SIDE} rows of each outcome"
        return Recalibrated(why=text, needed_n=max(2 * LEAST_OF_SIDE, len(sample.truth) + 1))
    if time.monotonic() >= evidence.deadline:
        return Recalibrated(why="the time of the step was over")
    try:
        planned = _planned(evidence, sample)
    except InputError as error:
        return Recalibrated(why=in_record(error))
    if not planned:
        return Recalibrated(why="the rows cannot be split into parts that fit and parts that judge")
    after = _cross_fitted(sample, planned, evidence.config.seed)
    tested = np.sort(np.concatenate([split.test for split in planned]))
    best = _least({name: sample.loss("log_loss", p[tested], tested).mean()
                   for name, p in after.items() if name != CHOSEN})  # fmt: skip
    told = tuple(
        Recalibration(
            method=name,
            parameters=_parameters(sample, best if name == CHOSEN else name),
            losses=tuple(_change(loss, sample, after[name], tested, evidence) for loss in LOSSES),
        )
        for name in (CHOSEN, *sample.methods)
    )
    return Recalibrated(told, best, (sample.rows[tested], after[CHOSEN][tested]))


def _sample(evidence: Evidence, probabilities: np.ndarray) -> _Sample:
    n, positive = len(probabilities), evidence.signature.positive_index
    rows = np.arange(n)
    if n > MOST_ROWS:
        rng = np.random.default_rng(evidence.config.seed)
        rows = np.sort(rng.choice(n, MOST_ROWS, replace=False))
    truth = evidence.truth[rows]
    if probabilities.shape[1] > 2:
        return _Sample(rows, probabilities[rows], truth, SEVERAL)
    code = 1 if positive is None else positive
    return _Sample(rows, probabilities[rows, code], truth == code, BINARY)


def _planned(evidence: Evidence, sample: _Sample) -> list[Split]:
    # Classes spread evenly would tell the part that fits how many the other part has.
    data = evidence.data
    found = splits(
        sample.truth,
        FOLDS,
        stratify=False,
        group=None if data.group is None else data.group[sample.rows],
        seed=evidence.config.seed,
        time=None if data.time is None else data.time[sample.rows],
    )
    return [split for split in found if len(np.unique(sample.truth[split.train])) > 1]


def _cross_fitted(sample: _Sample, planned: list[Split], seed: int) -> dict[str, np.ndarray]:
    """Return what each map, none, and the chosen one say of rows that did not fit them."""
    after = {name: sample.p.copy() for name in (AS_IT_IS, *sample.methods, CHOSEN)}
    for split in planned:
        for name in sample.methods:
            after[name][split.test] = _mapped(sample, name, split.train, split.test)
        chosen = _choice(sample, split.train, seed)
        after[CHOSEN][split.test] = after[chosen][split.test]
    return after


def _choice(sample: _Sample, rows: np.ndarray, seed: int) -> str:
    """Return the map of least log loss by halves of the rows alone."""
    truth = sample.truth[rows]
    losses = dict.fromkeys((AS_IT_IS, *sample.methods), 0.0)
    for split in splits(truth, INNER_FOLDS, stratify=False, group=None, seed=seed):
        train, test = rows[split.train], rows[split.test]
        for name in losses:
            told = sample.p[test] if name == AS_IT_IS else _mapped(sample, name, train, test)
            losses[name] += float(sample.loss("log_loss", told, test).sum())
    return _least(losses)


def _least(losses: Mapping[str, float]) -> str:
    return min(losses, key=lambda name: losses[name])


def _mapped(sample: _Sample, name: str, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return the test rows mapped; as they are where the training rows fit no such map."""
    found = sample.methods[name](sample.p[train], sample.truth[train])
    return sample.p[test] if found is None else found.apply(sample.p[test])


def _parameters(sample: _Sample, name: str) -> dict[str, float]:
    if name == AS_IT_IS:
        return {}
    found = sample.methods[name](sample.p, sample.truth)
    return {} if found is None else found.parameters


def _change(
    name: str, sample: _Sample, after: np.ndarray, rows: np.ndarray, evidence: Evidence
) -> LossChange:
    before, later = (sample.loss(name, p[rows], rows) for p in (sample.p, after))
    gain, bounds = mean_difference(before, later, evidence.config.level)
    varies = bounds.low < bounds.high
    return LossChange(
        name=name,
        before=float(before.mean()),
        after=float(later.mean()),
        gain=Metric(
            name=f"{name}_gain",
            value=known(gain),
            low=known(bounds.low) if varies else None,
            high=known(bounds.high) if varies else None,
            level=evidence.config.level,
            n=len(rows),
            method=f"paired {bounds.method}, {FOLDS} cross-fitted parts"
            if varies
            else "undefined: the differences do not vary",
            unit=find_formula(name).unit,
            scope="calibration",
        ),
    )


def how_to_map(best: str) -> str:
    """Return how to put a map (its name, or none is known) behind a model."""
    method = {"platt": "sigmoid", AS_IT_IS: "sigmoid"}.get(best, best)
    wrapped = f'CalibratedClassifierCV(FrozenEstimator(model), method="{method}")'
    text = f"let a map ship with it: --allow recalibrate; or fit {wrapped} on rows that did not "
    text += "train it, and ship that"
    more = '; its steps may reach 0 and 1, which those of method="sigmoid" never do'
    return text + more if method == "isotonic" else text


def about_recalibration(found: Recalibrated) -> Finding:
    """Return a tip where the chosen map surely makes the log loss smaller by enough."""
    check = findings.RecalibrationHelps
    if found.why:
        more: dict[str, Any] = {"needed_n": found.needed_n} if found.needed_n else {}
        return check.skipped(found.why, **more)
    loss, brier = found.told[0].losses
    n = loss.gain.n
    name = f"{found.best} is best" if found.best else "no map is better; choosing one all the same"
    text = (
        f"{name}: log loss {loss.before:.4g} becomes {loss.after:.4g}, "
        f"{loss.gain.text()} gained; Brier score {brier.before:.4g} becomes {brier.after:.4g}, "
        f"{brier.gain.text()} gained"
    )
    surely = loss.gain.low is not None and loss.gain.low > 0
    worse = brier.gain.high is not None and brier.gain.high < 0
    worth = loss.before - loss.after >= WORTH_OF_LOSS * loss.before
    if surely and worth and not worse:
        return check.tip(text, where=found.best, fix=how_to_map(found.best), n=n)
    return check.passed(f"{text}: not surely, or not by 1 %", n=n)
