"""Measures how often the 95 % intervals of `afterfit.stats` hold the true metric.

Populations are known exactly: two and three classes with normal scores and a model that is a
little over-confident, a regression with skewed errors, and classes whose rows hang together in
groups or in time. True metrics come from samples of two million rows. Run:
``python bench/coverage.py``; it writes ``bench/results/coverage.json`` and the tables of
``docs/explanation/intervals.md``, in at most ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from afterfit.core.formulae import compute, find_formula
from afterfit.core.metric_names import CLASSIFICATION, REGRESSION
from afterfit.stats.metric_interval import metric_with_interval
from afterfit.stats.units import Units, blocks, groups

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "explanation" / "intervals.md"
OUT = ROOT / "bench" / "results" / "coverage.json"
BEGIN, END = "<!-- coverage: begin -->", "<!-- coverage: end -->"
TRUTH_ROWS = 2_000_000
SEPARATION = 1.5  # gap of the mean scores of the classes, in standard deviations
CONFIDENCE = 1.3  # the model's log-odds over the true ones
QUANTILE = 0.9
WARM_UP = 2000
LOWEST, HIGHEST = 0.925, 0.975


class Sample(NamedTuple):
    """True codes or values, what is predicted by what a metric needs, and how rows hang together.

    ``naive`` samples are judged as if their rows were independent.
    """

    truth: NDArray[Any]
    predicted: dict[str, NDArray[Any]]
    units: Units | None = None


@dataclass(frozen=True)
class Population:
    """What is drawn: ``shares`` of the classes (none for a regression), and how rows hang together.

    ``group`` is the rows of each group, ``memory`` the correlation of neighbours in time.
    """

    shares: tuple[float, ...] = ()
    group: int = 0
    memory: float = 0.0

    @property
    def positive(self) -> int | None:
        """The positive class; None where metrics are means over three classes."""
        return None if len(self.shares) > 2 else 1

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the metrics that it has."""
        return CLASSIFICATION if self.shares else REGRESSION

    @property
    def title(self) -> str:
        """What it is, for the head of a table."""
        if not self.shares:
            return "regression"
        if self.group:
            return f"groups of {self.group}"
        if self.memory:
            return f"time, correlation {self.memory:g}"
        return " : ".join(f"{100 * share:.0f}" for share in self.shares) + " %"

    def draw(self, generator: np.random.Generator, n: int) -> Sample:
        """Return n rows."""
        if not self.shares:
            predicted = generator.normal(size=n)
            return Sample(predicted + generator.gamma(2.0, 0.5, n) - 1.0, {"values": predicted})
        if self.group or self.memory:
            return self._dependent(generator, n)
        return self._independent(generator, n)

    def _independent(self, generator: np.random.Generator, n: int) -> Sample:
        k = len(self.shares)
        truth = generator.choice(k, size=n, p=self.shares)
        scores = generator.normal(size=(n, k)) + SEPARATION * (truth[:, None] == np.arange(k))
        if k == 2:
            log_odds = SEPARATION / math.sqrt(0.5) * (scores[:, 1] - scores[:, 0]) / math.sqrt(2)
            log_odds = np.column_stack([np.zeros(n), log_odds]) + np.log(self.shares)
        else:
            log_odds = SEPARATION * scores + np.log(self.shares)
        return self._answered(truth, log_odds)

    def _dependent(self, generator: np.random.Generator, n: int) -> Sample:
        """Rows share how likely they are positive and how far their score is off."""
        rate, luck = (self._shared(generator, n) for _ in range(2))
        truth = (1.2 * rate + generator.normal(size=n) > 0.8).astype(np.int64)
        score = SEPARATION * truth + 0.7 * (luck + generator.normal(size=n))
        log_odds = SEPARATION * (score - SEPARATION / 2) - 0.7
        if self.group:
            units = groups(np.arange(n) // self.group)
        else:
            units = blocks(np.arange(n, dtype=float))
        found = self._answered(truth, np.column_stack([np.zeros(n), log_odds]))
        return found._replace(units=units)

    def _shared(self, generator: np.random.Generator, n: int) -> NDArray[np.float64]:
        """Return a standard normal number of each row that its group or its neighbours share."""
        if self.group:
            return np.repeat(generator.normal(size=-(-n // self.group)), self.group)[:n]
        steps = generator.normal(size=n + WARM_UP) * math.sqrt(1 - self.memory**2)
        return np.asarray(lfilter([1.0], [1.0, -self.memory], steps)[WARM_UP:])

    def _answered(self, truth: NDArray[Any], log_odds: NDArray[np.float64]) -> Sample:
        raised = np.exp(CONFIDENCE * (log_odds - log_odds.max(axis=1, keepdims=True)))
        shares = raised / raised.sum(axis=1, keepdims=True)
        return Sample(truth, {"labels": shares.argmax(axis=1), "probabilities": shares})


# At least 50 rows of the smallest class: of 200 rows 40 %, of 1,000 rows and more 10 %.
INDEPENDENT = [
    (Population((0.6, 0.4)), 200),
    (Population((0.9, 0.1)), 1_000),
    (Population((0.9, 0.1)), 10_000),
    (Population((0.36, 0.32, 0.32)), 200),
    (Population((0.8, 0.1, 0.1)), 1_000),
    (Population((0.8, 0.1, 0.1)), 10_000),
    (Population(), 200),
    (Population(), 1_000),
    (Population(), 10_000),
]
DEPENDENT = [
    (Population((0.7, 0.3), group=20), 400),
    (Population((0.7, 0.3), group=20), 1_000),
    (Population((0.7, 0.3), group=20), 10_000),
    (Population((0.7, 0.3), memory=0.5), 1_000),
    (Population((0.7, 0.3), memory=0.9), 1_000),
    (Population((0.7, 0.3), memory=0.9), 10_000),
    (Population((0.7, 0.3), memory=0.98), 10_000),
]


def measure(population: Population, n: int, simulations: int, seed: int) -> list[dict[str, Any]]:
    """Return coverage and mean width of each metric over ``simulations`` samples of n rows.

    Where rows hang together, also of the intervals that take them as independent.
    """
    key = [round(1000 * share) for share in population.shares]
    key += [population.group, round(1000 * population.memory)]
    generator = np.random.default_rng(np.random.SeedSequence([seed, n, *key]))
    true = _true(population, generator)
    held: dict[tuple[str, str], list[tuple[float, float]]] = {}
    told: dict[tuple[str, str], str] = {}
    for simulation in range(simulations):
        sample = population.draw(generator, n)
        ways = {"used": sample.units} | ({"rows": None} if sample.units is not None else {})
        for way, units in ways.items():
            for name in population.metrics:
                found = metric_with_interval(
                    name, sample.truth, sample.predicted[find_formula(name).needs],
                    positive=population.positive, seed=simulation, effort="quick",
                    quantile=QUANTILE, units=units,
                )  # fmt: skip
                held.setdefault((name, way), []).append((found.low, found.high))
                told[name, way] = found.method
    return [
        {"metric": name, "way": way, "method": told[name, way], "n": n}
        | asdict(population)
        | {"title": population.title, "true": true[name]}
        | _summary(bounds, true[name])
        for (name, way), bounds in held.items()
    ]


def _true(population: Population, generator: np.random.Generator) -> dict[str, float]:
    rows = population.draw(generator, TRUTH_ROWS)
    return {
        name: compute(
            name, rows.truth, rows.predicted[find_formula(name).needs],
            positive=population.positive, quantile=QUANTILE,
        ).value
        for name in population.metrics
    }  # fmt: skip


def _summary(bounds: list[tuple[float, float]], true: float) -> dict[str, Any]:
    low, high = np.array(bounds).T
    defined = np.isfinite(low)
    low, high = low[defined], high[defined]
    return {
        "simulations": len(bounds),
        "undefined": int((~defined).sum()),
        "coverage": float(np.mean((low <= true) & (true <= high))),
        "too_low": float(np.mean(high < true)),
        "too_high": float(np.mean(low > true)),
        "width": float(np.mean(high - low)),
    }


def table(results: list[dict[str, Any]]) -> str:
    """Return the results as a Markdown table: coverage in % by metric and sample.

    Bold is outside of 92.5 to 97.5 %; in brackets is what rows taken as independent would cover.
    """
    columns = list(dict.fromkeys((r["title"], r["n"]) for r in results))
    cells = {(r["metric"], r["way"], r["title"], r["n"]): r["coverage"] for r in results}
    head = [f"{title}, n = {n:,}" for title, n in columns]
    lines = [f"| metric | {' | '.join(head)} |", "|---" * (len(head) + 1) + "|"]
    for metric in dict.fromkeys(r["metric"] for r in results):
        texts = []
        for title, n in columns:
            share = cells[metric, "used", title, n]
            text = f"{100 * share:.1f}"
            text = text if LOWEST <= share <= HIGHEST else f"**{text}**"
            alone = cells.get((metric, "rows", title, n))
            texts.append(text if alone is None else f"{text} ({100 * alone:.1f})")
        lines.append(f"| {metric} | {' | '.join(texts)} |")
    return "\n".join(lines)


def page(results: list[dict[str, Any]], settings: dict[str, Any]) -> str:
    """Return what stands between the marks of the page."""
    kinds: dict[str, Callable[[dict[str, Any]], bool]] = {
        "Two classes: shares of the classes, and rows.": lambda r: len(r["shares"]) == 2,
        "Three classes, metrics as means over them.": lambda r: len(r["shares"]) > 2,
        "Regression with errors of a gamma distribution of shape 2.": lambda r: not r["shares"],
    }
    apart = [r for r in results if not r["group"] and not r["memory"]]
    together = [r for r in results if r["group"] or r["memory"]]
    parts = [
        (
            f"Measured on {settings['date']}: {settings['simulations']:,} simulations a cell (one "
            f"standard error {settings['error']:.1f} points at 95 %), {settings['dependent']:,} "
            f"where rows hang together; seed {settings['seed']}, {settings['seconds']:.0f} s on "
            f"{settings['cores']} cores. In bold: outside of 92.5 to 97.5 %."
        )
    ]
    for title, chosen in kinds.items():
        parts += [title, table([r for r in apart if chosen(r)])]
    parts += [
        (
            "Two classes in rows that hang together; in brackets what intervals cover that take "
            "the same rows as independent."
        ),
        table(together),
    ]
    return "\n\n".join(parts)


def main() -> None:
    """Run every cell, write the JSON and the tables of the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--dependent", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=20261126)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    started = time.perf_counter()
    jobs = [(*cell, options.simulations) for cell in INDEPENDENT]
    jobs += [(*cell, options.dependent) for cell in DEPENDENT]
    # The long ones first, so that no core waits for the other at the end.
    order = sorted(range(len(jobs)), key=lambda i: -jobs[i][1] * jobs[i][2])
    with ProcessPoolExecutor(options.processes) as pool:
        futures = {i: pool.submit(measure, *jobs[i], options.seed) for i in order}
        results = [row for i in range(len(jobs)) for row in futures[i].result()]
    settings = {
        "simulations": options.simulations,
        "dependent": options.dependent,
        "seed": options.seed,
        "seconds": time.perf_counter() - started,
        "cores": options.processes,
        "error": 100 * math.sqrt(0.05 * 0.95 / options.simulations),
        "date": datetime.now(UTC).date().isoformat(),
    }
    machine = {"cpu": platform.machine(), "cores": os.cpu_count(), "numpy": np.__version__}
    body = {"machine": machine, "settings": settings, "results": results}
    options.out.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
    text = page(results, settings)
    print(text)
    before, _, rest = options.page.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    options.page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
