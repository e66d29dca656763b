"""CatBoost models from ``.cbm`` files and in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from afterfit.core.dataset import to_label
from afterfit.core.frame import Frame, Predictions, missing_mask, row_count
from afterfit.core.model import ModelDescription
from afterfit.core.signature import Label, Task
from afterfit.errors import InputError, ModelError, first_line
from afterfit.models.native import Hints, NativeModel, Source, family
from afterfit.models.tables import chosen_features, require_numbers, to_matrix

__all__ = ["EXPONENTIAL", "Adapter", "CatboostModel", "loss_of"]

EXPONENTIAL = frozenset({"Poisson", "Tweedie"})
"""Losses of which CatBoost's regressor answers the exponential of the sum."""

_BINARY = frozenset({"Logloss", "CrossEntropy", "Focal"})
_MULTICLASS = frozenset({"MultiClass", "MultiClassOneVsAll"})
_SEVERAL = frozenset(
    {
        "MultiCrossEntropy",
        "MultiLogloss",
        "MultiQuantile",
        "MultiRMSE",
        "MultiRMSEWithMissingValues",
        "RMSEWithUncertainty",
    }
)
_RANKING = ("GroupQuantile", "LambdaMart", "PairLogit", "Query", "Stochastic", "Yeti")


class Adapter:
    """Loads CatBoost's own files; its classes are the same model behind other names."""

    name = "catboost"
    formats = frozenset({"catboost"})
    order = 20

    def owns(self, estimator: object) -> bool:
        """Return whether the object is a CatBoost model."""
        return family(estimator, "catboost") and callable(getattr(estimator, "predict", None))

    def load(self, source: Source) -> NativeModel:
        """Return the model of a ``.cbm`` file; raises ModelError."""
        import catboost

        return self.wrap(catboost.CatBoost().load_model(blob=source.read()), source.hints)

    def wrap(self, estimator: Any, hints: Hints) -> NativeModel:
        """Return the model around a fitted object; raises ModelError."""
        return CatboostModel(estimator, hints)

    def save_object(self, model: Any, folder: Path) -> tuple[Path, str]:
        """Return the file that holds a model, and its format."""
        path = folder / "model.cbm"
        _require_fitted(model)
        model.save_model(str(path), format="cbm")
        return path, "catboost"


class CatboostModel:
    """A CatBoost model behind Afterfit's interface."""

    def __init__(self, model: Any, hints: Hints) -> None:
        _require_fitted(model)
        self.estimator = model
        self.own_labels = hints.own_labels
        self._hints = hints
        self._loss = loss_of(model)
        self._threads = -1  # as many as there are
        self._task = _task(self._loss, model)
        names = tuple(map(str, model.feature_names_))
        self._n_features = len(names)
        self._named = () if names == tuple(map(str, range(len(names)))) else names
        self._words = frozenset(model.get_cat_feature_indices() + model.get_text_feature_indices())
        self.description = self._describe()

    @property
    def threshold(self) -> float | None:
        """The probability of the second class from which it decides for it, where one was set."""
        text = dict(self.estimator.get_metadata()).get("binclass_probability_threshold")
        return float(text) if text else None

    def _describe(self) -> ModelDescription:
        import catboost

        classes: tuple[Label, ...] = ()
        if self._task != "regression":
            classes = tuple(to_label(label) for label in self.estimator.classes_)
            if classes in {(), (0, 1), tuple(range(len(classes)))}:
                # The library numbers classes: the user's words go first.
                classes = self._hints.classes or classes or (0, 1)
        return ModelDescription(
            framework="catboost",
            estimator=type(self.estimator).__name__,
            task=self._task,
            features=self._features(),
            n_features=self._n_features,
            classes=classes,
            probabilities=self._task != "regression",
            steps=(self._loss,),
            installed={"catboost": catboost.__version__},
        )

    def _features(self) -> tuple[str, ...] | None:
        return self._named or self._hints.features or None

    def predict(self, frame: Frame) -> Predictions:
        """Return probabilities or values of n rows; raises InputError."""
        rows = self.table(frame)
        if self._task == "regression":
            kind = "Exponent" if self._loss in EXPONENTIAL else "RawFormulaVal"
            return Predictions(values=self._ask(rows, kind).reshape(-1))
        matrix = self._ask(rows, "Probability")
        codes = self._decided(rows) if self.own_labels else None
        return Predictions(probabilities=matrix, codes=codes)

    def decide(self, frame: Frame) -> np.ndarray | None:
        """Return the classes of CatBoost's own labels, int64 of [n]; None for a regression."""
        return None if self._task == "regression" else self._decided(self.table(frame))

    def limit_threads(self, threads: int) -> None:
        """Compute with so many threads."""
        self._threads = threads

    def _ask(self, rows: Any, kind: str) -> np.ndarray:
        from catboost import CatBoost, CatBoostError

        try:
            answer = CatBoost.predict(
                self.estimator, rows, prediction_type=kind, thread_count=self._threads
            )
        except (CatBoostError, TypeError) as error:
            raise InputError(
                "CatBoost cannot take these rows",
                why=first_line(error),
                fix="give rows like those that the model was trained on",
            ) from None
        return np.asarray(answer, dtype=np.float64)

    def _decided(self, rows: Any) -> np.ndarray:
        from catboost import CatBoost

        answer = CatBoost.predict(
            self.estimator, rows, prediction_type="Class", thread_count=self._threads
        )
        labels = np.asarray(answer)
        labels = labels.reshape(len(labels))
        known = {str(label): code for code, label in enumerate(self.estimator.classes_)}
        return np.array([known.get(str(label), -1) for label in labels.tolist()], dtype=np.int64)

    def table(self, frame: Frame) -> Any:
        """Return the rows as an array of numbers, or a DataFrame where some columns hold words."""
        if row_count(frame) == 0:
            raise InputError("no rows to predict", fix="give at least one row")
        told = self._hints.features
        features = chosen_features(frame, self._named, told, self._n_features)
        words = [name for index, name in enumerate(features) if index in self._words]
        require_numbers(frame, [name for name in features if name not in words])
        if not words:
            return to_matrix(frame, features)
        return self._dataframe(frame, features, words)

    def _dataframe(self, frame: Frame, features: tuple[str, ...], words: list[str]) -> Any:
        import pandas as pd

        columns: dict[str, Any] = {}
        for trained, name in zip(self._named or features, features, strict=True):
            values = frame[name]
            if name not in words:
                columns[trained] = to_matrix(frame, [name])[:, 0]
            elif missing_mask(values).any():
                raise InputError(
                    f"column {name} has a missing value where CatBoost needs a word",
                    where=name,
                    why="CatBoost has no missing values in features of categories and of text",
                    fix=f"give the word that stood for it in training, for example {name}='nan'",
                )
            else:
                columns[trained] = pd.Series(values.astype(object), dtype=object)
        return pd.DataFrame(columns)

    def save(self, path: Path) -> None:
        """Write a ``.cbm`` file."""
        self.estimator.save_model(str(path), format="cbm")


def loss_of(model: Any) -> str:
    """Return the name of the loss that the model was trained with; empty where it is not told."""
    told = dict(model.get_metadata()).get("params")
    if not told:
        return ""
    loss = json.loads(told).get("loss_function", {})
    return str(loss.get("type", "") if isinstance(loss, dict) else loss).partition(":")[0]


def _require_fitted(model: Any) -> None:
    if not model.is_fitted():
        raise ModelError(
            f"the {type(model).__name__} is not fitted",
            why="it has no trees",
            fix="call fit on it first, or load_model",
        )
    if model.get_embedding_feature_indices():
        raise ModelError(
            "the CatBoost model reads embeddings",
            why="a column of Afterfit holds one value a row",
            fix="train it on one column for each dimension",
        )


def _task(loss: str, model: Any) -> Task:
    if loss.startswith(_RANKING):
        raise ModelError(
            f"the CatBoost model ranks ({loss})",
            why="Afterfit carries classifiers and regressors to production",
            fix="give a classifier or a regressor",
        )
    if loss in _SEVERAL:
        raise ModelError(
            f"the CatBoost model answers several values a row ({loss})",
            why="Afterfit takes one target a model",
            fix="train one model for each target",
        )
    if loss in _MULTICLASS:
        return "binary" if len(model.classes_) == 2 else "multiclass"
    return "binary" if loss in _BINARY else "regression"
