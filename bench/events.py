"""What events and live counts cost a row in CPU time: with and without, in turns.

    python bench/events.py [--seconds 1.0] [--pairs 15] [--rate 20000]

A service hands over what ran, as a server does: 30 float columns at 20,000 rows a second, in calls
of 1, 8 or 32 rows, while the journal's threads work beside it. Counted is the CPU time of the whole
process, those threads included; the difference to the same calls without a journal is the cost.
Either alone also pays for the queue that both share, so what one costs on top of the other is told
as well. Events go to segments on disk, whose syncs are included as far as they are this process's
work. Refusals are counted alone, as fast as they can be put and written.

The result is written to bench/results/events.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from afterfit.core.event import new_ids
from afterfit.core.fingerprint import build
from afterfit.core.frame import MatrixFrame, Predictions
from afterfit.core.signature import Column, Signature
from afterfit.runtime.decode import Decoder
from afterfit.runtime.events import SegmentWriter, read_columns
from afterfit.runtime.journal import Block, Journal, refusal
from afterfit.runtime.metrics import Metrics
from afterfit.store.environment import current_environment

RESULT = Path(__file__).parent / "results" / "events.json"
BUDGET_US = {"counts": 2.0, "events": 2.0, "both": 4.0, "refusals": 3.0}
COLUMNS = 30
NAMES = [f"x{index}" for index in range(COLUMNS)]
KINDS = dict.fromkeys(NAMES, "number")
CALLS = (1, 8, 32)
DIFFERENCES = {
    "counts alone": ("counts", "off"),
    "events alone": ("events", "off"),
    "both": ("both", "off"),
    "counts on top of events": ("both", "events"),
    "events on top of counts": ("both", "counts"),
}
KEY = ("churn", 3, "d" * 64)
BUSY = "the model has more work than it gets through"


class Load:
    """Blocks of one model, made before: what a server hands over anyway costs the same in turns."""

    def __init__(self, rows: int, call: int) -> None:
        rng = np.random.default_rng(0)
        columns = tuple(Column(name=name, kind="number", low=-3.5, high=3.5) for name in NAMES)
        signature = Signature(
            task="binary", columns=columns, classes=("no", "yes"), positive="yes", threshold=0.5
        )
        self.decoder = Decoder(signature)
        reference = MatrixFrame(KINDS, rng.normal(size=(20_000, COLUMNS)))
        self.fingerprint = build(reference, signature, chances(rng.random(20_000)))
        self.call = call
        self.parts = [
            (MatrixFrame(KINDS, rng.normal(size=(call, COLUMNS))), chances(rng.random(call)))
            for _ in range(rows // call)
        ]

    def hand_over(self, place: int, put: Callable[[Block], object] | None) -> None:
        """Do what a server does for one call of the model, and note it where there is a journal."""
        frame, predictions = self.parts[place % len(self.parts)]
        ids = new_ids(self.call)
        codes = self.decoder.signature.codes(predictions).tolist()
        request_ids = [f"0123456789abcdef-{place:x}-{row:x}" for row in range(self.call)]
        counts, waits = [1] * self.call, [3] * self.call
        if put is not None:
            put(
                Block(
                    model=KEY,
                    decoder=self.decoder,
                    fingerprint=self.fingerprint,
                    frame=frame,
                    predictions=predictions,
                    codes=codes,
                    ids=ids,
                    request_ids=request_ids,
                    counts=counts,
                    queue_us=waits,
                    infer_us=44,
                )
            )


def chances(scores: np.ndarray) -> Predictions:
    """Return the predictions of a binary model."""
    return Predictions(probabilities=np.column_stack([1 - scores, scores]))


def journal_of(what: str, folder: Path) -> Journal | None:
    """Return the journal of one arm; ``off`` has none."""
    if what == "off":
        return None
    sink = SegmentWriter(folder, "0") if what in ("events", "both") else None
    counts = folder if what in ("counts", "both") else None
    return Journal(Metrics(), endpoint="bench", sink=sink, folder=counts)


def cpu_us(load: Load, what: str, rate: int, seconds: float) -> float:
    """Return the CPU time a row of one arm, in µs; raises SystemExit where a row was lost."""
    calls = int(rate * seconds) // load.call
    with tempfile.TemporaryDirectory() as name:
        journal = journal_of(what, Path(name))
        put = None if journal is None else journal.put
        spent, begun = time.process_time_ns(), time.perf_counter()
        for place in range(calls):
            load.hand_over(place, put)
            # As bursts of some milliseconds: sleeping for each call would cost more than the call.
            if place * load.call % 256 < load.call:
                ahead = begun + place * load.call / rate - time.perf_counter()
                if ahead > 0:
                    time.sleep(ahead)
        if journal is not None:
            journal.flush(30.0)
            journal.close()
        spent = time.process_time_ns() - spent
        if journal is not None and what in ("events", "both"):
            written = sum(len(columns) for columns in read_columns(Path(name)))
            if written != calls * load.call:
                raise SystemExit(f"{calls * load.call - written} events were lost")
    return spent / (calls * load.call) / 1000


def refusals_us(count: int) -> float:
    """Return the CPU time of a refusal in a flood, in µs, put and written."""
    with tempfile.TemporaryDirectory() as name:
        # Four times as large, so that nothing is dropped: what is dropped costs less.
        journal = Journal(Metrics(), sink=SegmentWriter(Path(name), "0"), capacity=5 * count)
        spent = time.process_time_ns()
        for place in range(count):
            journal.put(refusal("refused", BUSY, KEY, [f"0123456789abcdef-{place:x}"]))
        journal.flush(60.0)
        journal.close()
        spent = time.process_time_ns() - spent
        written = sum(len(columns) for columns in read_columns(Path(name)))
        if written != count:
            raise SystemExit(f"{count - written} refusals were lost")
    return spent / count / 1000


def summary(samples: list[float]) -> dict[str, float]:
    """Return the median with its 95 % interval by order statistics, in µs."""
    ordered = sorted(samples)
    n = len(ordered)
    half = 1.96 * n**0.5 / 2
    low, high = ordered[max(0, int(n / 2 - half))], ordered[min(n - 1, int(n / 2 + half))]
    return {"median_us": statistics.median(ordered), "low_us": low, "high_us": high, "n": n}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return the cost of each arm by the rows of a call, from differences within one turn."""
    arms = ("off", "counts", "events", "both")
    found: dict[str, Any] = {}
    for call in CALLS:
        load = Load(20_000, call)
        turns: dict[str, list[float]] = {arm: [] for arm in arms}
        for turn in range(options.pairs + 1):
            # Another order each time, so that no arm always comes after the same one.
            for arm in arms if turn % 2 else reversed(arms):
                spent = cpu_us(load, arm, options.rate, options.seconds)
                if turn:
                    turns[arm].append(spent)
        for name, (on, off) in DIFFERENCES.items():
            pairs = zip(turns[on], turns[off], strict=True)
            found[f"{name}, {call} a call"] = summary([more - less for more, less in pairs])
    found["refusals"] = summary([refusals_us(20_000) for _ in range(options.pairs + 1)][1:])
    return found


def main() -> None:
    """Measure in turns, print and write; fail where a budget is not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--rate", type=int, default=20_000)
    options = parser.parse_args()
    results = measure(options)
    env = current_environment()
    machine = {"cpu": env.cpu, "cores": env.cores, "python": env.python, "system": env.system}
    document = {
        "arguments": vars(options),
        "machine": {**machine, "load_average": os.getloadavg()},
        "columns": COLUMNS,
        "budget_us": BUDGET_US,
        "results": results,
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    for name, one in results.items():
        print(
            f"{name:36} {one['median_us']:6.2f} us CPU "
            f"({one['low_us']:.2f} to {one['high_us']:.2f}) n = {one['n']}"
        )
    over = [name for name, one in results.items() if one["median_us"] > budget(name)]
    if over:
        raise SystemExit(f"over the budget: {'; '.join(over)}")


def budget(name: str) -> float:
    """Return what a result may be; what is shared, a call of one row need not bear alone."""
    if name.endswith(" 1 a call") and "alone" in name:
        return BUDGET_US["both"]
    return BUDGET_US[name.partition(",")[0].partition(" ")[0]]


if __name__ == "__main__":
    main()
