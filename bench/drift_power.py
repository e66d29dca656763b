"""How often drift alarms see a shift, beside Kolmogorov-Smirnov tests and PSI on the same windows.

The tables are the 50 correlated normal columns of ``drift_alarms.py`` with 20,000 reference rows.
All are asked for 1 % false alarms a window: Afterfit by its calibration, the exact test of each
column by Bonferroni, and the same test by the limit that gives it Afterfit's measured rate, which
nobody could know beforehand. PSI above 0.2 in ten bins is the usual rule. Run:
``python bench/drift_power.py``; it writes ``bench/results/drift_power.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from drift_alarms import POPULATIONS, Judged
from scipy.special import kolmogi

from afterfit.monitor.bins import codes_of
from afterfit.stats.distance import psi
from afterfit.stats.interval import wilson

OUT = Path(__file__).resolve().parent / "results" / "drift_power.json"
CHANCE = 0.01
SHIFTS = {"none": (0, 0.0), "one column +0.3": (1, 0.3), "ten columns +0.15": (10, 0.15)}
"""Columns that are moved, and by how many standard deviations."""


class Side:
    """One reference, and what each method says of windows beside it."""

    def __init__(self, seed: int, population: str) -> None:
        self.judged = Judged(POPULATIONS[population](), seed, "rows")
        self.matrix = np.column_stack(list(self.judged.population.frame.values()))
        self.names = list(self.judged.population.frame)
        reference = self.matrix[self.judged.rows]
        self.sorted = np.sort(reference, axis=0)
        self.tenths = np.quantile(reference, np.arange(1, 10) / 10, axis=0)
        self.usual = self.in_tenths(reference)

    def in_tenths(self, rows: np.ndarray) -> np.ndarray:
        """Return counts in ten bins, (columns, 10)."""
        found = [
            np.bincount(np.searchsorted(self.tenths[:, i], rows[:, i]), minlength=10)
            for i in range(rows.shape[1])
        ]
        return np.array(found)

    def window(self, n: int, columns: int, by: float) -> np.ndarray:
        """Return n rows of which some columns are moved."""
        random = self.judged.random
        rows = self.matrix[random.integers(0, len(self.matrix), n)].copy()
        rows[:, random.choice(rows.shape[1], columns, replace=False)] += by
        return rows

    def gap(self, rows: np.ndarray) -> float:
        """Return the greatest two-sample Kolmogorov-Smirnov distance of any column, exact."""
        n, n_ref = len(rows), len(self.sorted)
        rows = np.sort(rows, axis=0)
        step = np.arange(n + 1)[:, None] / n
        found = 0.0
        for i in range(rows.shape[1]):
            right = np.searchsorted(self.sorted[:, i], rows[:, i], side="right") / n_ref
            left = np.searchsorted(self.sorted[:, i], rows[:, i], side="left") / n_ref
            found = max(found, (step[1:, 0] - right).max(), (left - step[:-1, 0]).max())
        return found

    def surprise(self, rows: np.ndarray) -> float:
        """Return the surprise of the most surprising input column."""
        line, groups, _ = self.judged.families["inputs"]
        frame = {name: rows[:, i] for i, name in enumerate(self.names)}
        codes = codes_of(self.judged.reference.columns, frame)
        after = np.bincount(codes.ravel(), minlength=len(line)).astype(float)[None]
        return max(float(group.surprises(line, after, len(rows)).greatest()[0]) for group in groups)


@cache
def side_of(seed: int, population: str = "normal-50") -> Side:
    """Return one reference, calibrated once for all sizes."""
    return Side(seed, population)


def measured(seed: int, n: int, windows: int) -> dict[str, dict[str, list[float]]]:
    """Return each method's statistic of each window, by shift."""
    side = side_of(seed)
    limit = side.judged.calibration.threshold("inputs", n, CHANCE)
    found = {}
    for name, (columns, by) in SHIFTS.items():
        count = 4 * windows if name == "none" else windows
        rows = [side.window(n, columns, by) for _ in range(count)]
        found[name] = {
            "afterfit": [side.surprise(each) - limit for each in rows],
            "ks": [side.gap(each) for each in rows],
            "psi": [float(psi(side.usual, side.in_tenths(each)).max()) for each in rows],
        }
    return found


def rates(runs: list[dict[str, dict[str, list[float]]]], n: int, n_ref: int) -> dict[str, Any]:
    """Return the share of windows that each method raises, by shift, with intervals."""
    whole = {
        shift: {
            method: np.concatenate([run[shift][method] for run in runs])
            for method in runs[0][shift]
        }
        for shift in SHIFTS
    }
    ours = float((whole["none"]["afterfit"] > 0).mean())
    bonferroni = kolmogi(CHANCE / 50) / np.sqrt(n * n_ref / (n + n_ref))
    equal = float(np.quantile(whole["none"]["ks"], 1 - ours))
    return {
        shift: {
            "afterfit": share(values["afterfit"] > 0),
            "ks, Bonferroni": share(values["ks"] > bonferroni),
            "ks, equal rate": share(values["ks"] > equal),
            "psi > 0.2": share(values["psi"] > 0.2),
        }
        for shift, values in whole.items()
    }


def share(raised: np.ndarray) -> dict[str, float]:
    """Return a share with its interval at 95 %."""
    bounds = wilson(int(raised.sum()), len(raised))
    return {
        "share": round(float(raised.mean()), 4),
        "low": round(bounds.low, 4),
        "high": round(bounds.high, 4),
        "windows": len(raised),
    }


def write(folder: Path, seeds: range, windows: int) -> None:
    """Leave windows of 500 rows for what runs in an environment of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for population in ("normal-50", "normal-50-1000"):
        for seed in seeds:
            side = side_of(seed, population)
            rows = {
                shift: np.stack([side.window(500, columns, by) for _ in range(windows)])
                for shift, (columns, by) in SHIFTS.items()
            }
            reference = side.matrix[side.judged.rows]
            np.savez(folder / f"{len(reference)}-{seed}.npz", reference=reference, **rows)


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--references", type=int, default=5)
    parser.add_argument("--windows", type=int, default=200)
    parser.add_argument("--first", type=int, default=1000, help="the first reference's seed")
    parser.add_argument("--write", type=Path, help="leave windows in this folder, and measure none")
    asked = parser.parse_args()
    if asked.write:
        write(asked.write, range(asked.first, asked.first + asked.references), asked.windows)
        return
    began, tables = time.process_time(), {}
    for n in (200, 500):
        runs = [measured(asked.first + i, n, asked.windows) for i in range(asked.references)]
        tables[str(n)] = rates(runs, n, 20_000)
        for shift, line in tables[str(n)].items():
            print(n, shift, {method: each["share"] for method, each in line.items()})
    content = {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "cpu_s": round(time.process_time() - began, 1),
        "references": asked.references,
        "first": asked.first,
        "rows": tables,
    }
    OUT.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
