"""Prints where river's detectors raise an alarm, as JSON: for ``bench/concept.py``.

Argument: an ``.npz`` with the arrays ``null`` and ``real`` of errors, 0 or 1, in order.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
from river import drift
from river.drift import binary


def alarms(detector: Any, errors: np.ndarray) -> list[int]:
    """Return the rows at which a detector, which starts anew by itself, raises an alarm."""
    found = []
    for row, error in enumerate(errors.astype(int).tolist()):
        detector.update(error)
        if detector.drift_detected:
            found.append(row)
    return found


def main() -> None:
    """Run every detector with its own defaults."""
    data = np.load(sys.argv[1])
    makers = {
        "ADWIN": drift.ADWIN,
        "PageHinkley": drift.PageHinkley,
        "DDM": binary.DDM,
        "EDDM": binary.EDDM,
        "HDDMA": binary.HDDMA,
        "HDDMW": binary.HDDMW,
    }
    found = {}
    for name, make in makers.items():
        begun = time.process_time()
        found[name] = {part: alarms(make(), data[part]) for part in ("null", "real")}
        rows = sum(len(data[part]) for part in ("null", "real"))
        found[name]["us_per_row"] = (time.process_time() - begun) / rows * 1e6
    print(json.dumps(found))


if __name__ == "__main__":
    main()
