"""Which columns held text and which held numbers when a pipeline was trained."""

from __future__ import annotations

from typing import Any

import numpy as np

from afterfit.core.frame import is_missing
from afterfit.models.native import NativeModel
from afterfit.models.sklearn import parts, trained_names

__all__ = ["column_kinds"]


def column_kinds(native: NativeModel) -> dict[str, str]:
    """Return ``text`` or ``number`` for the columns of which a fitted encoder or scaler tells.

    Looked at: the first step of each branch of a ColumnTransformer that takes the model's columns.
    """
    estimator = native.estimator
    named = trained_names(estimator)
    found: dict[str, str] = {}
    for part in parts(estimator):
        if trained_names(part) != named or not hasattr(part, "transformers_"):
            continue
        for _, transformer, columns in part.transformers_:
            found.update(_branch_kinds(transformer, columns, named))
        break
    return found


def _branch_kinds(transformer: Any, columns: Any, named: tuple[str, ...]) -> dict[str, str]:
    chosen = _column_names(columns, named)
    steps = getattr(transformer, "steps", None)
    for step in [step for _, step in steps] if steps else [transformer]:
        known = getattr(step, "categories_", None)
        if known is not None and len(known) == len(chosen):
            kinds = [_kind_of_categories(values) for values in known]
            return {name: kind for name, kind in zip(chosen, kinds, strict=True) if kind}
        if any(hasattr(step, name) for name in ("scale_", "quantiles_", "lambdas_", "bin_edges_")):
            return dict.fromkeys(chosen, "number")
        if not hasattr(step, "statistics_"):
            break
    return {}


def _column_names(columns: Any, named: tuple[str, ...]) -> list[str]:
    if isinstance(columns, str):
        return [columns]
    if isinstance(columns, slice):
        return []
    listed = list(columns)
    if all(isinstance(each, str) for each in listed):
        return listed
    array = np.asarray(listed)
    return np.asarray(named, dtype=object)[array].tolist() if array.dtype.kind in "bi" else []


def _kind_of_categories(values: Any) -> str:
    known = [value for value in np.asarray(values, dtype=object).tolist() if not is_missing(value)]
    if known and all(isinstance(value, str) for value in known):
        return "text"
    numbers = (int, float, np.number)
    return "number" if known and all(isinstance(value, numbers) for value in known) else ""
