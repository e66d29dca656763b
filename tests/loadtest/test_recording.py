"""Recorded traffic in a table: what is read, and what is refused with the row that is wrong."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from afterfit.errors import InputError
from afterfit.loadtest.recording import read_recording, recording_of


def csv(folder: Path, text: str) -> Path:
    """A file with that text."""
    path = folder / "trace.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("times", "start"),
    [
        (np.array([5.0, 7.5]), None),
        (np.array([1_764_144_000.0, 1_764_144_002.5]), 1_764_144_000),
        (np.array([1_764_144_000_000, 1_764_144_002_500]), 1_764_144_000),
        (np.array(["2025-11-26T09:00:00+01:00", "2025-11-26T08:00:02.5Z"], object), 1_764_144_000),
        (np.array(["2025-11-26T08:00:00", "2025-11-26T08:00:02.5"], "M8[ns]"), 1_764_144_000),
    ],
)
def test_times_are_seconds_or_dates(times: np.ndarray, start: float | None) -> None:
    """From the first on; large numbers are Unix times in s or ms."""
    found = recording_of({"at": times}, "t.csv")
    assert found.moments.tolist() == [0.0, 2.5]
    assert found.start == (None if start is None else datetime.fromtimestamp(start, UTC))
    assert (found.rates, found.seconds) == (None, 2.5)


@pytest.mark.parametrize("header", ["time,rate", "x,qps", "Timestamp,load", "a,b", "rate,when"])
def test_columns_are_known_by_name_or_place(header: str, tmp_path: Path) -> None:
    """Two columns are times and rates; a name says which is which."""
    rows = "7,0\n9,10" if header.startswith("rate") else "0,7\n10,9"
    found = read_recording(csv(tmp_path, f"{header}\n{rows}\n"))
    assert found.moments.tolist() == [0.0, 10.0]
    assert found.rates is not None
    assert found.rates.tolist() == [7.0, 9.0]
    assert (found.spacing_s, found.seconds) == (10.0, 20.0)


WRONG = {
    "gap": ("time,rate\n0,1\n10,1\n20,1\n90,1\n", "has a gap", "row 4"),
    "before": ("time\n-3\n1\n", "time of the trace is negative", "row 1"),
    "back": ("time,rate\n0,1\n20,1\n10,1\n", "go back", "row 3"),
    "requests back": ("time\n0\n20\n10\n", "go back", "row 3"),
    "twice": ("time,rate\n0,1\n0,1\n10,1\n", "stands twice", "row 2"),
    "negative": ("time,rate\n0,1\n10,-3\n", "is negative", "row 2"),
    "missing": ("time,rate\n0,1\n10,\n20,1\n", "rate of the trace is missing", "row 2"),
    "no time": ("time,rate\n0,1\n,2\n20,1\n", "time of the trace is missing", "row 2"),
    "no date": ('time\n2026-11-27\n""\n2026-11-28\n', "trace (is missing|cannot be read)", "row 2"),
    "text": ("time,rate\n0,a\n10,b\n", "are no numbers", "'rate'"),
    "words": ("time,rate\nyesterday,1\ntoday,2\n", "cannot be read", "row 1"),
    "empty": ("time,rate\n", "no rows", "trace.csv"),
    "one": ("time,rate\n0,1\n", "one row is no trace", "trace.csv"),
    "zeros": ("time,rate\n0,0\n10,0\n", "every rate", "'rate'"),
    "columns": ("a,b,c\n0,1,2\n10,1,2\n", "no column of times", "trace.csv"),
}


@pytest.mark.parametrize("name", sorted(WRONG))
def test_what_is_no_traffic_is_refused_with_the_row(name: str, tmp_path: Path) -> None:
    """Every mistake is one of the user's, with a fix."""
    text, what, where = WRONG[name]
    with pytest.raises(InputError, match=what) as found:
        read_recording(csv(tmp_path, text))
    assert where in found.value.where
    assert found.value.fix


def test_requests_of_one_moment_are_several() -> None:
    """Ten at once are ten requests."""
    assert recording_of({"t": np.zeros(10)}, "t.csv").moments.tolist() == [0.0] * 10
