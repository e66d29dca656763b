"""The task and the classes of a signature, in the user's words."""

from __future__ import annotations

import numpy as np

from afterfit.core.dataset import Dataset, encode_labels, to_label
from afterfit.core.shell import shell_word
from afterfit.core.signature import Label, Task
from afterfit.errors import InputError, UsageError
from afterfit.inspect.config import InspectConfig
from afterfit.models.decision import OwnThreshold

__all__ = [
    "classes_of",
    "known_labels",
    "positive_of",
    "require_labels",
    "require_task",
    "task_of",
]

FEW_VALUES = 20
"""Integers with at most so many distinct values are taken for classes."""


def known_labels(*tables: Dataset | None) -> tuple[Label, ...]:
    """Return the distinct labels of the tables, sorted as LabelEncoder sorts them."""
    found: set[Label] = set()
    for table in tables:
        if table is not None and table.target is not None:
            values = table.target[table.labelled()].tolist()
            found |= {to_label(value) for value in set(values)}
    try:
        return tuple(sorted(found))
    except TypeError:
        return tuple(sorted(found, key=str))


def require_labels(data: Dataset, task: Task) -> None:
    """Do nothing if the labels fit the task, or there are none; raises InputError."""
    if data.target is None:
        if data.target_name:
            raise InputError(
                f"the target column {data.target_name} is not in the data",
                where=f"{data.source}: column {data.target_name}",
                fix="name the column that holds the labels: --target COLUMN",
            )
        return
    where = f"{data.source}: column {data.target_name or 'target'}"
    labelled = data.target[data.labelled()]
    if not len(labelled):
        raise InputError("every label is missing", where=where, fix="give labelled rows")
    if task == "regression":
        if labelled.dtype.kind == "O" and any(isinstance(v, str) for v in labelled.tolist()):
            raise InputError(
                "the model answers numbers, the target holds text",
                where=where,
                why=f"for example {next(v for v in labelled.tolist() if isinstance(v, str))!r}",
                fix="name the column that the model predicts: --target COLUMN",
            )
        return
    labels = known_labels(data)
    if len(labels) < 2:
        raise InputError(
            f"the data has one class only: {labels[0]!r}",
            where=where,
            why="quality cannot be measured on rows of a single class",
            fix="give rows of every class",
        )


def require_task(
    asked: Task | None, told: Task, estimator: str, classes: tuple[Label, ...]
) -> None:
    """Do nothing if the configured task is the model's own, or none; raises UsageError."""
    if asked is None or asked == told:
        return
    answers = f"the classes {list(classes)[:10]}" if classes else "numbers"
    raise UsageError(
        f"the configured task is {asked}, the model's is {told}",
        where="task",
        why=f"the {estimator} answers {answers}",
        fix=f"leave out --task, or the task in afterfit.toml: {told} is taken from the model",
    )


def task_of(told: Task | None, config: InspectConfig, data: Dataset) -> Task:
    """Return the task: as configured, as the model tells, else as the labels look.

    Raises InputError where none of them says.
    """
    if config.task is not None:
        return config.task
    if told is not None:
        return told
    if config.classes:
        return "binary" if len(config.classes) == 2 else "multiclass"
    labels = known_labels(data)
    if not labels:
        raise InputError(
            "neither the model nor the data tells what is predicted",
            where=data.source,
            fix="name the column of the labels: --target COLUMN",
        )
    if all(isinstance(label, int | float) and not isinstance(label, bool) for label in labels):
        fractions = any(isinstance(label, float) for label in labels)
        if fractions or len(labels) > FEW_VALUES:
            return "regression"
    return "binary" if len(labels) == 2 else "multiclass"


def classes_of(
    told: tuple[Label, ...], config: InspectConfig, data: Dataset, train: Dataset | None
) -> tuple[tuple[Label, ...], bool]:
    """Return the classes in the model's order, and whether they were derived from the data.

    Raises InputError where the number of classes does not fit, or the labels are none of them.
    """
    if config.classes:
        _require_count(config.classes, told, "the configured classes")
        return config.classes, False
    labels = known_labels(data, train)
    if not told:
        if len(labels) < 2:
            raise InputError(
                "the classes are not known", fix="name them in the model's order: --classes no yes"
            )
        return labels, True
    codes = encode_labels(np.array([*labels], dtype=object), told)
    if (codes >= 0).all():
        return told, False
    if told == tuple(range(len(told))) or told == tuple(map(str, range(len(told)))):
        _require_count(labels, told, "the data's labels")
        return labels, True
    strange = [label for label, code in zip(labels, codes, strict=True) if code < 0]
    raise InputError(
        f"the data has labels that the model does not know: {strange[:5]}",
        where=f"{data.source}: column {data.target_name or 'target'}",
        why=f"the model's classes are {list(told)}",
        fix="name the column that the model predicts: --target COLUMN",
    )


def _require_count(words: tuple[Label, ...], told: tuple[Label, ...], what: str) -> None:
    if told and len(words) != len(told):
        raise InputError(
            f"{what} are {len(words)}, the model has {len(told)}",
            why=f"{list(words)[:10]} for outputs {list(told)[:10]}",
            fix="name every class in the order of the model's outputs: --classes no yes",
        )


def positive_of(
    classes: tuple[Label, ...], config: InspectConfig, own: OwnThreshold | None
) -> tuple[Label, bool]:
    """Return the positive class of two, and whether it was assumed; raises InputError.

    It is the configured one, else the one that the model's own threshold was given for.
    """
    if config.positive is None and own is not None and own.named:
        return classes[own.code], False
    if config.positive is None:
        return classes[1], True
    code = int(encode_labels(np.array([config.positive], dtype=object), classes)[0])
    if code < 0:
        raise InputError(
            f"the positive class {config.positive!r} is none of the model's",
            where="positive",
            why=f"the classes are {list(classes)}",
            fix=f"--positive {shell_word(classes[1])}",
        )
    return classes[code], False
