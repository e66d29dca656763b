"""``assess``: how good the model is on rows it has not seen, and how sure that is."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from afterfit.assess import findings
from afterfit.assess.config import AssessConfig
from afterfit.assess.folds import cross_validate, summarize
from afterfit.assess.lift import lift
from afterfit.assess.metrics import confusion, curves, main_metric, measure
from afterfit.core.dataset import Dataset, encode_labels
from afterfit.core.finding import Finding
from afterfit.core.frame import Predictions
from afterfit.core.metric import Metric, find
from afterfit.core.progress import SILENT, Progress
from afterfit.core.signature import Signature
from afterfit.errors import AfterfitError, InputError
from afterfit.models import baseline
from afterfit.records.assess import AssessRecord, Fold
from afterfit.store.environment import current_environment

FEW = 50


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
    asked to fit a clone. Raises InputError for labels that the model does not know.
    """
    progress.step("assess")
    inputs = {"data": data.digest} | ({"train": train.digest} if train is not None else {})
    resolved = msgspec.to_builtins(config) | {"seconds": None}
    shared: dict[str, Any] = {"subject": subject, "inputs": inputs, "resolved": resolved}
    labelled = data.take(np.flatnonzero(data.labelled()))
    if not len(labelled):
        text = "the data has no labels, so quality was not measured"
        skipped = findings.NoLabels.skipped(text, fix="--target COLUMN", needed_n=1)
        return AssessRecord(
            **shared, env=current_environment(), status="partial", findings=(skipped,)
        )
    truth = encode_truth(signature, labelled)
    predictions = model.predict(labelled.frame)
    held_out = measure(signature, truth, predictions, config, scope="held-out")
    beside, name = _baselines(
        signature, labelled, truth, predictions, train, held_out, config, progress
    )
    folds, about_folds = _folds(model, signature, train, config, progress, refittable=refittable)
    cv = summarize(signature, folds, config)
    found = [*_about_quality(signature, truth, beside), about_folds, _agreement(held_out, cv)]
    classifies = signature.task != "regression"
    return AssessRecord(
        **shared,
        env=current_environment(),
        findings=tuple(finding for finding in found if finding is not None),
        metrics=(*held_out, *beside, *cv),
        confusion=confusion(signature, truth, predictions) if classifies else None,
        curves=curves(signature, truth, predictions) if classifies else (),
        folds=folds,
        baseline=name,
        n_labelled=len(labelled),
    )


def encode_truth(signature: Signature, data: Dataset) -> np.ndarray:
    """Return class codes (int64) or values (float64) of labelled rows; raises InputError."""
    target = data.target
    if target is None:
        raise InputError("there is no target", fix="--target COLUMN")
    where = f"column {data.target_name or signature.target!r}"
    if signature.task == "regression":
        try:
            values = target.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise InputError("the target is not numeric", where=where, why=str(error)) from None
        if not np.isfinite(values).all():
            raise InputError("the target holds infinity", where=where)
        return values
    codes = encode_labels(target, signature.classes)
    if (codes < 0).any():
        unknown = sorted({str(label) for label in target[codes < 0].tolist()})[:5]
        raise InputError(
            f"{int((codes < 0).sum())} rows have labels that the model does not know: {unknown}",
            where=where,
            why=f"the model's classes are {list(signature.classes)}",
            fix="mend the labels, or name the classes: --classes no yes",
        )
    return codes


def _baselines(
    signature: Signature,
    data: Dataset,
    truth: np.ndarray,
    predictions: Predictions,
    train: Dataset | None,
    held_out: tuple[Metric, ...],
    config: AssessConfig,
    progress: Progress,
) -> tuple[list[Metric], str]:
    """Return the lifts, then the baselines' own metrics, and the baseline's name.

    Without training rows the constant is that of the held-out rows themselves, and the linear
    model is fitted on one half of them to answer the other.
    """
    progress.step("baseline")
    learned = _training(signature, train)
    n = len(data)
    trivial = baseline.constant(signature, truth if learned is None else learned[1], n)
    if learned is None:
        linear = _cross_fitted(signature, data, truth, config.seed)
    else:
        linear = baseline.linear(signature, *learned, data.frame, seed=config.seed)
    main = find(held_out, main_metric(signature))
    name = "mean" if signature.task == "regression" else "majority"
    linear_name = "ridge" if signature.task == "regression" else "logistic"
    found = [
        lift(signature, truth, predictions, trivial, config, name="baseline_lift", constant=main),
        lift(signature, truth, predictions, linear, config, name="linear_lift"),
    ]
    found += measure(signature, truth, trivial, config, scope=f"baseline:{name}")
    found += measure(signature, truth, linear, config, scope=f"baseline:{linear_name}")
    return found, name


def _training(
    signature: Signature, train: Dataset | None
) -> tuple[dict[str, np.ndarray], np.ndarray] | None:
    if train is None:
        return None
    labelled = train.take(np.flatnonzero(train.labelled()))
    if not len(labelled):
        return None
    truth = encode_truth(signature, labelled)
    enough = signature.task == "regression" or len(np.unique(truth)) > 1
    return (dict(labelled.frame), truth) if enough else None


def _cross_fitted(
    signature: Signature, data: Dataset, truth: np.ndarray, seed: int
) -> Predictions:
    half = np.random.default_rng(seed).permutation(len(data)) % 2 == 0
    one_class = signature.task != "regression" and (
        len(np.unique(truth[half])) < 2 or len(np.unique(truth[~half])) < 2
    )
    if one_class or len(data) < 4:
        return baseline.constant(signature, truth, len(data))
    answers: np.ndarray | None = None
    for fitted, asked in ((half, ~half), (~half, half)):
        part = baseline.linear(
            signature, data.take(fitted).frame, truth[fitted], data.take(asked).frame, seed=seed
        ).main
        if answers is None:
            answers = np.empty((len(data), *part.shape[1:]))
        answers[asked] = part
    if signature.task == "regression":
        return Predictions(values=answers)
    return Predictions(probabilities=answers)


def _folds(
    model: Any,
    signature: Signature,
    train: Dataset | None,
    config: AssessConfig,
    progress: Progress,
    *,
    refittable: bool,
) -> tuple[tuple[Fold, ...], Finding]:
    check = findings.CrossValidation
    if config.folds < 2:
        return (), check.skipped("cross-validation was not asked for", needed_n=2)
    if train is None or not train.labelled().any():
        return (), check.not_applicable("there are no labelled training rows: give --train")
    if not refittable and not config.refit:
        text = "the model cannot be fitted again from its file: give --refit module:function"
        return (), check.not_applicable(text)
    rows = train.take(np.flatnonzero(train.labelled()))
    truth = encode_truth(signature, rows)
    try:
        folds = cross_validate(model, signature, rows, truth, config, progress)
    except AfterfitError as error:
        text = f"fitting a clone failed: {error.message} {error.why}".strip()
        return (), check.skipped(text[:400], fix="give --refit module:function")
    if len(folds) < config.folds:
        text = f"{len(folds)} of {config.folds} folds were fitted before the time was over"
        return folds, check.skipped(text, fix="--effort full", needed_n=config.folds)
    return folds, check.passed(f"{len(folds)} folds of {len(rows)} training rows")


def _about_quality(
    signature: Signature, truth: np.ndarray, beside: list[Metric]
) -> list[Finding | None]:
    return [
        _lift_finding(findings.NotBetterThanBaseline, beside[0], tip=False),
        _lift_finding(findings.LinearIsAsGood, beside[1], tip=True),
        _few_rows(signature, truth),
    ]


def _lift_finding(check: type[Any], metric: Metric, *, tip: bool) -> Finding:
    finding: Finding
    if metric.low is not None and metric.low > 0:
        finding = check.passed(f"{check.title}: by {metric.text()}")
    elif metric.value is None:
        finding = check.skipped(f"the lift could not be computed: {metric.method}")
    else:
        make = check.tip if tip else check.issue
        finding = make(f"the lift is {metric.text()}: not surely above 0")
    return finding


def _few_rows(signature: Signature, truth: np.ndarray) -> Finding:
    check = findings.FewRowsOfAClass
    if signature.task == "regression":
        return check.not_applicable("a regression has no classes")
    counts = np.bincount(truth, minlength=len(signature.classes))
    few = {str(signature.classes[i]): int(n) for i, n in enumerate(counts) if n < FEW}
    if few:
        text = ", ".join(f"{label!r}: {n}" for label, n in few.items())
        return check.tip(f"rows by class: {text}; below {FEW} intervals are approximate")
    return check.passed(f"each class has at least {int(counts.min())} rows")


def _agreement(held_out: tuple[Metric, ...], cv: tuple[Metric, ...]) -> Finding | None:
    """Return whether the held-out interval of the main metric meets that of the folds."""
    if not cv:
        return None
    ours, theirs = held_out[0], find(cv, held_out[0].name)
    check = findings.HeldOutDisagrees
    if theirs is None or None in (ours.low, ours.high, theirs.low, theirs.high):
        return check.skipped(f"{ours.name} has no interval on one of the sides")
    apart = ours.high < theirs.low or ours.low > theirs.high  # type: ignore[operator]
    text = f"{ours.name}: held-out {ours.text()}, folds {theirs.text()}"
    return check.issue(text) if apart else check.passed(text)
