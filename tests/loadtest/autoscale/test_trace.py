"""Traces: shapes, the user's files, events, and everything that a file can have wrong."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from afterfit.core.trace import PRESETS, Trace, event_of, preset, with_event
from afterfit.errors import InputError, UsageError
from afterfit.loadtest.autoscale.recorded import recorded
from afterfit.loadtest.recording import read_recording


def csv(folder: Path, text: str) -> Path:
    """A file with these lines."""
    path = folder / "trace.csv"
    path.write_text(text, "utf-8")
    return path


def recorded_in(path: Path) -> Trace:
    """The trace in a file."""
    return recorded(read_recording(path))


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
    trace = recorded_in(path)
    assert trace.start == datetime(2026, 11, 26, 8, tzinfo=UTC)
    assert trace.rates.tolist() == [5.0] * 10 + [7.0] * 10
    assert (trace.seconds, trace.spacing_s, trace.counted) == (20, 10, False)
    assert recorded_in(csv(tmp_path, "t,x\n0,5\n10,7\n")).rates.tolist() == trace.rates.tolist()


def test_times_alone_are_requests(tmp_path: Path) -> None:
    """Each row is one; the counts are not drawn again."""
    moments = np.sort(np.random.default_rng(0).uniform(0, 20, 500)) + 1_764_144_000
    trace = recorded_in(csv(tmp_path, "ts\n" + "\n".join(f"{m:.3f}" for m in moments)))
    assert trace.counted
    assert trace.start is not None
    assert trace.arrivals(0).sum() == pytest.approx(500, abs=40)
    assert (trace.arrivals(0) == trace.arrivals(1)).all()
    assert len(trace.moments(0)) == trace.arrivals(0).sum()


@pytest.mark.parametrize(
    ("text", "what"),
    [("time,rate\n0,1\n4e6,1\n8e6,1\n", "too long"), ("time\n0\n1\n2\n", "too short")],
)
def test_what_cannot_be_simulated_says_why(text: str, what: str, tmp_path: Path) -> None:
    """More than two months, and too few seconds to count requests in."""
    with pytest.raises(InputError, match=what) as found:
        recorded_in(csv(tmp_path, text))
    assert "trace.csv" in found.value.where
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
    trace = with_event(recorded_in(csv(tmp_path, f"time,rate\n{rows}")),
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
