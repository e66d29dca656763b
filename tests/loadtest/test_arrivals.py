"""Schedules: how many requests, when, and what is said of one that cannot be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterfit.errors import InputError, NotFoundError, UsageError
from afterfit.loadtest.arrivals import Burst, Closed, Gamma, Offline, Poisson, Ramp, Spike, Steps
from afterfit.loadtest.recording import read_recording, recording_of
from afterfit.loadtest.schedule import FORMS, arrivals_of
from afterfit.loadtest.shot import Arrivals
from afterfit.loadtest.trace import Trace, trace_of

rates = st.floats(1.0, 500.0)
TEXTS = st.one_of(
    rates.map(lambda r: f"constant:{r:g}"),
    rates.map(lambda r: f"poisson:{r:g}"),
    rates.map(lambda r: f"server:{r:g}"),
    st.tuples(rates, st.floats(0.1, 4.0)).map(lambda p: f"gamma:{p[0]:g}:{p[1]:g}"),
    st.tuples(rates, rates).map(lambda p: f"burst:{p[0]:g}:{p[1]:g}:0.5:1.5"),
    st.lists(rates, min_size=1, max_size=5).map(
        lambda each: "step:" + ",".join(f"{r:g}" for r in each)
    ),
    st.tuples(rates, rates).map(lambda p: f"ramp:{p[0]:g}:{p[1]:g}"),
    st.tuples(rates, rates).map(lambda p: f"spike:{p[0]:g}:{p[1]:g}"),
)


@settings(max_examples=150, deadline=None)
@given(TEXTS, st.integers(0, 1 << 30), st.sampled_from([2.0, 20.0]))
def test_moments_ascend_within_the_run_at_the_rate_that_is_told(
    text: str, seed: int, seconds: float
) -> None:
    """The same for the same seed; the count is that of the mean rate, up to chance."""
    arrivals = arrivals_of(text)
    assert not isinstance(arrivals, Closed)
    times = arrivals.times(seconds, seed)
    assert np.array_equal(times, arrivals.times(seconds, seed))
    assert (np.diff(times) >= 0).all()
    assert ((times >= 0) & (times < seconds)).all()
    expected = arrivals.rate * seconds
    clumped = arrivals.cv if isinstance(arrivals, Gamma) else 1.0
    # Six deviations, and the two gaps at the ends, which may be long.
    assert abs(len(times) - expected) <= 6 * max(clumped, 1) * np.sqrt(expected) + 3 + 12 * clumped
    assert arrivals_of(arrivals.name).name == arrivals.name


def test_the_shape_is_where_it_belongs() -> None:
    """Counts of parts of 100 s: a ramp's square, a spike's fifth, bursts, and steps."""

    def counts(arrivals: Arrivals, parts: int) -> list[float]:
        found, _ = np.histogram(arrivals.times(100.0, 1), bins=parts, range=(0, 100))
        return [float(count) for count in found]

    assert counts(Ramp(0, 400), 4) == pytest.approx([1250, 3750, 6250, 8750], rel=0.1)
    assert counts(Spike(10, 500), 5) == pytest.approx([200, 200, 10000, 200, 200], rel=0.25)
    assert counts(Burst(0, 200, 10, 15), 20)[:5] == pytest.approx([1000, 1000, 0, 0, 0], rel=0.15)
    assert counts(Steps((0, 100, 50)), 3)[0] == 0
    assert counts(Steps((0, 100, 50)), 3)[1:] == pytest.approx([3333, 1667], rel=0.12)


def test_gaps_vary_as_asked() -> None:
    """Of 20000 gaps, the deviation over the mean is that of the distribution."""
    for arrivals, wanted in ((Poisson(200), 1.0), (Gamma(200, 0.3), 0.3), (Gamma(200, 2.5), 2.5)):
        gaps = np.diff(arrivals.times(100.0, 5))
        assert gaps.std() / gaps.mean() == pytest.approx(wanted, rel=0.1)


def test_a_schedule_at_twice_the_rate() -> None:
    """Every kind has one, of the same shape."""
    texts = ("constant:5", "poisson:5", "gamma:5:2", "burst:1:9:1:1", "step:1,2", "ramp:1:9",
             "spike:1:9")  # fmt: skip
    for text in texts:
        arrivals = arrivals_of(text)
        assert not isinstance(arrivals, Closed | Offline | Trace)
        twice = arrivals.scaled(2.0)  # type: ignore[attr-defined]
        assert twice.rate == pytest.approx(2 * arrivals.rate)


def test_mlperfs_scenarios() -> None:
    """SingleStream is one user, Server is Poisson, Offline is all at once."""
    assert arrivals_of("single-stream") == Closed(1)
    assert arrivals_of("server:400") == Poisson(400)
    offline = arrivals_of("offline:7")
    assert isinstance(offline, Offline)
    assert offline.times(5.0, 0).tolist() == [0.0] * 7
    assert arrivals_of("closed:4:50") == Closed(4, 50.0)
    assert Closed(4, 50.0).name == "closed:4:50"


@pytest.mark.parametrize(
    "text",
    ["", "poisson", "poisson:", "poisson:x", "poisson:0", "poisson:-1", "poisson:nan",
     "poisson:inf", "poisson:1:2", "constant:1e12", "gamma:5", "gamma:5:0", "burst:1:2:3",
     "burst:1:2:0:1", "burst:-1:2:1:1", "step:", "step:0", "step:1,x", "ramp:0:0", "ramp:5",
     "spike:1", "trace:", "closed:0", "closed:1.5", "closed:1:-5", "closed:", "offline:0",
     "offline:1e9", "single-stream:2", "wave:3"],
)  # fmt: skip
def test_what_is_no_schedule_is_refused_with_the_form(text: str) -> None:
    """The error names the text and how one is written."""
    with pytest.raises((UsageError, InputError)) as caught:
        arrivals_of(text)
    assert caught.value.fix


def test_a_run_that_does_not_fit_into_memory_is_refused() -> None:
    """Fifteen million requests are the most, and none is no run."""
    for arrivals, seconds in ((Poisson(1e6), 60.0), (Burst(1, 1e6, 1, 1), 60.0), (Poisson(1), 0.0)):
        with pytest.raises(UsageError, match="no run of so many requests"):
            arrivals.times(seconds, 0)


def test_every_form_is_told_of() -> None:
    """Each first word has its form, for the help of the command."""
    assert all(form.startswith(word) for word, form in FORMS.items())


# Traces.


def test_a_recorded_trace_is_sent_as_it_was_and_drawn_at_other_rates(tmp_path: Path) -> None:
    """Bursts stay where they were; at 3 times there are 3 times as many in each second."""
    random = np.random.default_rng(0)
    moments = np.sort(np.concatenate([random.uniform(0, 10, 300), random.uniform(4, 5, 700)]))
    path = tmp_path / "morning.csv"
    path.write_text("at\n" + "\n".join(f"{1.7e9 + m:.6f}" for m in moments))
    trace = arrivals_of(f"trace:{path}")
    assert isinstance(trace, Trace)
    assert trace.times(99.0, 0) == pytest.approx(moments - moments[0], abs=1e-5)
    assert trace.name == f"trace:{path}"
    assert trace.rate == pytest.approx(100, rel=0.02)
    many = arrivals_of(f"trace:{path}:3")
    assert not isinstance(many, Closed)
    times = many.times(99.0, 7)
    assert len(times) == 3000
    before, _ = np.histogram(trace.times(99.0, 0), bins=10, range=(0, 10))
    after, _ = np.histogram(times, bins=10, range=(0, 10))
    assert np.abs(after - 3 * before).max() <= 6
    assert (np.diff(times) >= 0).all()
    assert many.times(2.0, 7).max() < 2.0


def test_recorded_rates_hold_until_the_next_time(tmp_path: Path) -> None:
    """The last as long as usual; dates, and Parquet, are taken too."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "rates.csv"
    path.write_text("time,rps\n2026-01-01T00:00:00Z,0\n2026-01-01T00:00:10Z,200\n")
    trace = trace_of(read_recording(path))
    assert (trace.seconds, trace.rate) == (20.0, 100.0)
    times = trace.times(20.0, 1)
    assert len(times) == pytest.approx(2000, abs=250)
    assert times.min() >= 10
    assert np.count_nonzero(times < 15) == pytest.approx(1000, abs=200)
    stamps = np.array(["2026-01-01T00:00:00", "2026-01-01T00:00:01"], "datetime64[us]")
    pq.write_table(pa.table({"ts": stamps}), tmp_path / "t.parquet")
    sent = trace_of(read_recording(tmp_path / "t.parquet")).times(9.0, 0)
    assert sent.tolist() == [0.0, 1.0]


def test_a_gap_in_a_trace_is_told() -> None:
    """A minute without a request among ten a second: perhaps nobody recorded."""
    times = np.concatenate([np.arange(0, 10, 0.1), np.arange(70, 80, 0.1)])
    (note,) = trace_of(recording_of({"t": times}, "t.csv")).notes
    assert "1 gap: the longest is 60.1 s from 9.9 s on" in note
    assert trace_of(recording_of({"t": np.arange(0, 10, 0.1)}, "t.csv")).notes == ()


def test_a_trace_that_is_not_there() -> None:
    """The error of any file."""
    with pytest.raises(NotFoundError):
        arrivals_of("trace:/no/such/file.csv:2")
