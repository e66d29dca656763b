"""Whether a model searched for its own parameters, and what it found; runs in its process."""

from __future__ import annotations

import math
from typing import Any

from afterfit.models.native import NativeModel

__all__ = ["search_of"]


def search_of(native: NativeModel) -> dict[str, Any]:
    """Return the class, ``best_score_``, scorer and number of candidates of a fitted search.

    Empty for a model that is none. The search may be the last step of a pipeline. A score that is
    no number is None.
    """
    estimator: Any = getattr(native, "estimator", None)
    while getattr(estimator, "steps", None):
        estimator = estimator.steps[-1][1]
    if not hasattr(estimator, "best_params_") or not hasattr(estimator, "cv_results_"):
        return {}
    best = getattr(estimator, "best_score_", None)
    score = float(best) if isinstance(best, float | int) else math.nan
    scoring = getattr(estimator, "scoring", None)
    return {
        "search": type(estimator).__name__,
        "best_score": score if math.isfinite(score) else None,
        "scoring": scoring if isinstance(scoring, str) else "its default score",
        "candidates": len(estimator.cv_results_.get("params", ())),
    }
