"""How the model uses its columns: which matter, and how the answer moves with the first of them."""

from __future__ import annotations

import math
import time

import numpy as np

from afterfit.assess import findings
from afterfit.assess.dependence import dependences
from afterfit.assess.evidence import Evidence, Part
from afterfit.assess.importance import NOTHING_MOVED, importances
from afterfit.core.effort import more_time
from afterfit.core.finding import Finding
from afterfit.core.metric import in_percent
from afterfit.records.assess_explain import Importance

__all__ = ["explain"]

SHARE = 0.25
"""Of the time that is left: as much may go into this."""
LEAST_ROWS = 50
NEGLIGIBLE = 0.002
"""A metric between 0 and 1 that moves by less is as it was; others by such a share of the most."""
MOST = 0.9
FEWEST = 3
NAMED = 10
DRAWN = 3


def explain(evidence: Evidence) -> Part:
    """Return each column's importance, the greatest first, and the curves of the first three."""
    checks = (findings.OneColumnDecides, findings.ColumnsWithoutUse)
    names, rows = evidence.signature.names, len(evidence.data)
    if len(names) < 2:
        return Part(tuple(check.not_applicable("the model has one column") for check in checks))
    if rows < LEAST_ROWS:
        text = f"{rows} rows are too few to see what a column is worth"
        return Part(tuple(check.skipped(text, needed_n=LEAST_ROWS) for check in checks))
    if not np.isfinite(evidence.predictions.main).all():
        text = "some predictions are not finite"
        return Part(tuple(check.skipped(text) for check in checks))
    deadline = time.monotonic() + SHARE * evidence.left
    found = importances(evidence, deadline)
    if len(found) < len(names):
        text = f"{len(found)} of {len(names)} columns were reached before the time was over"
        told = tuple(check.skipped(text, fix=more_time(evidence.config.effort)) for check in checks)
    else:
        told = (_one_decides(found), _without_use(found))
    first = [each.column for each in found[:DRAWN]]
    curves = dependences(evidence, first, deadline)
    return Part(told, fields={"importances": tuple(found), "dependences": tuple(curves)})


def _one_decides(found: list[Importance]) -> Finding:
    check = findings.OneColumnDecides
    whole = sum(max(0.0, each.value) for each in found)
    first = found[0]
    text = f"{first.column}: {_told(first)}"
    if len(found) < FEWEST or not whole > 0.0:
        return check.not_applicable(f"{len(found)} columns; the first is {text}")
    share = first.value / whole
    if share > MOST and first.low is not None and first.low > 0:
        text = f"{in_percent(share)} of what the columns are worth comes from {text}"
        return check.tip(text, where=first.column, share=share, n=first.n)
    text = f"of what {len(found)} columns are worth the first has {in_percent(share)}; {text}"
    return check.passed(text)


def _without_use(found: list[Importance]) -> Finding:
    check = findings.ColumnsWithoutUse
    limit = NEGLIGIBLE * (1.0 if found[0].metric != "mae" else max(found[0].value, 0.0))
    still = [each.column for each in found if each.method.endswith(NOTHING_MOVED)]
    n = found[0].n
    # Without a case in n rows its share is surely below 3 / n (to be exact, below `bound`).
    bound = 1 - ((1 - found[0].level) / 2) ** (1 / n)
    idle = [each.column for each in found if _within(each, limit)]
    idle += still if bound < NEGLIGIBLE else []
    if not idle and still:
        text = (
            f"{_some(still)} changed no answer for the worse or better in {n:,} rows, which is no "
            f"more than to say that fewer than {in_percent(bound, 1)} of all rows change"
        )
        needed = math.ceil(math.log((1 - found[0].level) / 2) / math.log1p(-NEGLIGIBLE))
        return check.skipped(text, needed_n=needed, columns=still)
    if not idle:
        return check.passed(f"none of {len(found)} columns can surely be left out")
    text = f"{len(idle)} of {len(found)} columns move {found[0].metric} by less than {limit:.2g}"
    return check.tip(f"{text}: {_some(idle)}", columns=idle, n=n)


def _within(each: Importance, limit: float) -> bool:
    known = each.low is not None and each.high is not None
    return known and -limit <= (each.low or 0.0) and (each.high or 0.0) < limit


def _some(names: list[str]) -> str:
    """Return the names, the first of many."""
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if names[NAMED:] else "")


def _told(each: Importance) -> str:
    if each.low is None or each.high is None:
        return f"{each.metric} worse by {each.value:.4g} (n = {each.n})"
    bounds = f"{each.low:.4g} to {each.high:.4g}"
    return f"{each.metric} worse by {each.value:.4g} ({bounds}, n = {each.n})"
