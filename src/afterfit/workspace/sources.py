"""What the user hands over: a model, tables and labels, in any of the forms people have them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from afterfit.core.dataset import Dataset
from afterfit.core.sections import DataSection
from afterfit.core.signature import Label
from afterfit.errors import UsageError
from afterfit.records.lineage import ModelSource
from afterfit.registry.lineage.dvc import Tracked
from afterfit.registry.mlflow.source import PREFIX, source_of
from afterfit.store.tables import read_dataset


@dataclass(frozen=True)
class Sources:
    """The model and its tables as given.

    ``data`` and ``train`` are paths, data frames, arrays, or (rows, labels) pairs; ``target`` is
    a column's name or the labels themselves. ``origin`` is where a model of MLflow came from,
    ``tracked`` what DVC says of ``data`` and ``train`` where they were named by it.
    """

    model: Any
    data: Any
    target: Any = None
    train: Any = None
    code: Path | None = None
    classes: tuple[Label, ...] = ()
    positive: Label | None = None
    threshold: float | None = None
    task: Any = None
    origin: ModelSource | None = None
    tracked: Mapping[str, Tracked] = field(default_factory=dict)


class Told(TypedDict, total=False):
    """What may be told of a model and its rows beside them: the options of every step."""

    train: Any
    code: Path | str | None
    classes: tuple[Label, ...]
    positive: Label | None
    threshold: float | None
    task: Any


def sources_of(model: Any, data: Any, target: Any, told: Told) -> Sources:
    """Return the sources of a call by its arguments."""
    code = told.get("code")
    return Sources(
        model,
        data,
        target,
        train=told.get("train"),
        code=None if code is None else Path(code),
        classes=tuple(told.get("classes") or ()),
        positive=told.get("positive"),
        threshold=told.get("threshold"),
        task=told.get("task"),
    )


def read_sources(sources: Sources, roles: DataSection) -> tuple[Dataset, Dataset | None]:
    """Return the held-out and, where given, the training table; raises InputError."""
    if sources.data is None:
        raise UsageError(
            "there is no data",
            why="every step looks at rows the model has not seen",
            fix="give --data test.csv --target COLUMN",
        )
    data = _read(sources.data, sources.target, roles)
    if sources.train is None:
        return data, None
    target = data.target_name if data.target_name is not None else None
    if isinstance(sources.target, str):
        target = sources.target
    return data, _read(sources.train, target, roles)


def _read(source: Any, target: Any, roles: DataSection) -> Dataset:
    """Return one table with its target, which a pair carries beside the rows."""
    labels = None
    if isinstance(source, tuple) and len(source) == 2:
        source, labels = source
    elif target is not None and not isinstance(target, str):
        labels = target
    name = target if isinstance(target, str) and labels is None else None
    return read_dataset(
        Path(source) if isinstance(source, str) else source,
        target=name,
        y=labels,
        time=roles.time or None,
        group=roles.group or None,
        entity=roles.entity or None,
    )


def sample(data: Dataset, rows: int, seed: int) -> Dataset:
    """Return at most ``rows`` rows drawn with ``seed``, in their order."""
    if len(data) <= rows:
        return data
    chosen = np.random.default_rng(seed).permutation(len(data))[:rows]
    return data.take(np.sort(chosen))


def name_of(model: Any) -> str:
    """Return a name for a model nobody named: its file's, or its class's."""
    if isinstance(model, str | Path) and str(model).startswith(PREFIX):
        stem = source_of(str(model)).title
    elif isinstance(model, str | Path) and ":" not in str(model):
        stem = Path(model).name.partition(".")[0]
    elif isinstance(model, str):
        stem = model.partition(":")[2]
    else:
        stem = type(model).__name__
    cleaned = "".join(c if c.isalnum() or c in "._-" else "-" for c in stem.lower()).strip("._-")
    return cleaned or "model"
