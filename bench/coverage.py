"""Measures how often the 95 % intervals of `afterfit.stats` hold the true metric.

A population is known exactly: two normal score distributions and a model that is a little
over-confident, or a regression with skewed errors. Its true metrics come from a sample of two
million rows. Run: ``python bench/coverage.py --simulations 500 --out coverage.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from afterfit.core.formulae import compute, confusion_matrix, find_formula, row_losses
from afterfit.stats.bootstrap import bootstrap, bootstrap_cells
from afterfit.stats.delong import auc_contributions
from afterfit.stats.interval import Interval, t_interval
from afterfit.stats.metric_interval import (
    REPLICATES,
    Effort,
    average_precision_of_counts,
    metric_with_interval,
)

Rows = tuple[NDArray[Any], dict[str, NDArray[Any]]]

TRUTH_ROWS = 2_000_000
SEPARATION = 1.5  # gap of the mean scores of the classes, in standard deviations
CONFIDENCE = 1.3  # the model's log-odds over the true ones
QUANTILE = 0.9
NEEDS = {
    "accuracy": "labels",
    "balanced_accuracy": "labels",
    "precision": "labels",
    "recall": "labels",
    "f1": "labels",
    "mcc": "labels",
    "roc_auc": "probabilities",
    "pr_auc": "probabilities",
    "log_loss": "probabilities",
    "brier": "probabilities",
    "mae": "values",
    "rmse": "values",
    "r2": "values",
    "quantile_loss": "values",
}


def classifier_rows(generator: np.random.Generator, n: int, prevalence: float) -> Rows:
    """Return true codes, and predicted labels and probabilities, of n rows."""
    truth = (generator.random(n) < prevalence).astype(np.int64)
    score = generator.normal(size=n) + SEPARATION * truth
    log_odds = np.log(prevalence / (1 - prevalence)) + SEPARATION * (score - SEPARATION / 2)
    probability = 1 / (1 + np.exp(-CONFIDENCE * log_odds))
    return truth, {"labels": (probability >= 0.5).astype(np.int64), "probabilities": probability}


def regression_rows(generator: np.random.Generator, n: int) -> Rows:
    """Return true and predicted values of n rows; the errors are skewed (gamma, shape 2)."""
    predicted = generator.normal(size=n)
    return predicted + generator.gamma(2.0, 0.5, n) - 1.0, {"values": predicted}


def draw(generator: np.random.Generator, n: int, prevalence: float | None) -> Rows:
    """Return n rows of the classifier, or of the regression where there is no prevalence."""
    if prevalence is None:
        return regression_rows(generator, n)
    return classifier_rows(generator, n, prevalence)


def metrics_of(prevalence: float | None) -> list[str]:
    """Return the names of the metrics that the population has."""
    return [name for name, need in NEEDS.items() if (need == "values") == (prevalence is None)]


def front_door(name: str, rows: Rows, seed: int, effort: Effort) -> Interval:
    """Return the interval that a user gets."""
    truth, predictions = rows
    found = metric_with_interval(
        name, truth, predictions[NEEDS[name]],
        positive=1, seed=seed, effort=effort, quantile=QUANTILE,
    )  # fmt: skip
    return Interval(found.low, found.high, found.method)


def by_bootstrap(
    name: str, rows: Rows, seed: int, effort: Effort, method: Literal["bca", "percentile"]
) -> Interval:
    """Return a bootstrap interval of F1-like metrics, average precision or a mean of rows."""
    truth, predictions = rows
    replicates = REPLICATES[effort]
    prediction = predictions[NEEDS[name]]
    cells_of = find_formula(name).cells
    if cells_of is not None:
        cells = confusion_matrix(truth, prediction, n_classes=2)
        return bootstrap_cells(
            lambda tables: cells_of(tables, 1), cells,
            seed=seed, replicates=replicates, method=method,
        )  # fmt: skip
    if name == "pr_auc":
        statistic = average_precision_of_counts(truth, prediction, positive=1)
    else:
        losses = row_losses(name, truth, prediction, positive=1, quantile=QUANTILE)
        power = 0.5 if name == "rmse" else 1.0
        statistic = lambda counts: (counts @ losses / len(losses)) ** power  # noqa: E731
    return bootstrap(statistic, len(truth), seed=seed, replicates=replicates, method=method)


def student(name: str, rows: Rows, seed: int, effort: Effort) -> Interval:
    """Return the plain t interval of the mean of the per-row losses."""
    del seed, effort
    truth, predictions = rows
    return t_interval(
        row_losses(name, truth, predictions[NEEDS[name]], positive=1, quantile=QUANTILE)
    )


def plain_delong(name: str, rows: Rows, seed: int, effort: Effort) -> Interval:
    """Return DeLong's interval without the logit."""
    del name, seed, effort
    truth, predictions = rows
    auc, parts, _, _ = auc_contributions(truth, predictions["probabilities"], positive=1)
    half = 1.959963984540054 * float(np.sqrt(np.square(parts).sum()))
    return Interval(auc - half, auc + half, "delong")


def rivals(name: str) -> dict[str, Callable[[str, Rows, int, Effort], Interval]]:
    """Return other methods to compare with, by name."""

    def percentile(name: str, rows: Rows, seed: int, effort: Effort) -> Interval:
        return by_bootstrap(name, rows, seed, effort, "percentile")

    def bca(name: str, rows: Rows, seed: int, effort: Effort) -> Interval:
        return by_bootstrap(name, rows, seed, effort, "bca")

    if name in ("f1", "mcc", "balanced_accuracy", "pr_auc", "rmse"):
        return {"bootstrap-percentile": percentile, "bootstrap-bca": bca}
    if name in ("log_loss", "brier", "mae", "quantile_loss"):
        return {"t": student, "bootstrap-percentile": percentile, "bootstrap-bca": bca}
    return {"delong": plain_delong} if name == "roc_auc" else {}


def measure(
    n: int, prevalence: float | None, simulations: int, seed: int, effort: Effort, *, compare: bool
) -> list[dict[str, Any]]:
    """Return coverage and mean width per metric and method, over ``simulations`` samples."""
    seeds = np.random.SeedSequence([seed, n, round(1000 * (prevalence or 0))])
    generator = np.random.default_rng(seeds)
    truth, predictions = draw(generator, TRUTH_ROWS, prevalence)
    names = metrics_of(prevalence)
    true = {
        name: compute(name, truth, predictions[NEEDS[name]], positive=1, quantile=QUANTILE).value
        for name in names
    }
    del truth, predictions
    held: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for simulation in range(simulations):
        rows = draw(generator, n, prevalence)
        for name in names:
            ways = {"": front_door, **(rivals(name) if compare else {})}
            for way in ways.values():
                found = way(name, rows, simulation, effort)
                label = "used" if way is front_door else found.method
                held.setdefault((name, label), []).append((found.low, found.high))
    return [
        _summary(name, label, bounds, true[name]) | {"n": n, "prevalence": prevalence}
        for (name, label), bounds in held.items()
    ]


def _summary(
    name: str, label: str, bounds: list[tuple[float, float]], true: float
) -> dict[str, Any]:
    low, high = np.array(bounds).T
    defined = np.isfinite(low)
    low, high = low[defined], high[defined]
    return {
        "metric": name,
        "method": label,
        "true": true,
        "simulations": len(bounds),
        "undefined": int((~defined).sum()),
        "coverage": float(np.mean((low <= true) & (true <= high))),
        "too_low": float(np.mean(high < true)),
        "too_high": float(np.mean(low > true)),
        "width": float(np.mean(high - low)),
    }


def table(results: list[dict[str, Any]]) -> str:
    """Return the results as a Markdown table: coverage in % by metric, method and sample."""
    cells = {
        (r["metric"], r["method"], r["prevalence"], r["n"]): f"{100 * r['coverage']:.1f}"
        + (f" ({r['undefined']} undefined)" if r["undefined"] else "")
        for r in results
    }
    columns = sorted({(r["prevalence"] or 0, r["n"]) for r in results})
    head = [f"{100 * p:.0f} %, n={n}" if p else f"n={n}" for p, n in columns]
    lines = [f"| metric | method | {' | '.join(head)} |", "|---" * (len(head) + 2) + "|"]
    for metric, method in dict.fromkeys((r["metric"], r["method"]) for r in results):
        values = [cells.get((metric, method, p or None, n), "") for p, n in columns]
        lines.append(f"| {metric} | {method} | {' | '.join(values)} |")
    return "\n".join(lines)


def main() -> None:
    """Run every cell, print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=500)
    parser.add_argument("--seed", type=int, default=20261123)
    parser.add_argument("--effort", choices=sorted(REPLICATES), default="quick")
    parser.add_argument("--no-compare", action="store_true", help="only the methods in use")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    started = time.perf_counter()
    jobs = [(n, p) for p in (0.1, 0.3, None) for n in (5000, 1000, 200)]
    with ProcessPoolExecutor(options.processes) as pool:
        futures = [
            pool.submit(
                measure, n, p, options.simulations, options.seed, options.effort,
                compare=not options.no_compare,
            )
            for n, p in jobs
        ]  # fmt: skip
        results = [row for future in futures for row in future.result()]
    for kind in (True, False):
        chosen = [r for r in results if (r["prevalence"] is None) is not kind]
        print(table(chosen), end="\n\n")
    seconds = time.perf_counter() - started
    print(f"{options.simulations} simulations, effort {options.effort}, {seconds:.0f} s")
    if options.out:
        machine = {"cpu": platform.machine(), "cores": os.cpu_count(), "numpy": np.__version__}
        settings = {"simulations": options.simulations, "seed": options.seed,
                    "effort": options.effort, "seconds": seconds}  # fmt: skip
        body = {"machine": machine, "settings": settings, "results": results}
        options.out.write_text(json.dumps(body, indent=1))


if __name__ == "__main__":
    main()
