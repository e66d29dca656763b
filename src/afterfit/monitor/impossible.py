"""Rows that cannot be: made in the future, or with a probability that is none."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from afterfit.core.finding import Finding
from afterfit.core.metric import in_percent
from afterfit.core.signature import Task
from afterfit.monitor import findings as checks
from afterfit.monitor.batches import Batch
from afterfit.monitor.cut import DAY
from afterfit.monitor.log import Log, iso

__all__ = ["SLACK", "counted", "from_future", "impossible_findings", "no_probabilities"]

SLACK = DAY
"""µs: so far ahead a clock or a time zone may be."""
ROUNDING = 1e-6


def from_future(ts: npt.NDArray[np.int64], now: int) -> npt.NDArray[np.bool_]:
    """Return which moments (µs) are more than a day after ``now``, bool of [n]."""
    return np.asarray(ts > now + SLACK)


def no_probabilities(task: Task, scores: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Return which scores of a classifier are no probability, bool of [n]; unknown ones are none.

    The value of a regression may be any number.
    """
    if task == "regression":
        return np.zeros(len(scores), bool)
    return np.asarray((scores < -ROUNDING) | (scores > 1 + ROUNDING))


def counted(batch: Batch, task: Task, now: int) -> dict[str, int]:
    """Return how many rows of a batch cannot be, by what is wrong with them."""
    found = {
        "dated in the future, left out": int(from_future(batch.ts, now).sum()),
        "with a score outside of 0 to 1": int(no_probabilities(task, batch.scores).sum()),
    }
    return {what: count for what, count in found.items() if count}


def impossible_findings(log: Log, task: Task, now: int) -> Iterator[Finding]:
    """Yield what a report says of the times and scores of a log, as far as it has any."""
    if log.ts.any():
        ahead, n = from_future(log.ts, now), len(log.ts)
        if count := int(ahead.sum()):
            yield checks.TimesPossible.issue(
                f"{count} of {n} rows ({in_percent(count / n, 1)}) are dated in the future, "
                f"the last {iso(int(log.ts.max()))}",
                fix="look at the unit and the zone of the column of times: --map ts=COLUMN",
                count=count,
            )
        else:
            yield checks.TimesPossible.passed()
    if task != "regression" and (n := int(np.isfinite(log.scores).sum())):
        wrong = no_probabilities(task, log.scores)
        if count := int(wrong.sum()):
            least, most = float(log.scores[wrong].min()), float(log.scores[wrong].max())
            yield checks.ScoresPossible.issue(
                f"{count} of {n} scores ({in_percent(count / n, 1)}) are no probabilities: "
                f"{least:.6g} to {most:.6g} where 0 to 1 is possible",
                fix="log the probability of the positive class, and not a margin or a percentage",
                count=count,
            )
        else:
            yield checks.ScoresPossible.passed()
