"""Events and live counts: what survives a crash, a full disk and a stalled sink."""

from __future__ import annotations

import io
import os
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.runtime.bundles import people, people_bundle
from tests.runtime.sinking import Failing, Stalled, batch_of, log_lines, some
from tests.runtime.waiting import until

from afterfit.core.event import Event, new_ids
from afterfit.runtime.counts import read_counts
from afterfit.runtime.events import SegmentWriter, StdoutSink, read_columns, read_segments
from afterfit.runtime.journal import Block, Capture, Journal, refusal
from afterfit.runtime.live import LiveModel, Service
from afterfit.runtime.metrics import Metrics
from afterfit.runtime.predict import load_bundle
from afterfit.runtime.sinks.outlet import Outlet

if TYPE_CHECKING:
    from pathlib import Path


def service(base: Path, **options: Any) -> tuple[Service, LiveModel, Journal]:
    """A service with one people model and a journal that writes into ``base/events``."""
    people_bundle(base / "bundle")
    metrics = Metrics()
    events = base / "events"
    settings: dict[str, Any] = {"sink": SegmentWriter(events, "0"), "folder": events, **options}
    journal = Journal(metrics, endpoint="e", **settings)
    model = LiveModel("churn", 2, load_bundle(base / "bundle"))
    return Service(metrics, journal), model, journal


def ask(parts: tuple[Service, LiveModel, Journal], rows: int = 3, seed: int = 5) -> None:
    """One request of some rows."""
    from afterfit.runtime.decode import Rows

    asked, model, _ = parts
    entities = [f"person-{n}" for n in range(rows)]
    asked.predict(model, Rows(people(rows, seed), entities), "r1")


def block(model: LiveModel, rows: int = 3, **fields: Any) -> Block:
    """What one batch of some rows hands over: a request each, unless ``fields`` say otherwise."""
    frame = people(rows, 5)
    predictions = model.predictor.predict(frame)
    classes = model.signature.classes
    given: dict[str, Any] = {
        "codes": model.signature.codes(predictions).tolist() if classes else [],
        "ids": new_ids(rows),
        "request_ids": [f"r{n}" for n in range(rows)],
        "counts": [1] * rows,
        "queue_us": list(range(rows)),
        **fields,
    }
    return Block(
        model=model.key,
        decoder=model.decoder,
        fingerprint=model.predictor.fingerprint,
        frame=frame,
        predictions=predictions,
        **given,
    )


def test_served_rows_become_events_with_label_flags_and_entity(tmp_path: Path) -> None:
    """One event a row; no inputs, as nobody asked to capture them."""
    parts = service(tmp_path)
    ask(parts)
    parts[2].close()
    events = list(read_segments(tmp_path / "events"))
    assert [event.row for event in events] == [0, 1, 2]
    assert [event.entity for event in events] == ["person-0", "person-1", "person-2"]
    assert {(e.endpoint, e.model, e.version, e.request_id) for e in events} == {
        ("e", "churn", 2, "r1")
    }
    assert events[0].flags == ("missing",)
    assert all(event.label in {"no", "yes"} and event.inputs is None for event in events)
    assert len({event.event_id for event in events}) == 3


@pytest.mark.parametrize(
    ("capture", "names"),
    [
        (Capture(mode="all"), {"age", "hours", "job"}),
        (Capture(mode="columns", columns=("hours", "nothing")), {"hours"}),
    ],
)
def test_inputs_are_kept_only_as_declared(
    tmp_path: Path, capture: Capture, names: set[str]
) -> None:
    """All, or the named columns; a missing value is null."""
    parts = service(tmp_path, capture=capture)
    ask(parts)
    parts[2].close()
    first = next(read_segments(tmp_path / "events"))
    assert first.inputs is not None
    assert set(first.inputs) == names
    if "age" in names:
        assert first.inputs["age"] is None


def test_a_stalled_sink_never_blocks_and_what_overflows_is_counted(tmp_path: Path) -> None:
    """Requests go on at once; dropped and written events add up to all, and live counts go on."""
    sink = Stalled()
    parts = service(tmp_path, sink=sink, capacity=20)
    asked, _, journal = parts
    ask(parts)
    assert sink.entered.wait(10)
    for _ in range(20):
        ask(parts)
        until(lambda: not journal._waiting)
    dropped = asked.metrics.total("events_dropped")
    assert dropped >= 40
    assert journal.outlet is not None
    assert journal.outlet.waiting <= 20
    sink.release.set()
    assert journal.flush()
    journal.close()
    assert sink.written + dropped == 63
    assert asked.metrics.total("rows") == 63
    assert read_counts(tmp_path / "events")[0].fingerprint.n_ref == 63


def test_a_stall_is_said_once_and_its_end_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """However many batches are lost meanwhile; the second line says how many rows that were."""
    sink, counted = Stalled(), Counter[str]()
    count = lambda name, rows: counted.update({name: rows})  # noqa: E731 - one line of a test
    outlet = Outlet(sink, count, 10, stall_seconds=0.0, calm_seconds=0.0)
    outlet.put(batch_of(some(3)))
    assert sink.entered.wait(10)
    for _ in range(50):
        outlet.look()
        outlet.put(batch_of(some(3)))
    assert outlet.waiting <= 10
    sink.release.set()
    until(lambda: outlet.waiting == 0)
    outlet.close(5.0)
    (begun, ended) = log_lines(capsys, "events_trouble", "events_recovered")
    assert (begun["event"], ended["event"]) == ("events_trouble", "events_recovered")
    assert ended["lost"] == counted["events_dropped"] == 153 - sink.written
    assert counted["events_written"] == sink.written


def test_a_full_disk_is_said_once_and_its_end_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It costs events and no prediction; live counts go on."""
    sink = Failing()
    parts = service(tmp_path, sink=sink)
    assert parts[2].outlet is not None
    parts[2].outlet._trouble.calm_seconds = 0.0
    for _ in range(3):
        ask(parts)
        assert parts[2].flush()
    assert parts[0].metrics.total("events_failed") == 9
    sink.well = True
    ask(parts)
    assert parts[2].flush()
    parts[2].close()
    (begun, ended) = log_lines(capsys, "events_trouble", "events_recovered")
    assert "No space left" in begun["why"]
    assert (ended["lost"], sink.written) == (9, 3)
    assert parts[0].metrics.total("events_written") == 3
    assert read_counts(tmp_path / "events")[0].fingerprint.n_ref == 12


def test_a_sink_that_never_ends_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Closing takes the time that was given, and what it held is counted as lost."""
    sink = Stalled()
    parts = service(tmp_path, sink=sink)
    ask(parts)
    assert sink.entered.wait(10)
    parts[2].close(0.2)
    assert parts[0].metrics.total("events_failed") == 3
    assert [line["lost"] for line in log_lines(capsys, "events_left")] == [3]
    sink.release.set()


def test_a_defect_in_one_model_costs_only_its_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The thread goes on, the trace is in the log, and other models' rows are kept."""
    parts = service(tmp_path)
    broken = msgspec.structs.replace(block(parts[1]), model=("broken", 1, "x"), counts=[1, 2, 3])
    parts[2].put(broken)
    ask(parts)
    parts[2].close()
    assert {event.model for event in read_segments(tmp_path / "events")} == {"churn"}
    assert parts[0].metrics.total("events_failed") == 3
    assert "Traceback" in log_lines(capsys, "error")[0]["trace"]


def test_a_flood_of_refusals_displaces_no_prediction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may take a fourth of the queue; what is beyond is counted, and predictions still fit."""
    parts = service(tmp_path, capacity=100)
    journal = parts[2]
    taken = 0
    with monkeypatch.context() as patch:
        patch.setattr(journal, "_drain", lambda: None)
        for _ in range(1000):
            taken += journal.put(refusal("refused", "busy", ("churn", 2, "d"), ["r"]))
        ask(parts)
        assert taken == 25
        assert parts[0].metrics.total("events_dropped") == 975
    journal.close()
    kinds = Counter(event.kind for event in read_segments(tmp_path / "events"))
    assert kinds == {"refused": 25, "served": 3}


def test_a_refusal_is_an_event_of_its_own_kind(tmp_path: Path) -> None:
    """With the message, and without any input."""
    parts = service(tmp_path)
    parts[2].put(refusal("refused", "$.rows[0].age: x", ("churn", 2, "d"), ["r9"]))
    parts[2].close()
    (event,) = read_segments(tmp_path / "events")
    assert (event.kind, event.error, event.request_id) == ("refused", "$.rows[0].age: x", "r9")


def test_requests_that_ran_together_are_events_of_their_own(tmp_path: Path) -> None:
    """Each row has its request, its number in it, and the wait of that request."""
    parts = service(tmp_path)
    given = block(
        parts[1],
        5,
        counts=[2, 1, 2],
        request_ids=["a", "b", "c"],
        queue_us=[7, 8, 9],
        role="shadow",
        parents=["p0", "", "p2", "p3", "p4"],
        infer_us=44,
    )
    parts[2].put(given)
    parts[2].put(block(parts[1], 2))
    parts[2].close()
    events = {event.event_id: event for event in read_segments(tmp_path / "events")}
    shadow = [events[one] for one in given.ids]
    assert [(e.request_id, e.row, e.queue_us, e.parent) for e in shadow] == [
        ("a", 0, 7, "p0"),
        ("a", 1, 7, ""),
        ("b", 0, 8, "p2"),
        ("c", 0, 9, "p3"),
        ("c", 1, 9, "p4"),
    ]
    assert {(e.role, e.infer_us, e.ts) for e in shadow} == {("shadow", 44, given.ts)}
    assert Counter(e.role for e in events.values()) == {"shadow": 5, "primary": 2}


def test_answers_of_a_stand_in_are_marked(tmp_path: Path) -> None:
    """Beside what is unusual about the row, and only they."""
    parts = service(tmp_path)
    parts[2].put(block(parts[1], 2, stand_in=True))
    parts[2].put(block(parts[1], 2))
    parts[2].close()
    flags = sorted(event.flags for event in read_segments(tmp_path / "events"))
    assert flags == [(), ("missing",), ("missing", "stand_in"), ("stand_in",)]


def test_events_hold_what_the_answer_held(tmp_path: Path) -> None:
    """Label and probabilities, by id, also as columns for whoever reads many."""
    parts = service(tmp_path)
    given = block(parts[1], 50)
    parts[2].put(given)
    parts[2].close()
    assert given.predictions.probabilities is not None
    chances = dict(zip(given.ids, given.predictions.probabilities.tolist(), strict=True))
    for event in read_segments(tmp_path / "events"):
        assert list(event.probabilities) == chances[event.event_id]
        assert event.label == ("yes" if event.probabilities[1] >= 0.5 else "no")
    (columns,) = read_columns(tmp_path / "events")
    assert columns["event_id"].tolist() == given.ids
    assert columns["probabilities"].tolist() == given.predictions.probabilities.tolist()
    codes, classes = columns.codes("label")
    assert [classes[code] for code in codes] == columns["label"].tolist()
    assert not columns.valid("true_label").any()


def test_a_regression_has_a_value_and_no_label(tmp_path: Path) -> None:
    """And what it captured is there as it was, text of any script and gaps included."""
    people_bundle(tmp_path / "r", regression=True)
    model = LiveModel("price", 1, load_bundle(tmp_path / "r"))
    journal = Journal(
        Metrics(), sink=SegmentWriter(tmp_path / "e", "0"), capture=Capture(mode="all")
    )
    given = block(model, 3, entities=["größe", "東京", ""])
    journal.put(given)
    journal.close()
    events = list(read_segments(tmp_path / "e"))
    assert given.predictions.values is not None
    assert [event.value for event in events] == given.predictions.values.tolist()
    assert [event.label for event in events] == [None] * 3
    assert [event.entity for event in events] == ["größe", "東京", ""]
    assert events[0].inputs is not None
    assert events[0].inputs["age"] is None
    assert events[1].inputs == {name: values[1] for name, values in given.frame.items()}


def test_standard_output_gets_a_json_line_an_event() -> None:
    """For servers without a disk."""
    stream = io.BytesIO()
    StdoutSink(stream).write(batch_of(some(3)))
    lines = stream.getvalue().splitlines()
    assert [msgspec.json.decode(line, type=Event).ts for line in lines] == [0, 1, 2]


# Counters.


def test_counters_of_all_workers_are_summed_and_outlive_their_worker() -> None:
    """Two views of one file, each with its own row; a third goes on where the first stopped."""
    from afterfit.runtime.metrics import create_file

    descriptor = create_file(2)
    first, second = Metrics(descriptor, 0), Metrics(descriptor, 1)
    first.request("predict", 200, 0.002)
    second.request("predict", 200, 0.3)
    second.request("predict", 418)
    again = Metrics(descriptor, 0)
    again.request("predict", 200, 99.0)
    text = again.text([('a"b', 1, "d")])
    os.close(descriptor)
    assert 'afterfit_requests_total{route="predict",status="200"} 3' in text
    assert 'afterfit_requests_total{route="predict",status="other"} 1' in text
    assert 'afterfit_request_seconds_bucket{route="predict",le="0.0025"} 1' in text
    assert 'afterfit_request_seconds_bucket{route="predict",le="+Inf"} 3' in text
    assert 'model="a\\"b"' in text
