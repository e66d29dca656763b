"""What Evidently and NannyML say of windows with and without drift, at their own defaults.

Runs in an environment of its own, made of ``evidently.txt`` or ``nannyml.txt``; the windows are
those that ``python bench/drift_power.py --write FOLDER`` leaves (one .npz a reference). Run:
``ENV/bin/python bench/drift_peers/run.py evidently FOLDER``; it prints one line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

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


def main() -> None:
    """Print the share of windows with an alarm of any column, by shift and size."""
    name, folder = sys.argv[1], Path(sys.argv[2])
    judge = {"evidently": evidently, "nannyml": nannyml}[name]
    began, counts = time.process_time(), {}
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as stored:
            columns = [f"x{i}" for i in range(stored["reference"].shape[1])]
            reference = pd.DataFrame(stored["reference"], columns=columns)
            for key in stored.files:
                if key != "reference":
                    windows = [pd.DataFrame(each, columns=columns) for each in stored[key]]
                    counts.setdefault(key, []).extend(judge(reference, windows))
    said = {
        key: {
            "windows": len(found),
            "any column": sum(count > 0 for count in found) / len(found),
            "half the columns": sum(count >= len(columns) / 2 for count in found) / len(found),
        }
        for key, found in counts.items()
    }
    print(json.dumps({"tool": name, "cpu_s": round(time.process_time() - began, 1), "said": said}))


if __name__ == "__main__":
    main()
