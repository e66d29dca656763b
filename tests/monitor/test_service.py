"""Burn rates, latency, failures, cost and silence: planted trouble is seen, chance is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from afterfit.core.fingerprint import Fingerprint
from afterfit.core.sections import MonitorSection
from afterfit.errors import ConfigError
from afterfit.monitor.batches import Batch, Labels
from afterfit.monitor.cut import DAY, HOUR
from afterfit.monitor.settings import Objective, Watch, objective_of, watch_of, window_of
from afterfit.monitor.signals.service import BURNS, burn_points, service_points
from afterfit.monitor.signals.timely import timely_points, usual_of
from afterfit.monitor.state import WindowState
from afterfit.monitor.tempo import TICK, WEEK, Rhythm, Tempo
from afterfit.records.signals import Scope, SignalPoint

SCOPE = Scope(endpoint="shop", model="churn", version=3, digest="9b")
MONDAY = 2_800 * WEEK
FAST = Objective("p99 <= 50 ms", allowed=0.01, limit_us=50_000)
UP = Objective("available 99.9 %", allowed=0.001)


def batch_of(ts: np.ndarray, kind: str = "served", infer_us: int = 1000, **more: Any) -> Batch:
    """Predictions at some moments, all of them alike."""
    n = len(ts)
    text = np.full(n, "", dtype=object)
    found: dict[str, Any] = {
        "scope": SCOPE, "role": "primary", "ts": ts.astype(np.int64),
        "kinds": np.full(n, kind, dtype=object), "scores": np.full(n, 0.5), "probabilities": None,
        "codes": np.full(n, -1), "ids": text, "entities": text, "queue_us": np.zeros(n, np.int64),
        "infer_us": np.full(n, infer_us), "flags": np.full(n, -1), "errors": text, "frame": {},
    }  # fmt: skip
    return Batch(**(found | more))


def spread(start: int, end: int, n: int) -> np.ndarray:
    """So many moments of a stretch, evenly."""
    return np.linspace(start, end - 1, n)


def burned(tempo: Tempo, now: int) -> dict[str, SignalPoint]:
    """The burn rates of both objectives by subject."""
    return {point.subject: point for point in burn_points(tempo, (FAST, UP), now)}


def test_a_budget_that_burns_in_both_stretches_is_an_alarm() -> None:
    """20 % slow is 20 times the budget of p99; the fast pair sees it, and the slow one too."""
    tempo = Tempo(scope=SCOPE)
    tempo.update(batch_of(spread(MONDAY, MONDAY + HOUR, 800)), (FAST, UP))
    tempo.update(batch_of(spread(MONDAY, MONDAY + HOUR, 200), infer_us=60_000), (FAST, UP))
    found = burned(tempo, MONDAY + HOUR + TICK // 2)
    hour = found["p99 <= 50 ms, 1h"]
    assert hour.state == "alarm"
    assert hour.value == pytest.approx(20)
    assert hour.low is not None
    assert hour.high is not None
    assert hour.low < 20 < hour.high
    assert (hour.start, hour.end, hour.n) == (MONDAY, MONDAY + HOUR, 1000)
    assert found["available 99.9 %, 1h"].state == "ok"
    assert found["available 99.9 %, 1h"].value == 0


def test_trouble_that_is_over_is_no_alarm_any_more() -> None:
    """The last five minutes are well."""
    tempo = Tempo(scope=SCOPE)
    end = MONDAY + HOUR
    tempo.update(batch_of(spread(MONDAY, end - TICK, 500), "failed"), (UP,))
    tempo.update(batch_of(spread(end - TICK, end, 500)), (UP,))
    found = burned(tempo, end)["available 99.9 %, 1h"]
    assert found.value is not None
    assert found.value > BURNS[0].rate
    assert found.state == "ok"


def test_one_failure_among_few_is_too_few_and_a_refusal_is_none() -> None:
    """Of 60 predictions one that failed would burn 16.7 times the budget."""
    tempo = Tempo(scope=SCOPE)
    tempo.update(batch_of(spread(MONDAY, MONDAY + HOUR, 59)), (UP,))
    tempo.update(batch_of(np.array([MONDAY + HOUR - 1]), "failed"), (UP,))
    tempo.update(batch_of(spread(MONDAY, MONDAY + HOUR, 500), "refused"), (UP,))
    found = burned(tempo, MONDAY + HOUR)["available 99.9 %, 1h"]
    assert (found.state, found.n, found.needed) == ("insufficient", 60, 70)
    assert burned(Tempo(scope=SCOPE), MONDAY)["available 99.9 %, 1h"].state == "insufficient"


def test_the_tempo_forgets_what_is_older_than_seven_hours() -> None:
    """However long the log is, 84 bins stay."""
    tempo = Tempo(scope=SCOPE)
    tempo.update(batch_of(spread(MONDAY, MONDAY + DAY, 5000)), (UP,))
    assert len(tempo.bins) == 84
    assert max(tempo.bins) == MONDAY + DAY - TICK


def window(**kinds: int) -> WindowState:
    """An hour of so many served, failed and refused predictions."""
    state = WindowState.empty(
        SCOPE, MONDAY, MONDAY + HOUR, Fingerprint(n_ref=0, seed=0, columns=[])
    )
    for kind, n in kinds.items():
        errors = np.full(n, "" if kind == "served" else "no memory", dtype=object)
        state.update(batch_of(spread(MONDAY, MONDAY + HOUR, n), kind, errors=errors))
    return state


def test_failures_that_are_surely_too_many_are_an_alarm() -> None:
    """With the commonest error; a share that may be below the limit is none."""
    points = {p.signal: p for p in service_points(window(served=900, failed=100), Watch())}
    assert points["failed"].state == "alarm"
    assert points["failed"].value == pytest.approx(0.1)
    assert "no memory" in points["failed"].message
    calm = {p.signal: p for p in service_points(window(served=990, failed=10), Watch())}
    assert calm["failed"].state == "ok"
    few = {p.signal: p for p in service_points(window(served=50), Watch())}
    assert few["failed"].state == "insufficient"
    assert service_points(window(), Watch()) == []


@pytest.mark.parametrize(
    ("refused", "state"), [(1, "insufficient"), (2, "insufficient"), (3, "alarm")]
)
def test_a_mistake_of_one_sender_is_no_alarm(refused: int, state: str) -> None:
    """One or two requests that were refused in a quiet hour; that its only one failed is."""
    points = {p.signal: p for p in service_points(window(refused=refused), Watch())}
    assert points["refused"].state == state
    alone = {p.signal: p for p in service_points(window(failed=1), Watch())}
    assert alone["failed"].state == "alarm"


def test_latency_has_quantiles_with_intervals_in_ms() -> None:
    """500 rows suffice for a p99, 100 do not."""
    points = {p.subject: p for p in service_points(window(served=600), Watch())}
    p99 = points["infer_p99"]
    low, value, high = p99.low, p99.value, p99.high
    assert low is not None
    assert value is not None
    assert high is not None
    assert low <= value <= high
    assert p99.value == pytest.approx(1.0, rel=1 / 32)
    assert (p99.unit, p99.state) == ("ms", "ok")
    few = {p.subject: p for p in service_points(window(served=300), Watch())}
    assert few["infer_p99"].state == "insufficient"
    assert few["infer_p50"].state == "ok"


def test_cost_is_by_prediction() -> None:
    """2 USD/h for 500 predictions an hour."""
    points = {p.signal: p for p in service_points(window(served=500), Watch(usd_per_hour=2.0))}
    assert points["cost"].value == pytest.approx(4.0)
    assert "cost" not in {p.signal for p in service_points(window(served=5), Watch())}


def weeks(random: np.random.Generator, hours: int, size: float = 5.0) -> dict[int, int]:
    """Traffic with a day and a week, more varied than Poisson."""
    places = np.arange(hours)
    mean = 200 * (1.2 + np.sin(places / 24 * 2 * np.pi)) * np.where(places // 24 % 7 < 5, 1, 0.3)
    counts = random.negative_binomial(size, size / (size + mean))
    return {MONDAY + h * HOUR: int(count) for h, count in enumerate(counts.tolist())}


def silence(counts: dict[int, int], hour: int, chance: float = 1e-4) -> SignalPoint:
    """What an hour says of predictions."""
    seen = {h: n for h, n in counts.items() if h <= hour}
    (point,) = timely_points(Rhythm(scope=SCOPE, predictions=seen), hour, chance)
    return point


def test_predictions_that_stop_are_seen_and_a_quiet_night_is_not() -> None:
    """A Tuesday noon without any is an alarm within hours; nights and weekends are usual."""
    counts = weeks(np.random.default_rng(1), 5 * 168)
    start = MONDAY + 4 * WEEK + DAY + 12 * HOUR
    usual = [silence(counts, MONDAY + 4 * WEEK + h * HOUR).state for h in range(0, 160, 3)]
    assert set(usual) <= {"ok"}
    for hour in range(12):
        counts[start + hour * HOUR] = 0
    stopped = [silence(counts, start + h * HOUR).state for h in range(12)]
    assert "alarm" in stopped[:8]
    assert stopped[-1] == "alarm"


def test_false_alarms_of_silence_stay_below_the_chance() -> None:
    """Over 2,000 hours of traffic of five kinds: at a chance of 1 % no more than 1.5 %."""
    alarms = hours = 0
    for seed in range(5):
        counts = weeks(np.random.default_rng(seed), 6 * 168, size=2.0 + 3 * seed)
        for hour in range(3 * 168, 3 * 168 + 400):
            point = silence(counts, MONDAY + hour * HOUR, chance=0.01)
            alarms += point.state == "alarm"
            hours += 1
    assert hours == 2000
    assert alarms / hours <= 0.015


def test_little_traffic_is_looked_at_over_more_hours() -> None:
    """One prediction an hour: a silent hour says nothing, a silent day does."""
    random = np.random.default_rng(2)
    counts = {MONDAY + h * HOUR: int(n) for h, n in enumerate(random.poisson(1, 4 * 168).tolist())}
    end = MONDAY + 4 * WEEK
    point = silence(counts, end - HOUR)
    assert point.evidence["hours"] > 6
    assert point.state == "ok"
    for hour in range(48):
        counts[end + hour * HOUR] = 0
    assert silence(counts, end + 47 * HOUR).state == "alarm"


def test_too_short_a_past_says_nothing() -> None:
    """Less than a day before."""
    counts = {MONDAY + h * HOUR: 100 for h in range(20)}
    assert silence(counts, MONDAY + 23 * HOUR).state == "insufficient"
    assert usual_of(counts, MONDAY + 20 * HOUR, 1) is None


def test_labels_that_stop_are_seen_apart() -> None:
    """A batch of them every night, and then none."""
    rhythm = Rhythm(scope=SCOPE)
    for day in range(30):
        ts = MONDAY + day * DAY + 3 * HOUR + np.arange(200)
        text = np.full(200, "a", dtype=object)
        rhythm.update(Labels(model="churn", ts=ts, ids=text, entities=text, values=text))
    found = [timely_points(rhythm, MONDAY + 30 * DAY + h * HOUR, 1e-4)[0] for h in range(0, 96, 6)]
    assert {point.subject for point in found} == {"labels"}
    assert found[0].state == "ok"
    assert found[-1].state == "alarm"


def test_an_endpoint_that_idles_tells_what_it_bills() -> None:
    """After a day without a prediction; a shadow's are none."""
    rhythm = Rhythm(scope=SCOPE)
    rhythm.update(batch_of(np.array([MONDAY])))
    rhythm.update(batch_of(np.array([MONDAY + DAY]), role="shadow"))
    idle = {p.signal: p for p in timely_points(rhythm, MONDAY + 30 * HOUR, 1e-4, usd_per_hour=2)}
    assert idle["idle"].state == "alarm"
    assert idle["idle"].value == pytest.approx(62)
    early = timely_points(rhythm, MONDAY + 3 * HOUR, 1e-4, usd_per_hour=2)
    assert [point.state for point in early if point.signal == "idle"] == ["ok"]


@pytest.mark.parametrize("text", ["3h 5m", "7m", "0 rows", "30s", "", "36h"])
def test_a_window_that_is_none_is_refused(text: str) -> None:
    """A window divides a day, so that windows begin at the same hours."""
    with pytest.raises(ConfigError, match=r"window|time"):
        window_of(text)


def test_settings_are_taken_from_the_file() -> None:
    """Times in µs, columns of fairness among the slices, objectives parsed."""
    section = MonitorSection(window="30m", slices=("country",), slo=("p99 < 50ms", "available 99"))
    watch = watch_of(section, fairness=("sex", "country"))
    assert (watch.width_us, watch.grace_us) == (HOUR // 2, HOUR // 6)
    assert watch.slices == ("country", "sex")
    assert [(each.allowed, each.limit_us) for each in watch.objectives] == [
        (0.01, 50_000),
        (0.01, 0),
    ]
    assert window_of("5_000 rows") == (0, 5000)
    with pytest.raises(ConfigError, match="objective"):
        objective_of("fast")
