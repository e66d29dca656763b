"""What is mended in a copy of a fitted estimator, so that a converter can take it."""

from __future__ import annotations

from typing import Any

import numpy as np

from afterfit.core.frame import is_missing
from afterfit.errors import ModelError
from afterfit.models.native import family

__all__ = ["repair", "walk"]


_INSIDE = ("estimator_", "final_estimator_", "best_estimator_", "regressor_")


def repair(estimator: Any, missing: str) -> tuple[str, ...]:
    """Return what was mended in ``estimator``, which is changed and so must be a copy.

    ONNX has no missing string: wherever a step knows one (as None or NaN) it gets ``missing``.
    """
    done: list[str] = []
    for part in walk(estimator):
        if hasattr(part, "statistics_"):
            done += _imputer(part, missing)
        if hasattr(part, "steps"):
            done += _sparse(part)
        if hasattr(part, "flatten_transform"):
            part.flatten_transform = False  # shapes VotingClassifier.transform only
        if isinstance(getattr(part, "categories_", None), list):
            done += _encoder(part, missing)
    return tuple(dict.fromkeys(done))


def walk(estimator: Any) -> list[Any]:
    """Return an estimator and every fitted part of its pipelines and column transformers."""
    found, waiting, seen = [], [estimator], set()
    while waiting:
        part = waiting.pop(0)
        if id(part) in seen or part is None or isinstance(part, str):
            continue
        seen.add(id(part))
        found.append(part)
        waiting += [step for _, step in getattr(part, "steps", None) or []]
        waiting += [entry[1] for entry in getattr(part, "transformers_", None) or []]
        waiting += [entry[1] for entry in getattr(part, "transformer_list", None) or []]
        waiting += [getattr(part, name, None) for name in _INSIDE]
        several = getattr(part, "estimators_", None)
        waiting += list(several) if isinstance(several, list) else []
        calibrated = getattr(part, "calibrated_classifiers_", None) or []
        waiting += [getattr(each, "estimator", None) for each in calibrated]
    return found


def _sparse(pipeline: Any) -> list[str]:
    """Mark an XGBoost model that is given sparse rows: zeros, not stored, are missing to it."""
    if len(pipeline.steps) < 2:
        return []
    before, final = pipeline.steps[-2][1], pipeline.steps[-1][1]
    sparse = getattr(before, "sparse_output_", getattr(before, "sparse_output", False))
    if not sparse or not family(final, "xgboost"):
        return []
    final.afterfit_zero_missing_ = True
    return ["zeros are missing values, as in the sparse rows that XGBoost was given"]


def _imputer(part: Any, missing: str) -> list[str]:
    values = np.asarray(part.statistics_)
    if values.dtype.kind not in "OU" or not is_missing(_plain(part.missing_values)):
        return []
    if not all(isinstance(value, str) for value in values.tolist()):
        return []
    part.missing_values = missing
    return ["a SimpleImputer of text looks for a marker in place of NaN"]


def _encoder(part: Any, missing: str) -> list[str]:
    mended = []
    for index, known in enumerate(part.categories_):
        values = np.asarray(known, dtype=object).tolist()
        holes = [position for position, value in enumerate(values) if is_missing(_plain(value))]
        if not holes or not any(isinstance(value, str) for value in values):
            continue
        if len(holes) > 1:
            raise ModelError("an encoder that tells None from NaN")
        values[holes[0]] = missing
        part.afterfit_missing_ = missing  # what a missing value looks like from here on
        part.categories_[index] = np.array(values, dtype=object)
        mended = [f"a {type(part).__name__} knows a marker in place of NaN"]
    return mended


def _plain(value: object) -> object:
    """Return None for pandas.NA, the value itself otherwise."""
    return None if type(value).__name__ == "NAType" else value
