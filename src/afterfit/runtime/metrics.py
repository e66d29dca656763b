"""Counters that all workers share, and their Prometheus text.

The supervisor makes one anonymous memory file; every worker owns one row of doubles in it, adds
to its own row only, and any of them sums all rows for ``/metrics``. A replaced worker goes on in
the row of its predecessor, so that no counter falls. The labels are a closed list.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from bisect import bisect_left
from collections.abc import Iterable

import numpy as np

from afterfit.runtime.slots import Slot
from afterfit.runtime.tally import (
    WIDTH,
    ModelTally,
    ModelTotals,
    PairTally,
    PairTotals,
    model_start,
    model_totals,
    model_width,
    pair_start,
    pair_totals,
    pair_width,
    stop_calls,
)

__all__ = ["CONTENT_TYPE", "Metrics", "create_file", "escape", "header"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
ROUTES = (
    *("predict", "infer", "labels", "health", "metadata", "metrics", "version"),
    *("unknown", "refused"),
)
STATUSES = (
    *(200, 400, 401, 403, 404, 405, 406, 408, 409, 413, 415, 422, 429, 431),
    *(500, 501, 503, 504),
)
TIMED = ("predict", "infer")
# Seconds: from a tree on one row (tens of microseconds) to a batch on a busy machine.
BUCKETS = (1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
FLAGS = ("range", "new_category", "missing", "ood")
COUNTERS = {
    "rows": "afterfit_rows_total",
    "events_written": "afterfit_events_written_total",
    "events_dropped": "afterfit_events_dropped_total",
    "events_failed": "afterfit_events_failed_total",
    "tls_handshakes_failed": "afterfit_tls_handshakes_failed_total",
    "cpu_seconds": "afterfit_cpu_seconds_total",
    # Of all the server: the supervisor alone adds to these.
    "worker_restarts": "afterfit_worker_restarts_total",
    "worker_hangs": "afterfit_worker_hangs_total",
}
GAUGES = {
    "connections": "afterfit_connections",
    "ready": "afterfit_workers_ready",
    "memory_bytes": "afterfit_memory_bytes",
}
HELP = {
    "afterfit_rows_total": "Rows that were predicted.",
    "afterfit_events_written_total": "Events that reached the sink.",
    "afterfit_events_dropped_total": "Events dropped because the queue was full.",
    "afterfit_events_failed_total": "Events lost because the sink failed, as on a full disk.",
    "afterfit_tls_handshakes_failed_total": "Handshakes that failed or were too many.",
    "afterfit_cpu_seconds_total": "CPU time of the workers, s.",
    "afterfit_memory_bytes": "Memory that the workers hold, bytes.",
    "afterfit_worker_restarts_total": "Workers that were started in place of one that ended.",
    "afterfit_worker_hangs_total": "Workers that were ended because a model did not come back.",
    "afterfit_connections": "Open connections.",
    "afterfit_workers_ready": "Workers whose models are loaded.",
}


def _layout() -> dict[str, int]:
    names = [f"request/{route}/{status}" for route in ROUTES for status in (*STATUSES, "other")]
    names += [f"bucket/{route}/{index}" for route in TIMED for index in range(len(BUCKETS) + 1)]
    names += [f"seconds/{route}" for route in TIMED]
    names += [f"flag/{flag}" for flag in FLAGS]
    names += [*COUNTERS, *GAUGES]
    return {name: index for index, name in enumerate(names)}


LAYOUT = _layout()
ROW = len(LAYOUT) + WIDTH
ROW_BYTES = 8 * ROW
_REQUESTS = {
    (route, status): LAYOUT[f"request/{route}/{status}"] for route in ROUTES for status in STATUSES
}
_BUCKETS = {route: LAYOUT[f"bucket/{route}/0"] for route in TIMED}
_SECONDS = {route: LAYOUT[f"seconds/{route}"] for route in TIMED}


def create_file(workers: int) -> int:
    """Return the descriptor of a zeroed memory file with a row for each worker.

    It has no name in any folder, so a read-only root is enough.
    """
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("afterfit-metrics")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, ROW_BYTES * workers)
    return descriptor


class Metrics:
    """The counters of one worker in the shared file; alone in memory where there is none."""

    def __init__(self, descriptor: int | None = None, worker: int = 0) -> None:
        size = ROW_BYTES * (worker + 1) if descriptor is None else os.fstat(descriptor).st_size
        self.map = mmap.mmap(-1 if descriptor is None else descriptor, size)
        self.table = memoryview(self.map).cast("d")
        self.start = worker * ROW

    def add(self, name: str, amount: float = 1.0) -> None:
        """Add to a counter or gauge by its name in the layout."""
        self.table[self.start + LAYOUT[name]] += amount

    def set(self, name: str, value: float) -> None:
        """Set a gauge."""
        self.table[self.start + LAYOUT[name]] = value

    def request(self, route: str, status: int, seconds: float | None = None) -> None:
        """Count one answer and, for a prediction, how long it took."""
        index = _REQUESTS.get((route, status))
        if index is None:
            index = LAYOUT[f"request/{route}/other"]
        self.table[self.start + index] += 1.0
        if seconds is not None and route in TIMED:
            self.table[self.start + _BUCKETS[route] + bisect_left(BUCKETS, seconds)] += 1.0
            self.table[self.start + _SECONDS[route]] += seconds

    def refused(self, route: str, status: int, count: int) -> None:
        """Count answers that took next to no time."""
        self.table[self.start + _REQUESTS[route, status]] += count
        self.table[self.start + _BUCKETS[route]] += count

    def total(self, name: str) -> float:
        """Return the sum over all workers."""
        return float(sum(self.table[LAYOUT[name] :: ROW].tolist()))

    def model(self, slot: Slot | None) -> ModelTally:
        """Return where this worker counts one model in one role."""
        index = None if slot is None else slot.index
        return ModelTally(self.table, self.start + len(LAYOUT) + model_start(index))

    def pair(self, slot: Slot | None) -> PairTally:
        """Return where this process counts how a shadow differs."""
        index = None if slot is None else slot.index
        return PairTally(self.table, self.start + len(LAYOUT) + pair_start(index))

    def model_totals(self, index: int | None) -> ModelTotals:
        """Return the sums over all workers; None is the shared last slot."""
        return model_totals(self._tallies(model_start(index), model_width()))

    def pair_totals(self, index: int | None) -> PairTotals:
        """Return the sums over all processes; None is the shared last slot."""
        return pair_totals(self._tallies(pair_start(index), pair_width()))

    def tallies(self, worker: int) -> np.ndarray:
        """Return the tallies of one worker as they are now."""
        row: np.ndarray = self._tallies(0, WIDTH)[worker]
        return row

    def ended(self, worker: int) -> None:
        """Take note that a worker is gone: it is not ready, and in no call of a model."""
        for name in GAUGES:
            self.table[worker * ROW + LAYOUT[name]] = 0.0
        stop_calls(self.tallies(worker))

    def wipe(self, role: str, index: int) -> None:
        """Set the counts of a slot to zero in the rows of all workers."""
        pair = role == "pair"
        start = pair_start(index) if pair else model_start(index)
        self._tallies(start, pair_width() if pair else model_width())[:] = 0.0

    def _tallies(self, start: int, width: int) -> np.ndarray:
        rows = np.frombuffer(self.map, np.float64).reshape(-1, ROW)
        begin = len(LAYOUT) + start
        return rows[:, begin : begin + width]

    def text(self, models: Iterable[tuple[str, int, str]]) -> str:
        """Return all metrics as Prometheus text; ``models`` are (name, version, digest)."""
        lines = list(self._requests())
        for route in TIMED:
            lines += self._histogram(route)
        lines += header("afterfit_rows_flagged_total", "counter", "Rows by what is unusual.")
        for flag in FLAGS:
            value = self.total(f"flag/{flag}")
            lines.append(f'afterfit_rows_flagged_total{{flag="{flag}"}} {value:.0f}')
        for kind, names in (("counter", COUNTERS), ("gauge", GAUGES)):
            for name, metric in names.items():
                lines += header(metric, kind, HELP[metric])
                value = self.total(name)
                lines.append(f"{metric} {value:.{0 if value.is_integer() else 3}f}")
        lines += header("afterfit_model_info", "gauge", "The models that serve.")
        for model, version, digest in models:
            labels = f'model="{escape(model)}",version="{version}",digest="{digest}"'
            lines.append(f"afterfit_model_info{{{labels}}} 1")
        return "\n".join(lines) + "\n"

    def _requests(self) -> Iterable[str]:
        yield from header("afterfit_requests_total", "counter", "Answers by route and status.")
        for route in ROUTES:
            for status in (*STATUSES, "other"):
                value = self.total(f"request/{route}/{status}")
                if value:
                    labels = f'route="{route}",status="{status}"'
                    yield f"afterfit_requests_total{{{labels}}} {value:.0f}"

    def _histogram(self, route: str) -> list[str]:
        name = "afterfit_request_seconds"
        lines = []
        if route == TIMED[0]:
            help_text = "From the last byte of a request to its answer."
            lines += header(name, "histogram", help_text)
        below = 0.0
        for index, bound in enumerate((*BUCKETS, "+Inf")):
            below += self.total(f"bucket/{route}/{index}")
            lines.append(f'{name}_bucket{{route="{route}",le="{bound}"}} {below:.0f}')
        lines.append(f'{name}_sum{{route="{route}"}} {self.total(f"seconds/{route}"):.9g}')
        lines.append(f'{name}_count{{route="{route}"}} {below:.0f}')
        return lines


def header(name: str, kind: str, text: str) -> list[str]:
    """Return the two lines that stand before a metric."""
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def escape(label: str) -> str:
    """Return a label's value as it may stand between quotes."""
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
