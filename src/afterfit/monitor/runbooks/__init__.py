"""What to do about an alarm: the page of each kind of signal, which ``afterfit explain`` prints."""

from __future__ import annotations

from afterfit.core.finding import SEVERITIES, Check, Severity
from afterfit.monitor.runbooks import findings
from afterfit.records.signals import SignalPoint

__all__ = ["HARM", "runbook_of", "severity_of", "steps_of"]

HARM = frozenset({"performance", "gate", "errors", "failed", "burn"})
"""The signals that show harm itself, and not only that something is different."""

_PAGES: dict[str, type[Check]] = {
    "drift": findings.InputsMoved,
    "multivariate": findings.InputsMovedTogether,
    "output": findings.OutputsMoved,
    "schema": findings.SchemaChanged,
    "missing": findings.ValuesMissing,
    "new_category": findings.ValuesUnseen,
    "range": findings.ValuesUnseen,
    "ood": findings.ValuesUnseen,
    "skew": findings.TrainServeSkew,
    "performance": findings.QualityFell,
    "estimate": findings.QualityEstimatedLower,
    "concept": findings.ErrorsChanged,
    "label_shift": findings.ClassesShifted,
    "fairness": findings.GroupsApart,
    "gate": findings.GateBroken,
    "latency": findings.SlowAnswers,
    "errors": findings.AnswersFail,
    "resources": findings.ResourcesShort,
    "cost": findings.CostsMore,
    "timely": findings.NothingComes,
    "labels": findings.LabelsLate,
}
# Names that say the same in other words; the part before a dot or an underscore counts too.
_ALSO = {
    "new": "new_category",
    "prediction": "output",
    "classifier": "multivariate",
    "domain": "multivariate",
    "pca": "multivariate",
    "reconstruction": "multivariate",
    "cbpe": "estimate",
    "dle": "estimate",
    "pape": "estimate",
    "error": "errors",
    "failed": "errors",
    "refused": "errors",
    "availability": "errors",
    "burn": "errors",
    "cpu": "resources",
    "memory": "resources",
    "saturation": "resources",
    "queue": "resources",
    "silence": "timely",
    "timeliness": "timely",
    "idle": "cost",
    "coverage": "labels",
    "maturity": "labels",
}


def runbook_of(signal: str) -> str:
    """Return the code of a signal's page; one of no known kind has the general one."""
    return _page(signal).code


def steps_of(code: str) -> dict[str, str]:
    """Return the page of a code by its labels, empty for one that is none of these."""
    pages: tuple[type[Check], ...] = (*_PAGES.values(), findings.AnySignal)
    return next((page.page() for page in pages if page.code == code), {})


def severity_of(point: SignalPoint) -> Severity:
    """Return how bad a point is: by its kind, and by the loss where that is known.

    A surely positive loss is one level worse than its kind, one that surely is none is ``low``.
    """
    usual = _page(point.signal).severity
    loss = point.loss
    if loss is None or loss.low is None or loss.high is None:
        return usual
    if loss.high <= 0:
        return min(usual, "low", key=SEVERITIES.index)
    place = SEVERITIES.index(usual)
    return SEVERITIES[min(place + 1, len(SEVERITIES) - 1)] if loss.low > 0 else usual


def _page(signal: str) -> type[Check]:
    for name in (signal, signal.partition("_")[0], signal.partition(".")[0]):
        if page := _PAGES.get(_ALSO.get(name, name)):
            return page
    return findings.AnySignal
