"""Errors in the order of time on the electricity market: delay and false alarms beside river's.

A small booster is fitted to the first 8,000 half hours of ``elec.csv``, and its errors on the next
6,000 are the reference. Of the reference's days, drawn at random, one half calibrates the detector;
of the other half a stream without a change is drawn day by day, on which every alarm is false. From
row 14,000 on errors rise in fact (from 15 % to 23 to 41 % for 21,000 rows). Run:

    python -m venv peer && peer/bin/pip install -r bench/concept_peers/river.txt
    python bench/concept.py --data elec.csv --peer peer/bin/python

It writes ``bench/results/concept.json``.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier

from afterfit.monitor.signals.concept import Detector, fit_detector
from afterfit.monitor.signals.quality import QualityConfig

HERE = Path(__file__).resolve().parent
OUT = HERE / "results" / "concept.json"
PEER = HERE / "concept_peers" / "with_river.py"
TRAIN, REFERENCE, DAY = 8000, 14_000, 48
NULL_ROWS = 200_000
BETWEEN = (10_000, 50_000)
SHIFT = 0.05


def streams(path: Path, seed: int) -> dict[str, np.ndarray]:
    """Return the errors that calibrate, those of a stream without a change, and the real ones."""
    table = pd.read_csv(path)
    rows, truth = table.drop(columns="class").to_numpy(), table["class"].to_numpy()
    model = HistGradientBoostingClassifier(max_iter=60, max_leaf_nodes=6, random_state=seed)
    model.fit(rows[:TRAIN], truth[:TRAIN])
    errors = (model.predict(rows) != truth).astype(np.float64)
    days = errors[TRAIN:REFERENCE].reshape(-1, DAY)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(days))
    known, others = days[np.sort(order[::2])], days[order[1::2]]
    drawn = others[rng.integers(0, len(others), NULL_ROWS // DAY)]
    return {"known": known.ravel(), "null": drawn.ravel(), "real": errors[REFERENCE:]}


def alarms(detector: Detector, errors: np.ndarray) -> list[int]:
    """Return the rows at which the sum, started anew each time, passes its limit."""
    found, total = [], 0.0
    for row, step in enumerate(detector.steps(errors).tolist()):
        total = max(0.0, total + step)
        if total >= detector.limit:
            found.append(row)
            total = 0.0
    return found


def told(found: dict[str, Any], rows: int) -> dict[str, Any]:
    """Return false alarms per 100,000 rows and the rows until the first alarm of the real drift."""
    return {
        "false_alarms_per_100k_rows": round(len(found["null"]) / rows * 1e5, 2),
        "rows_to_first_alarm": found["real"][0] if found["real"] else None,
        "alarms_in_real_rows": len(found["real"]),
        "us_per_row": round(found["us_per_row"], 3),
    }


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--peer", help="the Python of an environment with river")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    data = streams(asked.data, asked.seed)
    rows, found = len(data["null"]), {}
    for between in BETWEEN:
        config = QualityConfig(least=SHIFT, seed=asked.seed)
        detector = fit_detector("binary", data["known"], between, config, block=DAY)
        begun = time.process_time()
        mine: dict[str, Any] = {part: alarms(detector, data[part]) for part in ("null", "real")}
        used = time.process_time() - begun
        mine["us_per_row"] = used / (rows + len(data["real"])) * 1e6
        found[f"cumulative sum, one in {between}"] = told(mine, rows)
    if asked.peer:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "errors.npz")
            np.savez(path, null=data["null"], real=data["real"])
            done = subprocess.run(
                [asked.peer, str(PEER), str(path)], capture_output=True, text=True, check=True
            )
        for name, peer in json.loads(done.stdout.splitlines()[-1]).items():
            found[f"river {name}"] = told(peer, rows)
    result = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "seed": asked.seed,
        "null_rows": rows,
        "rates": {name: round(float(errors.mean()), 4) for name, errors in data.items()},
        "detectors": found,
    }
    OUT.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
