"""Sample tables on disk."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from afterfit.core.frame import Frame, is_missing


def write_csv(path: Path, frame: Frame) -> None:
    """Write a frame as CSV; what is missing is empty, and whole numbers stay whole."""
    columns = [[_text(value) for value in array.tolist()] for array in frame.values()]
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(list(frame))
        writer.writerows(zip(*columns, strict=True))


def _text(value: object) -> str:
    if is_missing(value):
        return ""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)
