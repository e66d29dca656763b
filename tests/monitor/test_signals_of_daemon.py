"""Every signal reaches the store from the daemon: with rows of the reference, and without."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from tests.monitor.test_daemon import SIGNATURE, START, WATCH, fingerprint, rows, setup_of, write

from afterfit.core.event import Event
from afterfit.core.fingerprint import Fingerprint, build
from afterfit.core.frame import Predictions
from afterfit.monitor.cut import HOUR
from afterfit.monitor.daemon import Daemon
from afterfit.monitor.grounds import Answered, Grounds, kept_rows, stretches
from afterfit.monitor.labelled import LabelFeed
from afterfit.monitor.labels import LabelJoin
from afterfit.monitor.rank import rank
from afterfit.monitor.shown import SHOWN
from afterfit.monitor.signals.schema import Change
from afterfit.monitor.store import PointQuery
from afterfit.monitor.store.embedded import EmbeddedStore
from afterfit.monitor.table import Reference
from afterfit.monitor.watched import Watched, measured_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REFERENCE, EACH, HOURS = 6000, 420, 8


def answers(frame: dict[str, np.ndarray]) -> np.ndarray:
    """The score of each row: older people say yes more often."""
    return 1 / (1 + np.exp(-(frame["age"] - 40) / 5))


def reference() -> tuple[Fingerprint, Grounds]:
    """Rows in the order of time with labels that come true as often as their scores say."""
    frame, random = rows(7, REFERENCE), np.random.default_rng(3)
    scores = answers(frame)
    made = build(frame, SIGNATURE, Predictions(probabilities=np.column_stack([1 - scores, scores])))
    answered = Answered(
        frame=frame,
        scores=scores,
        codes=(scores >= 0.5).astype(np.int64),
        truth=(random.random(REFERENCE) < scores).astype(np.int64),
        ts=START - np.arange(REFERENCE, 0, -1, dtype=np.int64) * (HOUR // 10),
        entities=[f"e{row}" for row in range(REFERENCE)],
        ordered=False,
    )
    return made, Grounds(subject="9b", source="test.csv", known=kept_rows(answered, made))


@pytest.fixture(scope="module")
def version() -> Watched:
    """A version with its rows at hand."""
    made, grounds = reference()
    return Watched(Reference("9b", SIGNATURE, made), grounds=Grounds.unpack(grounds.pack()))


@pytest.fixture(scope="module")
def bare() -> Watched:
    """A version of which the fingerprint alone is at hand."""
    return Watched(Reference("9b", SIGNATURE, fingerprint()))


def events(hour: int, *, moved: bool, wrong: float) -> list[Event]:
    """The predictions of an hour, of which every second one has a label an hour later."""
    frame, random = rows(100 + hour, EACH, moved=moved), np.random.default_rng(hour)
    found = []
    for row, score in enumerate(answers(frame).tolist()):
        at = START + hour * HOUR + row * (HOUR // EACH)
        common: dict[str, Any] = {"event_id": f"{hour}-{row}", "model": "churn"}
        inputs = {"age": frame["age"][row].item(), "job": frame["job"][row]}
        found.append(Event(kind="served", ts=at, endpoint="shop", version=3, digest="9b",
                           probabilities=(1 - score, score), inputs=inputs, **common))  # fmt: skip
        truth = random.random() < score
        truth ^= random.random() < wrong
        if row % 2 == 0:
            label = "yes" if truth else "no"
            found.append(Event(kind="label", ts=at + HOUR, true_label=label, **common))
    return found


@pytest.fixture(scope="module")
def seen(version: Watched, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStore]:
    """Eight hours: labels that turn out wrong from the fourth on, older people in the last two."""
    folder = tmp_path_factory.mktemp("watched")
    every = [events(h, moved=h >= HOURS - 2, wrong=0.35 if h >= 3 else 0.0) for h in range(HOURS)]
    for kind in ("served", "label"):
        write(folder / "events", kind, [e for hour in every for e in hour if e.kind == kind],
              size=EACH)  # fmt: skip
    store = EmbeddedStore(folder / "monitor")
    watch = replace(WATCH, false_alarms_per_month=5.0)
    feed = LabelFeed(LabelJoin(folder / "labels.sqlite"), lambda _: version, watch, {})
    Daemon(setup_of(folder, store, version, watch=watch, labels=feed)).poll()
    yield store
    store.close()


def states(store: EmbeddedStore, signal: str, subject: str | None = None) -> list[str]:
    """What a signal said of each hour."""
    return [p.state for p in store.points(PointQuery(signal=signal, subject=subject))]


def test_rows_that_changed_are_seen_by_every_signal_of_rows(seen: EmbeddedStore) -> None:
    """Older people in the last two hours, and nothing before them."""
    quiet, loud = HOURS - 2, ["alarm"] * 2
    for signal, subject in (("drift", "age"), ("output", ""), ("domain", "")):
        assert states(seen, signal, subject) == ["ok"] * quiet + loud
    assert states(seen, "drift", "job") == ["ok"] * HOURS
    (skew,) = {p.start for p in seen.points(PointQuery(signal="skew"))}
    assert skew == START + 2 * HOUR
    assert set(states(seen, "skew")) == {"ok"}


def test_errors_that_became_more_frequent_are_concept_drift(seen: EmbeddedStore) -> None:
    """No input tells it, nor an estimate; labels do, and say what it costs."""
    points = seen.points(PointQuery(signal="concept"))
    assert [p.state for p in points][:3] == ["ok"] * 3
    assert "alarm" in [p.state for p in points][3:6]
    (alarm,) = [a for a in seen.alarms() if a.signal == "concept"]
    assert alarm.worst.loss is not None
    assert alarm.worst.loss.name == "accuracy"
    assert states(seen, "estimate", "accuracy")[3:6] == ["ok"] * 3
    assert "alarm" in states(seen, "performance", "accuracy")[3:]


def test_alarms_of_rows_are_ranked_by_the_loss_that_their_window_is_estimated_to_have(
    seen: EmbeddedStore,
) -> None:
    """The estimate of the same window, with its interval; where there is none, it is not told."""
    estimates = seen.points(PointQuery(signal="estimate"))
    named = {p.subject for p in estimates}
    assert {"roc_auc", "accuracy"} <= named
    assert all(p.low is not None and p.high is not None for p in estimates if p.state == "ok")
    for point in seen.points(PointQuery(signal="drift", state="alarm")):
        known = {p.subject: p.loss for p in estimates if p.start == point.start}
        assert point.loss == known["roc_auc"]
    losses = [alarm.worst.loss for alarm in rank(seen.alarms(lasting=True))]
    values = [loss.value for loss in losses if loss is not None and loss.value is not None]
    assert values == sorted(values, reverse=True)
    assert values


def test_how_labels_come_in_is_kept_with_their_share(seen: EmbeddedStore) -> None:
    """None within the first minutes, half of them after an hour."""
    point = seen.points(PointQuery(signal="labels", subject="labelled_share"))[-1]
    told = {each["age_us"] // HOUR: each["share"] for each in point.evidence["maturity"]}
    assert told[1] == pytest.approx(0.5, abs=0.01)
    assert told[3] == pytest.approx(0.5, abs=0.01)


def test_quiet_columns_keep_their_distribution_for_the_last_windows(
    tmp_path: Path, bare: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older windows lose it, whatever the order in which they are told; alarms keep it."""
    monkeypatch.setattr("afterfit.monitor.shown.SHOWN", 3)
    store = EmbeddedStore(tmp_path / "monitor")
    found = [e for h in range(6) for e in events(h, moved=h == 0, wrong=0) if e.kind == "served"]
    write(tmp_path / "events", "w0", found, size=EACH)
    Daemon(setup_of(tmp_path, store, bare)).poll()
    points = store.points(PointQuery(signal="drift", subject="age"))
    assert [bool(point.evidence) for point in points] == [True, False, False, True, True, True]
    assert points[0].state == "alarm"
    assert SHOWN == 24
    store.close()


def test_what_stands_on_nothing_is_said_once(tmp_path: Path, bare: Watched) -> None:
    """Without rows of the reference: which signals, why, and what to give."""
    store, told = EmbeddedStore(tmp_path / "monitor"), list[dict[str, Any]]()
    found = events(0, moved=False, wrong=0) + events(1, moved=False, wrong=0)
    write(tmp_path / "events", "w0", found, size=2 * EACH)
    change = Change("job", "missing", "category")
    setup = replace(setup_of(tmp_path, store, bare, tell=told.append),
                    changes_of=lambda _: [change])  # fmt: skip
    daemon = Daemon(setup)
    daemon.poll()
    (line,) = [line for line in told if line["event"] == "skipped"]
    assert line["signals"] == ["estimate", "concept", "domain", "structure"]
    assert "--reference FILE" in line["fix"]
    assert list(daemon.kept.progress.missing) == ["churn@3"]
    assert store.points(PointQuery(signal="estimate")) == []
    (schema,) = {(p.subject, p.state) for p in store.points(PointQuery(signal="schema"))}
    assert schema == ("job", "alarm")
    store.close()


def test_rows_of_known_entities_must_have_the_values_of_training(tmp_path: Path) -> None:
    """Ages of eighty known people come rounded: equal for nobody, and their jobs for everybody."""
    frame = rows(7, REFERENCE)
    made, grounds = reference()
    keys = tuple(f"e{row}" for row in range(REFERENCE))
    grounds = msgspec.structs.replace(
        grounds, known=msgspec.structs.replace(grounds.known, keys=keys, ts=b"")
    )
    version = Watched(Reference("9b", SIGNATURE, made), grounds=grounds)
    served = [e for e in events(0, moved=False, wrong=0) if e.kind == "served"]
    found = [
        msgspec.structs.replace(
            event,
            entity=f"e{row}" if row < 80 else "",
            inputs={"age": float(int(frame["age"][row])), "job": frame["job"][row]},
        )
        for row, event in enumerate(served)
    ]
    write(tmp_path / "events", "w0", found, size=EACH)
    store = EmbeddedStore(tmp_path / "monitor")
    Daemon(setup_of(tmp_path, store, version)).poll()
    points = {p.subject: p for p in store.points(PointQuery(signal="skew"))}
    assert {name: (p.state, p.n, p.value) for name, p in points.items()} == {
        "age": ("alarm", 80, 1.0),
        "job": ("ok", 80, 0.0),
    }
    store.close()


def test_thresholds_come_from_the_rows_and_are_measured(version: Watched) -> None:
    """Drawn from rows, they hold on rows that they have not seen."""
    assert version.calibration is not None
    assert version.calibration.method == "rows"
    rates = measured_of(version)
    assert {rate.family for rate in rates} == {"inputs", "output"}
    assert all(rate.low <= 0.02 for rate in rates)


def test_of_many_rows_stretches_of_neighbours_are_kept() -> None:
    """As many as asked, in order, whole thousands; all of few."""
    assert stretches(10, 50_000, 0).tolist() == list(range(10))
    kept = stretches(200_000, 50_000, 0)
    assert len(kept) == 50_000
    assert (np.diff(kept) > 0).all()
    assert set((kept.reshape(-1, 1000)[:, 0] % 1000).tolist()) == {0}
