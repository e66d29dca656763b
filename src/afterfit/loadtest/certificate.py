"""A certificate: that a server holds an objective at a rate, with 99 % confidence.

The requests of a rate are sent in up to four runs, each as long as all before it, and after each
the share of misses is bounded from above. Half of the error is kept for what the bound itself
estimates, and each look has an equal part of the other half (Bonferroni), so that looking often
does not raise it, and a server that is good enough is known early. How many requests it takes is in
docs/explanation/load-testing.md: tens of thousands for a server that misses a fifth of what it may,
hundreds of thousands for one close to its limit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import msgspec
import numpy as np

from afterfit.core.metric import in_figures
from afterfit.errors import UsageError
from afterfit.loadtest.bound import Bound, bound_of, further
from afterfit.loadtest.shot import Floats
from afterfit.loadtest.slo import Slo
from afterfit.loadtest.steps import EndedError, Runs
from afterfit.records.loadtest import Certificate

__all__ = ["Certified", "CertifyConfig", "certify"]

METHOD = "Clopper-Pearson on effective counts, Bonferroni over looks"
KEPT = 0.5
"""Of the error, for the looks. With all of it, a server with a heavy tail of service times, half
busy, was certified at its very limit in 2.6 % of runs, where 1 % may be."""
State = Literal["certified", "refuted", "undecided", "invalid", "budget", "gone", "cut"]


class CertifyConfig(msgspec.Struct, frozen=True, kw_only=True):
    """``seconds`` at most in ``looks`` runs, at a one-sided ``confidence`` in all."""

    seconds: float = 60.0
    looks: int = 4
    confidence: float = 0.99

    def checked(self) -> CertifyConfig:
        """Return the config; raises UsageError for one that certifies nothing."""
        if not self.seconds > 0 or not 1 <= self.looks <= 16 or not 0.5 < self.confidence < 1:
            raise UsageError(
                "these settings certify nothing",
                where=f"seconds = {self.seconds:g}, looks = {self.looks}, "
                f"confidence = {self.confidence:g}",
                why="there are 1 to 16 looks, and the confidence lies between 0.5 and 1",
                fix="seconds = 60, looks = 4, confidence = 0.99",
            )
        return self

    @property
    def plan(self) -> tuple[float, ...]:
        """Return the seconds of each run: all looks but the first double what was sent."""
        first = self.seconds / 2 ** (self.looks - 1)
        return (first, *(first * 2**look for look in range(self.looks - 1)))

    @property
    def each(self) -> float:
        """Return the one-sided confidence of one look."""
        return 1.0 - KEPT * (1.0 - self.confidence) / self.looks


@dataclass
class Certified:
    """How the attempt ended, and the certificate where it is one.

    ``refuted`` is a server that misses more than it may, with the same confidence; ``undecided``
    one of which too little is known: ``more`` says how many further requests would certify it if
    they were like these, None where none would.
    """

    state: State = "undecided"
    why: str = ""
    certificate: Certificate | None = None
    bound: Bound | None = None
    looks: int = 0
    more: int | None = None
    latency_ms: Floats = field(default_factory=lambda: np.empty(0))


def certify(runs: Runs, rate: float, config: CertifyConfig) -> Certified:
    """Return whether ``runs`` hold their objective at a rate (requests/s), by fresh requests.

    Runs that chose the rate must not count here: they were chosen because they passed. A run that
    is invalid or cut short certifies nothing. Raises UsageError for a bad config.
    """
    found = Certified()
    try:
        for seconds in config.checked().plan:
            step, shot = runs.run("certify", rate, seconds)
            if step.verdict == "invalid":
                found.state, found.why = "invalid", step.why
                return found
            found.latency_ms = np.concatenate((found.latency_ms, shot.latency_ms))
            found.looks += 1
            if _look(found, runs.slo, rate, config):
                return found
    except EndedError as ended:
        found.state, found.why = ended.kind, ended.told
    return found


def _look(found: Certified, slo: Slo, rate: float, config: CertifyConfig) -> bool:
    """Bound the share of misses by all that was sent; return whether that decides."""
    bound = bound_of(found.latency_ms, slo, config.each)
    found.bound = bound
    told = (
        f"{bound.misses} of {bound.n} requests missed {slo} at {in_figures(rate)} requests/s, "
        f"worth {bound.effective:.0f} independent ones: the true share is between "
        f"{bound.low:.3%} and {bound.upper:.3%}, {slo.allowed:.3g} may miss"
    )
    found.why = told
    if bound.upper <= slo.allowed:
        found.state = "certified"
        found.certificate = Certificate(
            rate=rate,
            quantile=slo.quantile,
            limit_ms=slo.limit_ms,
            confidence=config.confidence,
            n=bound.n,
            misses=bound.misses,
            n_effective=bound.effective,
            upper=bound.upper,
            looks=found.looks,
            method=METHOD,
        )
    elif bound.low > slo.allowed:
        found.state = "refuted"
    else:
        found.more = further(bound, slo.allowed, config.each)
    return found.state != "undecided"
