"""Six usual models beside what ``afterfit optimize`` ships for them.

All learn the same 10,000 rows of 20 numbers. The yardstick is ``predict_proba`` of the fitted
estimator, given a plain array: no names, no DataFrame, one thread. Afterfit gets the same array,
and beside that the same rows as columns by name, which is how they come from a table.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import shipping
import timing

from afterfit.core.dataset import Dataset
from afterfit.core.frame import MatrixFrame
from afterfit.optimize.config import OptimizeConfig

COLUMNS = tuple(f"x{index}" for index in range(20))
TRAIN, TEST = 10_000, 4_000
BATCHES = (1, 256)
PACKAGES = ("scikit-learn", "lightgbm", "numpy")


@dataclass(frozen=True)
class Case:
    """A model with a fixed architecture and seed, and how many times faster it has to become."""

    name: str
    title: str
    make: Callable[[], Any]
    goal: float


def _forest() -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(200, max_depth=14, random_state=0)


def _histogram() -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(max_iter=200, early_stopping=False, random_state=0)


def _gradient() -> Any:
    from sklearn.ensemble import GradientBoostingClassifier

    return GradientBoostingClassifier(n_estimators=200, random_state=0)


def _logistic() -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression())


def _lightgbm() -> Any:
    from lightgbm import LGBMClassifier

    return LGBMClassifier(n_estimators=500, n_jobs=1, random_state=0, verbose=-1)


def _xgboost() -> Any:
    from xgboost import XGBClassifier

    return XGBClassifier(n_estimators=500, n_jobs=1, random_state=0)


CASES = (
    Case("forest", "RandomForest, 200 trees of depth 14", _forest, 20.0),
    Case("histogram", "HistGradientBoosting, 200 rounds", _histogram, 20.0),
    Case("gradient", "GradientBoosting, 200 rounds", _gradient, 8.0),
    Case("logistic", "StandardScaler, LogisticRegression", _logistic, 8.0),
    Case("lightgbm", "LightGBM, 500 rounds", _lightgbm, 7.0),
    Case("xgboost", "XGBoost, 500 rounds", _xgboost, 4.0),
)


def rows(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of 20 numbers, and labels that depend on some of them and on pairs."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, len(COLUMNS)))
    score = x[:, 0] + x[:, 1] * x[:, 2] - 0.5 * x[:, 3] + np.sin(3 * x[:, 4])
    return x, (score + rng.normal(scale=0.7, size=count) > 0).astype(np.int64)


def framed(x: np.ndarray) -> dict[str, np.ndarray]:
    """The rows by column."""
    return {name: np.ascontiguousarray(x[:, index]) for index, name in enumerate(COLUMNS)}


def run(cache: Path, folder: Path, seconds: float) -> list[dict[str, Any]]:
    """Each case: what ships, how it answers, and how long a call takes."""
    return [one(case, cache, folder / case.name, seconds) for case in CASES]


def one(case: Case, cache: Path, folder: Path, seconds: float) -> dict[str, Any]:
    """Measure one case."""
    path = shipping.kept(cache, case.name, [case.make, rows], PACKAGES).with_suffix(".joblib")
    if not path.is_file():
        joblib.dump(case.make().fit(*rows(TRAIN, 0)), path)
    estimator = joblib.load(path)
    x, truth = rows(TEST, 1)
    signature = shipping.signature_of(framed(x), "binary", (0, 1))
    config = OptimizeConfig(batches=BATCHES)
    data = Dataset(frame=framed(x), target=truth)
    shipped = shipping.ship(path, signature, data, config, folder)
    fresh, _ = rows(TEST, 2)
    expected, found = estimator.predict_proba(fresh), shipped.model.predict(framed(fresh)).main
    result: dict[str, Any] = {
        "name": case.name,
        "title": case.title,
        "goal": case.goal,
        "chosen": shipped.record.chosen,
        "status": shipped.status,
        "native_bytes": path.stat().st_size,
        "bytes": shipped.size,
        "max_difference": float(np.abs(expected - found).max()),
        "labels_that_differ": int((expected.argmax(axis=1) != found.argmax(axis=1)).sum()),
        "rows_compared": TEST,
        "batches": {},
    }
    for count in BATCHES:
        some, frame = fresh[:count], framed(fresh[:count])
        same = MatrixFrame(dict.fromkeys(COLUMNS, "number"), some)
        times = timing.in_turn(
            {
                "native": lambda some=some: estimator.predict_proba(some),
                "afterfit": lambda same=same: shipped.model.predict(same),
                "columns": lambda frame=frame: shipped.model.predict(frame),
            },
            1.5 * seconds,
        )
        result["batches"][str(count)] = {
            **{name: timing.told(spent) for name, spent in times.items()},
            "faster": timing.faster(times["native"], times["afterfit"]),
            "faster_by_columns": timing.faster(times["native"], times["columns"]),
        }
    single, many = (result["batches"][str(count)]["faster"] for count in BATCHES)
    print(
        f"  {case.name:10} {shipped.record.chosen:16} 1 row {single['by_median']:5.1f}x "
        f"(least {single['by_least']:5.1f}x)  256 rows {many['by_median']:5.2f}x",
        file=sys.stderr,
        flush=True,
    )
    return result


HEAD = (
    "| model | what ships | 1 row: native, Afterfit (median µs) "
    "| times as fast, by median (by least) | wanted | the same from columns by name "
    "| 256 rows: times as fast | largest difference | file |"
)


def table(results: list[dict[str, Any]]) -> str:
    """The table for people."""
    lines = [HEAD, "|---" * 9 + "|"]
    for one in results:
        single, many = (one["batches"][str(count)] for count in BATCHES)
        cells = (
            one["title"],
            f"`{one['chosen']}`",
            f"{single['native']['median_us']:,.0f}, {single['afterfit']['median_us']:,.1f}",
            f"**{single['faster']['by_median']:.1f}** ({single['faster']['by_least']:.1f})",
            f"{one['goal']:.0f}",
            f"{single['faster_by_columns']['by_median']:.1f}",
            f"{many['faster']['by_median']:.2f} ({many['faster']['by_least']:.2f})",
            f"{one['max_difference']:.0e}, {one['labels_that_differ']} labels",
            f"{one['bytes'] / 1e3:,.0f} KB",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def missed(results: list[dict[str, Any]]) -> list[str]:
    """What fell short of what was promised, a line each."""
    found = []
    for one in results:
        single, many = (one["batches"][str(count)]["faster"]["by_median"] for count in BATCHES)
        if single < one["goal"]:
            found.append(f"{one['title']}: {single:.1f}x on 1 row, {one['goal']:.0f}x is wanted")
        if many < 1 / 1.1:
            found.append(f"{one['title']}: {many:.2f}x on 256 rows, slower than native")
        if one["max_difference"] > 1e-5 or one["labels_that_differ"]:
            found.append(f"{one['title']}: other answers on fresh rows")
    return found
