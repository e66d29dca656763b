"""The daemon: constant memory, nothing lost and nothing repeated whenever it is killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from afterfit.core.event import Event
from afterfit.core.fingerprint import Fingerprint, build
from afterfit.core.frame import Predictions
from afterfit.core.signature import Column, Signature
from afterfit.errors import UnavailableError, UsageError
from afterfit.monitor.backfill import backfill
from afterfit.monitor.book import Book
from afterfit.monitor.cut import DAY, HOUR
from afterfit.monitor.daemon import Daemon
from afterfit.monitor.labelled import LabelFeed
from afterfit.monitor.labels import LabelJoin
from afterfit.monitor.producers import Watched
from afterfit.monitor.settings import Objective, Watch
from afterfit.monitor.setup import Kept, Setup
from afterfit.monitor.sources import EventSource
from afterfit.monitor.store import Change, PointQuery
from afterfit.monitor.store.embedded import EmbeddedStore
from afterfit.monitor.table import Reference
from afterfit.records.signals import Alarm, Scope, SignalPoint
from afterfit.runtime.counts import LiveCounts
from afterfit.runtime.event_write import batches_of
from afterfit.runtime.sinks.segments import SegmentWriter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

START = 20_000 * DAY
SCOPE = Scope(endpoint="shop", model="churn", version=3, digest="9b")
SIGNATURE = Signature(
    task="binary",
    columns=(Column(name="age", kind="number"), Column(name="job", kind="category")),
    classes=("no", "yes"),
    positive="yes",
)
WATCH = Watch(objectives=(Objective("available 99.9 %", allowed=0.001),))


def rows(seed: int, n: int, *, moved: bool = False) -> dict[str, np.ndarray]:
    """Ages and jobs; moved, everybody is ten years older."""
    generator = np.random.default_rng(seed)
    jobs = np.array(["clerk", "cook", "pilot"], dtype=object)
    age = generator.normal(50 if moved else 40, 10, n)
    return {"age": age, "job": generator.choice(jobs, n)}


def fingerprint() -> Fingerprint:
    """What the version was assessed on."""
    scores = np.random.default_rng(7).random(3000)
    answers = Predictions(probabilities=np.column_stack([1 - scores, scores]))
    return build(rows(7, 3000), SIGNATURE, answers)


def watched() -> Watched:
    """The version, with thresholds from its fingerprint."""
    return Watched(Reference("9b", SIGNATURE, fingerprint()))


def events(hour: int, n: int = 300, *, moved: bool = False, inputs: bool = True) -> list[Event]:
    """The predictions of one hour."""
    frame = rows(hour, n, moved=moved)
    scores = np.random.default_rng(hour).random(n).tolist()
    return [
        Event(
            event_id=f"{hour}-{row}",
            kind="served",
            ts=START + hour * HOUR + row * (HOUR // n),
            endpoint="shop",
            model="churn",
            version=3,
            digest="9b",
            probabilities=(1 - scores[row], scores[row]),
            queue_us=100,
            infer_us=900,
            inputs={n: v[row].item() if n == "age" else v[row] for n, v in frame.items()}
            if inputs
            else None,
        )
        for row in range(n)
    ]


def write(folder: Path, name: str, found: list[Event], *, size: int = 40) -> None:
    """A segment with batches of a few events."""
    writer = SegmentWriter(folder, name)
    for begin in range(0, len(found), size):
        for batch in batches_of(found[begin : begin + size]):
            writer.write(batch)
    writer.close()


def setup_of(folder: Path, store: EmbeddedStore, version: Watched, **more: Any) -> Setup:
    """A daemon over the events in a folder."""

    def signature_of(scope: Scope) -> Signature | None:
        return SIGNATURE if scope.digest == "9b" else None

    usual: dict[str, Any] = {
        "endpoint": "churn",
        "source": EventSource(folder / "events", signature_of),
        "watched_of": lambda scope: version if scope.digest == "9b" else None,
        "store": store,
        "watch": WATCH,
        "clock": lambda: START + 40 * HOUR,
    }
    return Setup(**(usual | more))


def plain(points: list[SignalPoint]) -> list[Any]:
    """Points as plain values, rounded: moments agree to rounding only."""

    def rounded(value: Any) -> Any:
        if isinstance(value, float):
            return float(f"{value:.9g}")
        if isinstance(value, dict):
            return {name: rounded(each) for name, each in value.items()}
        return [rounded(each) for each in value] if isinstance(value, list) else value

    return [rounded(msgspec.to_builtins(point)) for point in points]


@pytest.fixture(scope="module")
def version() -> Watched:
    """One version for all tests: its thresholds are drawn once."""
    return watched()


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty hours of two workers, of which the last six are moved."""
    folder = tmp_path_factory.mktemp("log")
    for worker in range(2):
        found = [e for h in range(30) for e in events(h, moved=h >= 24)[worker::2]]
        write(folder / "events", f"w{worker}", found)
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    """An empty store."""
    found = EmbeddedStore(tmp_path / "monitor")
    yield found
    found.close()


def test_windows_are_judged_and_drift_is_an_alarm_once(
    log: Path, store: EmbeddedStore, version: Watched
) -> None:
    """Each of thirty hours has points; the moved column alarms, and no other column does."""
    told: list[dict[str, Any]] = []
    daemon = Daemon(setup_of(log, store, version, tell=told.append))
    daemon.poll()
    drift = store.points(PointQuery(signal="drift", subject="age"))
    assert [p.n for p in drift] == [300] * 30
    assert [(p.start - START) // HOUR for p in drift if p.state == "alarm"] == [*range(24, 30)]
    alarms = [alarm for alarm in store.alarms(lasting=True) if alarm.signal == "drift"]
    assert [(alarm.subject, alarm.opened) for alarm in alarms] == [("age", START + 24 * HOUR)]
    assert {p.signal for p in store.points()} >= {"drift", "output", "latency", "timeliness"}
    assert [line["n"] for line in told if line["event"] == "window"] == [300] * 30
    before = len(told)
    daemon.poll()
    assert [line for line in told[before:] if line["event"] in ("window", "alarm")] == []


def test_silence_after_the_last_event_is_an_alarm(
    log: Path, store: EmbeddedStore, version: Watched
) -> None:
    """300 predictions an hour, and then none for ten hours."""
    Daemon(setup_of(log, store, version)).poll()
    silence = store.points(PointQuery(signal="timeliness", subject="predictions"))
    alarmed = [(p.start - START) // HOUR for p in silence if p.state == "alarm"]
    assert alarmed
    assert min(alarmed) >= 30


def test_memory_is_bounded_however_long_the_log_is(
    log: Path, store: EmbeddedStore, version: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With four windows in memory the answers are those of having all of them there."""
    whole = EmbeddedStore(store.folder / "whole")
    Daemon(setup_of(log, whole, version)).poll()
    monkeypatch.setattr("afterfit.monitor.daemon.COMMIT_ROWS", 500)
    monkeypatch.setattr(Book.__init__, "__kwdefaults__", {"by_count": False, "most": 4})
    daemon = Daemon(setup_of(log, store, version))
    held: list[int] = []
    saved = type(daemon._book).saved

    def noted(book: Any) -> None:
        saved(book)
        held.append(len(daemon._windows.open))

    monkeypatch.setattr(type(daemon._book), "saved", noted)
    daemon.poll()
    assert max(held) <= 4
    assert plain(store.points()) == plain(whole.points())
    whole.close()


def test_late_rows_are_counted_and_backfilled(tmp_path: Path, version: Watched) -> None:
    """A worker whose events come a day late: told of, and right after a backfill, twice or once."""
    store = EmbeddedStore(tmp_path / "monitor")
    every = [event for hour in range(4) for event in events(hour)]
    write(tmp_path / "events", "w0", every[::2])
    told: list[dict[str, Any]] = []
    setup = setup_of(tmp_path, store, version, tell=told.append)
    setup = replace(setup, clock=lambda: START + 5 * HOUR)
    daemon = Daemon(setup)
    daemon.poll()
    write(tmp_path / "events", "w1", every[1::2])
    daemon.poll()
    assert daemon.kept.progress.late == {"churn@3": 600}
    assert [line["rows"] for line in told if line["event"] == "late"] == [600]
    query = PointQuery(signal="drift", subject="age")
    assert [point.n for point in store.points(query)] == [150] * 4
    alarms = store.alarms()
    for number in range(2):
        filled = backfill(setup, START + HOUR + 5, START + 9 * HOUR, tmp_path / f"s{number}")
        assert (filled.since, filled.until) == (START + HOUR, START + 4 * HOUR)
        assert filled.rows == 900
        assert [point.n for point in store.points(query)] == [150, 300, 300, 300]
    assert store.alarms() == alarms
    with pytest.raises(UsageError, match="closed yet"):
        backfill(setup, START + 4 * HOUR, START + 9 * HOUR, tmp_path / "s2")
    store.close()


def test_live_counts_stand_in_for_inputs_that_were_not_captured(
    tmp_path: Path, version: Watched
) -> None:
    """The events have no inputs, the server's counts have; half-written files are passed over."""
    store = EmbeddedStore(tmp_path / "monitor")
    write(tmp_path / "events", "w0", events(0, inputs=False))
    reference = version.reference.fingerprint
    assert reference is not None
    counts = LiveCounts("w0")
    frame = rows(1, 300, moved=True)
    counts.update(("churn", 3, "9b"), reference, frame, np.full(300, 0.5), now=START / 1e6 + 60)
    counts.save(tmp_path / "events")
    (tmp_path / "events" / f"counts-w9-{START // 1_000_000}-1.json").write_text('{"worker')
    Daemon(setup_of(tmp_path, store, version, counts=tmp_path / "events")).poll()
    (point,) = store.points(PointQuery(signal="drift", subject="age"))
    assert (point.state, point.n) == ("alarm", 300)
    store.close()


def test_windows_by_count_are_the_same_in_any_division(tmp_path: Path, version: Watched) -> None:
    """Read in one go, or as it grows with a new daemon each time."""
    every = [event for hour in range(6) for event in events(hour)]
    watch = replace(WATCH, width_us=0, rows=500)
    found = []
    for name, parts in (("one", [every]), ("many", [every[:220], every[220:900], every[900:]])):
        store = EmbeddedStore(tmp_path / name / "monitor")
        for number, part in enumerate(parts):
            write(tmp_path / name / "events", f"w{number}", part, size=20)
            Daemon(setup_of(tmp_path / name, store, version, watch=watch)).poll()
        found.append(plain(store.points(PointQuery(signal="drift", subject="age"))))
        store.close()
    assert [point["n"] for point in found[0]] == [500] * 3
    assert found[0] == found[1]


def test_a_signal_that_fails_stops_no_other(
    tmp_path: Path, store: EmbeddedStore, version: Watched
) -> None:
    """It is told of once."""
    write(tmp_path / "events", "w0", events(0) + events(1))
    told: list[dict[str, Any]] = []

    def broken(*_: object) -> list[SignalPoint]:
        raise ZeroDivisionError("of a window")

    usual = setup_of(tmp_path, store, version)
    setup = replace(usual, producers=(broken, *usual.producers), tell=told.append)
    daemon = Daemon(setup)
    daemon.poll()
    assert [line["signal"] for line in told if line["event"] == "signal_failed"] == ["broken"]
    assert "ZeroDivisionError" in daemon.kept.progress.failed["broken"]
    assert len(store.points(PointQuery(signal="drift", subject="age"))) == 2


def test_a_store_that_goes_away_is_waited_for(
    tmp_path: Path, store: EmbeddedStore, version: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step that failed is done again from what the store holds."""
    write(tmp_path / "events", "w0", [e for h in range(3) for e in events(h)])
    commit, fails = store.commit, [3, 5]
    calls: list[int] = []

    def flaky(endpoint: str, change: Change) -> None:
        calls.append(1)
        if len(calls) in fails:
            raise UnavailableError("away", why="restarting")
        commit(endpoint, change)
        if len(store.points(PointQuery(signal="drift", subject="age"))) == 3:
            daemon.stopped.set()

    monkeypatch.setattr(store, "commit", flaky)
    told: list[dict[str, Any]] = []
    daemon = Daemon(setup_of(tmp_path, store, version, tell=told.append))
    daemon.run(0.001)
    assert [line["why"] for line in told if line["event"] == "store_away"] == ["restarting"] * 2
    assert [p.n for p in store.points(PointQuery(signal="drift", subject="age"))] == [300] * 3


def test_that_nothing_came_is_kept_too(
    tmp_path: Path, store: EmbeddedStore, version: Watched
) -> None:
    """Whoever asks sees when the log was read, though nothing was in it."""
    moments = iter(range(START, START + 10 * HOUR, HOUR // 600))
    now = [0]
    daemon = Daemon(setup_of(tmp_path, store, version, clock=lambda: now[0]))
    read = []
    for _ in range(11):
        now[0] = next(moments)
        daemon.poll()
        body = store.parts("churn", "kept")["kept"]
        read.append(msgspec.msgpack.decode(body, type=Kept).progress.read - START)
    assert read == [0] * 5 + [HOUR // 120] * 5 + [HOUR // 60]


def test_silence_of_weeks_is_looked_for_in_one_commit(
    tmp_path: Path, store: EmbeddedStore, version: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon was away for 30 days: all hours looked at have their points in one commit."""
    monkeypatch.setattr("afterfit.monitor.pulse.MOST_HOURS", 48)
    write(tmp_path / "events", "w0", events(0, 20))
    sizes: list[int] = []
    commit = store.commit

    def counted(endpoint: str, change: Change) -> None:
        sizes.append(sum(point.signal == "timeliness" for point in change.points))
        commit(endpoint, change)

    monkeypatch.setattr(store, "commit", counted)
    setup = setup_of(tmp_path, store, version, clock=lambda: START + 30 * DAY)
    Daemon(setup).poll()
    assert [size for size in sizes if size] == [49]


def test_of_a_window_larger_than_the_reference_as_many_rows_are_judged(
    tmp_path: Path, store: EmbeddedStore
) -> None:
    """300 rows beside 250: drawn, the same ones each time, and said; the drift is still seen."""
    made = build(rows(7, 250), SIGNATURE, Predictions(values=np.random.default_rng(7).random(250)))
    small = Watched(Reference("9b", SIGNATURE, made))
    write(tmp_path / "events", "w0", [*events(0), *events(1, moved=True), *events(2, 220)])
    told: list[dict[str, Any]] = []
    setup = setup_of(tmp_path, store, small, tell=told.append, clock=lambda: START + 4 * HOUR)
    Daemon(setup).poll()
    found = store.points(PointQuery(signal="drift", subject="age"))
    assert [(p.n, p.state) for p in found] == [(250, "ok"), (250, "alarm"), (220, "ok")]
    said = "judged by 250 of 300 rows, drawn: the reference has no more"
    assert [p.message.endswith(said) for p in found] == [True, True, False]
    assert found[1].message.startswith(("5", "6", "7", "8"))
    assert [line for line in told if line["event"] == "signal_failed"] == []
    again = EmbeddedStore(tmp_path / "again")
    Daemon(replace(setup, store=again)).poll()
    assert plain(again.points(PointQuery(signal="drift"))) == plain(
        store.points(PointQuery(signal="drift"))
    )
    again.close()


def test_rows_of_the_future_are_left_out_and_counted(
    tmp_path: Path, store: EmbeddedStore, version: Watched
) -> None:
    """Ten years ahead, and scores above 1: told once, counted, and no window stays open."""
    found = events(0)
    for row in range(5):
        found[row] = msgspec.structs.replace(found[row], ts=START + 3650 * DAY)
    found[9] = msgspec.structs.replace(found[9], probabilities=(-0.5, 1.5))
    write(tmp_path / "events", "w0", found)
    told: list[dict[str, Any]] = []
    daemon = Daemon(setup_of(tmp_path, store, version, tell=told.append))
    daemon.poll()
    counts = {"dated in the future, left out": 5, "with a score outside of 0 to 1": 1}
    assert daemon.kept.progress.impossible == counts
    assert [line["what"] for line in told if line["event"] == "impossible"] == [*counts]
    assert [p.n for p in store.points(PointQuery(signal="drift", subject="age"))] == [295]
    assert store.part_names("churn", "window/") == []
    assert daemon.kept.progress.newest < START + HOUR


def test_alarms_of_a_version_end_when_another_answers_in_its_place(
    tmp_path: Path, store: EmbeddedStore, version: Watched
) -> None:
    """After a rollback: with the reason, three windows on; while nobody answers they last."""
    write(tmp_path / "events", "w0", [*events(0, 220), *events(1, 220, moved=True)])
    now = [START + 3 * HOUR]

    def watched_of(scope: Scope) -> Watched | None:
        return version if scope.digest in ("9b", "old") else None

    told: list[dict[str, Any]] = []
    setup = setup_of(tmp_path, store, version, clock=lambda: now[0], tell=told.append,
                     watched_of=watched_of)  # fmt: skip
    setup = replace(setup, source=EventSource(tmp_path / "events", lambda _: SIGNATURE))
    (drift,) = lasting(Daemon(setup), store)
    assert drift.scope == SCOPE
    now[0] = START + 20 * HOUR
    assert lasting(Daemon(setup), store) == [drift]
    later = [
        msgspec.structs.replace(event, version=2, digest="old")
        for hour in (2, 3, 4)
        for event in events(hour, 220)
    ]
    write(tmp_path / "events", "w1", later)
    assert lasting(Daemon(setup), store) == []
    (over,) = [alarm for alarm in store.alarms() if alarm.id == drift.id]
    assert over.state == "resolved"
    assert over.ended.startswith("version 3 has answered nothing since")
    assert over.ended.endswith("version 2 answers")


def lasting(daemon: Daemon, store: EmbeddedStore) -> list[Alarm]:
    """The alarms of drift that last after a poll."""
    daemon.poll()
    return [alarm for alarm in store.alarms(lasting=True) if alarm.signal == "drift"]


CHILD = """
import os, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.monitor import test_daemon as t
import afterfit.monitor.daemon as d
d.COMMIT_ROWS = 250
version = t.watched()
for _ in sys.stdin:
    child = os.fork()
    if not child:
        store = t.EmbeddedStore(Path(sys.argv[2]))
        daemon = t.Daemon(t.setup_of(Path(sys.argv[1]), store, version))
        print("begun", os.getpid(), flush=True)
        daemon.poll()
        print("done", flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    print("ended", flush=True)
"""
KILLS = 20


def test_a_daemon_that_is_killed_loses_nothing_and_repeats_no_alarm(
    store: EmbeddedStore, version: Watched, project_root: Path, tmp_path: Path
) -> None:
    """Kill -9 at 20 random moments, and let one come to the end: as if none had been killed."""
    log = tmp_path / "log"
    for worker in range(2):
        found = [e for h in range(8) for e in events(h, 210, moved=h >= 6)[worker::2]]
        write(log / "events", f"w{worker}", found)
    whole = EmbeddedStore(tmp_path / "whole")
    started = time.monotonic()
    Daemon(setup_of(log, whole, version)).poll()
    longest = (time.monotonic() - started) / 5
    generator = random.Random(5)
    command = [sys.executable, "-c", CHILD.format(root=str(project_root)), str(log)]
    told: list[list[str]] = []
    with subprocess.Popen(
        [*command, str(store.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        for attempt in range(KILLS + 1):
            parent.stdin.write("go\n")
            parent.stdin.flush()
            word, _, number = parent.stdout.readline().partition(" ")
            assert word == "begun"
            if attempt < KILLS:
                time.sleep(generator.uniform(0.0, longest))
                os.kill(int(number), signal.SIGKILL)
            told.append(list(iter(parent.stdout.readline, "ended\n")))
        parent.stdin.close()
    assert told[-1] == ["done\n"]
    assert sum(not said for said in told) > KILLS / 2
    assert plain(store.points()) == plain(whole.points())
    ids = [alarm.id for alarm in store.alarms()]
    assert ids == [alarm.id for alarm in whole.alarms()]
    body = store.parts("churn", "kept")["kept"]
    assert msgspec.msgpack.decode(body, type=Kept).progress.rows == 8 * 210
    whole.close()


def labels_of(hours: Iterable[int], *, flipped: bool = False) -> list[Event]:
    """A true class for each prediction of some hours: what was decided, in nine of ten rows."""
    found = []
    for hour in hours:
        scores = np.random.default_rng(hour).random(300)
        for row, score in enumerate(scores.tolist()):
            right = (row % 10 > 0) != (flipped and row % 10 > 5)
            yes = (score >= 0.5) == right
            found.append(
                Event(
                    event_id=f"{hour}-{row}",
                    kind="label",
                    ts=START + 39 * HOUR,
                    model="churn",
                    true_label="yes" if yes else "no",
                )
            )
    return found


def test_labels_of_its_last_hour_alone_judge_a_window_when_it_ends(
    tmp_path: Path, store: EmbeddedStore, version: Watched
) -> None:
    """A window of a day whose labels are all of 23 o'clock is not told a day late."""
    write(tmp_path / "events", "w0", [*events(23), *labels_of([23])])
    watch = replace(WATCH, width_us=DAY)
    feed = LabelFeed(LabelJoin(tmp_path / "labels.sqlite"), lambda _: version, watch, {})
    Daemon(setup_of(tmp_path, store, version, watch=watch, labels=feed)).poll()
    (share,) = store.points(PointQuery(signal="labels", subject="labelled_share"))
    assert (share.start, share.end, share.value) == (START, START + DAY, 1.0)
    feed.join.close()


def test_short_windows_without_a_prediction_have_no_labels(
    tmp_path: Path, store: EmbeddedStore, version: Watched
) -> None:
    """All of an hour's predictions came in its first quarter: there is one point and not four."""
    soon = [
        msgspec.structs.replace(event, ts=START + row * 1_000_000)
        for row, event in enumerate(events(0))
    ]
    write(tmp_path / "events", "w0", [*soon, *labels_of([0])])
    watch = replace(WATCH, width_us=HOUR // 4)
    feed = LabelFeed(LabelJoin(tmp_path / "labels.sqlite"), lambda _: version, watch, {})
    Daemon(setup_of(tmp_path, store, version, watch=watch, labels=feed)).poll()
    for kind, subject in (("labels", "labelled_share"), ("performance", "accuracy")):
        points = store.points(PointQuery(signal=kind, subject=subject))
        assert [(p.start, p.n) for p in points] == [(START, 300)]
    feed.join.close()


def test_labels_that_come_later_judge_windows_that_are_closed(
    tmp_path: Path, store: EmbeddedStore, version: Watched
) -> None:
    """The first windows are what is usual; quality that fell is an alarm, told again or not."""
    folder = tmp_path / "log"
    write(folder / "events", "w0", [event for hour in range(8) for event in events(hour)])
    feed = LabelFeed(
        LabelJoin(tmp_path / "labels.sqlite"), lambda s: version if s.digest == "9b" else None,
        WATCH, {},
    )  # fmt: skip
    setup = setup_of(folder, store, version, labels=feed)
    Daemon(setup).poll()
    query = PointQuery(signal="performance", subject="accuracy")
    assert store.points(query) == []
    write(folder / "events", "w1", labels_of(range(5)) + labels_of(range(5, 8), flipped=True))
    Daemon(setup).poll()
    points = store.points(query)
    assert [p.n for p in points] == [300] * 8
    # Two windows make what is usual: until then a gate alone can judge.
    assert [p.state for p in points] == ["cannot_tell"] * 2 + ["ok"] * 3 + ["alarm"] * 3
    alarms = [alarm for alarm in store.alarms() if alarm.signal == "performance"]
    write(folder / "events", "w2", labels_of(range(6, 8), flipped=True))
    Daemon(setup).poll()
    assert [alarm.id for alarm in store.alarms() if alarm.signal == "performance"] == [
        alarm.id for alarm in alarms
    ]
    shares = store.points(PointQuery(signal="labels", subject="labelled_share"))
    assert [point.value for point in shares] == [1.0] * 8
    feed.join.close()
