"""The guarantee: a lossy variant is no worse than the model by more than the margin, or is refused.

Everything here is computed from answers to the certification rows, which made and selected nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np

from afterfit.core.formulae import compute, find_formula
from afterfit.core.frame import Predictions
from afterfit.core.metric import known
from afterfit.core.quality import needed
from afterfit.core.signature import Signature
from afterfit.errors import InputError
from afterfit.optimize.config import OptimizeConfig
from afterfit.optimize.slices import slices, worst_slice
from afterfit.optimize.split import Part
from afterfit.records.optimize import Certificate, Guard
from afterfit.stats.calibration import calibration_error
from afterfit.stats.noninferior import Drop, metric_drop, needed_rows, relative

__all__ = ["Judge", "changed", "main_metric", "share", "why_not"]


def main_metric(signature: Signature, config: OptimizeConfig) -> str:
    """Return the metric that the margin is of; raises InputError for one that does not fit."""
    name = config.metric or ("mae" if signature.task == "regression" else "accuracy")
    formula = find_formula(name)
    needs_scores = formula.needs not in {"labels", "values"}
    fits = signature.task in formula.tasks and (signature.probabilities or not needs_scores)
    if not fits:
        raise InputError(
            f"the metric {name} does not fit this model",
            where="--metric",
            why=f"the task is {signature.task}",
            fix="--metric mae" if signature.task == "regression" else "--metric accuracy",
        )
    return name


@dataclass(frozen=True)
class Judge:
    """The rows of one part with the model's own answers, against which variants are judged.

    ``moved`` decides the labels of variants where it is another signature than the model's: a map
    of the probabilities moves the threshold too.
    """

    signature: Signature
    part: Part
    native: Predictions
    config: OptimizeConfig
    moved: Signature | None = None

    @property
    def metric(self) -> str:
        """The metric that the margin is of."""
        return main_metric(self.signature, self.config)

    def drop(self, answers: Predictions, alpha: float) -> Drop:
        """Return how much worse the answers are than the model's, with one-sided bounds."""
        first, second = (
            needed(self._by(each), each, self.metric) for each in (self.native, answers)
        )
        return metric_drop(
            self.metric,
            self._truth,
            first,
            second,
            alpha=alpha,
            positive=self.signature.positive_index,
            seed=self.config.seed,
        )

    def point_drop(self, answers: Predictions) -> float:
        """Return how much worse the answers are on these very rows, as `drop` measures it."""
        before, after = self.value(self.native), self.value(answers)
        gap = before - after if find_formula(self.metric).bigger_is_better else after - before
        return gap / before if relative(self.metric) and before else gap

    def value(self, answers: Predictions) -> float:
        """Return the metric of answers; NaN where it is undefined."""
        prediction = needed(self._by(answers), answers, self.metric)
        positive = self.signature.positive_index
        return compute(self.metric, self._truth, prediction, positive=positive).value

    def flip_rate(self, answers: Predictions) -> float | None:
        """Return the share of rows with another label; None for a regression."""
        if self.signature.task == "regression":
            return None
        return float(np.mean(self.codes(self.native) != self.codes(answers)))

    def codes(self, answers: Predictions) -> np.ndarray:
        """Return the decided classes of the model's own answers or of a variant's, int64 of [n]."""
        return self._by(answers).codes(answers)

    def certificate(self, answers: Predictions, artifact: str, candidates: int) -> Certificate:
        """Return what these rows say of a variant that is one of so many candidates."""
        alpha = self.config.alpha / max(1, candidates)
        drop, margin, n = self.drop(answers, alpha), self.config.max_drop, self.part.rows
        guards = self.guards(answers)
        certificate = Certificate(
            artifact=artifact,
            verdict="insufficient",
            metric=self.metric,
            native=known(self.value(self.native)),
            value=known(self.value(answers)),
            drop=known(drop.value),
            low=known(drop.low),
            high=known(drop.high),
            margin=margin,
            alpha=alpha,
            candidates=candidates,
            n=n,
            method=drop.method,
            relative=relative(self.metric),
            guards=guards,
        )
        if not drop.value < margin or not all(guard.held for guard in guards):
            return msgspec.structs.replace(certificate, verdict="rejected")
        if drop.high < margin:
            return msgspec.structs.replace(certificate, verdict="certified")
        return msgspec.structs.replace(certificate, needed_n=needed_rows(drop, margin, n, alpha))

    def guards(self, answers: Predictions) -> tuple[Guard, ...]:
        """Return what else must hold: no slice that pays, no lost calibration, few other labels."""
        found = []
        worst = worst_slice(
            slices(self.part.frame, self.signature),
            self._losses(self.native),
            self._losses(answers),
            self.config.alpha,
        )
        if worst is not None:
            held = not worst.low > self._slice_limit
            found.append(
                Guard(
                    name="slice_drop",
                    value=worst.drop,
                    limit=self._slice_limit,
                    held=held,
                    where=worst.name,
                    n=worst.n,
                )
            )
        return (*found, *self._of_labels(answers))

    def _of_labels(self, answers: Predictions) -> list[Guard]:
        found, n = [], self.part.rows
        flips = self.flip_rate(answers)
        if flips is not None:
            limit = self.config.max_flips
            found.append(Guard(name="flips", value=flips, limit=limit, held=flips <= limit, n=n))
        before, after = self.native.probabilities, answers.probabilities
        if before is not None and after is not None:
            gap = calibration_error(self._truth, after) - calibration_error(self._truth, before)
            limit = self.config.max_miscalibration
            found.append(
                Guard(name="calibration", value=known(gap), limit=limit, held=not gap > limit, n=n)
            )
        return found

    def _by(self, answers: Predictions) -> Signature:
        """Return the signature that decides: the model's own answers are decided by its own."""
        return self.signature if self.moved is None or answers is self.native else self.moved

    @property
    def _truth(self) -> np.ndarray:
        return np.empty(0) if self.part.truth is None else self.part.truth

    @property
    def _slice_limit(self) -> float:
        return self.config.max_drop

    def _losses(self, answers: Predictions) -> np.ndarray:
        """Return a loss per row: 1 for a wrong label; of a value its error, in mean errors."""
        if self.signature.task != "regression":
            return np.asarray(self.codes(answers) != self._truth, np.float64)
        usual = float(np.mean(np.abs(self.native.main - self._truth)))
        return np.asarray(np.abs(answers.main - self._truth) / (usual or 1.0), np.float64)


def why_not(certificate: Certificate) -> str:
    """Return in words why a variant is not certified; empty for one that is."""
    if certificate.verdict == "certified":
        return ""
    lost = [guard for guard in certificate.guards if not guard.held]
    told = _told(certificate)
    if certificate.verdict == "insufficient":
        if certificate.needed_n is None:
            return f"insufficient data: {told}"
        return f"insufficient data: {told}; about {certificate.needed_n:,} rows would be enough"
    parts = [_lost(guard) for guard in lost]
    if certificate.drop is None or certificate.drop >= certificate.margin:
        parts.insert(0, f"it loses more than allowed: {told}")
    return "; ".join(parts)


def _told(certificate: Certificate) -> str:
    if certificate.drop is None:
        return f"{certificate.metric} is {certificate.method} on {certificate.n:,} rows"
    return (
        f"{changed(certificate.metric, certificate.drop, certificate.high)} "
        f"({certificate.n:,} rows, {1 - certificate.alpha:.1%} sure); "
        f"{share(certificate.metric, certificate.margin)} is allowed"
    )


def changed(metric: str, drop: float, high: float | None = None) -> str:
    """Return in words which way a metric went, and the bound of its loss where there is one.

    ``drop`` is the loss: an error such as mae rises by it, and what is negative is a gain.
    """
    up = find_formula(metric).bigger_is_better
    worse, better = ("drops", "rises") if up else ("rises", "drops")
    if drop >= 0:
        text = f"{metric} {worse} by {share(metric, drop)}"
        return text if high is None else f"{text}, at most {share(metric, high)}"
    text = f"{metric} {better} by {share(metric, -drop)}"
    if high is None:
        return text
    if high < 0:
        return f"{text}, at least {share(metric, -high)}"
    return f"{text}, and {worse} by {share(metric, high)} at most"


def share(metric: str, value: float) -> str:
    """Return a loss with its unit: a share of the model's own value, or the metric's points."""
    return f"{value:.2%}" if relative(metric) else f"{value:.4f}"


def _lost(guard: Guard) -> str:
    value = "unknown" if guard.value is None else f"{guard.value:.4f}"
    texts = {
        "slice_drop": f"rows with {guard.where} lose {value} (n = {guard.n:,})",
        "flips": f"{value} of the labels are other ones",
        "calibration": f"its calibration error is {value} larger",
    }
    return f"{texts[guard.name]}, where {guard.limit:g} is allowed"
