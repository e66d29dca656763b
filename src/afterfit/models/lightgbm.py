"""LightGBM boosters from ``.txt`` files and in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from afterfit.core.frame import Frame, Predictions, row_count
from afterfit.core.model import ModelDescription
from afterfit.core.signature import Label, Task
from afterfit.errors import InputError, ModelError
from afterfit.models.native import Hints, NativeModel, Source, family
from afterfit.models.tables import (
    chosen_features,
    require_numbers,
    to_matrix,
    to_numbers,
    to_pandas,
)

__all__ = ["Adapter", "LightgbmModel", "categories_of"]

_MULTICLASS = frozenset({"multiclass", "multiclassova"})
_RANKING = frozenset({"lambdarank", "rank_xendcg"})


class Adapter:
    """Loads boosters; the scikit-learn classes of LightGBM belong to the sklearn adapter."""

    name = "lightgbm"
    formats = frozenset({"lightgbm-text"})
    order = 20

    def owns(self, estimator: object) -> bool:
        """Return whether the object is a ``lightgbm.Booster``."""
        return family(estimator, "lightgbm") and type(estimator).__name__ == "Booster"

    def load(self, source: Source) -> NativeModel:
        """Return the model of a booster's file."""
        import lightgbm

        return self.wrap(lightgbm.Booster(model_str=source.read().decode()), source.hints)

    def wrap(self, estimator: Any, hints: Hints) -> NativeModel:
        """Return the model around a booster."""
        return LightgbmModel(estimator, hints)

    def save_object(self, model: Any, folder: Path) -> tuple[Path, str]:
        """Return the file that holds a booster, and its format."""
        path = folder / "model.txt"
        path.write_text(model.model_to_string())
        return path, "lightgbm-text"


class LightgbmModel:
    """A booster behind Afterfit's interface."""

    def __init__(self, booster: Any, hints: Hints) -> None:
        head = booster.dump_model(num_iteration=1)
        self.estimator = booster
        self._hints = hints
        self._objective = str(head.get("objective", "")).partition(" ")[0]
        self._classes = int(head["num_class"])
        self._named = _names(booster)
        self._categorical = categories_of(booster)
        self._threads: dict[str, int] = {}
        self.description = self._describe()

    def _describe(self) -> ModelDescription:
        import lightgbm

        task = _task(self._objective)
        classes: tuple[Label, ...] = ()
        if task != "regression":
            classes = self._hints.classes or tuple(range(max(2, self._classes)))
        return ModelDescription(
            framework="lightgbm",
            estimator="Booster",
            task=task,
            features=self._features(),
            n_features=int(self.estimator.num_feature()),
            classes=classes,
            probabilities=task != "regression",
            steps=(self._objective,),
            installed={"lightgbm": lightgbm.__version__},
            categorical={name: tuple(map(str, c)) for name, c in self._categorical.items()},
        )

    def _features(self) -> tuple[str, ...] | None:
        # LightGBM writes underscores for spaces: the data's own names, where told, go first.
        told = self._hints.features
        if told and tuple("_".join(name.split()) for name in told) == self._named:
            return told
        return self._named or told or None

    def predict(self, frame: Frame) -> Predictions:
        """Return probabilities or values of n rows; raises InputError."""
        answer = np.asarray(
            self.estimator.predict(self._rows(frame), **self._threads), dtype=np.float64
        )
        if self.description.task == "binary":
            return Predictions(probabilities=np.column_stack([1.0 - answer, answer]))
        if self.description.task == "multiclass":
            return Predictions(probabilities=answer)
        return Predictions(values=answer.reshape(-1))

    def limit_threads(self, threads: int) -> None:
        """Compute with so many threads."""
        self._threads = {"num_threads": threads}

    def _rows(self, frame: Frame) -> Any:
        """Return the rows as what costs the booster least: a matrix, where all are numbers."""
        if self._categorical:
            return self.table(frame)
        features = self._chosen(frame)
        require_numbers(frame, features)
        return to_matrix(frame, features)

    def _chosen(self, frame: Frame) -> tuple[str, ...]:
        if row_count(frame) == 0:
            raise InputError("no rows to predict", fix="give at least one row")
        told = self._hints.features
        return chosen_features(frame, self._named, told, self.description.n_features)

    def table(self, frame: Frame) -> Any:
        """Return the rows as a DataFrame with the names and categories of the training."""
        features = self._chosen(frame)
        trained = self._named or features
        pairs = list(zip(features, trained, strict=True))
        require_numbers(frame, [name for name, known in pairs if known not in self._categorical])
        categorical = {n: self._categorical[k] for n, k in pairs if k in self._categorical}
        table = to_numbers(to_pandas(frame, features, categorical=categorical))
        table.columns = list(trained)
        return table

    def save(self, path: Path) -> None:
        """Write a ``.txt`` file."""
        path.write_text(self.estimator.model_to_string())


def categories_of(booster: Any) -> dict[str, tuple[Any, ...]]:
    """Return the categories of each column that had a category dtype in training."""
    known = booster.pandas_categorical
    if not known:
        return {}
    infos = booster.dump_model(num_iteration=1)["feature_infos"]
    names = [name for name in booster.feature_name() if infos.get(name, {}).get("values")]
    if len(names) != len(known):
        # A category column that no tree could use has no values in the file.
        raise ModelError(
            "the booster's categorical columns cannot be told apart",
            why=f"it names {len(known)} lists of categories and {len(names)} such columns",
            fix="train it without the categorical columns that never vary",
        )
    return {name: tuple(values) for name, values in zip(names, known, strict=True)}


def _names(booster: Any) -> tuple[str, ...]:
    names = tuple(booster.feature_name())
    made_up = tuple(f"Column_{index}" for index in range(len(names)))
    return () if names == made_up else names


def _task(objective: str) -> Task:
    if objective in {"binary", "cross_entropy", "xentropy"}:
        return "binary"
    if objective in _MULTICLASS:
        return "multiclass"
    if objective in _RANKING:
        raise ModelError(
            f"the booster ranks ({objective})",
            why="Afterfit carries classifiers and regressors to production",
            fix="give a classifier or a regressor",
        )
    return "regression"
