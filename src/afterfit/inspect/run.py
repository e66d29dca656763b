"""``inspect``: what the model is, what it takes and gives, and whether the data fits it."""

from __future__ import annotations

from afterfit.core.dataset import Dataset
from afterfit.core.finding import Finding
from afterfit.core.model import ModelDescription
from afterfit.core.progress import SILENT, Progress
from afterfit.core.signature import Label, Signature, Task
from afterfit.errors import InputError
from afterfit.inspect import checks, findings
from afterfit.inspect.columns import build_column, matched_names, require_kinds, require_usable
from afterfit.inspect.config import InspectConfig
from afterfit.inspect.dates import about_dates
from afterfit.inspect.decision import decided, threshold_for
from afterfit.inspect.labels import (
    classes_of,
    known_labels,
    positive_of,
    require_labels,
    require_task,
    task_of,
)
from afterfit.inspect.probe import accepts_missing, sample_answer, sample_rows
from afterfit.models.decision import OwnThreshold
from afterfit.models.loaded import Hints, LoadedModel
from afterfit.records.inspect import InspectRecord
from afterfit.records.record import given
from afterfit.store.environment import current_environment

__all__ = ["inspect_model"]


def inspect_model(
    model: LoadedModel,
    data: Dataset,
    train: Dataset | None,
    config: InspectConfig,
    *,
    progress: Progress = SILENT,
) -> InspectRecord:
    """Return the signature of model and data together, with what is worth knowing of both.

    The model learns from it: afterwards it answers in the signature's classes and column order.
    Raises InputError, naming the column, where the data does not fit the model.
    """
    progress.step("inspect")
    if model.hints != model.opened_with:
        # What an earlier inspection taught the model must not decide this one.
        model.adopt(model.opened_with)
    named = model.description.features is not None and not model.hints.features
    signature, outputs = _agree(model, data, train, config)
    reference = data if train is None else train
    description = model.description
    let_in = () if model.audit is None else model.audit.let_in
    found = checks.about_model(model.format, description, model.notes, let_in)
    found += checks.about_columns(signature, data, reference, named=named)
    found += outputs
    inputs = {"data": data.digest} | ({} if train is None else {"train": train.digest})
    return InspectRecord(
        subject=model.digest,
        env=current_environment(),
        inputs=inputs,
        args=given(config),
        resolved=_resolved(signature),
        findings=tuple(found),
        format=model.format,
        description=description,
        signature=signature,
        audited=0 if model.audit is None else len(model.audit.globals),
        trusted=description.custom,
        n_data=len(data),
        n_train=0 if train is None else len(train),
    )


def _agree(
    model: LoadedModel, data: Dataset, train: Dataset | None, config: InspectConfig
) -> tuple[Signature, list[Finding]]:
    """Return the signature on which model and data agree, and findings of dates and outputs."""
    names = _columns(model, data, train)
    task = _task(model, config, data)
    require_labels(data, task)
    classes: tuple[Label, ...] = ()
    derived = False
    if task != "regression":
        classes, derived = classes_of(model.description.classes, config, data, train)
    model.adopt(Hints(features=names, classes=classes, task=task))
    sample = data.select(names).take(sample_rows(data.select(names).frame))
    dates = about_dates(model, sample.frame, data.source)
    answer = sample_answer(model, sample.frame, data.source)
    binary = task == "binary"
    own = model.call("afterfit.models.decision:own_threshold") if binary else None
    positive, assumed = positive_of(classes, config, own) if binary else (None, False)
    taken = accepts_missing(model, sample.frame, names)
    signature = Signature(
        task=task,
        columns=tuple(
            build_column(
                name,
                data.frame[name],
                None if train is None else train.frame[name],
                nullable=name in taken,
            )
            for name in names
        ),
        target=data.target_name or "target",
        classes=classes,
        positive=positive,
        threshold=_threshold(config, own, classes, positive) if binary else None,
        probabilities=answer.probabilities is not None,
    )
    asked = config.threshold is not None
    signature, decision = decided(model, signature, data, sample, asked=asked)
    if signature.own_labels is True:
        model.adopt(Hints.of(signature))
    about = findings.ClassesDerived.passed()
    if derived:
        about = checks.classes_derived(signature, data, sample, answer)
    outputs = checks.about_outputs(
        signature, assumed=assumed, derived=about, classifies=task != "regression"
    )
    return signature, [*dates, *outputs, decision]


def _columns(model: LoadedModel, data: Dataset, train: Dataset | None) -> tuple[str, ...]:
    """Return the data's columns in the model's order; raises InputError naming the wrong one."""
    description = model.description
    if description.features is not None:
        names = matched_names(description.features, data.frame, data.source)
    else:
        names = tuple(data.frame)
        expected = description.n_features
        if expected is not None and len(names) != expected:
            raise InputError(
                f"the model takes {expected} columns, the data has {len(names)}",
                where=data.source,
                why="the model knows no column names, so it must be given exactly its columns: "
                f"{', '.join(names[:20])}",
                fix="leave out what the model was not trained on, or train it on a DataFrame",
            )
    require_usable(data.frame, names, data.source)
    if train is not None:
        matched_names(names, train.frame, train.source)
        require_usable(train.frame, names, train.source)
    kinds = model.call("afterfit.models.column_kinds:column_kinds")
    trained = description.features or names
    require_kinds(
        {name: kinds[known] for name, known in zip(names, trained, strict=True) if known in kinds},
        data.frame,
        data.source,
    )
    return names


def _task(model: LoadedModel, config: InspectConfig, data: Dataset) -> Task:
    description = model.description
    told = None if _may_be_a_probability(description, config, data) else description.task
    if told is not None:
        require_task(config.task, told, description.estimator, description.classes)
    return task_of(told, config, data)


def _may_be_a_probability(
    description: ModelDescription, config: InspectConfig, data: Dataset
) -> bool:
    """Return whether a graph's one output is, as far as one can tell, no number to predict.

    It may mean a number or the probability of the second class: only the labels tell, or the user.
    """
    if description.framework != "onnx" or description.task != "regression":
        return False
    labels = known_labels(data)
    coded = labels in {(0, 1), (False, True)} or any(isinstance(label, str) for label in labels)
    return coded or config.task == "binary"


def _threshold(
    config: InspectConfig,
    own: OwnThreshold | None,
    classes: tuple[Label, ...],
    positive: Label | None,
) -> float:
    if config.threshold is None:
        return threshold_for(own, 0 if positive == classes[0] else 1)
    if not 0.0 < config.threshold < 1.0:
        raise InputError(
            f"the threshold {config.threshold:g} is no probability",
            where="threshold",
            why="it must lie between 0 and 1",
            fix="--threshold 0.5",
        )
    return config.threshold


def _resolved(signature: Signature) -> dict[str, object]:
    return {
        "task": signature.task,
        "classes": list(signature.classes),
        "positive": signature.positive,
        "threshold": signature.threshold,
    }
