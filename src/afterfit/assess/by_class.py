"""How often each class is found, and whether one is never decided for."""

from __future__ import annotations

import numpy as np

from afterfit.assess import findings
from afterfit.assess.evidence import Evidence, Part
from afterfit.assess.group_measures import summed
from afterfit.core.finding import Finding
from afterfit.core.metric import Metric, in_percent, known
from afterfit.records.assess import ClassQuality
from afterfit.stats.groups import how
from afterfit.stats.interval import wilson

__all__ = ["by_class"]

LEAST_ROWS = 10
"""Of fewer rows none may be found by chance: a class that half of the time is, 1 time in 1,000."""
MOST_TOLD = 5


def by_class(evidence: Evidence) -> Part:
    """Return recall and precision of each class with Wilson's intervals, and what is never decided.

    Where rows hang together an interval is that of as many independent rows as they are worth.
    """
    check, signature = findings.NeverDecided, evidence.signature
    if signature.task == "regression":
        return Part((check.not_applicable("a regression decides for no class"),))
    decided = signature.codes(evidence.predictions)
    classes = range(len(signature.classes))
    found = tuple(_quality(evidence, decided, code) for code in classes)
    return Part((_told(found),), fields={"classes": found})


def _quality(evidence: Evidence, decided: np.ndarray, code: int) -> ClassQuality:
    true, chosen = np.flatnonzero(evidence.truth == code), np.flatnonzero(decided == code)
    return ClassQuality(
        label=evidence.signature.classes[code],
        n=len(true),
        decided=len(chosen),
        recall=_share(evidence, "recall", decided[true] == code, true),
        precision=_share(evidence, "precision", evidence.truth[chosen] == code, chosen),
    )


def _share(evidence: Evidence, name: str, hits: np.ndarray, rows: np.ndarray) -> Metric:
    """Return a share of some rows with its interval; it has no value without a row."""
    found = summed(evidence, hits, rows)
    n, total, _ = found.effective
    bounds = wilson(total, n, evidence.config.level)
    return Metric(
        name=name,
        value=found.mean if found.n else None,
        low=known(bounds.low) if found.n else None,
        high=known(bounds.high) if found.n else None,
        level=evidence.config.level,
        n=found.n,
        method=how(bounds, found) if found.n else "undefined: there are no such rows",
        scope="class",
    )


def _told(found: tuple[ClassQuality, ...]) -> Finding:
    check = findings.NeverDecided
    there = [each for each in found if each.n]
    never = sorted((e for e in there if not e.decided), key=lambda each: -each.n)
    if never:
        text = "; ".join(map(_never, never[:MOST_TOLD]))
        more = f"; and {len(never) - MOST_TOLD} more classes" if len(never) > MOST_TOLD else ""
        labels = [str(each.label) for each in never]
        fix = "weigh the rare class in training, label more of its rows, or merge it with another"
        if len(found) == 2:
            fix = "decide from a lower probability on: see A007; or weigh the class in training"
        if never[0].n >= LEAST_ROWS:
            return check.issue(text + more, where=labels[0], fix=fix, classes=labels)
        return check.tip(text + more, where=labels[0], fix=fix, classes=labels)
    least = min(there, key=lambda each: each.recall.value or 0.0)
    text = f"the least recall is that of {str(least.label)!r}: {least.recall.text()}"
    text = f"each of {len(there)} classes is decided for; {text}"
    return check.passed(text, n=sum(each.n for each in there))


def _never(each: ClassQuality) -> str:
    high = in_percent(each.recall.high or 1.0)
    rows = f"{each.n:,} row{'' if each.n == 1 else 's'}"
    return (
        f"{str(each.label)!r} is never decided for: none of its {rows} is found (surely no more "
        f"than {high} of such rows)"
    )
