"""The ladder: each way to convert, judged on the same rows, until one is exact."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from afterfit.core.dataset import Dataset
from afterfit.core.frame import missing_mask
from afterfit.core.progress import Progress
from afterfit.core.scale import AnswerScale, answer_scale
from afterfit.core.signature import Signature
from afterfit.errors import AfterfitError, ModelError
from afterfit.models.convert import Attempt, Converted
from afterfit.models.timebox import Asked, TimeOverError
from afterfit.optimize.config import OptimizeConfig
from afterfit.optimize.parity import (
    Answers,
    Judgement,
    answers_of,
    blame,
    compare,
    is_exact,
    refusing,
)
from afterfit.optimize.rows import RowSet, edge_rows, held_out_rows, threshold_rows
from afterfit.records.optimize import VariantReport, VariantStatus
from afterfit.runtime.onnx import OnnxModel

__all__ = ["Trial", "climb", "evidence_rows", "missing_marker", "try_attempt"]

CONVERT = "afterfit.models.convert"
TIME_OVER = "the time of the step was over"


@dataclass(frozen=True)
class Trial:
    """One attempt: what was made of it, and how it compared with the model."""

    attempt: Attempt
    status: VariantStatus
    why: str = ""
    converted: Converted | None = None
    judgements: tuple[Judgement, ...] = field(default_factory=tuple)

    @property
    def compared(self) -> int:
        """The number of rows that were compared."""
        return sum(judgement.parity.n for judgement in self.judgements)

    @property
    def answered_refused(self) -> int:
        """The number of rows that it answers and the model refuses."""
        return sum(judgement.answered_refused for judgement in self.judgements)

    def report(self) -> VariantReport:
        """Return the trial as the record keeps it."""
        repaired = "; ".join(self.converted.repaired) if self.converted else ""
        return VariantReport(
            name=self.attempt.name,
            status=self.status,
            why=self.why,
            repaired=repaired,
            parity=tuple(judgement.parity for judgement in self.judgements),
        )


def climb(
    model: Asked,
    attempts: Sequence[Attempt],
    signature: Signature,
    data: Dataset,
    config: OptimizeConfig,
    progress: Progress,
    also: Callable[[Sequence[Answers]], Trial] | None = None,
) -> list[Trial]:
    """Return the trials in order; the last one is exact unless none is.

    Attempts that the model's time did not suffice for are ``skipped``. ``also`` makes one trial
    more, which comes last, of the model's answers to the same rows.
    """
    if not attempts and also is None:
        return []
    progress.step("compare the converted model", len(attempts))
    trials: list[Trial] = []
    try:
        sets = evidence_rows(model, signature, data, config)
        answers = [answers_of(model, rows) for rows in sets]
        marker = missing_marker(data)
        for attempt in attempts:
            trials.append(try_attempt(model, signature, attempt, answers, marker, config))
            progress.advance()
            if trials[-1].status == "exact":
                break
        if also is not None:
            trials.append(also(answers))
    except TimeOverError:
        trials += [Trial(attempt, "skipped", TIME_OVER) for attempt in attempts[len(trials) :]]
    return trials


def try_attempt(
    model: Asked,
    signature: Signature,
    attempt: Attempt,
    answers: Sequence[Answers],
    marker: str,
    config: OptimizeConfig,
) -> Trial:
    """Return one attempt converted, loaded and compared; never raises for what it cannot do."""
    converted: Converted = model.call(
        f"{CONVERT}:to_onnx", signature=signature, attempt=attempt, missing=marker
    )
    if converted.error or converted.output is None:
        return Trial(attempt, "not_available", converted.error or "no graph was made")
    try:
        variant = OnnxModel(
            converted.data, converted.inputs, converted.output, signature.classes, threads=1
        )
    except ModelError as error:
        return Trial(attempt, "not_available", f"cannot be loaded: {error.why[:250]}")
    scale = usual_scale(answers)
    judgements = tuple(
        compare(variant, known, signature, config.tolerance, scale) for known in answers
    )
    if is_exact(judgements):
        converted = refusing(converted, answers, sum(j.nan_refused for j in judgements))
        return Trial(attempt, "exact", "", converted, judgements)
    why = _why(model, variant, answers, judgements, config)
    return Trial(attempt, "rejected", why, converted, judgements)


def evidence_rows(
    model: Asked, signature: Signature, data: Dataset, config: OptimizeConfig
) -> list[RowSet]:
    """Return the row sets that a variant is judged on; threshold rows where the model has trees."""
    data = data.select(signature.names)
    sets = [held_out_rows(data, config.rows, config.seed), edge_rows(data, signature, config.seed)]
    thresholds = model.call(f"{CONVERT}:thresholds", signature=signature)
    if thresholds:
        sets.append(threshold_rows(data, signature, thresholds, config.probes, config.seed))
    return sets


def usual_scale(answers: Sequence[Answers]) -> AnswerScale | None:
    """Return the scale of the model's answers to the held-out rows, which come first.

    Edge rows have answers of any size: by theirs, usual rows might differ by anything. None for
    a model that is no regression.
    """
    usual = answers[0].predictions
    return None if usual is None or usual.values is None else answer_scale(usual.values)


def missing_marker(data: Dataset) -> str:
    """Return a text for missing values in string tensors that no value of the data equals."""
    marker = "\x1fmissing"
    texts = [array[~missing_mask(array)] for array in data.frame.values() if array.dtype == object]
    while any(np.any(values == marker) for values in texts):
        marker += "\x1f"
    return marker


def _why(
    model: Asked,
    variant: OnnxModel,
    answers: Sequence[Answers],
    judgements: Sequence[Judgement],
    config: OptimizeConfig,
) -> str:
    """Return what differs and where, and the columns that explain the worst row where they do."""
    parts = [f"{j.parity.rows}: {j.parity.message}" for j in judgements if not j.exact]
    columns = ""
    for known, judged in zip(answers, judgements, strict=True):
        if judged.worst is not None and not columns:
            columns = _blamed(model, variant, answers, known, judged, config)
    if columns:
        parts.append(f"the worst row agrees once {columns} has another value")
    return "; ".join(parts)[:600] or "no row could be compared"


def _blamed(
    model: Asked,
    variant: OnnxModel,
    answers: Sequence[Answers],
    known: Answers,
    judged: Judgement,
    config: OptimizeConfig,
) -> str:
    calm = next((int(row) for row in known.rows if row != judged.worst), None)
    if calm is None or judged.worst is None:
        return ""
    try:
        return blame(
            model,
            variant,
            known.row_set,
            judged.worst,
            calm,
            config.tolerance,
            usual_scale(answers),
        )
    except (AfterfitError, TimeOverError):
        return ""
