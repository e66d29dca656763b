"""``assess``: how good the model is on rows it has not seen, and how sure that is."""

from __future__ import annotations

import time
from collections import ChainMap
from itertools import chain
from typing import Any

import msgspec

from afterfit.assess import findings
from afterfit.assess.config import AssessConfig
from afterfit.assess.evidence import Evidence, Rows
from afterfit.assess.fairness import require_columns
from afterfit.assess.folds import cross_validate, plan, summarize
from afterfit.assess.judge import about_agreement, about_quality
from afterfit.assess.lift import beside
from afterfit.assess.metrics import confusion, curves, measure
from afterfit.assess.parts import PARTS
from afterfit.assess.truth import encode_truth, labelled_rows
from afterfit.core.dataset import Dataset
from afterfit.core.finding import Finding
from afterfit.core.progress import SILENT, Progress
from afterfit.core.signature import Signature
from afterfit.errors import AfterfitError
from afterfit.records.assess import AssessRecord, Fold
from afterfit.store.environment import current_environment


def assess(
    model: Any,
    signature: Signature,
    data: Dataset,
    train: Dataset | None,
    config: AssessConfig,
    *,
    subject: str,
    refittable: bool = False,
    progress: Progress = SILENT,
) -> AssessRecord:
    """Return every metric with its interval, the baselines beside it, and the cross-validation.

    ``model`` predicts and, where ``refittable`` (or ``config.refit`` names a function), can be
    asked to fit a clone. Folds go forward in time where ``train`` has a time column. Raises
    InputError for labels that the model does not know, and for columns of ``config.fairness`` that
    are not in the table.
    """
    progress.step("assess")
    require_columns(data, config.fairness)
    deadline = time.monotonic() + config.seconds
    shared: dict[str, Any] = {
        "subject": subject,
        "env": current_environment(),
        "inputs": {"data": data.digest} | ({"train": train.digest} if train is not None else {}),
        "resolved": msgspec.to_builtins(config) | {"seconds": None},
    }
    labelled = labelled_rows(data)
    if not len(labelled):
        text = "the data has no labels, so quality was not measured"
        skipped = findings.NoLabels.skipped(text, fix="--target COLUMN", needed_n=1)
        return AssessRecord(**shared, status="partial", findings=(skipped,))
    truth = encode_truth(signature, labelled)
    rows = Rows(signature, labelled, truth, model.predict(labelled.frame))
    held_out = measure(signature, truth, rows.predictions, config, scope="held-out")
    progress.step("baseline")
    others, baseline = beside(rows, train, held_out, config)
    folds, about_folds = _folds(model, signature, train, config, progress, refittable=refittable)
    forward = train is not None and train.time is not None
    cv = summarize(signature, folds, config, forward=forward)
    evidence = Evidence(
        signature, labelled, truth, rows.predictions, model, train, config, held_out,
        deadline, progress,
    )  # fmt: skip
    parts = [part(evidence) for part in PARTS]
    classifies = signature.task != "regression"
    return AssessRecord(
        **shared,
        status="partial" if config.folds > 1 and about_folds.outcome == "skipped" else "complete",
        findings=(
            findings.NoLabels.passed(f"{len(labelled)} of {len(data)} rows have a label"),
            *about_quality(rows, others),
            about_folds,
            *about_agreement(signature, held_out, cv),
            *chain.from_iterable(part.findings for part in parts),
        ),
        metrics=(*held_out, *others, *cv, *chain.from_iterable(part.metrics for part in parts)),
        confusion=confusion(signature, truth, rows.predictions) if classifies else None,
        curves=curves(signature, truth, rows.predictions) if classifies else (),
        folds=folds,
        baseline=baseline,
        n_labelled=len(labelled),
        **ChainMap(*(dict(part.fields) for part in parts)),
    )


def _folds(
    model: Any,
    signature: Signature,
    train: Dataset | None,
    config: AssessConfig,
    progress: Progress,
    *,
    refittable: bool,
) -> tuple[tuple[Fold, ...], Finding]:
    """Return the folds that were fitted, and why there are none or fewer."""
    check = findings.CrossValidation
    if config.folds < 2:
        return (), check.skipped("cross-validation was not asked for", fix="folds = 5")
    if train is None or not train.labelled().any():
        return (), check.not_applicable("there are no labelled training rows: give --train")
    if not refittable and not config.refit:
        text = "the model cannot be fitted again from its file: give --refit module:function"
        return (), check.not_applicable(text)
    rows = labelled_rows(train)
    truth = encode_truth(signature, rows)
    try:
        planned = plan(signature, rows, truth, config)
        folds = cross_validate(model, signature, rows, truth, planned, config, progress)
    except AfterfitError as error:
        text = f"fitting a clone failed: {error.message} {error.why}".strip()
        return (), check.skipped(text[:400], fix="give --refit module:function")
    return folds, _told(len(folds), len(planned), rows)


def _told(done: int, planned: int, rows: Dataset) -> Finding:
    check = findings.CrossValidation
    if planned < 2:
        text = f"{len(rows)} training rows cannot be split into two folds that can be fitted"
        return check.skipped(text, needed_n=2 * len(rows))
    way = ", each trained on earlier rows only" if rows.time is not None else ""
    if done < planned:
        text = f"{done} of {planned} folds were fitted before the time was over{way}"
        return check.skipped(text, fix="--effort full")
    return check.passed(f"{done} folds of {len(rows)} training rows{way}")
