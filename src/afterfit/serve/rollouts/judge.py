"""What the counts of a server say of a canary, at every look: worse, not worse, or not known yet.

Two tests share the false alarms of each watch. While both versions get requests the canary's odds
are tested against the primary's block by block, a block being what came between two looks, so that
a rate that changes over the day moves both and proves nothing. In a step of 100 %, where the
primary gets none, the bounds of this step are held against those of the primary's last step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from afterfit.core.metric import Metric
from afterfit.errors import UsageError
from afterfit.records.rollout import Comparison
from afterfit.runtime.endpoint import MILLION
from afterfit.runtime.ledger import ModelStatus
from afterfit.runtime.tally import BOUNDS, ModelTotals
from afterfit.serve.rollouts.config import RolloutConfig, Watch
from afterfit.stats.interval import Interval
from afterfit.stats.sequential import RATIOS, e_value, log_ratios, rate_sequence

__all__ = ["Counts", "Judge", "Reading", "Side", "compare", "look", "may_go_on",
           "reading_of"]  # fmt: skip

FEW = 200
"""Requests of the primary from which its 99th percentile is taken."""
SLOW = 0.01
MS = 1000.0


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of one version: failed of asked, and answers by latency."""

    failed: float = 0.0
    asked: float = 0.0
    buckets: tuple[float, ...] = ()

    def less(self, earlier: Side) -> Side:
        """Return what came after; all of it where the server began to count anew."""
        if self.asked < earlier.asked or not earlier.asked:
            return self
        gaps = zip(self.buckets, earlier.buckets, strict=True)
        return Side(
            failed=max(0.0, self.failed - earlier.failed),
            asked=self.asked - earlier.asked,
            buckets=tuple(max(0.0, a - b) for a, b in gaps),
        )

    def slow(self, place: int) -> tuple[float, float]:
        """Return the answers later than the bound at ``place``, and all answers."""
        return sum(self.buckets[place + 1 :]), sum(self.buckets)


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """All counts at one look; ``flips`` of ``rows`` got another class than the primary's."""

    canary: Side = Side()
    primary: Side = Side()
    flips: float = 0.0
    rows: float = 0.0

    def less(self, earlier: Reading) -> Reading:
        """Return what came after."""
        anew = self.rows < earlier.rows
        return Reading(
            canary=self.canary.less(earlier.canary),
            primary=self.primary.less(earlier.primary),
            flips=self.flips - (0.0 if anew else earlier.flips),
            rows=self.rows - (0.0 if anew else earlier.rows),
        )


class Counts(msgspec.Struct, kw_only=True):
    """One watch: hits and trials in this step, those of the primary's last step, and evidence."""

    canary: tuple[float, float] = (0.0, 0.0)
    primary: tuple[float, float] = (0.0, 0.0)
    before: tuple[float, float] = (0.0, 0.0)
    logs: list[float] = msgspec.field(default_factory=lambda: [0.0] * len(RATIOS))


class Judge(msgspec.Struct, kw_only=True):
    """What is known so far; ``slow_at`` is the place of the bound that slow answers are beyond."""

    last: Reading = Reading()
    slow_at: int | None = None
    watches: dict[str, Counts] = {}
    step_canary: float = 0.0
    step_primary: float = 0.0

    def next_step(self) -> None:
        """Begin to count anew; evidence of harm stays."""
        self.step_canary = self.step_primary = 0.0
        for name, counts in self.watches.items():
            if name == "disagreement":
                continue  # of pairs, which no share changes
            if counts.primary[1]:
                counts.before = counts.primary
            counts.canary = counts.primary = (0.0, 0.0)


def reading_of(model: ModelStatus, candidate: str) -> Reading:
    """Return the counts of a server's status; raises UsageError where classes are compared."""
    roles = {role.role: role for role in model.roles}
    canary = roles.get("canary")
    pairs = [pair.total for pair in model.pairs if pair.digest == candidate]
    return Reading(
        canary=_side(canary.total) if canary and canary.digest == candidate else Side(),
        primary=_side(roles["primary"].total),
        flips=sum(pair.flips for pair in pairs),
        rows=sum(pair.rows for pair in pairs),
    )


def require_classes(model: ModelStatus) -> None:
    """Do nothing for a classifier; raises UsageError."""
    if not model.classes:
        raise UsageError(
            "disagreement is of classes, and this model answers with a value",
            where="--watch",
            fix="--watch p99,error_rate",
        )


def look(judge: Judge, reading: Reading, config: RolloutConfig) -> None:
    """Take in what came since the last look, as one block."""
    block = reading.less(judge.last)
    judge.last = reading
    if judge.slow_at is None:
        # Of what came before this block or never, so that the place owes nothing to the block.
        judge.slow_at = _slow_at(reading.primary, config)
        slow_known = False
    else:
        slow_known = True
    judge.step_canary += block.canary.asked
    judge.step_primary += block.primary.asked
    for name in config.watch:
        counts = judge.watches.setdefault(name, Counts())
        if name == "disagreement":
            counts.canary = _plus(counts.canary, (block.flips, block.rows))
        elif name == "error_rate":
            canary, primary = block.canary, block.primary
            _add(counts, (canary.failed, canary.asked), (primary.failed, primary.asked), 1.0)
        elif slow_known and judge.slow_at is not None:
            place = judge.slow_at
            _add(counts, block.canary.slow(place), block.primary.slow(place), config.slower)


def compare(judge: Judge, config: RolloutConfig) -> tuple[Comparison, ...]:
    """Return what each watch says now."""
    return tuple(_compared(name, judge, config) for name in config.watch)


def may_go_on(judge: Judge, config: RolloutConfig, step: int, found: Sequence[Comparison]) -> bool:
    """Return whether a step has seen and shown what has to come before the next, or the promotion.

    That the canary is not worse has to be shown in the last step; where that leaves the primary no
    request, in the step before it, whose two rates are of the same time. Copies alone (step -1)
    show nothing of the canary's own: before a step of 100 % the primary must be known enough.
    """
    last = step == len(config.steps) - 1
    if step >= 0 and judge.step_canary < config.min_requests:
        return False
    if step < 0:
        return config.steps[0] < MILLION or _is_known(judge, config)
    deciding = not config.is_alone(step) if last else config.is_alone(step + 1)
    return not deciding or all(each.shown for each in found)


def _is_known(judge: Judge, config: RolloutConfig) -> bool:
    return all(
        name == "disagreement"
        or judge.watches.get(name, Counts()).primary[1] >= config.min_requests
        for name in config.watch
    )


def _compared(name: Watch, judge: Judge, config: RolloutConfig) -> Comparison:
    counts = judge.watches.get(name, Counts())
    if name == "disagreement":
        return _disagreement(counts, config)
    control = counts.primary if counts.primary[1] else counts.before
    needed = -math.log(1 - config.level)
    log_e = e_value(counts.logs)
    worse = log_e > needed
    if not counts.primary[1]:
        # Nobody to compare with at this moment: bounds that are the margin apart.
        own = rate_sequence(*counts.canary, 1 - (1 - config.level) / 2)
        other = rate_sequence(*control, 1 - (1 - config.level) / 2)
        worse = worse or own.low > other.high + config.margin
    each = 1 - (1 - config.confidence) / 2
    own, other = rate_sequence(*counts.canary, each), rate_sequence(*control, each)
    excess = _excess(counts.canary, control, own, other)
    place = judge.slow_at
    return Comparison(
        watch=name,
        canary=_metric("canary", counts.canary, own, each),
        primary=_metric("primary", control, other, each),
        excess=excess,
        log_e=log_e,
        needed=needed,
        margin=config.margin,
        worse=worse,
        shown=excess.high is not None and excess.high <= config.margin,
        slow_ms=MS * BOUNDS[place] if name == "p99" and place is not None else 0.0,
    )


def _disagreement(counts: Counts, config: RolloutConfig) -> Comparison:
    own = rate_sequence(*counts.canary, config.confidence)
    strict = rate_sequence(*counts.canary, config.level)
    rate = _metric("flips", counts.canary, own, config.confidence, "rows")
    return Comparison(
        watch="disagreement",
        canary=rate,
        primary=None,
        excess=rate,
        log_e=0.0,
        needed=-math.log(1 - config.level),
        margin=config.disagreement,
        worse=strict.low > config.disagreement,
        shown=own.high <= config.disagreement,
    )


def _excess(
    canary: tuple[float, float], primary: tuple[float, float], own: Interval, other: Interval
) -> Metric:
    n = round(canary[1] + primary[1])
    if not canary[1] or not primary[1]:
        nothing = Interval(math.nan, math.nan, "undefined: one of the two got no requests")
        return Metric.of("excess", math.nan, nothing, n=n, level=0.95, unit="", scope="requests")
    value = canary[0] / canary[1] - primary[0] / primary[1]
    gap = Interval(own.low - other.high, own.high - other.low, own.method)
    return Metric.of("excess", value, gap, n=n, level=0.95, unit="", scope="requests")


def _metric(
    name: str, counts: tuple[float, float], bounds: Interval, level: float, scope: str = "requests"
) -> Metric:
    hits, n = counts
    value = hits / n if n else math.nan
    return Metric.of(name, value, bounds, n=round(n), level=level, unit="", scope=scope)


def _side(total: ModelTotals) -> Side:
    failed = total.failed + total.busy + total.late + total.defect
    return Side(
        failed=failed, asked=total.requests + failed, buckets=tuple(total.buckets or _NO_BUCKETS)
    )


def _slow_at(primary: Side, config: RolloutConfig) -> int | None:
    """Return the place of the first bound that at most 1 % of the primary's answers pass."""
    if config.slow_ms:
        return next((i for i, b in enumerate(BOUNDS) if MS * b >= config.slow_ms), len(BOUNDS) - 1)
    if sum(primary.buckets) < FEW:
        return None
    places = range(len(BOUNDS))
    return next(
        (at for at in places if primary.slow(at)[0] <= SLOW * primary.slow(at)[1]), places[-1]
    )


def _add(
    counts: Counts, canary: tuple[float, float], primary: tuple[float, float], tolerated: float
) -> None:
    counts.canary = _plus(counts.canary, canary)
    counts.primary = _plus(counts.primary, primary)
    block = [round(each) for each in (*canary, *primary)]
    gains = log_ratios(block[0], block[1], block[2], block[3], tolerated=tolerated)
    counts.logs = [a + b for a, b in zip(counts.logs, gains.tolist(), strict=True)]


def _plus(one: Sequence[float], other: Sequence[float]) -> tuple[float, float]:
    return one[0] + other[0], one[1] + other[1]


_NO_BUCKETS = (0.0,) * (len(BOUNDS) + 1)
