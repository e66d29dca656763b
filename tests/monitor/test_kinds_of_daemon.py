"""The daemon with a regression, and with a reference for each hour of the week."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.monitor.test_daemon import SCOPE, WATCH, write

from afterfit.core.event import Event
from afterfit.core.fingerprint import build
from afterfit.core.frame import Predictions
from afterfit.core.signature import Column, Signature
from afterfit.monitor.calibrate import calibrate_counts
from afterfit.monitor.cut import DAY, HOUR
from afterfit.monitor.daemon import Daemon
from afterfit.monitor.grounds import Answered, Grounds, kept_rows
from afterfit.monitor.labelled import LabelFeed
from afterfit.monitor.labels import LabelJoin
from afterfit.monitor.producers import drift, service
from afterfit.monitor.setup import Setup
from afterfit.monitor.sources import EventSource
from afterfit.monitor.store import PointQuery
from afterfit.monitor.store.embedded import EmbeddedStore
from afterfit.monitor.table import Reference
from afterfit.monitor.watched import Watched

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MONDAY = 20_000 * DAY - (20_000 * DAY // DAY + 3) % 7 * DAY
"""A Monday's midnight, UTC."""
SIGNATURE = Signature(
    task="regression", columns=(Column(name="age", kind="number"),), target="spent"
)
HOURS, EACH = 8, 300


def served(ts: np.ndarray, age: np.ndarray, name: str) -> list[Event]:
    """Predictions of what people of some age spend: twice their age."""
    return [
        Event(
            event_id=f"{name}-{row}", kind="served", ts=at, endpoint="shop", model="churn",
            version=3, digest="9b", value=2 * old, inputs={"age": old},
        )
        for row, (at, old) in enumerate(zip(ts.tolist(), age.tolist(), strict=True))
    ]  # fmt: skip


def version(ts: np.ndarray, age: np.ndarray, truth: np.ndarray | None) -> Watched:
    """A version with the rows of its reference, in the order of their times."""
    made = build({"age": age}, SIGNATURE, Predictions(values=2 * age))
    answered = Answered(
        frame={"age": age}, scores=2 * age, codes=np.full(len(age), -1, np.int64), truth=truth,
        ts=ts, ordered=False,
    )  # fmt: skip
    grounds = Grounds(subject="9b", source="test.csv", known=kept_rows(answered, made))
    reference = Reference("9b", SIGNATURE, made)
    return Watched(reference, kept=calibrate_counts(made), grounds=grounds)


def setup_of(folder: Path, store: EmbeddedStore, watched: Watched, **more: Any) -> Setup:
    """A daemon over the events in a folder, a day after the first week."""
    usual: dict[str, Any] = {
        "endpoint": "churn",
        "source": EventSource(folder / "events", lambda _: SIGNATURE),
        "watched_of": lambda _: watched,
        "store": store,
        "watch": WATCH,
        "clock": lambda: MONDAY + 8 * DAY,
    }
    return Setup(**(usual | more))


def states(store: EmbeddedStore, signal: str, subject: str = "") -> list[str]:
    """What a signal said of each window."""
    return [p.state for p in store.points(PointQuery(signal=signal, subject=subject))]


@pytest.fixture(scope="module")
def priced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStore]:
    """Eight hours of a regression: in the last three its errors are three times as large."""
    folder, random = tmp_path_factory.mktemp("priced"), np.random.default_rng(1)
    age = random.normal(40, 10, 3000)
    ts = MONDAY - DAY + np.arange(3000, dtype=np.int64)
    watched = version(ts, age, 2 * age + random.normal(0, 5, 3000))
    found, labels = [], []
    for hour in range(HOURS):
        at = MONDAY + hour * HOUR + np.arange(EACH, dtype=np.int64) * (HOUR // EACH)
        old = random.normal(40 if hour < HOURS - 1 else 48, 10, EACH)
        true = 2 * old + random.normal(0, 5 if hour < 5 else 15, EACH)
        found += served(at, old, str(hour))
        labels += [
            Event(event_id=f"{hour}-{row}", kind="label", ts=MONDAY + DAY, model="churn",
                  true_value=value)
            for row, value in enumerate(true.tolist())
        ]  # fmt: skip
    write(folder / "events", "w0", found, size=EACH)
    write(folder / "events", "w1", labels, size=EACH)
    store = EmbeddedStore(folder / "monitor")
    feed = LabelFeed(LabelJoin(folder / "labels.sqlite"), lambda _: watched, WATCH, {})
    setup = setup_of(folder, store, watched, labels=feed, producers=(service, drift))
    Daemon(setup).poll()
    yield store
    feed.join.close()
    store.close()


def test_a_regression_is_judged_by_its_values(priced: EmbeddedStore) -> None:
    """Inputs and answers that moved in the last hour, in their own units and windows."""
    assert states(priced, "drift", "age") == ["ok"] * (HOURS - 1) + ["alarm"]
    assert states(priced, "output") == ["ok"] * (HOURS - 1) + ["alarm"]
    assert states(priced, "labels", "labelled_share") == ["ok"] * HOURS


def test_a_regression_whose_errors_grew_is_an_alarm_of_quality(priced: EmbeddedStore) -> None:
    """MAE and RMSE beside those of the reference's labels, and the stream of errors."""
    for name, usual in (("mae", 4.0), ("rmse", 5.0)):
        points = priced.points(PointQuery(signal="performance", subject=name))
        assert [p.state for p in points] == ["ok"] * 5 + ["alarm"] * 3
        assert points[0].usual == pytest.approx(usual, rel=0.1)
        assert points[-1].value == pytest.approx(3 * usual, rel=0.2)
    concept = [p.state for p in priced.points(PointQuery(signal="concept"))]
    assert "alarm" not in concept[:5]
    assert "alarm" in concept[5:]
    scopes = {alarm.scope for alarm in priced.alarms(lasting=True)}
    assert scopes == {SCOPE}


def busy(hour: np.ndarray) -> np.ndarray:
    """Which hours of the week, from Monday's midnight, are of weekdays from nine to five."""
    return np.asarray((hour // 24 < 5) & (hour % 24 >= 9) & (hour % 24 < 17))


@pytest.fixture(scope="module")
def seasonal() -> Watched:
    """Two weeks with 1,000 rows an hour of the week: at work people are twenty years older."""
    random, each = np.random.default_rng(2), 500
    hour = np.arange(336, dtype=np.int64).repeat(each)
    age = random.normal(40, 10, len(hour)) + 20 * busy(hour % 168)
    ts = MONDAY - 14 * DAY + hour * HOUR + np.tile(np.arange(each, dtype=np.int64), 336)
    return version(ts, age, None)


def hours_of(folder: Path, ages: dict[int, float], n: int = EACH) -> None:
    """The events of some hours of the week, with the mean of their ages."""
    random = np.random.default_rng(3)
    found = []
    for hour, mean in ages.items():
        at = MONDAY + hour * HOUR + np.arange(n, dtype=np.int64)
        found += served(at, random.normal(mean, 10, n), str(hour))
    write(folder / "events", "w0", found, size=n)


def test_each_hour_of_the_week_is_compared_with_itself(tmp_path: Path, seasonal: Watched) -> None:
    """Sunday at ten like Sundays and Monday at ten like Mondays; not the one like the other."""
    assert seasonal.seasons is not None
    assert seasonal.seasons.grain == "hour_of_week"
    store = EmbeddedStore(tmp_path / "monitor")
    sunday = 6 * 24
    hours_of(tmp_path, {3: 40, 10: 60, 34: 40, sunday + 3: 40, sunday + 10: 40, sunday + 11: 60})
    Daemon(setup_of(tmp_path, store, seasonal, producers=(drift,))).poll()
    assert states(store, "drift", "age") == ["ok", "ok", "alarm", "ok", "ok", "alarm"]
    assert states(store, "output") == states(store, "drift", "age")
    store.close()


def test_a_window_of_several_hours_is_compared_with_their_sum(
    tmp_path: Path, seasonal: Watched
) -> None:
    """From noon to six half of the hours are busy: as many old people as these have."""
    store = EmbeddedStore(tmp_path / "monitor")
    mixed = {12 + hour: 60.0 if hour < 5 else 40.0 for hour in range(6)}
    hours_of(tmp_path, mixed | {36 + hour: 60.0 for hour in range(6)})
    watch = replace(WATCH, width_us=6 * HOUR)
    Daemon(setup_of(tmp_path, store, seasonal, producers=(drift,), watch=watch)).poll()
    assert states(store, "drift", "age") == ["ok", "alarm"]
    store.close()


def test_a_window_larger_than_its_season_is_compared_with_its_season(
    tmp_path: Path, seasonal: Watched
) -> None:
    """By as many rows: beside the whole, which knows no season, a quiet hour would be an alarm."""
    store = EmbeddedStore(tmp_path / "monitor")
    hours_of(tmp_path, {3: 40, 4: 60}, n=1200)
    Daemon(setup_of(tmp_path, store, seasonal, producers=(drift,))).poll()
    points = store.points(PointQuery(signal="drift", subject="age"))
    assert [(p.n, p.state) for p in points] == [(1000, "ok"), (1000, "alarm")]
    assert points[0].message == (
        "judged by 1,000 of 1,200 rows, drawn: the reference of the same hour of week has no more"
    )
    store.close()
