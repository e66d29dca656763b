"""Cold start: how long from starting a server to its first answer, and what takes it.

A replica that is added under load helps only after this time, so autoscaling is planned with it.
Pulling an image and waiting for a machine come before and are not in it: they belong to the place
where it runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol, TypeVar

import numpy as np

from afterfit.core.metric import Metric
from afterfit.core.progress import SILENT, Progress
from afterfit.stats.quantile import quantile_metric

__all__ = ["ColdStart", "Started", "cold_start_metrics", "measure_cold_starts"]

STARTS = 6
"""The fewest of which a median has a 95 % interval from the least to the greatest."""
USUAL_REQUESTS = 20
SCOPE = "cold start"


class Started(Protocol):
    """A server that has got ready: how long that took (s), and how long of it loading took (s)."""

    @property
    def start_s(self) -> float: ...  # noqa: D102 - the class tells

    @property
    def load_s(self) -> float: ...  # noqa: D102 - the class tells


Server = TypeVar("Server", bound=Started)


class ColdStart(NamedTuple):
    """One start, in seconds: the process, loading the model, the first answer and a usual one."""

    process_s: float
    load_s: float
    first_s: float
    usual_s: float

    @property
    def total_s(self) -> float:
        """Return the seconds from starting to the first answer."""
        return self.process_s + self.load_s + self.first_s


def measure_cold_starts(
    start: Callable[[], AbstractContextManager[Server]],
    ask: Callable[[Server], object],
    starts: int = STARTS,
    progress: Progress = SILENT,
) -> tuple[ColdStart, ...]:
    """Return what several starts took; ``ask`` sends one request and returns when it is answered.

    Files are in the page cache from the second start on, as on a machine that has just pulled an
    image. Raises what starting and asking raise.
    """
    progress.step("cold start", starts)
    found = []
    for _ in range(starts):
        with start() as server:
            times = []
            for _ in range(1 + USUAL_REQUESTS):
                begun = time.perf_counter()
                ask(server)
                times.append(time.perf_counter() - begun)
            usual = float(np.median(times[1:]))
            process = server.start_s - server.load_s
            found.append(ColdStart(process, server.load_s, times[0], usual))
        progress.advance()
    return tuple(found)


def cold_start_metrics(starts: tuple[ColdStart, ...]) -> tuple[Metric, ...]:
    """Return the medians of the starts and their parts as metrics (s, ms for a request).

    Fewer than six starts have no 95 % interval of their median.
    """
    parts = {
        "cold_start_s": ([each.total_s for each in starts], "s"),
        "cold_start_process_s": ([each.process_s for each in starts], "s"),
        "cold_start_load_s": ([each.load_s for each in starts], "s"),
        "cold_start_first_ms": ([each.first_s * 1e3 for each in starts], "ms"),
        "cold_start_usual_ms": ([each.usual_s * 1e3 for each in starts], "ms"),
    }
    return tuple(
        quantile_metric(name, np.sort(np.array(values)), 0.5, unit=unit, scope=SCOPE)
        for name, (values, unit) in parts.items()
    )
