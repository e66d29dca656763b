"""Traces: shapes, the user's files, events, and everything that a file can have wrong."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from afterfit.core.trace import PRESETS, event_of, preset, with_event
from afterfit.errors import InputError, UsageError
from afterfit.loadtest.autoscale.read_trace import read_trace


def csv(folder: Path, text: str) -> Path:
    """A file with these lines."""
    path = folder / "trace.csv"
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_shape_has_a_peak_of_one_and_few_steps(name: str) -> None:
    """Scaled, its requests are by chance but the same for a seed."""
    trace = preset(name)
    assert trace.peak == 1
    assert trace.rates.min() > 0
    assert len(trace.rates) <= 43_200
    big = trace.with_peak(100.0)
    assert (big.arrivals(1) == big.arrivals(1)).all()
    assert big.arrivals(1).sum() == pytest.approx(big.requests, rel=0.01)


def test_an_unknown_shape_lists_those_there_are() -> None:
    """A file that is not there reads as a shape."""
    with pytest.raises(UsageError, match="no trace is called 'dirnal'") as found:
        preset("dirnal")
    assert "diurnal" in found.value.why


def test_rates_hold_until_the_next_time(tmp_path: Path) -> None:
    """ISO times in UTC, a zone of its own, or seconds; one rate every ten seconds."""
    path = csv(tmp_path, "time,rate\n2026-11-26T09:00:00+01:00,5\n2026-11-26T08:00:10Z,7\n")
    trace = read_trace(path)
    assert trace.start == datetime(2026, 11, 26, 8, tzinfo=UTC)
    assert trace.rates.tolist() == [5.0] * 10 + [7.0] * 10
    assert (trace.seconds, trace.spacing_s, trace.counted) == (20, 10, False)
    assert read_trace(csv(tmp_path, "t,x\n0,5\n10,7\n")).rates.tolist() == trace.rates.tolist()


def test_times_alone_are_requests(tmp_path: Path) -> None:
    """Each row is one; the counts are not drawn again."""
    moments = np.sort(np.random.default_rng(0).uniform(0, 20, 500)) + 1_764_144_000
    trace = read_trace(csv(tmp_path, "ts\n" + "\n".join(f"{m:.3f}" for m in moments)))
    assert trace.counted
    assert trace.start is not None
    assert trace.arrivals(0).sum() == pytest.approx(500, abs=40)
    assert (trace.arrivals(0) == trace.arrivals(1)).all()
    assert len(trace.moments(0)) == trace.arrivals(0).sum()


WRONG = {
    "gap": ("time,rate\n0,1\n10,1\n20,1\n90,1\n", "has a gap", "row 4"),
    "back": ("time,rate\n0,1\n20,1\n10,1\n", "go back", "row 3"),
    "twice": ("time,rate\n0,1\n0,1\n10,1\n", "stands twice", "row 2"),
    "negative": ("time,rate\n0,1\n10,-3\n", "is negative", "row 2"),
    "missing": ("time,rate\n0,1\n10,\n20,1\n", "rate of the trace is missing", "row 2"),
    "no time": ("time,rate\n0,1\n,2\n20,1\n", "time of the trace is missing", "row 2"),
    "text": ("time,rate\n0,a\n10,b\n", "are no numbers", "'rate'"),
    "no date": ("time,rate\nyesterday,1\ntoday,2\n", "cannot be read", "'time'"),
    "empty": ("time,rate\n", "no rows", "trace.csv"),
    "one": ("time,rate\n0,1\n", "one row is no trace", "trace.csv"),
    "zeros": ("time,rate\n0,0\n10,0\n", "every rate", "'rate'"),
    "columns": ("a,b,c\n0,1,2\n10,1,2\n", "no column of times", "trace.csv"),
    "long": ("time,rate\n0,1\n40000000,1\n", "too long", "trace.csv"),
    "short": ("time\n0\n1\n2\n", "too short", "trace.csv"),
}


@pytest.mark.parametrize("name", sorted(WRONG))
def test_a_bad_file_says_what_and_where(name: str, tmp_path: Path) -> None:
    """Every mistake is one of the user's, with a fix."""
    text, what, where = WRONG[name]
    with pytest.raises(InputError, match=what) as found:
        read_trace(csv(tmp_path, text))
    assert where in found.value.where
    assert found.value.fix


def test_an_event_multiplies_its_hours() -> None:
    """A shape begins at midnight of the event's day; the rise takes a minute."""
    trace = with_event(preset("diurnal").with_peak(100.0), event_of("2026-11-27T08:00 x10 2h"))
    assert trace.start == datetime(2026, 11, 27, tzinfo=UTC)
    plain = preset("diurnal").with_peak(100.0)
    at = int(9 * 3600 / trace.step_s)
    assert trace.rates[at] == pytest.approx(10 * plain.rates[at])
    before, after = int(7.9 * 3600 / trace.step_s), int(10.1 * 3600 / trace.step_s)
    assert (trace.rates[[before, after]] == plain.rates[[before, after]]).all()
    assert "x10 2h" in trace.notes[0]


def test_a_trace_of_other_days_is_moved_to_that_of_the_event(tmp_path: Path) -> None:
    """By whole days, and it is said."""
    rows = "\n".join(f"2026-11-{20 + h // 24}T{h % 24:02d}:00:00,{5 + h}" for h in range(25))
    trace = with_event(read_trace(csv(tmp_path, f"time,rate\n{rows}")),
                       event_of("2026-11-27T08:00 x2 1h"))  # fmt: skip
    assert trace.start == datetime(2026, 11, 27, tzinfo=UTC)
    assert "moved by 7 days" in trace.notes[0]


@pytest.mark.parametrize("text", ["", "x10 2h", "soon x10 2h", "2026-11-27 10 2h", "2026 x0 2h"])
def test_an_event_that_is_none_shows_one(text: str) -> None:
    """The fix is one to copy."""
    with pytest.raises(UsageError, match="no event") as found:
        event_of(text)
    assert "2026-11-27T08:00 x10 2h" in found.value.fix


def test_an_event_outside_of_the_trace_is_refused() -> None:
    """An hour of a crowd does not hold a day's event."""
    with pytest.raises(UsageError, match="does not lie in the trace"):
        with_event(preset("flash-crowd"), event_of("2026-11-27T08:00 x10 2h"))
