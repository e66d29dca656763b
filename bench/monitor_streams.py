"""The monitor on real streams: electricity prices, wines of another kind, and the demo's month.

``elec`` (45,312 half-hours of the New South Wales market, in time order): a model is fitted
on the first eighth, the second is the reference, and windows are of a week. Prices and demand of
Victoria and the transfer stand still until its market opens at row 17,424: that is the drift that
is known to be there; what alarms before it may be chance or the season. ``wine``: the
reference is half of the red ones, windows are of the other half and then of white ones. ``demo``:
the reference is 10,000 of the last quarter's payments, windows are of 5,000 more and then of the
drifted month. Thresholds are those for one false alarm a month, from ``blocks`` of neighbours in
time or from ``rows`` as if they were independent. The error stream of elec goes to river's
detectors too, where ``--river PYTHON`` names an environment that has it.
Run: ``python bench/monitor_streams.py``; it adds to ``bench/results/monitor_streams.json``.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import subprocess
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from afterfit.core.dataset import encode_labels
from afterfit.core.fingerprint import build
from afterfit.core.frame import Frame, Predictions, take
from afterfit.core.sections import AlarmsSection
from afterfit.core.signature import Signature
from afterfit.monitor.alarms import Alarms
from afterfit.monitor.calibrate import calibrate
from afterfit.monitor.producers import Watched
from afterfit.monitor.rehearse.monitors import OwnMonitor, Seen, table_of
from afterfit.monitor.settings import Watch
from afterfit.monitor.table import Reference, infer_signature
from afterfit.testing.fraud import FEATURES, TARGET, make_fraud, train_fraud

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "bench" / "results" / "monitor_streams.json"
DATA = Path(os.environ.get("AFTERFIT_TEST_DATA") or ROOT.parent / "shared" / "data")
HOUR = 3_600_000_000
WEEK_ROWS, ELEC_ONSET = 336, 17_424
RIVER = """
import json, sys
from river import drift
from river.drift import binary
errors = json.load(sys.stdin)
made = {"ADWIN": drift.ADWIN, "PageHinkley": drift.PageHinkley,
        "KSWIN": lambda: drift.KSWIN(seed=0), "DDM": binary.DDM, "EDDM": binary.EDDM,
        "HDDM_A": binary.HDDMA, "HDDM_W": binary.HDDMW}
found = {}
for name, make in made.items():
    detector, alarms = make(), []
    for place, error in enumerate(errors):
        detector.update(error)
        if detector.drift_detected:
            alarms.append(place)
    found[name] = alarms
print(json.dumps(found))
"""


def table(name: str) -> dict[str, np.ndarray]:
    """Return a CSV of numbers as a frame."""
    with (DATA / name).open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {column: np.array([float(row[column]) for row in rows]) for column in rows[0]}


def watch(
    signature: Signature,
    reference: tuple[Frame, Predictions, np.ndarray],
    stream: tuple[Frame, Predictions, np.ndarray],
    rows: int,
    onset: int,
    width: int,
    **how: Any,
) -> dict[str, Any]:
    """Return what our monitor says of a stream in windows, whose drift sets in at row ``onset``."""
    frame, answers, truth = reference
    fingerprint = build(frame, signature, answers)
    scores = answers.score(signature.positive_index)
    kept = calibrate(fingerprint, frame, scores, **how)
    watched = Watched(Reference("", signature, fingerprint), kept)
    monitor = OwnMonitor(
        watched, Watch(min_rows=100), Alarms(AlarmsSection()), table_of(signature, answers, truth)
    )
    later, said, labels = stream
    windows = []
    for number, start in enumerate(range(0, len(labels) - rows + 1, rows)):
        here = slice(start, start + rows)
        begin = (number + 1) * width
        seen = Seen(take(later, here), rows, said.take(here), labels[here], begin, begin + width)
        raised = [[p.signal, p.subject] for p in monitor.see(seen).raised]
        windows.append({"row": start, "raised": raised})
    before = [w for w in windows if w["row"] + rows <= onset]
    after = [w for w in windows if w["row"] + rows > onset]
    first = next((w for w in after if w["raised"]), None)
    named = Counter(f"{s} {c}".strip() for w in after for s, c in w["raised"])
    return {
        "windows": len(windows),
        "window_rows": rows,
        "n_ref": fingerprint.n_ref,
        "windows_before": len(before),
        "windows_before_with_new_alarms": sum(bool(w["raised"]) for w in before),
        "raised_before": dict(
            Counter(f"{s} {c}".strip() for w in before for s, c in w["raised"]).most_common()
        ),
        "delay_rows": None if first is None else first["row"] + rows - onset,
        "delay_windows": None if first is None else after.index(first) + 1,
        "named_first": [] if first is None else first["raised"],
        "raised_after": dict(named.most_common()),
        "producers_that_broke": monitor.failed,
    }


def fitted(frame: Frame, truth: np.ndarray, whole: Frame) -> Predictions:
    """Return what a booster that was fitted on some rows says of all of them."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(max_iter=60, random_state=0)
    model.fit(np.column_stack(list(frame.values())), truth)
    return Predictions(probabilities=model.predict_proba(np.column_stack(list(whole.values()))))


def elec(river: str) -> dict[str, Any]:
    """Return what is said of the electricity market, weekly windows, beside river's detectors."""
    frame = table("elec.csv")
    truth = frame.pop("class").astype(np.int64)
    n = len(truth) // 4
    signature = infer_signature({**frame, "class": truth}, {"y": "class"})
    # Fitted on the first half of the reference, so that quality is known of rows not learnt.
    half = slice(0, n // 2)
    said = fitted(take(frame, half), truth[half], frame)
    known = slice(n // 2, n)
    reference = take(frame, known), said.take(known), truth[known]
    rest = slice(n, None)
    stream = take(frame, rest), said.take(rest), truth[rest]
    onset = ELEC_ONSET - n
    found: dict[str, Any] = {
        name: watch(signature, reference, stream, WEEK_ROWS, onset, 168 * HOUR, in_time_order=order)
        for name, order in (("blocks", True), ("rows", False))
    }
    if river:
        errors = (signature.codes(stream[1]) != stream[2]).astype(int).tolist()
        done = subprocess.run(
            [river, "-c", RIVER], input=json.dumps(errors), capture_output=True, text=True,
            check=True, timeout=120,
        )  # fmt: skip
        found["river"] = {
            name: {
                "alarms_before": sum(a < onset for a in alarms),
                "alarms_after": sum(a >= onset for a in alarms),
                "delay_rows": next((a - onset for a in alarms if a >= onset), None),
            }
            for name, alarms in json.loads(done.stdout).items()
        }
    return found


def wine() -> dict[str, Any]:
    """Return what is said when white wines come in place of red ones."""
    red, white = table("wine_quality_red.csv"), table("wine_quality_white.csv")
    random = np.random.default_rng(0)
    order = random.permutation(len(red["quality"]))
    red, n = take(red, order), 800
    whole = {name: np.r_[red[name], white[name]] for name in red}
    truth = (whole.pop("quality") >= 6).astype(np.int64)
    signature = infer_signature({**whole, "quality": truth}, {"y": "quality"})
    said = fitted(take(whole, slice(0, n // 2)), truth[: n // 2], whole)
    known = slice(n // 2, n)
    reference = take(whole, known), said.take(known), truth[known]
    rest = slice(n, n + 799 + 2000)
    stream = take(whole, rest), said.take(rest), truth[rest]
    return watch(signature, reference, stream, 133, 798, HOUR)


def demo() -> dict[str, Any]:
    """Return what is said of the demo's drifted month, after windows of the time before it."""
    import pandas as pd

    rows = make_fraud()
    cut = int(len(rows[TARGET]) * 0.75)
    model = train_fraud(take(rows, slice(0, cut)))
    later = make_fraud(10_000, months=1, drifted=True)
    held = take(rows, slice(cut, None))
    whole = {name: np.r_[held[name], later[name]] for name in (*FEATURES, TARGET)}
    labels = whole.pop(TARGET)
    signature = infer_signature({**whole, TARGET: labels}, {"y": TARGET}, positive="yes")
    truth = encode_labels(labels, signature.classes)
    shown = model.predict_proba(pd.DataFrame(whole))
    said = Predictions(probabilities=shown)
    n = 10_000
    reference = take(whole, slice(0, n)), said.take(slice(0, n)), truth[:n]
    rest = slice(n, None)
    stream = take(whole, rest), said.take(rest), truth[rest]
    return {
        name: watch(signature, reference, stream, 500, 5_000, 36 * HOUR, in_time_order=order)
        for name, order in (("blocks", True), ("rows", False))
    }


def main() -> None:
    """Run the streams and write what was said."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--river", default="", help="a Python that has river")
    river = parser.parse_args().river
    found: dict[str, Any] = {}
    for name, run in (("elec", lambda: elec(river)), ("wine", wine), ("demo", demo)):
        started = time.monotonic()
        found[name] = run()
        found[name]["seconds"] = round(time.monotonic() - started, 1)
        print(name, json.dumps(found[name], indent=1))
    kept = json.loads(OUT.read_text("utf-8")) if OUT.is_file() else {}
    about = {"measured": datetime.now(UTC).isoformat()[:10], "machine": platform.machine()}
    OUT.write_text(json.dumps({**kept, **about, **found}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
