"""Makes the scorer of a bundle: fit, choose, set the threshold, and look at rows kept for that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
import numpy as np

from afterfit.core.digest import canonical_json
from afterfit.core.finding import Finding
from afterfit.core.frame import Frame, Predictions, row_count, take
from afterfit.core.metric import Metric
from afterfit.core.signature import Signature
from afterfit.errors import InputError, InternalError, ModelError
from afterfit.package import findings
from afterfit.package.ood import judge
from afterfit.package.ood.columns import scored_columns
from afterfit.package.ood.config import METHODS, OodConfig
from afterfit.package.ood.forest import make_forest
from afterfit.package.ood.judge import Trial
from afterfit.package.ood.rows import FAMILIES, image_shape, made_up
from afterfit.package.ood.space import make_space, with_centres
from afterfit.records.package import ScorerRecord
from afterfit.runtime.ood import (
    FILE,
    Distance,
    Features,
    Method,
    OodDocument,
    OodScorer,
)
from afterfit.stats.conformal import needed_rows, threshold

__all__ = ["Made", "Reference", "Rows", "least_rows", "make_scorer"]

FIT_ROWS, CHOOSE_ROWS, CALIBRATE_ROWS, CHECK_ROWS = 10_000, 1_000, 5_000, 5_000
FIT_LEAST, OTHER_LEAST = 100, 50
CHOOSE_SHARE, CALIBRATE_SHARE, CHECK_SHARE = 0.1, 0.2, 0.1
MOST_FEATURES = 1024
MOST_BYTES = 1 << 20
NOTHING = Predictions()
Predict = Callable[[Frame], Predictions]


class Rows(NamedTuple):
    """Rows, and the model's answers to them."""

    frame: Frame
    answers: Predictions


@dataclass(frozen=True)
class Reference:
    """Rows with the model's answers, in any order, and what asks the model about others."""

    signature: Signature
    frame: Frame
    answers: Predictions
    predict: Predict


@dataclass(frozen=True)
class Made:
    """What was made: the bundle's file, or none, and what is to be told of it."""

    files: Mapping[str, bytes] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    metrics: tuple[Metric, ...] = ()
    record: ScorerRecord | None = None

    @property
    def scorer(self) -> OodScorer | None:
        """The scorer as a server reads it."""
        if FILE not in self.files:
            return None
        return OodScorer(msgspec.json.decode(self.files[FILE], type=OodDocument))


def make_scorer(reference: Reference, config: OodConfig, fresh: Rows | None = None) -> Made:
    """Return the scorer of a model's reference rows; equal rows, in their order, give equal bytes.

    ``fresh`` are rows that the model did not learn from, where there are such: how many of them
    are flagged is told. Without enough rows, or wherever none can be made, a finding says so.
    """
    check = findings.RowsScored
    if config.scorer == "none":
        return Made(findings=(check.skipped("none was asked for", fix='[ood] scorer = "auto"'),))
    n = row_count(reference.frame)
    parts = divide(n, config)
    if parts is None:
        needed = least_rows(config.rate)
        text = f"{n} reference rows are too few to flag {config.rate:.3g} of usual rows"
        return Made(findings=(check.skipped(text, fix="--train with more rows", needed_n=needed),))
    making = _Making(reference, config, parts)
    tried = making.trials(METHODS if config.scorer == "auto" else (config.scorer,))
    if not tried:
        return Made(findings=(check.skipped(making.why_none()),))
    document = making.set_up(judge.best(tried).method)
    checked = making.scored(document, "check", parts.check)
    if checked is None:
        return Made(findings=(check.skipped(making.why_none()),))
    record = making.record(document)
    told = judge.Told(record, tried, checked, making.flagged(document, fresh), config.level)
    return Made({FILE: canonical_json(document)}, told.findings(), told.metrics(), record)


class Parts(NamedTuple):
    """The rows of each part, which have none in common."""

    fit: np.ndarray
    choose: np.ndarray
    calibrate: np.ndarray
    check: np.ndarray


def divide(n: int, config: OodConfig) -> Parts | None:
    """Return the parts of ``n`` rows, drawn with the seed; None for too few rows."""
    needed = needed_rows(config.rate)
    if n < FIT_LEAST + needed + 2 * OTHER_LEAST:
        return None
    sizes = [
        min(CHOOSE_ROWS, max(OTHER_LEAST, int(CHOOSE_SHARE * n))),
        max(needed, min(CALIBRATE_ROWS, int(CALIBRATE_SHARE * n))),
        min(CHECK_ROWS, max(OTHER_LEAST, int(CHECK_SHARE * n))),
    ]
    drawn = np.random.default_rng([config.seed, 7]).permutation(n)
    choose, calibrate, check, fit = np.split(drawn, np.cumsum(sizes))
    return Parts(*(np.sort(rows) for rows in (fit[:FIT_ROWS], choose, calibrate, check)))


def least_rows(rate: float) -> int:
    """Return the fewest rows that a scorer can be made of."""
    return FIT_LEAST + needed_rows(rate) + 2 * OTHER_LEAST


class _Making:
    """One scorer being made; ``left_out`` says why a method was not tried."""

    def __init__(self, reference: Reference, config: OodConfig, parts: Parts) -> None:
        self.reference = reference
        self.signature = reference.signature
        self.config = config
        self.parts = parts
        self.shape = image_shape(take(reference.frame, parts.fit), self.signature)
        self.left_out: dict[str, str] = {}
        self._odd: dict[str, dict[str, Frame]] = {}

    def trials(self, methods: Sequence[Method]) -> list[Trial]:
        """Return how each method scores the rows kept for the choice and the made-up ones."""
        found = []
        for method in methods:
            document = self.fit(method, self.parts.fit)
            if document is None:
                continue
            trial = self.scored(document, "choose", self.parts.choose)
            if trial is not None:
                found.append(trial)
        return found

    def why_none(self) -> str:
        """Return why no method can be used."""
        return "; ".join(f"{name}: {why}" for name, why in self.left_out.items())

    def fit(self, method: Method, rows: np.ndarray) -> OodDocument | None:
        """Return a document without a threshold; None, and why, where the method does not fit."""
        document = self._softmax() if method == "softmax" else self._of_features(method, rows)
        if document is not None and len(canonical_json(document)) > MOST_BYTES:
            self.left_out[method] = f"it would take more than {MOST_BYTES} bytes"
            return None
        return document

    def set_up(self, method: Method) -> OodDocument:
        """Return the scorer, fitted to the rows of the choice as well, with its threshold."""
        rows = np.sort(np.concatenate([self.parts.fit, self.parts.choose]))
        document = self.fit(method, rows) or self.fit(method, self.parts.fit)
        if document is None:
            raise InternalError(f"{method} fitted fewer rows, and not these")
        scores = OodScorer(document).scores(*self._rows(self.parts.calibrate))
        limit = threshold(scores, self.config.rate)
        return msgspec.structs.replace(document, threshold=limit)

    def flagged(self, document: OodDocument, fresh: Rows | None) -> tuple[int, int] | None:
        """Return how many of the fresh rows are flagged, and of how many."""
        if fresh is None:
            return None
        flags = OodScorer(document).flags(fresh.frame, fresh.answers)
        return int(np.count_nonzero(flags)), len(flags)

    def record(self, document: OodDocument) -> ScorerRecord:
        """Return what the record of the package says of the scorer."""
        made = self._odd["check"]
        return ScorerRecord(
            method=document.method,
            rate=document.rate,
            threshold=document.threshold,
            features=sum(column.width for column in document.columns),
            centres=len(document.space.centres) if document.space else 0,
            rows={name: len(rows) for name, rows in self.parts._asdict().items()},
            kinds={family: FAMILIES[family] for family in made},
            image=self.shape,
            left_out=dict(self.left_out),
        )

    def _rows(self, rows: np.ndarray) -> Rows:
        return Rows(take(self.reference.frame, rows), self.reference.answers.take(rows))

    def scored(self, document: OodDocument, part: str, rows: np.ndarray) -> Trial | None:
        """Return the scores of usual rows and of what is made up of them; None where it cannot."""
        scorer = OodScorer(document)
        asks = document.method == "softmax"
        try:
            odd = {
                family: scorer.scores(frame, self.reference.predict(frame) if asks else NOTHING)
                for family, frame in self._made_up(part, rows).items()
            }
        except (InputError, ModelError) as error:
            self.left_out[document.method] = f"the model refuses made-up rows: {error.message}"
            return None
        return Trial(document.method, scorer.scores(*self._rows(rows)), odd, document.threshold)

    def _made_up(self, part: str, rows: np.ndarray) -> dict[str, Frame]:
        if part not in self._odd:
            rng = np.random.default_rng([self.config.seed, 11, len(self._odd)])
            frame = take(self.reference.frame, rows)
            self._odd[part] = made_up(frame, self.signature, self.shape, rng)
        return self._odd[part]

    def _of_features(self, method: Method, rows: np.ndarray) -> OodDocument | None:
        frame = take(self.reference.frame, rows)
        columns = scored_columns(frame, self.signature, pixels=bool(self.shape))
        width = sum(column.width for column in columns)
        if width > MOST_FEATURES:
            self.left_out[method] = f"{width} features are more than {MOST_FEATURES}"
            return None
        features = Features(columns)(frame)
        rng = np.random.default_rng([self.config.seed, 13, METHODS.index(method)])
        shared: dict[str, Any] = {"threshold": 0.0, "rate": self.config.rate, "columns": columns}
        if method == "forest":
            return OodDocument(method=method, forest=make_forest(features, rng), **shared)
        space = make_space(features)
        if method == "distance":
            space = with_centres(space, Distance(space, width).coordinates(features), rng)
        return OodDocument(method=method, space=space, **shared)

    def _softmax(self) -> OodDocument | None:
        if self.signature.task == "regression" or self.reference.answers.probabilities is None:
            self.left_out["softmax"] = "the model gives no probabilities"
            return None
        return OodDocument(method="softmax", threshold=0.0, rate=self.config.rate)
