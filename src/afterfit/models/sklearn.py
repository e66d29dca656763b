"""Scikit-learn estimators and pipelines, and whatever keeps to their interface."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from afterfit.core.dataset import to_label
from afterfit.core.frame import Frame, Predictions, is_missing, row_count
from afterfit.core.model import ModelDescription
from afterfit.core.signature import Label, Task
from afterfit.errors import InputError, ModelError
from afterfit.models.native import (
    Hints,
    NativeModel,
    Source,
    adapter_for_object,
    family,
)
from afterfit.models.packages import versions_of
from afterfit.models.tables import chosen_features, require_numbers, to_array, to_pandas

__all__ = ["Adapter", "SklearnModel", "installed_versions", "parts", "trained_names"]


class Adapter:
    """Loads skops, joblib and pickle files, and wraps anything with fit and predict."""

    name = "sklearn"
    formats = frozenset({"skops", "joblib", "pickle", "cloudpickle"})
    order = 90

    def owns(self, estimator: object) -> bool:
        """Return whether the object has a ``predict`` method, and keeps to the interface."""
        return callable(getattr(estimator, "predict", None))

    def load(self, source: Source) -> NativeModel:
        """Return the model of an audited file, by the adapter that its object belongs to."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            estimator = read_object(source.read(), source.format)
        native = adapter_for_object(estimator).wrap(estimator, source.hints)
        for warning in caught:
            saved = getattr(warning.message, "original_sklearn_version", "")
            if saved and isinstance(native, SklearnModel):
                native.saved_with("scikit-learn", str(saved))
        return native

    def wrap(self, estimator: Any, hints: Hints) -> NativeModel:
        """Return the model around a fitted estimator."""
        return SklearnModel(estimator, hints)


def read_object(data: bytes, form: str) -> Any:
    """Return the object in the bytes of an audited file; raises whatever its making raises."""
    if form == "skops":
        from afterfit.models.skops_io import skops_io

        # Every name in the file went through the audit, whose list is stricter than skops' own.
        skops = skops_io()
        return skops.loads(data, trusted=skops.get_untrusted_types(data=data))
    if form == "cloudpickle":
        import cloudpickle

        return cloudpickle.loads(data)
    import joblib

    return joblib.load(io.BytesIO(data))


class SklearnModel:
    """A fitted estimator behind Afterfit's interface."""

    def __init__(self, estimator: Any, hints: Hints) -> None:
        self.estimator = estimator
        self._hints = hints
        self.own_labels = hints.own_labels
        self._named = trained_names(estimator)
        self._categorical = _categorical(estimator, self._named)
        self._missing = _missing_value(estimator)
        self._unrecorded = not self._named and _records_nothing(estimator)
        self.description = _describe(estimator, hints, self._named, self._categorical)

    def saved_with(self, library: str, number: str) -> None:
        """Remember the version of a library that the file was written with."""
        import msgspec

        saved = {**self.description.saved_with, library: number}
        self.description = msgspec.structs.replace(self.description, saved_with=saved)

    def predict(self, frame: Frame) -> Predictions:
        """Return probabilities, codes or values of n rows; raises InputError."""
        rows = self.table(frame)
        if self.description.task == "regression":
            return Predictions(values=_values(self.estimator.predict(rows)))
        if self.description.probabilities:
            matrix = np.asarray(self.estimator.predict_proba(rows), dtype=np.float64)
            codes = self._known(self._codes(rows)) if self._hints.own_labels else None
            return Predictions(probabilities=matrix, codes=codes)
        return Predictions(codes=self._known(self._codes(rows)))

    def decide(self, frame: Frame) -> np.ndarray | None:
        """Return the classes of the estimator's own ``predict``, int64 of [n]; -1 is none."""
        return None if self.description.task == "regression" else self._codes(self.table(frame))

    def _codes(self, rows: Any) -> np.ndarray:
        labels = np.asarray(self.estimator.predict(rows))
        return _codes(labels.reshape(len(labels)), np.asarray(self.estimator.classes_))

    def _known(self, codes: np.ndarray) -> np.ndarray:
        if (codes < 0).any():
            raise ModelError(
                "the model's predict answers labels that are none of its classes",
                why=f"the classes are {np.asarray(self.estimator.classes_).tolist()[:10]}",
                fix="let predict answer with the labels of classes_",
            )
        return codes

    def table(self, frame: Frame) -> Any:
        """Return the rows as what the estimator was trained on: a DataFrame or an array."""
        if row_count(frame) == 0:
            raise InputError("no rows to predict", fix="give at least one row")
        told = self._hints.features
        features = chosen_features(frame, self._named, told, self.description.n_features)
        if self._named:
            return self._dataframe(frame, features)
        if self._unrecorded and told:
            return to_pandas(frame, features, categorical={}, missing=self._missing)
        rows = to_array(frame, features)
        if rows.dtype.kind == "O" and not _takes_text(self.estimator):
            require_numbers(frame, features)
        return rows

    def _dataframe(self, frame: Frame, features: tuple[str, ...]) -> Any:
        pairs = zip(features, self._named, strict=True)
        categorical = {n: self._categorical[k] for n, k in pairs if k in self._categorical}
        table = to_pandas(frame, features, categorical=categorical, missing=self._missing)
        if features != self._named:
            table.columns = list(self._named)
        return table

    def save(self, path: Path) -> None:
        """Write a ``.skops`` (deterministic) or ``.pkl`` (cloudpickle) file."""
        from afterfit.models.save import cloudpickle_bytes, skops_bytes

        writer = skops_bytes if path.suffix == ".skops" else cloudpickle_bytes
        path.write_bytes(writer(self.estimator))


def _records_nothing(estimator: Any) -> bool:
    """Return whether the step that sees the rows first is the user's own and kept no width.

    scikit-learn's steps remember names when they are given a table, and the width of an array.
    One that remembers neither was most likely written for the table that its author had.
    """
    first = estimator
    while getattr(first, "steps", None):
        first = first.steps[0][1]
    own = not type(first).__module__.startswith("sklearn.")
    return (
        own and not hasattr(first, "n_features_in_") and callable(getattr(first, "transform", None))
    )


def parts(estimator: Any) -> list[Any]:
    """Return an estimator and everything fitted inside of it, outermost first."""
    found: list[Any] = []
    waiting = [estimator]
    seen: set[int] = set()
    while waiting:
        item = waiting.pop(0)
        if id(item) in seen or isinstance(item, str) or item is None:
            continue
        seen.add(id(item))
        found.append(item)
        waiting += _inside(item)
    return found


def _inside(item: Any) -> list[Any]:
    inner: list[Any] = [step for _, step in getattr(item, "steps", None) or []]
    inner += [entry[1] for entry in getattr(item, "transformers_", None) or []]
    inner += [entry[1] for entry in getattr(item, "transformer_list", None) or []]
    for name in ("best_estimator_", "estimator_", "regressor_", "final_estimator_"):
        if name in getattr(item, "__dict__", {}):
            inner.append(getattr(item, name))
    for name in ("estimators_", "calibrated_classifiers_"):
        several = getattr(item, "__dict__", {}).get(name)
        if isinstance(several, list):
            inner += several[:1]
    inner.append(getattr(item, "__dict__", {}).get("_preprocessor"))
    return [each for each in inner if each is not None and not isinstance(each, str)]


def installed_versions(estimator: Any) -> dict[str, str]:
    """Return distribution to version for the packages that define the estimator's parts."""
    kinds = {kind for part in parts(estimator) for kind in type(part).__mro__}
    return versions_of(kind.__module__.partition(".")[0] for kind in kinds)


def _describe(
    estimator: Any,
    hints: Hints,
    named: tuple[str, ...],
    categorical: dict[str, tuple[Any, ...]],
) -> ModelDescription:
    task, classes = _task(estimator)
    if len(hints.classes) == len(classes) and classes == tuple(range(len(classes))):
        # The library numbers classes (XGBClassifier does): the user's words go first.
        classes = hints.classes
    inner = parts(estimator)
    versions = installed_versions(estimator)
    return ModelDescription(
        framework="sklearn",
        estimator=type(_final(estimator)).__name__,
        task=task,
        features=_features(named, hints) or None,
        n_features=_n_features(estimator),
        classes=classes,
        probabilities=task != "regression" and hasattr(estimator, "predict_proba"),
        refittable=_refittable(estimator),
        steps=tuple(type(part).__name__ for part in inner),
        saved_with=versions,
        installed=versions,
        categorical={name: tuple(map(str, known)) for name, known in categorical.items()},
    )


def _features(named: tuple[str, ...], hints: Hints) -> tuple[str, ...]:
    # Names that differ in white space only (LightGBM writes underscores): the data's go first.
    told = hints.features
    return told if tuple("_".join(name.split()) for name in told) == named else named or told


def _task(estimator: Any) -> tuple[Task, tuple[Label, ...]]:
    _require_fitted(estimator)
    classes = getattr(estimator, "classes_", None)
    if classes is None:
        if getattr(estimator, "fit_predict", None) or hasattr(estimator, "score_samples"):
            raise ModelError(
                f"{type(estimator).__name__} finds clusters or outliers",
                why="Afterfit carries classifiers and regressors to production",
                fix="give a classifier or a regressor",
            )
        return "regression", ()
    if isinstance(classes, list):
        raise ModelError(
            f"{type(estimator).__name__} answers several targets at once",
            why="Afterfit takes one target a model",
            fix="train and ship one model for each target",
        )
    labels = tuple(to_label(label) for label in classes)
    if len(labels) < 2:
        raise ModelError(
            f"the model knows only one class: {labels}",
            why="it was trained on data with a single label",
            fix="train it on data with at least two classes",
        )
    return ("binary" if len(labels) == 2 else "multiclass"), labels


def _require_fitted(estimator: Any) -> None:
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(estimator)
    except NotFittedError:
        raise ModelError(
            f"{type(estimator).__name__} is not fitted",
            why="it has no learned attributes",
            fix="call fit on it first",
        ) from None
    except TypeError:
        # Keeps to the interface without being a scikit-learn estimator: believed to be fitted.
        return


def _final(estimator: Any) -> Any:
    steps = getattr(estimator, "steps", None)
    return _final(steps[-1][1]) if steps else estimator


def _n_features(estimator: Any) -> int | None:
    try:
        number = estimator.n_features_in_
    except AttributeError:
        return None
    return int(number)


def _refittable(estimator: Any) -> bool:
    from sklearn.base import BaseEstimator, clone

    if not isinstance(estimator, BaseEstimator):
        return False
    try:
        clone(estimator)
    except (TypeError, RuntimeError):
        return False
    return True


def trained_names(estimator: Any) -> tuple[str, ...]:
    """Return the column names that an estimator was fitted with; empty for arrays."""
    try:
        names = estimator.feature_names_in_
    except AttributeError:
        return ()
    return tuple(str(name) for name in names)


def _categorical(estimator: Any, named: tuple[str, ...]) -> dict[str, tuple[Any, ...]]:
    """Return the categories of the columns that had a category dtype in training.

    Looked for in whatever part was trained on exactly the model's own columns.
    """
    found: dict[str, tuple[Any, ...]] = {}
    for part in parts(estimator) if named else []:
        if trained_names(part) == named:
            found.update(_categories_of(part, named))
    return found


def _categories_of(part: Any, named: tuple[str, ...]) -> dict[str, tuple[Any, ...]]:
    if "_preprocessor" in getattr(part, "__dict__", {}) and hasattr(part, "is_categorical_"):
        return _hist_categories(part, named)
    if family(part, "lightgbm"):
        from afterfit.models import lightgbm

        return lightgbm.categories_of(part.booster_)
    if family(part, "xgboost"):
        from afterfit.models import xgboost

        return xgboost.categories_of(part.get_booster())
    return {}


def _hist_categories(part: Any, named: tuple[str, ...]) -> dict[str, tuple[Any, ...]]:
    if part._preprocessor is None or part.is_categorical_ is None:  # noqa: SLF001  # no public name
        return {}
    encoder = part._preprocessor.named_transformers_["encoder"]  # noqa: SLF001  # as above
    columns = [name for name, yes in zip(named, part.is_categorical_, strict=True) if yes]
    return {
        name: tuple(value for value in known.tolist() if not is_missing(value))
        for name, known in zip(columns, encoder.categories_, strict=True)
    }


def _missing_value(estimator: Any) -> object:
    """Return how missing text looked in training: NaN unless a fitted step remembers None."""
    for part in parts(estimator):
        if "missing_values" in getattr(part, "__dict__", {}) and part.missing_values is None:
            return None
        for known in getattr(part, "categories_", None) or []:
            if any(value is None for value in np.asarray(known, dtype=object).tolist()):
                return None
    return np.nan


def _takes_text(estimator: Any) -> bool:
    return any(hasattr(part, "transform") for part in parts(estimator))


def _values(answer: Any) -> np.ndarray:
    values = np.asarray(answer, dtype=np.float64)
    if values.ndim == 2 and values.shape[1] > 1:
        raise ModelError(
            f"the model answers {values.shape[1]} values a row",
            why="Afterfit takes one target a model",
            fix="train and ship one model for each target",
        )
    return values.reshape(len(values))


def _codes(labels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return each label's position among the classes; -1 for what is none of them."""
    place = {label: code for code, label in enumerate(classes.tolist())}
    return np.array([place.get(label, -1) for label in labels.tolist()], dtype=np.int64)
