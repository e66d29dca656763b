"""The reducer: points in, changed alarms out."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterfit.core.metric import Metric
from afterfit.core.sections import AlarmsSection
from afterfit.monitor.alarms import MOST_DELIVERIES, Alarms, AlarmsState
from afterfit.monitor.rank import beyond, loss_text, rank
from afterfit.monitor.silence import Quiet, Silence
from afterfit.records.signals import Alarm, Delivery, PointState, Scope, SignalPoint

HOUR = 3_600_000_000
SCOPE = Scope(endpoint="e", model="churn", version=3, digest="d" * 64)
WORDS: dict[str, PointState] = {
    "A": "alarm",
    "o": "ok",
    "i": "insufficient",
    "c": "cannot_tell",
    "n": "not_applicable",
}


def point(hour: int, state: PointState = "alarm", **more: Any) -> SignalPoint:
    """One window of drift in a column: 0.3 where 0.1 is usual and 0.2 the threshold."""
    told: dict[str, Any] = {"signal": "drift", "subject": "age", "scope": SCOPE, "n": 500}
    told["usual"] = 0.1
    told |= {"threshold": 0.2, "value": 0.3 if state == "alarm" else 0.12}
    span = {"start": hour * HOUR, "end": (hour + 1) * HOUR}
    return SignalPoint(**(told | span | more), state=state)


def play(word: str, **settings: Any) -> list[list[str]]:
    """The states that each window of a word such as ``oAAi`` changed an alarm to."""
    alarms = Alarms(AlarmsSection(**settings))
    return [
        [alarm.state for alarm in alarms.step([point(hour, WORDS[letter])], hour * HOUR)]
        for hour, letter in enumerate(word)
    ]


@pytest.mark.parametrize(
    ("word", "settings", "expected"),
    [
        ("oA", {}, ["", "firing"]),
        ("oAoA", {"windows": 2, "of": 3}, ["", "pending", "", "firing"]),
        ("AooA", {"windows": 2, "of": 3}, ["pending", "", "", "pending"]),
        ("Aooo", {"windows": 2, "of": 3}, ["pending", "", "", "resolved"]),
        ("Aicn", {}, ["firing", "", "", ""]),
        ("icnicn", {}, [""] * 6),
        ("Aioco", {"good_windows": 2}, ["firing", "", "", "", "resolved"]),
        ("AoAooo", {"good_windows": 3}, ["firing", "", "firing", "", "", "resolved"]),
        ("AoA", {"good_windows": 1}, ["firing", "resolved", "firing"]),
    ],
)
def test_windows_make_and_end_an_alarm(
    word: str, settings: dict[str, Any], expected: list[str]
) -> None:
    """So many windows fire, so many good ones end it, and those without an answer do neither."""
    assert ["".join(states) for states in play(word, **settings)] == expected


def test_a_value_just_under_the_threshold_ends_nothing() -> None:
    """Hysteresis: good is a tenth of the way back to the usual value, on either side."""
    alarms = Alarms(AlarmsSection(good_windows=1))
    alarms.step([point(0)], 0)
    assert alarms.step([point(1, "ok", value=0.195)], 0) == []
    assert [a.state for a in alarms.step([point(2, "ok", value=0.19)], 0)] == ["resolved"]
    low: dict[str, Any] = {"signal": "performance", "usual": 0.9, "threshold": 0.8}
    alarms.step([point(3, value=0.7, **low)], 0)
    assert alarms.step([point(4, "ok", value=0.805, **low)], 0) == []
    assert [a.state for a in alarms.step([point(5, "ok", value=0.82, **low)], 0)] == ["resolved"]


def test_one_alarm_for_each_signal_subject_and_scope() -> None:
    """Further windows belong to the alarm that is open; another column has one of its own."""
    alarms = Alarms()
    first = alarms.step([point(0), point(0, subject="job")], 0)
    assert {a.subject for a in first} == {"age", "job"}
    again = alarms.step([point(1, value=0.9), point(1, subject="job")], HOUR)
    assert {a.id for a in again} == {a.id for a in first}
    worst = next(a for a in again if a.subject == "age")
    assert (worst.windows, worst.worst.value, worst.updated) == (2, 0.9, 2 * HOUR)
    other = alarms.step([point(1, scope=msgspec.structs.replace(SCOPE, version=4))], HOUR)
    assert other[0].id not in {a.id for a in first}


def test_a_restart_repeats_nothing() -> None:
    """State written and read again, and windows told a second time, change nothing."""
    alarms = Alarms(AlarmsSection(windows=2, of=3))
    seen = [point(0), point(1, "ok"), point(2)]
    (fired,) = alarms.step(seen, 3 * HOUR)[-1:]
    kept = msgspec.json.decode(msgspec.json.encode(alarms.state()), type=AlarmsState)
    again = Alarms(AlarmsSection(windows=2, of=3), kept)
    assert again.step(seen, 4 * HOUR) == []
    assert again.open() == alarms.open() == [fired]
    # Without any state the same windows give the same name.
    assert Alarms(AlarmsSection(windows=2, of=3)).step(seen, 9 * HOUR)[-1].id == fired.id
    ended = again.step([point(hour, "ok") for hour in (3, 4, 5)], 6 * HOUR)
    assert [(a.state, a.resolved) for a in ended] == [("resolved", 6 * HOUR)]
    assert again.step([*seen, *[point(hour, "ok") for hour in (3, 4, 5)]], 7 * HOUR) == []


def test_a_window_is_judged_anew_when_more_labels_came() -> None:
    """The later word of the same window takes the place of the former, and counts once."""
    alarms = Alarms(AlarmsSection(windows=2, of=2))
    alarms.step([point(0), point(1, "ok")], 0)
    assert [a.state for a in alarms.step([point(1)], 0)] == ["firing"]
    assert alarms.step([point(1, value=0.5)], 0)[0].windows == 2


@given(st.text("Aoicn", max_size=12), st.integers(0, 2**32), st.integers(1, 3), st.integers(0, 2))
def test_the_division_into_steps_does_not_matter(
    word: str, seed: int, windows: int, more: int
) -> None:
    """All at once, or in steps with windows told twice and a restart each time: the same end."""
    points = [point(hour, WORDS[letter]) for hour, letter in enumerate(word)]
    settings = AlarmsSection(windows=windows, of=windows + more, good_windows=2)
    whole = Alarms(settings)
    whole.step(points, 0)
    parts, rng, place = Alarms(settings), random.Random(seed), 0
    while place < len(points):
        size = rng.randint(1, 3)
        parts.step(points[max(0, place - rng.randint(0, 1)) : place + size], 0)
        parts = Alarms(settings, parts.state())
        place += size
    assert parts.open() == whole.open()


def test_a_silence_keeps_an_alarm_from_people_and_not_from_us() -> None:
    """It goes on below, and shows again when the silence is over, without a new window."""
    silence = Silence(pattern="drift/a*", since=0, until=5 * HOUR, who="anna", why="known")
    alarms = Alarms(quiet=Quiet([silence], ["1970-01-01T06:00/1970-01-01T07:00"]))
    (alarm,) = alarms.step([point(0)], HOUR)
    assert alarm.silenced == f"silence {silence.id} by anna: known"
    assert alarms.step([], 4 * HOUR) == []
    assert [a.silenced for a in alarms.step([], 5 * HOUR)] == [""]
    assert "maintenance" in alarms.step([], 6 * HOUR)[0].silenced


def test_deliveries_stay_with_the_alarm_and_are_bounded() -> None:
    """The newest fifty, whether or not the alarm is still open."""
    alarms = Alarms()
    (alarm,) = alarms.step([point(0)], 0)
    for at in range(MOST_DELIVERIES + 5):
        alarms.delivered(alarm.id, Delivery(channel="ops", at=at, state="failed"))
    assert [d.at for d in alarms.open()[0].deliveries] == list(range(5, MOST_DELIVERIES + 5))
    later = Alarms(AlarmsSection(good_windows=1), alarms.state())
    (over,) = later.step([point(1, "ok")], 0)
    assert (later.open(), later.ending()) == ([], [over])
    told = later.delivered(over.id, Delivery(channel="x", at=1, state="sent"))
    assert told is not None
    assert told.deliveries[-1].channel == "x"
    later.heard(over)
    assert (later.ending(), later.delivered(over.id, told.deliveries[-1])) == ([], None)


def made(signal: str, loss: float | None = None, value: float = 0.3, **more: Any) -> Alarm:
    """An alarm with a loss, or without one."""
    metric = None if loss is None else Metric(name="f1", value=loss, low=loss / 2, high=2 * loss,
                                              n=9)  # fmt: skip
    (alarm,) = Alarms().step([point(0, signal=signal, loss=metric, value=value, **more)], 0)
    return alarm


def test_the_greatest_known_loss_comes_first() -> None:
    """Unknown losses follow, by how far they are beyond; what is over stands last."""
    over = msgspec.structs.replace(made("concept", 0.9), state="resolved", resolved=1)
    alarms = [made("drift", None, 0.3), over, made("output", 0.01), made("skew", None, 0.9),
              made("range", 0.2)]  # fmt: skip
    ranked = [alarm.signal for alarm in rank(alarms)]
    assert ranked == ["range", "output", "skew", "drift", "concept"]
    assert loss_text(alarms[0].worst) == "cannot tell"
    assert loss_text(alarms[2].worst) == "f1 0.01 (0.005 to 0.02, 95 %, n = 9)"
    assert beyond(point(0, value=0.3, usual=None, threshold=0.0)) == 1e6


def test_the_severity_follows_the_loss() -> None:
    """A sure loss is one level worse, a sure gain is low, and an unknown one is its kind's."""
    assert made("drift").severity == "medium"
    assert made("drift", 0.2).severity == "high"
    harmless = Metric(name="f1", value=-0.1, low=-0.2, high=0.0, n=9)
    (alarm,) = Alarms().step([point(0, loss=harmless)], 0)
    assert (alarm.severity, alarm.runbook) == ("low", "M071")
    assert (made("new_values").runbook, made("weather").runbook) == ("M076", "M070")
