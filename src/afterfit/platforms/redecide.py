"""When to decide anew: gates on what monitoring sees, and on the age of prices."""

from __future__ import annotations

from afterfit.core.slo import Slo
from afterfit.platforms.breakeven import Scan
from afterfit.platforms.freshness import STALE_DAYS
from afterfit.platforms.question import Answered
from afterfit.platforms.value import Valued
from afterfit.records.platforms import Redecide

__all__ = ["redecided"]

HEADROOM = 1.2
"""Traffic a fifth above the peak that was sized for is other traffic."""


def redecided(answer: Answered, choice: Valued, scan: Scan) -> tuple[Redecide, ...]:
    """Return the conditions of the decision: one that fails is a reason to decide anew."""
    return (*_traffic(answer, scan), _latency(answer.question.slo), *_replica(answer),
            *_cost(answer, choice), _prices())  # fmt: skip


def _traffic(answer: Answered, scan: Scan) -> list[Redecide]:
    peak = answer.question.trace.peak
    found = [
        Redecide(
            gate=f"request_rate {'>=' if level.factor < 1 else '<='} {level.peak:.4g}",
            why=f"{'below' if level.factor < 1 else 'beyond'} it "
            f"{level.winner.evaluated.offer.title} wins (peak of a window, now {peak:.4g} "
            "requests/s)",
        )
        for level in scan.nearest
    ]
    if not any(level.factor > 1 for level in scan.nearest):
        found.append(
            Redecide(
                gate=f"request_rate <= {HEADROOM * peak:.4g}",
                why=f"machines were counted for a peak of {peak:.4g} requests/s",
            )
        )
    return found


def _latency(slo: Slo) -> Redecide:
    return Redecide(
        gate=f"latency_p{slo.quantile * 100:g}_ms <= {slo.limit_ms:g}",
        why="the objective that every offer was held to",
    )


def _replica(answer: Answered) -> list[Redecide]:
    low = answer.question.measured.low
    if low <= 0:
        return []
    return [
        Redecide(
            gate=f"loadtest.sustained_rps.low >= {low:.4g}",
            why="a version of which a replica carries less needs more machines",
        )
    ]


def _cost(answer: Answered, choice: Valued) -> list[Redecide]:
    usd = choice.evaluated.usd
    if usd is None:
        return []
    others = [each.usd for each in answer.running if each.evaluated.offer.service.id
              != choice.evaluated.offer.service.id and each.usd > usd.high]  # fmt: skip
    next_one = min(others, default=usd.high * HEADROOM)
    limit = min(next_one, usd.high * 2)
    return [
        Redecide(
            gate=f"usd_per_month <= {limit:.4g}",
            why=f"forecast {usd.low:.4g} to {usd.high:.4g} USD; your bill as a figure of "
            "[alarms] watches it",
        )
    ]


def _prices() -> Redecide:
    return Redecide(
        gate=f"price_age_days <= {STALE_DAYS}",
        why="prices were those of the lists below; import new ones and choose again",
    )
