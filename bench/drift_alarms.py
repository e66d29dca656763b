"""How often drift alarms fire for nothing, and how often they see a shift.

Every table is a population that rows are drawn from with replacement, so a reference and windows
without drift have one distribution: Adult and elec (shuffled by that), and correlated normal
columns. Of the ``ordered`` ones each value hangs on the one before it, and references and windows
are stretches of neighbours, anywhere in a stream that does not change; ``elec-weeks`` is such a
stream of four real weeks after four others, drawn at random. ``null`` asks at 1 % a
window, ``monthly`` at one false alarm a month of hourly windows. ``--method`` is where thresholds
come from: whole rows, blocks of them, or the reference's counts alone. Each part runs some
references that ``--first`` numbers, and adds to ``bench/results/drift_alarms.json``. Run:
``python bench/drift_alarms.py null --population adult --references 12``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from afterfit.core.fingerprint import Fingerprint, build
from afterfit.core.frame import Frame, Predictions
from afterfit.core.signature import Column, Signature
from afterfit.inspect.columns import build_column
from afterfit.monitor.bins import codes_of, families, groups_of, line_of
from afterfit.monitor.budget import Budget
from afterfit.monitor.calibrate import Calibration, calibrate, calibrate_counts
from afterfit.stats.interval import wilson, wilson_of_error

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "bench" / "results" / "drift_alarms.json"
DATA = Path(os.environ.get("AFTERFIT_TEST_DATA") or ROOT.parent / "shared" / "data")
SIZES = {200: 300, 500: 300, 2000: 200, 20_000: 60}
"""Rows of a window, and how many windows a reference is given of them."""
MONTHLY = 2500
POPULATION = 60_000
STREAM, HOLDS = 600_000, 0.9
WEEK, WEEKS, ELEC_FROM = 336, 4, 17_424
"""Rows of a week of elec, weeks that stay together, and the row from which all of it moves."""
HOURS = 365.25 / 12 * 24


@dataclass(frozen=True)
class Population:
    """Rows to draw from, and the score of each."""

    frame: Frame
    signature: Signature
    scores: np.ndarray
    n_ref: int
    ordered: bool = False

    def draw(self, random: np.random.Generator, n: int) -> np.ndarray:
        """Return n rows, neighbours where the order counts."""
        if self.ordered:
            return random.integers(0, len(self.scores) - n + 1) + np.arange(n)
        return random.integers(0, len(self.scores), n)

    def take(self, rows: np.ndarray) -> Frame:
        """Return some rows."""
        return {name: values[rows] for name, values in self.frame.items()}

    def reference(self, rows: np.ndarray) -> Fingerprint:
        """Return the fingerprint of some rows, with their scores."""
        answers = Predictions(values=self.scores[rows])
        return build(self.take(rows), self.signature, answers)


def of_table(names: list[str], n_ref: int) -> Population:
    """Return a real table; its score is a sum of its numbers' ranks, so that it has an output."""
    import pandas as pd

    table = pd.concat([pd.read_csv(DATA / name) for name in names], ignore_index=True)
    table = table.iloc[:, :-1]
    frame = {
        str(name): table[name].to_numpy(object if table[name].dtype.kind not in "if" else float)
        for name in table
    }
    numbers = [values.argsort().argsort() for values in frame.values() if values.dtype.kind == "f"]
    columns = tuple(
        build_column(name, values, values, nullable=True) for name, values in frame.items()
    )
    scores = np.mean(numbers, axis=0) / len(table)
    return Population(
        frame, Signature(task="regression", columns=columns, target="y"), scores, n_ref
    )


def normal(columns: int, n_ref: int) -> Population:
    """Return correlated normal columns: half of each column's variance is of five factors."""
    random = np.random.default_rng(columns)
    rows = random.normal(size=(POPULATION, columns))
    loads = random.normal(size=(5, columns))
    loads /= np.sqrt(np.square(loads).sum(axis=0))
    rows = (rows + random.normal(size=(POPULATION, 5)) @ loads) / np.sqrt(2)
    frame = {f"x{i}": rows[:, i].copy() for i in range(columns)}
    described = tuple(Column(name=name, kind="number") for name in frame)
    signature = Signature(task="regression", columns=described, target="y")
    return Population(frame, signature, rows[:, : min(5, columns)].sum(axis=1), n_ref)


def ordered(columns: int, n_ref: int) -> Population:
    """Return a stream of normal columns, each value 0.9 of the one before it and something new."""
    from scipy.signal import lfilter

    still = normal(columns, n_ref)
    random = np.random.default_rng(columns + 1)
    drawn = random.integers(0, POPULATION, STREAM)
    fresh = np.column_stack(list(still.frame.values()))[drawn] * np.sqrt(1 - HOLDS**2)
    rows = lfilter([1.0], [1.0, -HOLDS], fresh, axis=0)
    frame = {name: rows[:, i].copy() for i, name in enumerate(still.frame)}
    return Population(frame, still.signature, rows[:, :5].sum(axis=1), n_ref, ordered=True)


def elec_weeks(n_ref: int) -> Population:
    """Return a stream of stretches of four real weeks, each anywhere in the year and a half."""
    still = of_table(["elec.csv"], n_ref)
    weeks = (len(still.scores) - ELEC_FROM) // WEEK
    random = np.random.default_rng(WEEKS)
    starts = random.integers(0, weeks, STREAM // (WEEK * WEEKS))
    places = ((starts[:, None] + np.arange(WEEKS)) % weeks).ravel()
    rows = ELEC_FROM + (places[:, None] * WEEK + np.arange(WEEK)).ravel()
    # Dates are an order, and no behaviour.
    columns = tuple(column for column in still.signature.columns if column.name != "date")
    frame = {column.name: still.frame[column.name][rows] for column in columns}
    signature = Signature(task="regression", columns=columns, target="y")
    return Population(frame, signature, still.scores[rows], n_ref, ordered=True)


POPULATIONS: dict[str, Callable[[], Population]] = {
    "adult": lambda: of_table(["adult_train.csv", "adult_test.csv"], 20_000),
    "adult-2000": lambda: of_table(["adult_train.csv", "adult_test.csv"], 2000),
    "elec": lambda: of_table(["elec.csv"], 20_000),
    "elec-weeks": lambda: elec_weeks(20_000),
    "normal-5": lambda: normal(5, 5000),
    "normal-20": lambda: normal(20, 20_000),
    "normal-50": lambda: normal(50, 20_000),
    "normal-50-1000": lambda: normal(50, 1000),
    "normal-200": lambda: normal(200, 20_000),
    "ordered-5": lambda: ordered(5, 20_000),
    "ordered-20": lambda: ordered(20, 20_000),
}


class Judged:
    """One reference of a population, its calibration and windows without drift."""

    def __init__(self, population: Population, seed: int, method: str) -> None:
        self.random = np.random.default_rng(seed)
        self.rows = population.draw(self.random, population.n_ref)
        self.reference = population.reference(self.rows)
        self.population = population
        self.calibration = self._calibrated(method, seed)
        self.families = {}
        for family, columns in families(self.reference):
            codes = codes_of(columns, population.frame, population.scores)
            self.families[family] = line_of(columns), groups_of(columns), codes

    def _calibrated(self, method: str, seed: int) -> Calibration:
        if method == "counts":
            return calibrate_counts(self.reference, seed=seed)
        rows = self.population.take(self.rows)
        return calibrate(
            self.reference,
            rows,
            self.population.scores[self.rows],
            in_time_order=method == "blocks",
            seed=seed,
        )

    def surprises(self, n: int, windows: int) -> Iterator[dict[str, np.ndarray]]:
        """Yield the greatest surprise of windows by family, some windows at a time."""
        for begin in range(0, windows, 20):
            count = min(20, windows - begin)
            rows = [self.population.draw(self.random, n) for _ in range(count)]
            found = {}
            for family, (line, groups, codes) in self.families.items():
                after = np.stack(
                    [np.bincount(codes[r].ravel(), minlength=len(line)) for r in rows]
                ).astype(float)
                parts = [group.surprises(line, after, n).greatest() for group in groups]
                found[family] = np.maximum.reduce(parts)
            yield found

    def alarms(self, n: int, windows: int, chance: float) -> dict[str, int]:
        """Return how many windows exceed the threshold, by family."""
        counts = dict.fromkeys(self.families, 0)
        for found in self.surprises(n, windows):
            for family, values in found.items():
                limit = self.calibration.threshold(family, n, chance)
                counts[family] += int((values > limit).sum())
        return counts


def null(name: str, method: str, seeds: range) -> list[dict[str, Any]]:
    """Return false alarms of the input columns at 1 % a window, by reference and window size."""
    population, found = POPULATIONS[name](), []
    for seed in seeds:
        judged = Judged(population, seed, method)
        for n, windows in SIZES.items():
            if n <= population.n_ref:
                alarms = judged.alarms(n, windows, 0.01)
                found.append({"n": n, "windows": windows, "seed": seed, **alarms})
    return found


def monthly(name: str, method: str, seeds: range) -> list[dict[str, Any]]:
    """Return false alarms, inputs and output, at one a month of hourly windows of 500 rows."""
    population, found = POPULATIONS[name](), []
    chance = Budget(false_alarms_per_month=1).of_windows(HOURS)
    for seed in seeds:
        judged = Judged(population, seed, method)
        alarms = judged.alarms(500, MONTHLY, chance)
        found.append({"n": 500, "windows": MONTHLY, "seed": seed, "chance": chance, **alarms})
    return found


PARTS = {"null": null, "monthly": monthly}
METHODS = ("rows", "counts", "blocks")
KEY = ("part", "population", "method", "n", "family")


def gathered(runs: list[dict[str, Any]], said: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the runs of one call by window size and family: alarms of each reference."""
    found: dict[tuple[int, str], dict[str, Any]] = {}
    for run in runs:
        for family in ("inputs", "output"):
            head = said | {"n": run["n"], "family": family, "windows": run["windows"], "alarms": []}
            into = found.setdefault((run["n"], family), head)
            into["alarms"].append(run[family])
    return list(found.values())


def summed(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rates with intervals at 95 %, windows of one reference hanging together."""
    lines = []
    for key in sorted({tuple(run[name] for name in KEY) for run in runs}):
        mine = [run for run in runs if tuple(run[name] for name in KEY) == key]
        lines.append(dict(zip(KEY, key, strict=True)) | rated(mine))
    for part in sorted({run["part"] for run in runs}):
        for family in ("inputs", "output"):
            mine = [r for r in runs if (r["part"], r["family"]) == (part, family)]
            for method in METHODS:
                of_it = [run for run in mine if run["method"] == method]
                if of_it:
                    all_of = {"part": part, "population": "all", "method": method, "family": family}
                    lines.append(all_of | rated(of_it))
    return lines


def rated(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the rate over all references of some runs."""
    pairs = [(alarms, run["windows"]) for run in runs for alarms in run["alarms"]]
    counts = np.array(pairs, dtype=float)
    windows, alarms = int(counts[:, 1].sum()), int(counts[:, 0].sum())
    rate = alarms / windows
    bounds = wilson(alarms, windows)
    rest = counts[:, 0] - rate * counts[:, 1]
    error = float(np.sqrt(np.square(rest).sum() * len(rest) / max(1, len(rest) - 1)) / windows)
    # Where windows of one reference hang together less than by chance they count as independent.
    if alarms and error > np.sqrt(rate * (1 - rate) / windows):
        bounds = wilson_of_error(rate, error, len(rest) - 1)
    return {
        "references": len(rest),
        "windows": windows,
        "alarms": alarms,
        "rate": round(rate, 6),
        "low": round(bounds.low, 6),
        "high": round(bounds.high, 6),
    }


def kept(runs: list[dict[str, Any]], said: dict[str, Any]) -> dict[str, Any]:
    """Return the file's content with these runs in the place of the same ones before."""
    before = json.loads(OUT.read_text("utf-8")) if OUT.exists() else {}
    others = [
        run for run in before.get("runs", []) if any(run[name] != said[name] for name in said)
    ]
    whole = [*others, *runs]
    return before | {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "rates": summed(whole),
        "runs": whole,
    }


def main() -> None:
    """Run one part and write it beside the others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--population", choices=POPULATIONS, required=True)
    parser.add_argument("--method", choices=METHODS, default="rows")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--references", type=int, default=4)
    asked = parser.parse_args()
    began = time.process_time()
    seeds = range(asked.first, asked.first + asked.references)
    said = {key: getattr(asked, key) for key in ("part", "population", "method", "first")}
    runs = gathered(PARTS[asked.part](asked.population, asked.method, seeds), said)
    print(f"{time.process_time() - began:.0f} s of CPU")
    for line in summed(runs):
        print(*line.values())
    content = kept(runs, said)
    text = json.dumps(content, indent=1)
    OUT.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
