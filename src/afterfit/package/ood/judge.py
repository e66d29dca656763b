"""What is told of a scorer: how well it tells rows apart, and how many usual ones it flags."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from afterfit.core.finding import Finding
from afterfit.core.metric import Metric, in_percent
from afterfit.core.ranking import binary_roc_auc
from afterfit.package import findings
from afterfit.package.ood.config import METHODS
from afterfit.package.ood.rows import FAMILIES
from afterfit.records.package import ScorerRecord
from afterfit.runtime.ood import Method
from afterfit.stats.conformal import band
from afterfit.stats.delong import delong
from afterfit.stats.interval import Interval, clopper_pearson, wilson

__all__ = ["SHIPPED", "Told", "Trial", "best"]

SHIPPED = "scorer"
FRESH = "evaluation rows"
LOW_AUROC = 0.8
TRUE_RATE = 0.95


class Trial(NamedTuple):
    """The scores of usual rows, and of made-up ones by family."""

    method: Method
    usual: np.ndarray
    odd: Mapping[str, np.ndarray]
    threshold: float

    @property
    def all_odd(self) -> np.ndarray:
        """The scores of all made-up rows: every family has as many."""
        return np.concatenate(list(self.odd.values()))

    @property
    def fpr95(self) -> int:
        """How many usual rows score above what 95 % of the made-up ones do."""
        limit = np.quantile(self.all_odd, 1 - TRUE_RATE, method="lower")
        return int(np.count_nonzero(self.usual >= limit))


def best(trials: Sequence[Trial]) -> Trial:
    """Return the one with the greatest AUROC over all families to three digits.

    Of equals the one that mistakes fewer usual rows is taken, then the cheapest.
    """

    def rank(trial: Trial) -> tuple[float, float, int]:
        auroc = _auroc(trial.usual, trial.all_odd)
        mistaken = trial.fpr95 / len(trial.usual)
        return -round(auroc, 3), round(mistaken, 3), METHODS.index(trial.method)

    return min(trials, key=rank)


@dataclass(frozen=True)
class Told:
    """The metrics and findings of a scorer that was made.

    ``tried`` are the methods on the rows of the choice, ``checked`` is the scorer that ships on
    rows that nothing was decided by; ``fresh`` are (flagged, rows) of rows of the user's.
    """

    record: ScorerRecord
    tried: Sequence[Trial]
    checked: Trial
    fresh: tuple[int, int] | None
    level: float

    def metrics(self) -> tuple[Metric, ...]:
        """Return what ships first, each with its interval."""
        return tuple(self._metrics())

    def findings(self) -> tuple[Finding, ...]:
        """Return that there is a scorer, whom it flags in vain, and whom it misses."""
        return self._made(), self._false_flags(), self._missed()

    def _metrics(self) -> Iterator[Metric]:
        checked = self.checked
        yield self._auc(checked.usual, checked.all_odd, SHIPPED)
        yield self._share("ood_fpr95", checked.fpr95, len(checked.usual), SHIPPED)
        yield self._share("ood_false_flags", self._false, len(checked.usual), SHIPPED)
        if self.fresh is not None:
            yield self._share("ood_false_flags", *self.fresh, FRESH)
        for family, scores in checked.odd.items():
            yield self._auc(checked.usual, scores, f"{SHIPPED}:{family}")
        for trial in self.tried:
            scope = f"candidate:{trial.method}"
            yield self._auc(trial.usual, trial.all_odd, scope)
            yield self._share("ood_fpr95", trial.fpr95, len(trial.usual), scope)

    @property
    def _false(self) -> int:
        return int(np.count_nonzero(self.checked.usual > self.checked.threshold))

    def _auc(self, usual: np.ndarray, odd: np.ndarray, scope: str) -> Metric:
        truth = np.repeat([0, 1], [len(usual), len(odd)])
        scores = np.concatenate([usual, odd])
        interval = delong(truth, scores, level=self.level)
        return _metric("ood_auroc", _auroc(usual, odd), interval, len(truth), scope, self.level)

    def _share(self, name: str, count: int, n: int, scope: str) -> Metric:
        found = wilson if name == "ood_fpr95" else clopper_pearson
        return _metric(name, count / n, found(count, n, self.level), n, scope, self.level)

    def _made(self) -> Finding:
        record, size = self.record, len(self.tried)
        auroc = self._auc(self.checked.usual, self.checked.all_odd, SHIPPED)
        return findings.RowsScored.passed(
            f"scored by {record.method}, which told made-up rows from usual ones best of {size}: "
            f"AUROC {auroc.text()}",
            method=record.method,
            threshold=record.threshold,
        )

    def _false_flags(self) -> Finding:
        check, rate = findings.UsualRowsFlagged, self.record.rate
        n = len(self.checked.usual)
        share = self._share("ood_false_flags", self._false, n, SHIPPED)
        about = band(self.record.rows["calibrate"], rate, self.level)
        usual = (
            f"{share.text()} of usual rows are flagged, asked was {rate:.3g}; the threshold holds "
            f"it between {about.low:.2g} and {about.high:.2g} ({in_percent(self.level)})"
        )
        if self.fresh is None:
            return check.passed(usual)
        live = self._share("ood_false_flags", *self.fresh, FRESH)
        flagged, rows = self.fresh
        if live.low is not None and live.low > about.high:
            return check.issue(
                f"{live.text()} of the evaluation rows are flagged, asked was {rate:.3g}",
                fix="look at what sets the evaluation rows apart from the training rows",
                flagged=flagged,
                rows=rows,
            )
        text = f"{usual}; of the evaluation rows {live.text()}"
        return check.passed(text, flagged=flagged, rows=rows)

    def _missed(self) -> Finding:
        check, checked = findings.OddRowsMissed, self.checked
        found = {f: _auroc(checked.usual, scores) for f, scores in checked.odd.items()}
        weak = {family: value for family, value in found.items() if value < LOW_AUROC}
        rows = f"n = {len(checked.usual):,} usual rows and as many of each kind"
        if not weak:
            return check.passed(
                f"AUROC of {LOW_AUROC} or more for all {len(found)} kinds of made-up rows ({rows})"
            )
        told = "; ".join(f"{FAMILIES[family]}: {value:.2f}" for family, value in weak.items())
        return check.tip(
            f"{len(weak)} of {len(found)} kinds of made-up rows look usual (AUROC, {rows}): {told}",
            fix="do not count on the flag for such rows",
            auroc={family: round(value, 4) for family, value in weak.items()},
        )


def _auroc(usual: np.ndarray, odd: np.ndarray) -> float:
    truth = np.repeat([False, True], [len(usual), len(odd)])
    return binary_roc_auc(truth, np.concatenate([usual, odd]))


def _metric(
    name: str, value: float, interval: Interval, n: int, scope: str, level: float
) -> Metric:
    return Metric.of(name, value, interval, n=n, level=level, scope=scope)
