"""Models that are a search for parameters: the folds search anew, so the numbers are nested."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from afterfit.assess import findings
from afterfit.assess.evidence import Evidence, Part
from afterfit.core.metric import find
from afterfit.core.quality import main_metric
from afterfit.errors import AfterfitError

__all__ = ["asked_for_search", "nested_search"]

SEARCH = "afterfit.models.search:search_of"


def asked_for_search(evidence: Evidence) -> Mapping[str, Any]:
    """Return what search the model is, empty where it is none; raises AfterfitError.

    Ask before the folds: where their time was over the model's process has ended, and starting it
    again for this one question takes seconds that nobody planned.
    """
    found: Mapping[str, Any] = evidence.model.call(SEARCH) or {}
    return found


def nested_search(evidence: Evidence) -> Part:
    """Return whether the model's own score may be quoted, and what to quote in its place."""
    check = findings.NestedSearch
    if not evidence.refittable:
        return Part((check.not_applicable("the model cannot be cloned from its file"),))
    try:
        found = asked_for_search(evidence) if evidence.search is None else evidence.search
    except AfterfitError as error:
        return Part((check.skipped(f"the model could not be looked at: {error.message}"),))
    if not found:
        return Part((check.not_applicable("the model is no search for parameters"),))
    what = f"{found['search']} over {found['candidates']} candidates"
    cv = find(evidence.cv, main_metric(evidence.signature), "cv")
    if cv is None:
        text = f"{what}: without folds its own score cannot be checked"
        return Part((check.skipped(text, fix="give --train train.csv"),))
    text = f"{what}: each fold searched anew on its own training rows (nested), {cv.name} "
    text += cv.text()
    if evidence.config.refit:
        text = f"{what}: the folds were fitted by {evidence.config.refit}, {cv.name} {cv.text()}"
    score = found["best_score"]
    if score is None or found["candidates"] < 2:
        return Part((check.passed(text, **found),))
    text += (
        f"; its best_score_ of {score:.4g} ({found['scoring']}) is that of the winner on the rows "
        "that it won on, so it reads too well"
    )
    return Part((check.tip(text, fix="quote the nested number", **found),))
