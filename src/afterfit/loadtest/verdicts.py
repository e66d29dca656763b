"""What the search of a rate and its certificate mean for a person, as findings."""

from __future__ import annotations

from afterfit.core.finding import Finding
from afterfit.core.metric import in_figures
from afterfit.loadtest import findings
from afterfit.loadtest.certificate import Certified
from afterfit.loadtest.search import Search
from afterfit.loadtest.slo import Slo

__all__ = ["certificate_findings", "search_findings"]

UNFINISHED = {
    "budget": ("the search had no more time", "--budget 5m, or budget under [loadtest]"),
    "gone": ("the server is gone", "look at the server's own log"),
    "cut": ("it was stopped", "run it again"),
}


def search_findings(found: Search) -> tuple[Finding, ...]:
    """Return what the search saw: the rate, why there is none, and what ended it."""
    told = []
    if found.ended == "unreachable":
        fix = "ask for a later limit, make the model faster, or mend what fails"
        text = f"{found.slo} is held at no rate: {found.why}"
        told.append(findings.ObjectiveUnreachable.issue(text, fix=fix))
    if found.unmeasured is not None and found.ended in ("at least", "unmeasurable"):
        why = next((s.why for s in found.steps if s.rate == found.unmeasured and s.why), found.why)
        text = f"this machine cannot measure {in_figures(found.unmeasured)} requests/s: {why}"
        fix = "run the generator on another machine, or on cores that the server does not use"
        told.append(findings.GeneratorLimit.issue(text, fix=fix, rate=found.unmeasured))
    if found.ended in UNFINISHED:
        text, fix = UNFINISHED[found.ended]
        told.append(findings.SearchCutShort.issue(f"{text}: {found.why}{_known(found)}", fix=fix))
    metric = found.metric
    if metric is not None:
        least = "at least " if found.ended == "at least" else ""
        why = f" ({found.why})" if least and found.unmeasured is None else ""
        told.append(
            findings.RateFound.passed(f"{least}{metric.text()} hold {found.slo}{why}", n=metric.n)
        )
    elif not told or found.ended in UNFINISHED:
        text = f"no rate was verified to hold {found.slo}{_known(found)}"
        told.append(findings.RateFound.skipped(text, fix="--budget 5m, or budget under [loadtest]"))
    return tuple(told)


def _known(found: Search) -> str:
    if found.rate is not None:
        return f"; {in_figures(found.rate)} requests/s were verified until then"
    if found.passed is not None:
        return f"; {in_figures(found.passed)} requests/s passed one run and were not verified"
    return "; no rate has passed until then"


def certificate_findings(found: Certified, slo: Slo) -> tuple[Finding, ...]:
    """Return whether the rate is certified; where not, what it would take."""
    check = findings.RateCertified
    if found.certificate is not None:
        text = f"{found.why}, with {found.certificate.confidence:.0%} confidence"
        return (check.passed(text, n=found.certificate.n),)
    if found.state == "refuted":
        return (check.issue(found.why, fix="certify a lower rate"),)
    if found.state != "undecided":
        text = f"nothing is certified: {found.why}"
        return (check.skipped(text, fix="certify again, with nothing beside it"),)
    if found.more is None:
        text = f"{found.why}; requests like these certify nothing, however many"
        return (check.skipped(text, fix=f"certify a rate at which fewer miss {slo}"),)
    text = f"{found.why}; about {found.more} further requests like these would certify it"
    return (check.skipped(text, fix="certify for longer, or a lower rate", needed_n=found.more),)
