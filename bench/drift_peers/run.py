"""What Evidently and NannyML say of windows with and without drift, at their own defaults.

Each runs in an environment of its own, made of ``evidently.txt`` or ``nannyml.txt``, and Afterfit,
asked for 1 % a window, in the project's; the windows are those that ``python bench/drift_power.py
--write FOLDER`` leaves (one .npz a reference of 20,000 rows or of 1,000). Run:
``ENV/bin/python bench/drift_peers/run.py evidently FOLDER``; it adds to
``bench/results/drift_peers.json``.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

OUT = Path(__file__).resolve().parent.parent / "results" / "drift_peers.json"
# Both send usage to their makers unless told not to.
os.environ |= {"NML_DISABLE_USAGE_LOGGING": "1", "DO_NOT_TRACK": "1"}


def evidently(reference: pd.DataFrame, windows: list[pd.DataFrame]) -> Iterator[int]:
    """Yield how many columns of each window the drift preset calls drifted."""
    from evidently import Report
    from evidently.presets import DataDriftPreset

    for window in windows:
        found = Report([DataDriftPreset()]).run(window, reference).dict()
        counts = [m["value"]["count"] for m in found["metrics"] if "DriftedColumnsCount" in str(m)]
        yield int(counts[0])


def nannyml(reference: pd.DataFrame, windows: list[pd.DataFrame]) -> Iterator[int]:
    """Yield how many columns of each window alarm: Jensen-Shannon, chunks as large as windows."""
    import nannyml as nml

    size = len(windows[0])
    calculator = nml.UnivariateDriftCalculator(
        column_names=list(reference.columns), chunk_size=size
    ).fit(reference)
    found = calculator.calculate(pd.concat(windows, ignore_index=True))
    table = found.filter(period="analysis").to_df()
    raised = table.loc[:, [column for column in table.columns if column[-1] == "alert"]]
    yield from raised.sum(axis=1).astype(int).tolist()


def afterfit(reference: pd.DataFrame, windows: list[pd.DataFrame]) -> Iterator[int]:
    """Yield how many columns of each window alarm, at 1 % a window for all columns together."""
    from afterfit.core.fingerprint import build
    from afterfit.core.signature import Column, Signature
    from afterfit.monitor.budget import Budget
    from afterfit.monitor.calibrate import calibrate
    from afterfit.monitor.signals.drift import DriftConfig, DriftJudge
    from afterfit.records.signals import Scope

    columns = tuple(Column(name=name, kind="number") for name in reference)
    frame = {name: reference[name].to_numpy() for name in reference}
    fingerprint = build(frame, Signature(task="regression", columns=columns, target="y"))
    budget = Budget(false_alarms_per_month=-np.log(1 - 0.01), signals=1)
    config = DriftConfig(budget=budget, windows_per_month=1.0, least=0.0, least_share=0.0)
    judge = DriftJudge(fingerprint, calibrate(fingerprint, frame), config)
    for window in windows:
        counts = fingerprint.blank()
        counts.update({name: window[name].to_numpy() for name in window})
        points = judge.points(counts, Scope(), (0, 3_600_000_000))
        yield len({point.subject for point in points if point.state == "alarm"})


JUDGES = {"evidently": evidently, "nannyml": nannyml, "afterfit": afterfit}


def share(hits: int, windows: int) -> dict[str, float]:
    """Return a share with Wilson's interval at 95 %; written out, as peers have no Afterfit."""
    z, p = 1.959964, hits / windows
    middle = (p + z * z / (2 * windows)) / (1 + z * z / windows)
    half = z / (1 + z * z / windows) * (p * (1 - p) / windows + (z / (2 * windows)) ** 2) ** 0.5
    values = {"share": p, "low": max(0.0, middle - half), "high": min(1.0, middle + half)}
    return {name: round(value, 4) for name, value in values.items()}


def main() -> None:
    """Tell the share of windows with an alarm of any column, by reference's rows and shift."""
    name, folder = sys.argv[1], Path(sys.argv[2])
    most = int(sys.argv[3]) if len(sys.argv) > 3 else 10**9
    judge, columns = JUDGES[name], []
    began, counts = time.process_time(), {}
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as stored:
            columns = [f"x{i}" for i in range(stored["reference"].shape[1])]
            reference = pd.DataFrame(stored["reference"], columns=columns)
            for key in stored.files:
                if key != "reference":
                    windows = [pd.DataFrame(each, columns=columns) for each in stored[key][:most]]
                    into = counts.setdefault(f"{len(reference)} reference rows, {key}", [])
                    into.extend(judge(reference, windows))
    said = {
        key: {
            "windows": len(found),
            "any column": share(sum(count > 0 for count in found), len(found)),
            "half the columns": share(
                sum(count >= len(columns) / 2 for count in found), len(found)
            ),
            "columns that alarm": round(sum(found) / len(found) / len(columns), 5),
        }
        for key, found in counts.items()
    }
    kept = json.loads(OUT.read_text("utf-8")) if OUT.exists() else {}
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    line = {"version": version(name), "cpu_s": round(time.process_time() - began, 1), "said": said}
    day = datetime.now(UTC).date().isoformat()
    about = {"measured": day, "machine": machine, "rows": 500, "columns": len(columns)}
    OUT.write_text(json.dumps({**kept, **about, name: line}, indent=1) + "\n", "utf-8")
    print(json.dumps(line))


if __name__ == "__main__":
    main()
