"""The monitor's CPU-seconds and memory on long logs, beside Evidently on a short one.

    python bench/monitor_speed.py [--rows 1000000] [--files 20] [--cases CASE] [--evidently PYTHON]

A table of 50 columns (44 normal, 3 whole numbers, 3 categories of 12 values), a score, a label and
a time is written to Parquet. Each case runs in a process of its own:

- ``marginals``: inputs and output are counted on the reference's bins;
- ``signals``: all that a window keeps: counts, waits, scores by truth, the sample of rows, in
  windows of an hour; then the drift of each window;
- ``long``: ``signals`` on so many links to the same file, in windows of a day;
- ``report``: the first ``afterfit monitor report`` on the log, which draws its thresholds from the
  rows of the reference, tries them on rows held out, and draws a page; imports are part of it;
- ``multivariate``: the domain classifier and the reconstruction error on 25,000 rows of each side;
- ``evidently``: its ``DataDriftPreset`` on 100,000 rows of 20 columns (16 numbers, 4 categories)
  beside as many, and ours on the same two files: reading and comparing a window, and, once, the
  reference and the calibration of its thresholds. Evidently's time is without reading, so ours is
  also told from tables in memory, reference, calibration and window in all. ``PYTHON``
  is an environment of its own with evidently==0.7.23 and pandas<3; without it the case is not run,
  and the result says so.

CPU-seconds are of all threads, after imports but for ``report``; memory is the process's greatest,
imports included. The result is written to bench/results/monitor_speed.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

RESULT = Path(__file__).parent / "results" / "monitor_speed.json"
MAP = "score=prob,y=label,ts=time"
START = 1_795_435_200_000_000
SPAN = 86_400_000_000
WORDS = [f"value {number}" for number in range(12)]
EVIDENTLY = """
import json, sys, time
import pandas as pd
from evidently import Dataset, DataDefinition, Report
from evidently.presets import DataDriftPreset
before, after = (pd.read_parquet(path) for path in sys.argv[1:3])
words = [name for name in before if name.startswith("k")]
definition = DataDefinition(
    numerical_columns=[name for name in before if name not in words], categorical_columns=words
)
began = time.process_time()
current = Dataset.from_pandas(after, data_definition=definition)
reference = Dataset.from_pandas(before, data_definition=definition)
Report([DataDriftPreset()]).run(current, reference)
print(json.dumps({
    "cpu_s": time.process_time() - began,
    "memory_mb": int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) // 1024,
}))
"""


def write_log(path: Path, rows: int, *, numbers: int = 44, words: int = 3, seed: int = 0) -> None:
    """Write a log of a day, in time order."""
    random = np.random.default_rng(seed)
    table: dict[str, Any] = {f"x{i}": random.normal(size=rows) for i in range(numbers)}
    for i in range(words):
        codes = pa.array(random.integers(0, len(WORDS), rows).astype(np.int32))
        table[f"k{i}"] = pa.DictionaryArray.from_arrays(codes, WORDS)
    if numbers > 20:
        table |= {f"n{i}": random.integers(0, 1000, rows) for i in range(3)}
        prob = random.beta(2, 4, rows)
        table["prob"], table["label"] = prob, (random.random(rows) < prob).astype(np.int8)
        table["time"] = pa.array(START + np.arange(rows) * (SPAN // rows), pa.timestamp("us"))
    pq.write_table(pa.table(table), path, row_group_size=131_072)


def there(value: Any) -> Any:
    """Return what a log of this bench surely has."""
    if value is None:
        raise SystemExit("the log lacks what the bench wrote")
    return value


def peak_mb() -> float:
    """Return the greatest resident memory of this process, MiB."""
    # Not of getrusage: a child begins with the greatest memory of its parent.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return round(int(line.split()[1]) / 1024, 1)


def measured(action: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what an action gives, its CPU-seconds and the memory of the process."""
    began = time.process_time()
    found = action()
    return {
        "cpu_s": round(time.process_time() - began, 3),
        "memory_mb": peak_mb(),
        **found,
    }


def marginals(log: Path, reference: Path) -> dict[str, Any]:
    """Count every value of a log."""
    from afterfit.monitor.sources import LogColumns, TableSource
    from afterfit.monitor.table import parse_mapping, reference_from_file

    mapping = parse_mapping(MAP)
    beside = reference_from_file(reference, mapping)
    counts = there(beside.fingerprint).blank()
    source = TableSource(log, LogColumns(mapping, beside.signature))

    def count() -> dict[str, Any]:
        for batch, _ in source.read({}):
            counts.update(batch.frame, batch.scores)
        return {"rows": counts.n_ref, "columns": len(counts.columns)}

    return measured(count)


def signals(log: Path, reference: Path, width_us: int) -> dict[str, Any]:
    """Keep windows of a log with all that they hold, and judge the drift of each."""
    import msgspec

    from afterfit.core.dataset import encode_labels
    from afterfit.monitor.calibrate import calibrate_counts
    from afterfit.monitor.cut import by_time
    from afterfit.monitor.score_table import ScoreTable
    from afterfit.monitor.signals.drift import DriftJudge
    from afterfit.monitor.sources import LogColumns, TableSource
    from afterfit.monitor.state import WindowState
    from afterfit.monitor.table import parse_mapping, reference_from_file

    mapping = parse_mapping(MAP)
    beside = reference_from_file(reference, mapping)
    fingerprint, signature = there(beside.fingerprint), beside.signature
    calibration = calibrate_counts(fingerprint)
    table = ScoreTable.of(signature)
    source = TableSource(log, LogColumns(mapping, signature))

    def watch() -> dict[str, Any]:
        windows: dict[int, WindowState] = {}
        for batch, _ in source.read({}):
            for start, part in by_time(batch, width_us):
                state = windows.get(start) or WindowState.empty(
                    part.scope, start, start + width_us, fingerprint, scores=table
                )
                windows[start] = state
                state.update(part, encode_labels(there(part.truth), signature.classes))
        judge = DriftJudge(fingerprint, calibration)
        points = [
            point
            for state in windows.values()
            for point in judge.points(state.counts, state.scope, (state.start, state.end))
        ]
        return {
            "rows": sum(state.n for state in windows.values()),
            "windows": len(windows),
            "points": len(points),
            "largest_state_kb": max(len(msgspec.json.encode(s)) for s in windows.values()) // 1000,
        }

    return measured(watch)


def multivariate(log: Path, reference: Path) -> dict[str, Any]:
    """Run both signals of all columns together."""
    from afterfit.monitor.config import MonitorConfig
    from afterfit.monitor.judge_rows import of_rows
    from afterfit.monitor.run import log_of
    from afterfit.monitor.sources import LogColumns, TableSource
    from afterfit.monitor.table import parse_mapping, reference_from_file

    mapping = parse_mapping(MAP)
    beside = reference_from_file(reference, mapping)
    read = log_of(TableSource(log, LogColumns(mapping, beside.signature)), beside, MonitorConfig())
    began = time.monotonic()
    found = measured(
        lambda: {
            p.signal: p.value
            for p in of_rows(read, beside.rows, beside.fingerprint, MonitorConfig())
        }
    )
    rows = len(there(beside.rows)) + len(there(read.sample))
    return {**found, "wall_s": round(time.monotonic() - began, 2), "rows": rows}


def report(log: Path, reference: Path) -> dict[str, Any]:
    """Write the first report on a log, as the command does."""
    from afterfit.cli.app import run

    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        page = Path("page.html")
        words = ["monitor", "report", "--quiet", "--map", MAP, "--output", str(page)]
        words += ["--log", str(log), "--reference", str(reference)]
        with Path("told.txt").open("w", encoding="utf-8") as told, redirect_stdout(told):
            found = measured(lambda: {"exit": run(words)})
        os.chdir("/")
        return found


def ours_short(log: Path, reference: Path) -> dict[str, Any]:
    """Compare two short tables column by column, as Evidently does.

    Once with the reading of both files, and once from tables that are in memory, as Evidently's
    are. The reference is counted and calibrated once, before the first window.
    """
    import scipy.special  # noqa: F401 - its import is in neither side's time

    from afterfit.core.frame import Frame
    from afterfit.monitor.calibrate import calibrate_counts
    from afterfit.monitor.signals.drift import DriftConfig, drift_points
    from afterfit.monitor.sources import LogColumns, TableSource
    from afterfit.monitor.table import infer_signature, reference_from_file, reference_from_table
    from afterfit.records.signals import Scope
    from afterfit.store.tables import read_frame

    clock = time.process_time
    began = clock()
    beside = reference_from_file(reference, {})
    read = clock()
    fingerprint = there(beside.fingerprint)
    calibration = calibrate_counts(fingerprint)
    ready = clock()

    def points_of(batches: Iterator[Frame]) -> tuple[int, int]:
        counts = fingerprint.blank()
        for frame in batches:
            counts.update(frame)
        span = (START, START + SPAN)
        points = drift_points(fingerprint, counts, calibration, Scope(), span, DriftConfig())
        return counts.n_ref, len(points)

    source = TableSource(log, LogColumns({}, beside.signature))
    window = measured(
        lambda: dict(
            zip(("rows", "points"), points_of(b.frame for b, _ in source.read({})), strict=True)
        )
    )
    earlier, later = read_frame(reference), read_frame(log)
    start = clock()
    made = reference_from_table(earlier, {}, infer_signature(earlier, {}))
    calibration = calibrate_counts(there(made.fingerprint))
    points_of(iter([later]))
    return {
        **window,
        "reference_cpu_s": round(read - began, 3),
        "calibration_cpu_s": round(ready - read, 3),
        "in_memory_cpu_s": round(clock() - start, 3),
    }


CASES: dict[str, Callable[[Path, Path], dict[str, Any]]] = {
    "marginals": marginals,
    "signals": lambda log, reference: signals(log, reference, 3_600_000_000),
    "long": lambda log, reference: signals(log, reference, SPAN),
    "report": report,
    "multivariate": multivariate,
    "ours_short": ours_short,
}


SHOWN = ("marginals", "signals", "long", "report", "multivariate", "evidently")


def child(case: str, log: Path, reference: Path) -> dict[str, Any]:
    """Run a case in a process of its own."""
    command = [sys.executable, __file__, "--case", case, "--paths", str(log), str(reference)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"{case}: {found}", flush=True)
    return found


def beside_evidently(folder: Path, python: str) -> dict[str, Any]:
    """Return both sides on the same two tables, or why they were not run."""
    if not python:
        return {"not_run": "no environment with evidently was given (--evidently PYTHON)"}
    before, after = folder / "before.parquet", folder / "after.parquet"
    for seed, path in enumerate((before, after)):
        write_log(path, 100_000, numbers=16, words=4, seed=seed + 10)
    done = subprocess.run(
        [python, "-c", EVIDENTLY, str(before), str(after)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        return {"not_run": done.stderr.splitlines()[-1]}
    theirs: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    ours = child("ours_short", after, before)
    whole = ours["cpu_s"] + ours["reference_cpu_s"] + ours["calibration_cpu_s"]
    return {
        "evidently": theirs,
        "afterfit": ours,
        "times_less_cpu_each_window": round(theirs["cpu_s"] / ours["cpu_s"], 1),
        "times_less_cpu_first_window": round(theirs["cpu_s"] / whole, 1),
        "times_less_cpu_first_window_in_memory": round(
            theirs["cpu_s"] / ours["in_memory_cpu_s"], 1
        ),
    }


def main() -> None:
    """Run every case and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--evidently", default="")
    parser.add_argument("--cases", nargs="+", default=SHOWN, choices=SHOWN)
    parser.add_argument("--case", default="")
    parser.add_argument("--paths", nargs=2, type=Path)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(CASES[options.case](*options.paths)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log, reference, links = folder / "log.parquet", folder / "reference.parquet", folder / "log"
        write_log(log, options.rows)
        write_log(reference, 100_000, seed=1)
        links.mkdir()
        for number in range(options.files):
            os.link(log, links / f"part-{number:03}.parquet")
        for case in options.cases:
            if case == "evidently":
                keep(case, beside_evidently(folder, options.evidently))
            else:
                keep(case, child(case, links if case == "long" else log, reference))


def keep(case: str, found: dict[str, Any]) -> None:
    """Write the result of a case beside those of the others."""
    import msgspec

    from afterfit.store.environment import current_environment

    kept = json.loads(RESULT.read_text("utf-8")) if RESULT.exists() else {"cases": {}}
    environment = msgspec.to_builtins(current_environment())
    result = {"cases": {**kept["cases"], case: found}, "environment": environment}
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
