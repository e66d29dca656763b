"""The monitoring report: what it counts, joins, compares, and refuses to say."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest

from afterfit.core.event import Event, new_ids
from afterfit.core.finding import Finding
from afterfit.core.fingerprint import Fingerprint, build
from afterfit.core.frame import Frame, Predictions, take
from afterfit.core.metric import find
from afterfit.core.metric_names import METRICS
from afterfit.core.signature import Column, Signature
from afterfit.errors import ConfigError, InputError
from afterfit.monitor.config import MonitorConfig
from afterfit.monitor.run import monitor_report
from afterfit.monitor.table import Reference
from afterfit.records.monitor import MonitorRecord
from afterfit.records.record import Environment
from afterfit.runtime.counts import Window

ENV = Environment(afterfit="0.1.0")
DIGEST = "9b" * 32
NOON = 1_795_435_200_000_000
SIGNATURE = Signature(
    task="binary",
    columns=(
        Column(name="age", kind="number"),
        Column(name="job", kind="category"),
        Column(name="note", kind="text", nullable=True),
    ),
    classes=("no", "yes"),
    positive="yes",
    threshold=0.5,
)


def rows(seed: int, n: int, shift: float = 0.0) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Columns and scores of n rows; ``shift`` moves the age and the score."""
    random = np.random.default_rng(seed)
    job = random.choice(np.array(["clerk", "cook", "pilot"], dtype=object), n)
    job[random.random(n) < 0.001] = "mime"
    note = np.array([f"text {i}" for i in range(n)], dtype=object)
    age = random.normal(40 + 15 * shift, 10, n)
    return {"age": age, "job": job, "note": note}, random.beta(2, 4 - 2 * shift, n)


@pytest.fixture(scope="module")
def reference() -> Reference:
    """What the version was assessed on: 5000 rows."""
    frame, scores = rows(0, 5000)
    predictions = Predictions(probabilities=np.column_stack([1 - scores, scores]))
    return Reference(DIGEST, SIGNATURE, build(frame, SIGNATURE, predictions))


def served(frame: Frame, scores: np.ndarray, *, inputs: bool = False, **more: Any) -> list[Event]:
    """One event a row, a second apart."""
    ids = new_ids(len(scores))
    return [
        Event(
            event_id=ids[i],
            kind="served",
            ts=NOON + i * 1_000_000,
            digest=DIGEST,
            probabilities=(1 - float(p), float(p)),
            queue_us=100 + i % 50,
            infer_us=20 + i % 7,
            inputs={name: values[i] for name, values in frame.items()} if inputs else None,
            **more,
        )
        for i, p in enumerate(scores)
    ]


def labels_for(events: list[Event], seed: int = 0, late: int = 3_600_000_000) -> list[Event]:
    """A label an hour after each prediction, true with the predicted probability."""
    random = np.random.default_rng(seed)
    return [
        Event(
            event_id=event.event_id,
            kind="label",
            ts=event.ts + late,
            true_label="yes" if random.random() < event.probabilities[1] else "no",
        )
        for event in events
    ]


def report(events: Any, reference: Reference, **settings: Any) -> MonitorRecord:
    """The report of some events."""
    return monitor_report(events, reference, MonitorConfig(**settings), env=ENV)


def of(record: MonitorRecord, code: str) -> list[Finding]:
    """The findings of one code."""
    return [finding for finding in record.findings if finding.code == code]


def outcomes(record: MonitorRecord, code: str) -> list[str]:
    """The outcomes of the findings of one code."""
    return [finding.outcome for finding in of(record, code)]


def distance(record: MonitorRecord, column: str, name: str = "total_variation") -> float | None:
    """One distance of the record."""
    return next(d.value for d in record.distances if d.column == column and d.name == name)


def test_rows_like_the_reference_have_not_moved(reference: Reference) -> None:
    """Fresh rows of the same distribution pass, with their distances and rows stated."""
    frame, scores = rows(1, 2000)
    record = report(served(frame, scores, inputs=True), reference)
    assert outcomes(record, "M002") == ["passed"]
    assert outcomes(record, "M003") == ["passed"]
    assert {(d.n, d.n_ref) for d in record.distances} == {(2000, 5000)}
    assert record.counts["served"] == 2000
    assert record.live is not None
    assert record.live.n_ref == 2000


def test_rows_that_moved_are_issues(reference: Reference) -> None:
    """An older crowd moves age and output, and not the job."""
    frame, scores = rows(1, 2000, shift=0.7)
    record = report(served(frame, scores, inputs=True), reference)
    assert outcomes(record, "M002") == ["issue"]
    moved = [f.where for f in of(record, "M003") if f.outcome == "issue"]
    assert moved == ["age"]
    assert (distance(record, "age") or 0) > 0.3
    assert (distance(record, "job") or 0) < 0.05


@pytest.mark.parametrize("seed", range(8))
def test_chance_alone_raises_no_alarm(reference: Reference, seed: int) -> None:
    """Some hundreds of unchanged rows look different, and are not called so."""
    frame, scores = rows(100 + seed, 300)
    record = report(served(frame, scores, inputs=True), reference, least_distance=0.0)
    assert "issue" not in outcomes(record, "M002") + outcomes(record, "M003")


def test_too_few_rows_say_so(reference: Reference) -> None:
    """Below the minimum nothing is compared, and the finding tells how many rows are needed."""
    frame, scores = rows(1, 50, shift=1.0)
    record = report(served(frame, scores, inputs=True), reference)
    assert outcomes(record, "M002") == ["skipped"]
    assert "insufficient data" in of(record, "M002")[0].message
    assert of(record, "M002")[0].evidence["needed_n"] == 200
    assert {d.value for d in record.distances} == {None}
    assert "passed" not in outcomes(record, "M003")


def test_an_empty_log_is_an_issue(reference: Reference) -> None:
    """Nothing at all is not the same as nothing wrong."""
    record = report([], reference)
    assert outcomes(record, "M001") == ["issue"]
    assert outcomes(record, "M002") == ["skipped"]
    assert record.period is None


def test_rare_reference_categories_are_not_new(reference: Reference) -> None:
    """What the reference folded into ``other`` is compared with live values it does not know."""
    frame, scores = rows(1, 2000)
    frame["job"][:3] = "mime"
    record = report(served(frame, scores, inputs=True), reference)
    assert (distance(record, "job") or 0) < 0.05


def test_free_text_is_compared_by_missing_values_only(reference: Reference) -> None:
    """Text has no bins; losing it all is still seen."""
    frame, scores = rows(1, 2000)
    frame["note"][:] = None
    record = report(served(frame, scores, inputs=True), reference)
    assert distance(record, "note") == pytest.approx(1.0)
    assert [f.where for f in of(record, "M003") if f.outcome == "issue"] == ["note"]


def test_the_same_events_twice_change_nothing(reference: Reference) -> None:
    """Segments that are read again are counted as duplicates and nothing else."""
    frame, scores = rows(1, 400)
    events = served(frame, scores, inputs=True)
    events += labels_for(events)
    once, twice = report(events, reference), report(events + events[::-1], reference)
    assert twice.counts["duplicate"] == len(events)
    assert twice.metrics == once.metrics
    assert twice.live == once.live
    counts = {k: v for k, v in twice.counts.items() if k != "duplicate"}
    assert counts == once.counts


def test_the_latest_label_wins_in_any_order(reference: Reference) -> None:
    """A correction replaces the first label, whichever is read first."""
    frame, scores = rows(1, 300)
    events = served(frame, scores)
    wrong = [msgspec.structs.replace(e, ts=e.ts - 5) for e in labels_for(events, seed=9)]
    right = labels_for(events, seed=1)
    alone = report(events + right, reference)
    for mixed in (events + wrong + right, right + wrong + events):
        record = report(mixed, reference)
        assert find(record.metrics, "f1") == find(alone.metrics, "f1")
        assert find(record.metrics, "labelled_share") == find(alone.metrics, "labelled_share")


def test_labels_join_by_entity_too(reference: Reference) -> None:
    """A label that only knows the customer reaches the customer's prediction."""
    frame, scores = rows(1, 300)
    events = [
        msgspec.structs.replace(event, entity=f"customer {i}")
        for i, event in enumerate(served(frame, scores))
    ]
    labels = [
        msgspec.structs.replace(label, event_id=f"label {i}", entity=f"customer {i}")
        for i, label in enumerate(labels_for(events))
    ]
    record = report(events + labels, reference)
    assert record.counts["label_joined"] == 300
    found = find(record.metrics, "roc_auc")
    assert found is not None
    assert found.n == 300


def test_labels_of_nothing_are_kept_and_counted(reference: Reference) -> None:
    """Unknown ids are an issue with their number, and do not count as labelled rows."""
    frame, scores = rows(1, 300)
    events = served(frame, scores)
    stray = [
        msgspec.structs.replace(label, event_id=f"x{i}")
        for i, label in enumerate(labels_for(events[:40]))
    ]
    record = report(events + stray, reference)
    assert record.counts["label_unknown"] == 40
    assert "40 of 40 labels" in of(record, "M006")[0].message
    assert outcomes(record, "M007") == ["skipped"]


def test_quality_comes_with_intervals(reference: Reference) -> None:
    """With enough labels each metric has a value between its bounds and its rows."""
    frame, scores = rows(1, 800)
    events = served(frame, scores)
    record = report(events + labels_for(events), reference)
    assert outcomes(record, "M007") == ["passed"]
    for name in ("roc_auc", "log_loss", "f1", "recall"):
        found = find(record.metrics, name, "live")
        assert found is not None
        assert found.value is not None
        assert found.low is not None
        assert found.high is not None
        assert found.low <= found.value <= found.high
        assert found.n == 800


def test_labels_of_no_class_are_left_out_loudly(reference: Reference) -> None:
    """A renamed class is an issue and does not count as a wrong answer."""
    frame, scores = rows(1, 400)
    events = served(frame, scores)
    labels = labels_for(events)
    labels[:30] = [msgspec.structs.replace(label, true_label="Y") for label in labels[:30]]
    record = report(events + labels, reference)
    told = of(record, "M008")[0].message
    assert told.startswith("30 labels")
    assert told.endswith("such as 'Y'; its classes are 'no', 'yes'")
    found = find(record.metrics, "accuracy")
    assert found is not None
    assert found.n == 370


def test_gates_serve_as_alarms(reference: Reference) -> None:
    """A gate that no longer holds is an issue; one about something else is left alone."""
    frame, scores = rows(1, 800)
    events = served(frame, scores)
    gates = ("recall.low >= 0.99", "roc_auc >= 0.5", "r2 >= 0", "loadtest.latency_p99_ms <= 1")
    record = report(events + labels_for(events), reference, gates=gates)
    assert outcomes(record, "M009") == ["issue", "passed", "skipped"]
    assert {metric.name for metric in record.metrics} <= set(METRICS["monitor"])


def test_shadows_are_counted_apart(reference: Reference) -> None:
    """What a shadow said reached nobody, so it moves no distribution."""
    frame, scores = rows(1, 500)
    shadow = served(*rows(2, 500, shift=1.0), inputs=True, role="shadow")
    record = report(served(frame, scores, inputs=True) + shadow, reference)
    assert record.counts["served"] == 500
    assert record.counts["shadow"] == 500
    assert outcomes(record, "M002") == ["passed"]
    assert record.versions[DIGEST] == {"primary": 500, "shadow": 500}


def test_period_and_version_can_be_chosen(reference: Reference) -> None:
    """``since``, ``until`` and ``digest`` bound predictions."""
    frame, scores = rows(1, 600)
    events = served(frame, scores)
    events[0] = msgspec.structs.replace(events[0], digest="other")
    record = report(
        events, reference, since="2026-11-23T12:00:00", until="2026-11-23T12:05:00", digest=DIGEST
    )
    assert record.counts["served"] == 299
    assert record.counts["of_other_versions"] == 1
    assert record.period == ("2026-11-23T12:00:01+00:00", "2026-11-23T12:04:59+00:00")


def test_failures_and_refusals_are_an_issue(reference: Reference) -> None:
    """More than the allowed share without an answer, with the commonest error."""
    frame, scores = rows(1, 300)
    bad = [
        Event(event_id=event_id, kind="refused", ts=NOON, error="$.rows[0].age: missing")
        for event_id in new_ids(20)
    ]
    record = report(served(frame, scores) + bad, reference)
    finding = of(record, "M005")[0]
    assert finding.outcome == "issue"
    assert finding.where == "$.rows[0].age: missing"
    found = find(record.metrics, "unanswered_share")
    assert found is not None
    assert found.value == pytest.approx(20 / 320)


def test_flags_are_shares_of_rows(reference: Reference) -> None:
    """A tenth of rows with a new category is an issue; a hundredth out of range is not."""
    frame, scores = rows(1, 500)
    events = served(frame, scores)
    for i in range(50):
        flags = ("new_category", "range") if i < 5 else ("new_category",)
        events[i] = msgspec.structs.replace(events[i], flags=flags)
    record = report(events, reference)
    assert [finding.where for finding in of(record, "M004")] == ["new_category"]
    found = find(record.metrics, "range_share")
    assert found is not None
    assert found.value == pytest.approx(0.01)


def test_waits_have_quantiles_with_rows(reference: Reference) -> None:
    """The median lies between its order statistics, in microseconds."""
    frame, scores = rows(1, 500)
    record = report(served(frame, scores), reference)
    found = find(record.metrics, "queue_p50_us")
    assert found is not None
    assert (found.value, found.n, found.unit) == (124.0, 500, "us")
    assert found.low is not None
    assert found.high is not None
    assert found.low < 124 < found.high


def test_counts_stand_in_for_inputs(reference: Reference) -> None:
    """Windows of live counts give the same column distances as the captured rows."""
    frame, scores = rows(1, 1000, shift=0.7)
    captured = report(served(frame, scores, inputs=True), reference)
    windows = list(_windows(reference, frame, scores))
    counted = monitor_report(served(frame, scores), reference, env=ENV, windows=windows)
    assert distance(counted, "age") == pytest.approx(distance(captured, "age"))
    assert distance(counted, "\0output") == pytest.approx(distance(captured, "\0output"))
    assert counted.live is not None
    assert counted.live.n_ref == 1000


def _windows(reference: Reference, frame: Frame, scores: np.ndarray) -> Iterator[Window]:
    assert reference.fingerprint is not None
    for start in range(0, 1000, 250):
        part = slice(start, start + 250)
        counts = reference.fingerprint.blank()
        counts.update(take(frame, part), scores[part])
        yield msgspec.json.decode(msgspec.json.encode(_window(counts)), type=Window)


def _window(counts: Fingerprint) -> Window:
    return Window(model="m", version=1, digest="d", start=1_760_000_400, fingerprint=counts)


def test_counts_of_another_version_are_refused(reference: Reference) -> None:
    """Counts on other edges cannot be added up, and say why."""
    frame, scores = rows(7, 500)
    other = build(frame, SIGNATURE, Predictions(values=scores))
    with pytest.raises(InputError, match="another version"):
        monitor_report([], reference, env=ENV, windows=[_window(other)])


def test_unseen_inputs_are_not_passed(reference: Reference) -> None:
    """Without captured rows and counts the columns are skipped, with a fix."""
    frame, scores = rows(1, 500)
    record = report(served(frame, scores), reference)
    assert outcomes(record, "M010") == ["skipped"]
    assert of(record, "M010")[0].fix
    assert outcomes(record, "M003") == []
    assert outcomes(record, "M002") == ["passed"]


def test_hostile_inputs_are_counted_as_missing(reference: Reference) -> None:
    """A captured value of the wrong type breaks nothing."""
    frame, scores = rows(1, 250)
    events = served(frame, scores, inputs=True)
    events[0] = msgspec.structs.replace(events[0], inputs={"age": "old", "job": 7, "unknown": []})
    record = report(events, reference)
    assert record.live is not None
    age = record.live.column("age")
    assert age is not None
    assert (age.total, age.nan) == (250, 1)


def test_regressions_are_measured_by_their_values() -> None:
    """Values join true values, in the unit of the target."""
    signature = Signature(task="regression", columns=(Column(name="x", kind="number"),))
    events: list[Event] = []
    for i, event_id in enumerate(new_ids(200)):
        events.append(Event(event_id=event_id, kind="served", ts=NOON + i, value=float(i)))
        events.append(
            Event(event_id=event_id, kind="label", ts=NOON + i, true_value=i + (-1.0) ** i)
        )
    record = report(events, Reference(DIGEST, signature))
    found = find(record.metrics, "mae")
    assert found is not None
    assert found.value == pytest.approx(1.0)
    assert (found.n, found.unit) == (200, "target")


@pytest.mark.parametrize(
    "settings", [{"least_distance": 2.0}, {"min_rows": 0}, {"since": "yesterday"}]
)
def test_settings_that_mean_nothing_are_refused(
    reference: Reference, settings: dict[str, Any]
) -> None:
    """A share above 1, no rows, and a moment that is none are errors of the configuration."""
    with pytest.raises(ConfigError):
        report([], reference, **settings)


def test_rows_of_the_future_and_scores_that_are_no_probabilities_are_findings(
    reference: Reference,
) -> None:
    """Three rows of ten years from now and two scores beyond 0 and 1; a clean log passes both."""
    frame, scores = rows(1, 300)
    events = served(frame, scores)
    clean = report(events, reference)
    assert (outcomes(clean, "M011"), outcomes(clean, "M012")) == (["passed"], ["passed"])
    ahead = (time.time_ns() // 1000) + 3650 * 86_400_000_000
    for place in range(3):
        events[place] = msgspec.structs.replace(events[place], ts=ahead)
    for place, score in ((10, 1.5), (11, -0.25)):
        events[place] = msgspec.structs.replace(events[place], probabilities=(1 - score, score))
    found = report(events, reference)
    (times,), (wrong,) = of(found, "M011"), of(found, "M012")
    assert (times.outcome, times.evidence["count"]) == ("issue", 3)
    assert (wrong.outcome, wrong.evidence["count"]) == ("issue", 2)
    assert "-0.25 to 1.5" in wrong.message


def test_a_lift_is_no_gate_on_live_rows(reference: Reference) -> None:
    """The gate that every configuration has compares with another model: nothing is said of it."""
    events = served(*rows(1, 300))
    assert outcomes(report(events, reference, gates=("baseline_lift > 0",)), "M009") == []
    assert outcomes(report(events, reference, gates=("roc_auc > 0.5",)), "M009") == ["skipped"]


def test_every_finding_explains_itself() -> None:
    """Each docstring says what it looks for, why it matters, an example and a fix."""
    from afterfit.core.finding import Check
    from afterfit.monitor import findings

    mine = [check for check in Check.registry.values() if check.__module__ == findings.__name__]
    tens = {0: range(1, 13), 20: (0, 1), 30: (0, 1, 2), 40: (0, 1, 2)}
    codes = {f"M{ten + one:03}" for ten, ones in tens.items() for one in ones}
    assert codes == {check.code for check in mine}
    for check in mine:
        text = check.__doc__ or ""
        assert all(word in text for word in ("Looks ", "Why it matters:", "Example:", "Fix:"))


def test_a_record_survives_its_file(reference: Reference) -> None:
    """What is written is what is read, digest included."""
    from afterfit.records.codec import Stored, decode, encode
    from afterfit.records.record import Envelope

    frame, scores = rows(1, 400, shift=1.0)
    events = served(frame, scores, inputs=True)
    record = report(events + labels_for(events), reference)
    stored = Stored(envelope=Envelope(digest=record.digest), body=record)
    assert decode(encode(stored), where="test").digest == record.digest
