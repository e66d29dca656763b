"""XGBoost boosters from ``.ubj`` and ``.json`` files and in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from afterfit.core.frame import Frame, Predictions, row_count
from afterfit.core.model import ModelDescription
from afterfit.core.signature import Label, Task
from afterfit.errors import DependencyError, InputError, ModelError
from afterfit.models.native import Hints, NativeModel, Source, family
from afterfit.models.tables import (
    chosen_features,
    require_numbers,
    to_matrix,
    to_numbers,
    to_pandas,
)

__all__ = ["Adapter", "XgboostModel", "categories_of"]


class Adapter:
    """Loads boosters; the scikit-learn classes of XGBoost belong to the sklearn adapter."""

    name = "xgboost"
    formats = frozenset({"xgboost-ubj", "xgboost-json"})
    order = 20

    def owns(self, estimator: object) -> bool:
        """Return whether the object is an ``xgboost.Booster``."""
        return family(estimator, "xgboost") and type(estimator).__name__ == "Booster"

    def load(self, source: Source) -> NativeModel:
        """Return the model of a booster's file."""
        import xgboost

        booster = xgboost.Booster()
        booster.load_model(bytearray(source.read()))
        return self.wrap(booster, source.hints)

    def wrap(self, estimator: Any, hints: Hints) -> NativeModel:
        """Return the model around a booster."""
        return XgboostModel(estimator, hints)

    def save_object(self, model: Any, folder: Path) -> tuple[Path, str]:
        """Return the file that holds a booster, and its format."""
        path = folder / "model.ubj"
        path.write_bytes(bytes(model.save_raw(raw_format="ubj")))
        return path, "xgboost-ubj"


class XgboostModel:
    """A booster behind Afterfit's interface."""

    def __init__(self, booster: Any, hints: Hints) -> None:
        learner = json.loads(booster.save_config())["learner"]
        self.estimator = booster
        self._hints = hints
        self._objective = str(learner["objective"]["name"])
        self._classes = int(learner["learner_model_param"]["num_class"])
        self._rounds = _rounds(booster)
        self._threads: int | None = None
        names = booster.feature_names
        self._named = tuple(map(str, names)) if names else ()
        self._categorical = categories_of(booster)
        # Neither codes of categories nor linear models are read from a matrix as they are.
        kinds = booster.feature_types or ()
        self._plain = learner["gradient_booster"]["name"] == "gbtree" and "c" not in kinds
        self.description = self._describe(int(learner["learner_model_param"]["num_feature"]))

    def _describe(self, n_features: int) -> ModelDescription:
        import xgboost

        task = _task(self._objective)
        classes: tuple[Label, ...] = ()
        if task != "regression":
            classes = self._hints.classes or tuple(range(max(2, self._classes)))
        return ModelDescription(
            framework="xgboost",
            estimator="Booster",
            task=task,
            features=self._named or self._hints.features or None,
            n_features=n_features,
            classes=classes,
            probabilities=task != "regression" and self._objective != "binary:hinge",
            steps=(self._objective,),
            saved_with=_version_in(self.estimator),
            installed={"xgboost": xgboost.__version__},
            categorical={name: tuple(map(str, c)) for name, c in self._categorical.items()},
        )

    def predict(self, frame: Frame) -> Predictions:
        """Return probabilities, codes or values of n rows; raises InputError."""
        margin = self._objective in {"multi:softmax", "binary:logitraw"}
        matrix = self._matrix(frame) if self._plain else None
        if matrix is None:
            rows = self.table(frame)
            answer = self.estimator.predict(
                rows, output_margin=margin, iteration_range=self._rounds
            )
        else:
            answer = self.estimator.inplace_predict(
                matrix,
                iteration_range=self._rounds,
                predict_type="margin" if margin else "value",
                validate_features=False,
            )
        return _read(np.asarray(answer, dtype=np.float64), self._objective)

    def limit_threads(self, threads: int) -> None:
        """Compute with so many threads, whatever the file says."""
        self._threads = threads
        self.estimator.set_param({"nthread": threads})

    def _matrix(self, frame: Frame) -> np.ndarray | None:
        """Return the rows in single precision, as XGBoost compares them; None for infinities.

        A DMatrix refuses infinities, a matrix does not: so they go where they are refused.
        """
        features = self._chosen(frame)
        require_numbers(frame, features)
        matrix = to_matrix(frame, features, np.float32)
        return None if np.isinf(matrix).any() else matrix

    def _chosen(self, frame: Frame) -> tuple[str, ...]:
        if row_count(frame) == 0:
            raise InputError("no rows to predict", fix="give at least one row")
        told = self._hints.features
        return chosen_features(frame, self._named, told, self.description.n_features)

    def table(self, frame: Frame) -> Any:
        """Return the rows as a DMatrix with the names and categories of the training."""
        import xgboost

        features = self._chosen(frame)
        pairs = list(zip(features, self._named or features, strict=True))
        require_numbers(frame, [name for name, known in pairs if known not in self._categorical])
        categorical = {n: self._categorical[k] for n, k in pairs if k in self._categorical}
        table = to_numbers(to_pandas(frame, features, categorical=categorical))
        if not self._named:
            return xgboost.DMatrix(table.to_numpy(dtype=np.float64), nthread=self._threads)
        table.columns = list(self._named)
        return xgboost.DMatrix(table, enable_categorical=True, nthread=self._threads)

    def save(self, path: Path) -> None:
        """Write a ``.ubj`` or ``.json`` file."""
        form = "json" if path.suffix == ".json" else "ubj"
        path.write_bytes(bytes(self.estimator.save_raw(raw_format=form)))


def categories_of(booster: Any) -> dict[str, tuple[Any, ...]]:
    """Return the categories of each categorical column, in the booster's own order.

    Boosters keep them since XGBoost 3.1; an older file has codes only, and gives none. A value
    that is none of them is given to the booster as missing.
    """
    reader = getattr(booster, "get_categories", None)
    kinds, names = booster.feature_types, booster.feature_names
    if reader is None or not kinds or not names or "c" not in kinds:
        return {}
    try:
        exported = reader(export_to_arrow=True).to_arrow()
    except ImportError:
        raise DependencyError(
            "XGBoost reads the categories of a model through pyarrow, which is not installed",
            fix="pip install pyarrow",
        ) from None
    return {str(name): tuple(known.to_pylist()) for name, known in exported if known is not None}


def _rounds(booster: Any) -> tuple[int, int]:
    """Return the trees that are used: up to the best iteration, as the sklearn classes do."""
    wrapped = booster.attr("scikit_learn")
    best = booster.attr("best_iteration")
    return (0, int(best) + 1) if wrapped and best is not None else (0, 0)


def _task(objective: str) -> Task:
    family_name = objective.partition(":")[0]
    if family_name == "binary":
        return "binary"
    if family_name == "multi":
        return "multiclass"
    if family_name == "rank":
        raise ModelError(
            f"the booster ranks ({objective})",
            why="Afterfit carries classifiers and regressors to production",
            fix="give a classifier or a regressor",
        )
    return "regression"


def _read(answer: np.ndarray, objective: str) -> Predictions:
    if objective == "binary:hinge":
        return Predictions(codes=answer.astype(np.int64))
    if objective == "binary:logitraw":
        answer = 1.0 / (1.0 + np.exp(-answer))
    if objective.startswith("binary:"):
        return Predictions(probabilities=np.column_stack([1.0 - answer, answer]))
    if objective == "multi:softmax":
        powers = np.exp(answer - answer.max(axis=1, keepdims=True))
        return Predictions(probabilities=powers / powers.sum(axis=1, keepdims=True))
    if objective == "multi:softprob":
        return Predictions(probabilities=answer)
    if answer.ndim > 1 and answer.shape[1] > 1:
        raise ModelError(
            f"the booster answers {answer.shape[1]} values a row",
            why="Afterfit takes one target a model",
            fix="train one model for each target",
        )
    return Predictions(values=answer.reshape(-1))


def _version_in(booster: Any) -> dict[str, str]:
    number = json.loads(booster.save_config()).get("version")
    return {"xgboost": ".".join(map(str, number))} if number else {}
