"""What the generator's processes tell of requests, put together in the order of the schedule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from afterfit.loadtest.aim import Target
from afterfit.loadtest.engine.frames import FIELDS, FORMATS, GIVEN_UP, RIGHT
from afterfit.loadtest.process import EngineProcess
from afterfit.loadtest.shot import STATUS_OK, Floats
from afterfit.stats.quantile import quantile_of

__all__ = ["Gathered", "Live", "live_text"]

RECORD = np.dtype({"names": FIELDS, "formats": FORMATS, "itemsize": 38})
Records = npt.NDArray[np.void]


@dataclass(frozen=True)
class Live:
    """The last second of a run: rates in requests/s, latencies from when requests were due.

    Requests count in the second in which they end; a percentile is None where nothing was good.
    ``seen`` is as in Shot.
    """

    second: int
    due_rps: float
    good_rps: float
    errors: int
    p50_ms: float | None
    p99_ms: float | None
    lag_p99_ms: float
    seen: dict[str, float] = field(default_factory=dict)


class Gathered:
    """Records as they come in, and the numbers of each second."""

    def __init__(
        self,
        due: Floats,
        seconds: float,
        verdicts: Callable[[int], dict[int, bool]],
        *,
        closed: bool,
    ) -> None:
        self.due, self.seconds, self.closed = due, seconds, closed
        self.chunks: list[tuple[int, Records]] = []
        self.unknown: list[tuple[EngineProcess, int, int, bytes]] = []
        self._verdicts = verdicts
        self._new = 0
        self._seen: list[dict[str, float]] = []

    def add(self, process: int, data: bytes) -> None:
        """Take a chunk of records."""
        self.chunks.append((process, np.frombuffer(data, RECORD)))

    def second(self, number: int, seen: dict[str, float]) -> Live:
        """Return the numbers of the second that ends at ``number``."""
        if seen:
            self._seen.append(seen)
        new = [records for _, records in self.chunks[self._new :]]
        self._new = len(self.chunks)
        ended = np.concatenate(new) if new else np.empty(0, RECORD)
        good = ended[ended["status"] == STATUS_OK]
        latency = np.sort(good["answered"] - good["due"]) * 1e3
        due = np.searchsorted(self.due, [number - 1, number])
        return Live(
            second=number,
            due_rps=float(len(ended)) if self.closed else float(due[1] - due[0]),
            good_rps=float(len(good)),
            errors=len(ended) - len(good),
            p50_ms=quantile_of(latency, 0.5) if len(latency) else None,
            p99_ms=quantile_of(latency, 0.99) if len(latency) else None,
            lag_p99_ms=quantile_of(np.sort(ended["lag"]), 0.99) * 1e3 if len(ended) else 0.0,
            seen=seen,
        )

    def seen(self) -> dict[str, float]:
        """Return what was measured beside: means, and the most memory."""
        found: dict[str, float] = {}
        for name in sorted({name for each in self._seen for name in each}):
            values = [each[name] for each in self._seen if name in each]
            most = name.endswith("_bytes")
            found[name] = max(values) if most else sum(values) / len(values)
        return found

    def judge(self, target: Target) -> None:
        """Parse the answers with unknown bytes and say which are wrong."""
        for process, number, request, body in self.unknown:
            process.verdicts[number] = target.wrong is None or target.wrong(request, body)
        self.unknown = []

    def arrays(self, stride: int, *, cut: bool) -> dict[str, Any]:
        """Return the arrays of a Shot; requests without a record were never ended.

        Of a run that was cut only what was sent and waited for is left.
        """
        if self.closed:
            return self._of_users()
        n = len(self.due)
        written, answered, lag = (np.full(n, np.nan) for _ in range(3))
        status, wrong = np.zeros(n, np.int16), np.zeros(n, np.bool_)
        known = np.zeros(n, np.bool_)
        for process, records in self.chunks:
            places = records["index"].astype(np.int64) * stride + process
            written[places], answered[places] = records["written"], records["answered"]
            lag[places], status[places] = records["lag"], records["status"]
            wrong[places] = self._wrong(process, records)
            known[places] = records["status"] != GIVEN_UP
        self.chunks = []
        kept = known if cut else np.ones(n, np.bool_)
        status[status == GIVEN_UP] = 0
        found = {"due": self.due, "written": written, "answered": answered, "lag": lag}
        return {
            name: each[kept] for name, each in (found | {"status": status, "wrong": wrong}).items()
        }

    def _of_users(self) -> dict[str, Any]:
        parts = [(records, self._wrong(process, records)) for process, records in self.chunks]
        self.chunks = []
        if not parts:
            parts = [(np.empty(0, RECORD), np.empty(0, np.bool_))]
        records = np.concatenate([records for records, _ in parts])
        wrong = np.concatenate([wrong for _, wrong in parts])
        order = np.argsort(records["due"], kind="stable")
        order = order[records["status"][order] != GIVEN_UP]
        found: dict[str, Any] = {
            name: records[name][order].astype(np.float64)
            for name in ("due", "written", "answered", "lag")
        }
        return found | {"status": records["status"][order], "wrong": wrong[order]}

    def _wrong(self, process: int, records: Records) -> npt.NDArray[np.bool_]:
        """Return which of these had a wrong answer."""
        variants = records["variant"]
        wrong = np.zeros(len(records), np.bool_)
        verdicts = self._verdicts(process)
        for place in np.flatnonzero(variants > RIGHT):
            wrong[place] = verdicts.get(int(variants[place]), False)
        return wrong


def live_text(live: Live) -> str:
    """Return the last second in one line: rates, percentiles, errors, and the server's needs."""

    def ms(value: float | None) -> str:
        return "–" if value is None else f"{value:.3g}"  # noqa: RUF001 - a dash for nothing

    parts = [
        f"{live.good_rps:,.0f} of {live.due_rps:,.0f}/s",
        f"p50 {ms(live.p50_ms)} p99 {ms(live.p99_ms)} ms",
    ]
    if live.errors:
        parts.append(f"{live.errors} errors")
    if "server_cpu" in live.seen:
        parts.append(f"CPU {live.seen['server_cpu']:.2f} cores")
    if "server_memory_bytes" in live.seen:
        parts.append(f"{live.seen['server_memory_bytes'] / 1e6:.0f} MB")
    if live.lag_p99_ms >= 1.0:
        parts.append(f"generator {live.lag_p99_ms:.1f} ms late")
    return ", ".join(parts)
