"""How often the two signals of all columns together fire for nothing, at 1 % a window.

Rows are drawn from Adult and from correlated normal columns (the populations of
``drift_alarms.py``), a reference and some windows beside each, so none has changed. The smallest
effect worth knowing is left aside: what is measured is the law that the limit comes from. Run:
``python bench/multivariate_alarms.py``; it writes ``bench/results/multivariate_alarms.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from drift_alarms import POPULATIONS, Population, rated

from afterfit.monitor.sample import encode_column
from afterfit.monitor.signals.multivariate import Limits, Rows, domain_classifier, reconstruction
from afterfit.records.signals import Scope

OUT = Path(__file__).resolve().parent / "results" / "multivariate_alarms.json"
CHANCE = 0.01
SIGNALS = {"domain": domain_classifier, "structure": reconstruction}
SPAN = (0, 3_600_000_000)


def encoded(population: Population) -> Rows:
    """Return all rows of a population as the monitor samples them."""
    reference = population.reference(np.arange(len(population.scores)))
    parts = [encode_column(population.frame[c.name], c) for c in reference.columns]
    kinds = tuple(c.kind == "category" for c in reference.columns)
    return Rows(tuple(c.name for c in reference.columns), np.column_stack(parts), kinds)


def drawn(rows: Rows, random: np.random.Generator, n: int) -> Rows:
    """Return some of the rows, any of them more than once."""
    return Rows(rows.names, rows.matrix[random.integers(0, len(rows), n)], rows.categories)


def run(rows: Rows, seed: int, asked: argparse.Namespace) -> Iterator[tuple[str, int, float]]:
    """Yield each signal, how many windows of one reference alarm, and CPU-seconds."""
    random = np.random.default_rng(seed)
    reference = drawn(rows, random, asked.reference_rows)
    windows = [drawn(rows, random, asked.rows) for _ in range(asked.windows)]
    for name, signal in SIGNALS.items():
        began = time.process_time()
        points = [
            signal(reference, live, Scope(), SPAN, Limits(chance=CHANCE, least=0.0, seed=seed + i))
            for i, live in enumerate(windows)
        ]
        yield name, sum(point.state == "alarm" for point in points), time.process_time() - began


def write(asked: argparse.Namespace, tables: list[dict[str, Any]]) -> None:
    """Keep what is measured so far."""
    content = {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "chance": CHANCE,
        "rows": asked.rows,
        "reference_rows": asked.reference_rows,
        "first": asked.first,
        "rates": tables,
    }
    OUT.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--populations", nargs="+", default=["adult", "normal-20"])
    parser.add_argument("--references", type=int, default=60)
    parser.add_argument("--windows", type=int, default=10)
    parser.add_argument("--reference-rows", type=int, default=4000)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    asked = parser.parse_args()
    tables: list[dict[str, Any]] = []
    for name in asked.populations:
        rows = encoded(POPULATIONS[name]())
        found: dict[str, list[int]] = {signal: [] for signal in SIGNALS}
        spent = dict.fromkeys(SIGNALS, 0.0)
        for seed in range(asked.first, asked.first + asked.references):
            for signal, alarms, cpu in run(rows, seed, asked):
                found[signal].append(alarms)
                spent[signal] += cpu
        for signal, alarms in found.items():
            line = rated([{"alarms": alarms, "windows": asked.windows}])
            cost = {"cpu_ms_a_window": round(1000 * spent[signal] / line["windows"], 1)}
            tables.append({"population": name, "signal": signal} | line | cost)
            print(tables[-1], flush=True)
        write(asked, tables)


if __name__ == "__main__":
    main()
