"""``assess``: how good the model is on rows it has not seen, and how sure that is."""

from __future__ import annotations

import contextlib
import time
from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import msgspec
import numpy as np

from afterfit.assess import findings
from afterfit.assess.agreement import about_agreement
from afterfit.assess.config import AssessConfig
from afterfit.assess.evidence import Evidence, Part, Rival, Rows
from afterfit.assess.fairness import require_columns
from afterfit.assess.folds import fit_folds, summarize
from afterfit.assess.judge import about_quality
from afterfit.assess.lift import beside
from afterfit.assess.metrics import confusion, curves, measure
from afterfit.assess.nested import asked_for_search
from afterfit.assess.parts import AFTER_FOLDS, PARTS
from afterfit.assess.structure import about_structure
from afterfit.core.dataset import Dataset
from afterfit.core.effort import cut_short
from afterfit.core.finding import Finding
from afterfit.core.metric import find
from afterfit.core.progress import SILENT, Progress
from afterfit.core.quality import encode_truth, labelled_rows, main_metric
from afterfit.core.signature import Signature
from afterfit.errors import AfterfitError
from afterfit.records.assess import AssessRecord
from afterfit.records.record import Status
from afterfit.store.environment import current_environment


def assess(  # noqa: PLR0913 - all there is to judge by, from the workspace
    model: Any,
    signature: Signature,
    data: Dataset,
    train: Dataset | None,
    config: AssessConfig,
    *,
    subject: str,
    refittable: bool = False,
    estimator: str = "",
    rival: Rival | None = None,
    progress: Progress = SILENT,
) -> AssessRecord:
    """Return every metric with its interval, the baselines beside it, and the cross-validation.

    ``model`` predicts and, where ``refittable`` (or ``config.refit`` names a function), can be
    asked to fit a clone; ``estimator`` is the name of its class, where known. Folds go forward in
    time where ``train`` has a time column. Raises
    InputError for labels that the model does not know, and for columns of ``config.fairness`` that
    are not in the table.
    """
    progress.step("assess")
    require_columns(data, config.fairness)
    deadline = time.monotonic() + config.seconds
    shared: dict[str, Any] = {"subject": subject} | _whence(data, train, rival, config)
    labelled = labelled_rows(data)
    if not len(labelled):
        return AssessRecord(**shared, status="partial", findings=(_no_labels(),))
    truth, main = encode_truth(signature, labelled), main_metric(signature)
    places = np.flatnonzero(data.labelled())
    rows = Rows(signature, labelled, truth, model.predict(labelled.frame), places=places)
    held_out = measure(
        signature, truth, rows.predictions, config, scope="held-out", units=rows.units
    )
    progress.step("baseline")
    others, baseline = beside(rows, train, held_out, config)
    evidence = Evidence(
        signature, labelled, truth, rows.predictions, model, train, config, held_out,
        deadline, progress, tuple(others), (), refittable or bool(config.refit), rival,
        places=places,
    )  # fmt: skip
    parts = {part: part(evidence) for part in PARTS if part not in AFTER_FOLDS}
    search = _search(evidence)
    fitting = msgspec.structs.replace(config, seconds=evidence.left)
    folds, told = fit_folds(model, signature, train, fitting, progress, refittable=refittable)
    cv = summarize(signature, folds, config, forward=getattr(train, "time", None) is not None)
    evidence = replace(evidence, cv=cv, search=search)
    parts |= {part: part(evidence) for part in PARTS if part in AFTER_FOLDS}
    found = (
        findings.NoLabels.passed(f"{len(labelled)} of {len(data)} rows have a label"),
        *about_quality(rows, others, estimator, config.margin),
        told,
        *about_agreement(main, held_out, folds, config.margin),
        about_structure(rows.units, find(held_out, main)),
    )
    fields = _of_parts(evidence, [parts[part] for part in PARTS], found)
    fields |= {"folds": folds, "baseline": baseline, "status": _status(fields, told, config)}
    return AssessRecord(**shared, **_of_rows(rows), **fields)


def _status(fields: Mapping[str, Any], folds: Finding, config: AssessConfig) -> Status:
    """Return ``partial`` where the time cut something, or the folds that were asked are not there.

    More time then gives more: a partial record is not reused where there is more of it.
    """
    missed = config.folds > 1 and folds.outcome == "skipped"
    cut = missed or cut_short(fields["findings"], config.effort)
    return "partial" if cut else "complete"


def _search(evidence: Evidence) -> Mapping[str, Any] | None:
    """Return what search the model is; None where it cannot be asked, which is told later."""
    if not evidence.refittable:
        return None
    with contextlib.suppress(AfterfitError):
        return asked_for_search(evidence)
    return None


def _no_labels() -> Finding:
    text = "the data has no labels, so quality was not measured"
    return findings.NoLabels.skipped(text, fix="--target COLUMN", needed_n=1)


def _of_rows(rows: Rows) -> dict[str, Any]:
    """Return what the predictions of the labelled rows look like."""
    signature, truth, predictions = rows.signature, rows.truth, rows.predictions
    return {
        "confusion": confusion(signature, truth, predictions) if signature.classes else None,
        "curves": curves(signature, truth, predictions),
        "n_labelled": len(rows.data),
    }


def _of_parts(
    evidence: Evidence, parts: Sequence[Part], found: tuple[Finding, ...]
) -> dict[str, Any]:
    """Return the fields that the parts fill, and all findings and metrics, theirs last."""
    metrics = (*evidence.held_out, *evidence.lifts, *evidence.cv)
    return {
        **ChainMap(*(dict(part.fields) for part in parts)),
        "findings": (*found, *chain.from_iterable(part.findings for part in parts)),
        "metrics": (*metrics, *chain.from_iterable(part.metrics for part in parts)),
    }


def _whence(
    data: Dataset, train: Dataset | None, rival: Rival | None, config: AssessConfig
) -> dict[str, Any]:
    """Return where a record comes from: the environment, the inputs and the settings."""
    inputs = {"data": data.digest}
    if train is not None:
        inputs["train"] = train.digest
    if rival is not None:
        inputs["champion"] = rival.digest
    resolved = msgspec.to_builtins(config) | {"seconds": None}
    return {"env": current_environment(), "inputs": inputs, "resolved": resolved}
