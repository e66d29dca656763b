"""A rehearsal: faults that are put into traffic, and what monitors make of them."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import msgspec
import numpy as np
import pytest

from afterfit.core.fingerprint import build
from afterfit.core.frame import Frame, Predictions
from afterfit.core.sections import AlarmsSection
from afterfit.core.signature import Column, Signature
from afterfit.errors import ConfigError, InputError
from afterfit.monitor.calibrate import calibrate_counts
from afterfit.monitor.producers import Watched
from afterfit.monitor.rehearse.config import RehearsalConfig
from afterfit.monitor.rehearse.faults import FAULTS, Hit, fault_called
from afterfit.monitor.rehearse.monitors import Always, Periodic, Seen, Told, closeness
from afterfit.monitor.rehearse.play import Stage, cases_of, play, ring
from afterfit.monitor.rehearse.run import Pace, Plan, halved, own_monitor, pace_of, rehearse
from afterfit.monitor.rehearse.score import delay_metric, false_alarms, periods
from afterfit.monitor.rehearse.traffic import Traffic
from afterfit.monitor.rehearse.verdict import verdict
from afterfit.monitor.settings import Watch
from afterfit.monitor.table import Reference
from afterfit.records import codec
from afterfit.records.codec import Stored
from afterfit.records.record import Envelope, Environment
from afterfit.records.signals import Scope, SignalPoint
from afterfit.report import html, text
from afterfit.report.build import record_page

if TYPE_CHECKING:
    from afterfit.core.metric import Metric
    from afterfit.records.rehearsal import RehearsalRecord

HOUR = 3_600_000_000
SIGNATURE = Signature(
    task="binary",
    columns=(
        Column(name="amount", kind="number", nullable=True),
        Column(name="age", kind="integer"),
        Column(name="shop", kind="category", categories=("a", "b", "c")),
        Column(name="member", kind="boolean"),
    ),
    classes=("no", "yes"),
    positive="yes",
)
ENV = Environment(afterfit="0")


def answers(frame: Frame, _: np.ndarray) -> Predictions:
    """A logistic model of the amount and the age that takes anything."""
    amount = np.nan_to_num(np.asarray(frame["amount"], np.float64), nan=0.0)
    age = np.asarray(frame["age"], np.float64)
    p = 1 / (1 + np.exp(-np.clip(2 * amount + (age - 40) / 10, -30, 30)))
    return Predictions(probabilities=np.column_stack([1 - p, p]))


def traffic(n: int = 6000, seed: int = 0, **more: Any) -> Traffic:
    """Rows of independent draws with labels that come true as the model says."""
    random = np.random.default_rng(seed)
    frame = {
        "amount": random.normal(size=n),
        "age": random.integers(20, 60, n),
        "shop": random.choice(["a", "b", "c"], n, p=[0.5, 0.3, 0.2]).astype(object),
        "member": random.random(n) < 0.4,
    }
    p = answers(frame, np.arange(n)).main[:, 1]
    truth = (random.random(n) < p).astype(np.int64)
    return Traffic(SIGNATURE, frame, answers, truth, **more)


def rows_with(name: str, size: float, subject: str, windows: int = 1) -> tuple[Any, Any, Traffic]:
    """A window before and after a fault."""
    made = traffic(2000)
    before = made.rows(np.arange(1000))
    hit = Hit(made, subject, size, windows, np.random.default_rng(1))
    return before, fault_called(name).change(before, hit), made


def test_a_fault_changes_its_column_and_nothing_else() -> None:
    """Of each fault of columns the other columns and the labels stay, and the given rows too."""
    made = traffic(2000)
    for fault in FAULTS:
        if fault.needs_labels:
            continue
        before = made.rows(np.arange(1000))
        kept = {name: values.copy() for name, values in before.frame.items()}
        subject = fault.subjects(made)[0]
        hit = Hit(made, subject, fault.levels[0].size, 5, np.random.default_rng(1))
        after = fault.change(before, hit)
        changed = [n for n in kept if not np.array_equal(after.frame[n], kept[n])]
        assert changed == [subject], fault.name
        assert all(np.array_equal(before.frame[n], kept[n]) for n in ("age", "shop", "member"))
        assert after.truth is before.truth


@pytest.mark.parametrize(
    ("name", "subject", "expected"),
    [
        ("scale", "age", lambda old: old * 100),
        ("unit", "amount", lambda old: old * 1.8 + 32),
        ("renamed", "shop", lambda old: np.where(old == "a", "a_v2", old)),
    ],
)
def test_what_a_fault_makes_of_values(name: str, subject: str, expected: Any) -> None:
    """Of all rows: cents, degrees of Fahrenheit, another name of the commonest category."""
    before, after, _ = rows_with(name, 1.0, subject)
    assert np.array_equal(after.frame[subject], expected(before.frame[subject]))
    assert after.frame[subject].dtype == before.frame[subject].dtype


def test_a_part_of_the_rows_is_hit() -> None:
    """A tenth of the rows means about a tenth: 100 of 1,000, by 4 standard deviations at most."""
    before, after, _ = rows_with("scale", 0.1, "amount")
    assert abs(int((after.frame["amount"] != before.frame["amount"]).sum()) - 100) < 40
    _, burst, _ = rows_with("missing", 0.5, "amount")
    assert abs(int(np.isnan(burst.frame["amount"]).sum()) - 500) < 64


def test_a_column_stands_still_at_one_value() -> None:
    """Every row has the same value, in every window, of the column's own kind."""
    for subject in ("amount", "age", "shop", "member"):
        _, after, made = rows_with("frozen", 1.0, subject)
        values = set(after.frame[subject].tolist())
        assert len(values) == 1
        assert values <= set(made.frame[subject].tolist())


def test_a_slow_drift_grows_with_the_windows_also_of_whole_numbers() -> None:
    """After 10 windows of 0.02 the mean moved by 0.2 standard deviations; integers stay whole."""
    for subject in ("amount", "age"):
        before, after, made = rows_with("slow", 0.02, subject, windows=10)
        old, new = before.frame[subject], after.frame[subject]
        moved = (new.mean() - old.mean()) / made.frame[subject].std()
        assert moved == pytest.approx(0.2, abs=0.005)
        assert new.dtype == old.dtype


def test_labels_shift_and_flip() -> None:
    """Odds of the positive class times 4; and truths turned in the upper half of a column."""
    before, after, made = rows_with("labels", 4.0, "labels")
    share = np.asarray(made.truth).mean()
    odds = share / (1 - share) * 4
    assert after.truth.mean() == pytest.approx(odds / (1 + odds), abs=0.06)
    before, after, made = rows_with("concept", 0.5, "amount")
    high = before.frame["amount"] >= np.median(made.frame["amount"])
    assert np.array_equal(after.truth, np.where(high, 1 - before.truth, before.truth))


def test_a_regression_is_mirrored_and_unknown_labels_stay_unknown() -> None:
    """Values become their mirror image about the mean, NaN stays NaN."""
    made = traffic(500)
    values = np.r_[np.nan, np.arange(499.0)]
    signature = Signature(task="regression", columns=SIGNATURE.columns)
    made = replace(made, signature=signature, truth=values)
    before = made.rows(np.arange(500))
    hit = Hit(made, "amount", 1.0, 1, np.random.default_rng(0))
    after = fault_called("concept").change(before, hit)
    assert after.truth is not None
    assert np.array_equal(after.truth, 2 * np.nanmean(values) - values, equal_nan=True)
    higher = fault_called("labels").change(before, Hit(made, "labels", 4.0, 1, hit.generator))
    assert np.mean(higher.truth > np.nanmedian(values)) > 0.7


def test_faults_that_the_rows_have_nothing_for_say_what_is_needed() -> None:
    """Without labels, categories and nullable columns those faults are left out, with a reason."""
    made = traffic(500)
    column = (Column(name="member", kind="boolean"),)
    bare = replace(
        made,
        signature=Signature(task="regression", columns=column),
        frame={"member": made.frame["member"]},
        truth=None,
    )
    cases, skipped = cases_of(bare)
    assert {case.fault.name for case in cases} == {"frozen"}
    assert skipped["labels"] == "no labels were given"
    assert "categories" in skipped["renamed"]
    assert "missing" in skipped["missing"]


@dataclass
class Watcher:
    """A monitor of somebody else: raises where the mean amount is beyond 3."""

    seen: int = 0

    def see(self, seen: Seen) -> Told:
        """Look at one column."""
        self.seen += 1
        value = abs(float(np.nanmean(seen.frame["amount"])))
        point = SignalPoint(
            signal="drift", subject="amount", scope=Scope(), start=seen.start, end=seen.end,
            n=seen.rows, state="alarm",
        )  # fmt: skip
        return Told((point,) if value > 3 else (), value / 3)

    def fork(self) -> Self:
        """Go on apart."""
        return replace(self)


def test_any_monitor_is_scored_and_named_rightly_only_for_its_column() -> None:
    """One that looks at the amount alone finds it in another unit at once, and nothing of age."""
    stage = Stage(traffic(), 200, HOUR, before=2, after=3)
    cases, _ = cases_of(stage.traffic)
    cases = [each for each in cases if each.key in (("unit", "strong"), ("renamed", "strong"))]
    played = play(stage, Watcher, cases, 12)
    assert (played.null_windows, played.null_alarms, played.replays) == (12 * 5, 0, 12)
    found = {(t.subject, t.windows, t.rows, t.right) for t in played.trials["unit", "strong"]}
    assert found == {("amount", 1, 200, True), ("age", None, None, False)}
    assert all(trial.windows is None for trial in played.trials["renamed", "strong"])
    assert len(played.scores["unit", "strong"]) == 5


def test_a_replay_is_the_same_for_the_same_seed() -> None:
    """The same rows, columns and delays; another seed draws others."""
    made = traffic()
    cases = [each for each in cases_of(made)[0] if each.fault.name == "unit"]
    runs = [
        play(Stage(made, 200, HOUR, 2, 3, seed=seed), Watcher, cases, 6).trials
        for seed in (1, 1, 2)
    ]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_replays_end_in_time() -> None:
    """After the time is over no replay begins, but the first two."""
    cases = cases_of(traffic())[0][:1]
    played = play(Stage(traffic(), 100, HOUR, 1, 2), Watcher, cases, 50, ends=time.monotonic())
    assert played.replays == 2


def test_a_model_that_refuses_rows_is_a_window_without_answers() -> None:
    """What it raised is told to the monitor as the server's log would have it."""

    def refuses(*_: object) -> Predictions:
        raise ValueError("no such category")

    made = replace(traffic(500), answer=refuses)
    seen = Stage(made, 100, HOUR, 1, 2).seen(made.rows(np.arange(100)), 0)
    assert seen.answers is None
    assert seen.error == "ValueError: no such category"


def test_dummies_ring_by_the_clock() -> None:
    """Always is first window; a clock of 10 rings within 5 windows in about half of the cases."""
    stage = Stage(traffic(500), 100, HOUR, 1, 5)
    assert ring(stage, 1, 20) == [1] * 20
    rung = ring(stage, 10, 400)
    assert sum(delay is not None for delay in rung) == pytest.approx(200, abs=40)
    assert {delay for delay in rung if delay is not None} == {1, 2, 3, 4, 5}
    blank = Seen({}, 1, None, None, 0, 1)
    assert Always().fork().see(blank).raised
    clock = Periodic(3, 1)
    assert [bool(clock.see(blank).raised) for _ in range(6)] == [False, True, False] * 2


def test_the_clock_has_as_many_false_alarms_as_the_upper_bound() -> None:
    """None of 300 windows: Wilson's bound is 1.26 %, one in 79; and none is no rate of zero."""
    assert periods(0, 300, 0.95) == 79
    rate = false_alarms(0, 300, HOUR, 0.95)
    assert rate.value == 0.0
    assert rate.high == pytest.approx(730.5 * 0.01264, rel=0.01)


def test_delays_that_never_end_are_longer_than_any() -> None:
    """The median is none where half or more had no alarm, and its bound where that is beyond."""
    assert delay_metric("delay", [1, 2, 3, None, None], 0.95, "windows").value == 3
    assert delay_metric("delay", [1, None, None], 0.95, "windows").value is None
    many = delay_metric("delay", [2] * 20, 0.95, "windows")
    assert (many.low, many.value, many.high) == (2, 2, 2)


def test_how_far_a_point_is_towards_an_alarm() -> None:
    """Half of the way to a threshold is a half, on either side; what says nothing is 0."""
    usual: dict[str, Any] = {"signal": "x", "scope": Scope(), "start": 0, "end": 1, "n": 9}
    point = SignalPoint(state="ok", value=0.7, usual=0.8, threshold=0.6, **usual)
    assert closeness(point) == pytest.approx(0.5)
    small = SignalPoint(state="ok", value=0.02, usual=0.0, threshold=0.01, least=0.05, **usual)
    assert closeness(small) == pytest.approx(0.4)
    far = SignalPoint(state="alarm", value=1e9, usual=0.0, threshold=1.0, **usual)
    assert closeness(far) == 10.0
    assert closeness(SignalPoint(state="insufficient", **usual)) == 0.0


def test_the_pace_comes_from_the_times_of_the_rows() -> None:
    """1,000 rows in 10 hours are 100 an hour; without times the settings and 500 rows count."""
    ts = np.linspace(1, 10 * HOUR, 1000).astype(np.int64)
    assert pace_of(Watch(), 1000, ts) == Pace(100, HOUR, timed=True)
    rows = pace_of(Watch(width_us=0, rows=50), 1000, ts)
    assert (rows.window_rows, rows.timed) == (50, True)
    assert rows.window_us == pytest.approx(HOUR / 2, rel=0.01)
    assert pace_of(Watch(), 1000, None) == Pace(500, HOUR)
    assert pace_of(Watch(), 1000, ts, 70) == Pace(70, HOUR)


@pytest.fixture(scope="module")
def record() -> RehearsalRecord:
    """A rehearsal of our own monitor beside a reference of the same kind of rows."""
    earlier = traffic(6000, seed=5)
    fingerprint = build(earlier.frame, SIGNATURE, answers(earlier.frame, np.arange(6000)))
    watch = Watch(min_rows=100)
    quality, later = halved(traffic(8000, seed=6), watch)
    assert quality is not None
    pace = Pace(300, HOUR)
    kept = calibrate_counts(fingerprint, replicates=400)
    watched = Watched(Reference("d" * 64, SIGNATURE, fingerprint), kept)
    plan = Plan(
        traffic=later,
        make=own_monitor(watched, watch, AlarmsSection(), quality, pace, 1),
        pace=pace,
        subject="d" * 64,
        labelled=True,
    )
    config = RehearsalConfig(replays=2, before=1, after=4, seed=3)
    return rehearse(plan, config, env=ENV)


def test_our_monitor_sees_the_gross_faults_at_once_and_names_them(record: RehearsalRecord) -> None:
    """Columns in other units, renamed, missing or still: within a window, the column first."""
    found = {(each.fault, each.severity): each for each in record.outcomes}
    for name in ("scale", "unit", "renamed", "missing", "frozen"):
        outcome = found[name, "strong"]
        assert [trial.windows for trial in outcome.trials] == [1, 1], name
        assert outcome.named.value == 1.0, name
        assert outcome.scores[-1] >= 1
    concept = found["concept", "strong"]
    assert [trial.signal for trial in concept.trials] == ["performance"] * 2
    # Labels are known a window later.
    assert [trial.windows for trial in concept.trials] == [2, 2]


def test_what_is_missed_is_told_with_what_would_see_it(record: RehearsalRecord) -> None:
    """A drift too slow for four windows is a finding, with the settings that were tried."""
    slow = next(o for o in record.outcomes if (o.fault, o.severity) == ("slow", "weak"))
    assert slow.detected.value == 0.0
    tried = [each for each in record.remedies if (each.fault, each.severity) == ("slow", "weak")]
    assert {each.setting for each in tried} >= {"windows of 1200 rows", "10 times the false alarms"}
    (told,) = [f for f in record.findings if f.where == "slow, weak"]
    assert (told.code, told.outcome) == ("M090", "tip")
    assert "0 of 2 replays within 4 windows of 300 rows" in told.message
    assert record.null_windows == 10
    assert record.null_alarms <= 1
    assert record.status == "complete"


def test_a_window_is_one_stretch_of_neighbours() -> None:
    """So that the hour of the day is spread over it as over real ones; of few rows a quarter."""
    made, generator = traffic(2000), np.random.default_rng(0)
    for window, stretch in ((300, 300), (900, 500)):
        assert made.stretch(window) == stretch
        blocks = made.draw(3 * window, generator, window)[: 2 * stretch].reshape(2, stretch)
        assert (np.diff(blocks, axis=1) % 2000 == 1).all()


def test_why_other_proportions_of_a_rare_class_are_not_seen_is_told(
    record: RehearsalRecord,
) -> None:
    """In rows of a window: with the fault, as usual, and what chance may do."""
    (weak,) = [o for o in record.outcomes if (o.fault, o.severity) == ("labels", "weak")]
    unseen = metric_share(weak.detected)
    rare = msgspec.structs.replace(
        record, raised=0.02, window_rows=1000,
        outcomes=(msgspec.structs.replace(weak, detected=unseen),),
    )  # fmt: skip
    (told,) = [f for f in verdict(rare) if f.where == "labels, weak"]
    assert "a window then has 29.7 rows of the class where 20 are usual" in told.message
    assert 0 < record.raised < 1


def metric_share(metric: Metric) -> Metric:
    """The same share, of which nothing was seen."""
    return msgspec.structs.replace(metric, value=0.0, low=0.0)


def test_the_record_is_kept_and_has_a_page(record: RehearsalRecord) -> None:
    """It comes back from its file as it was, and its page has the table, dummies and plots."""
    stored = Stored(envelope=Envelope(digest=record.digest), body=record)
    assert codec.decode(codec.encode(stored), where="x").body == record
    page = record_page(stored)
    shown = " ".join(text.render(page).split())
    for words in ("This monitor would not see", "slow drift", "Beside monitors that look",
                  "What would see it", "always", "a clock, every"):  # fmt: skip
        assert words in shown
    assert html.render(page).count("<svg") >= 8


def test_windows_that_the_monitor_does_not_judge_whole_are_refused() -> None:
    """Too few rows, of which nothing is said, or more than the reference has."""
    earlier = traffic(600, seed=5)
    fingerprint = build(earlier.frame, SIGNATURE, answers(earlier.frame, np.arange(600)))
    watched = Watched(Reference("", SIGNATURE, fingerprint))
    for rows in (60, 700):
        with pytest.raises(InputError, match=f"windows of {rows} rows are not rehearsed") as error:
            own_monitor(watched, Watch(), AlarmsSection(), None, Pace(rows, HOUR), 1)
        assert "200 rows" in error.value.why
        assert "600" in error.value.why


def test_quality_needs_labels_in_both_halves() -> None:
    """Without them all rows are replayed, and quality is not measured."""
    made = traffic(1000)
    unlabelled = replace(made, truth=np.full(1000, -1))
    assert halved(unlabelled, Watch()) == (None, unlabelled)
    table, later = halved(made, Watch())
    assert table is not None
    assert (table.labelled, len(later)) == (500, 500)


def test_settings_that_mean_nothing_are_refused() -> None:
    """Each names the option."""
    wrong: dict[str, Any] = {"replays": 1, "after": 0, "seconds": 0.0, "level": 1.0}
    for name, value in wrong.items():
        with pytest.raises(ConfigError, match=f"{name} is out of range") as error:
            RehearsalConfig(**{name: value})
        assert error.value.where == f"--{name}"
