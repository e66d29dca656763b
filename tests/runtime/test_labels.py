"""Labels that come later: what is taken, what is refused, and that each is kept once."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.runtime.bundles import numbers_bundle, people_bundle, people_signature
from tests.runtime.sinking import Failing, Stalled

from afterfit.core.signature import Signature
from afterfit.runtime import routes_labels
from afterfit.runtime.app import App
from afterfit.runtime.columns import FieldError
from afterfit.runtime.decode import Limits
from afterfit.runtime.events import SegmentWriter, read_segments
from afterfit.runtime.journal import Journal
from afterfit.runtime.labels import (
    Given,
    RecentLabels,
    check_labels,
    moment_us,
    parse_labels,
    take,
)
from afterfit.runtime.live import LiveModel, Service
from afterfit.runtime.messages import Request, Response
from afterfit.runtime.metrics import Metrics
from afterfit.runtime.predict import load_bundle

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from pathlib import Path

NOW = 1_795_435_200_000_000  # 2026-11-23T12:00:00Z
REGRESSION = Signature(task="regression", columns=people_signature().columns)


def checked(items: list[Any], signature: Signature | None = None, **options: Any) -> Any:
    """The labels of some items."""
    found = Given(items, "$.labels[{}].{}".format)
    return check_labels(found, signature or people_signature(), "churn", now_us=NOW, **options)


class Client:
    """Asks an application in this process; ``sink`` takes its events, or ``base/events`` does."""

    def __init__(
        self, base: Path, *, sink: Any = None, events: bool = True, models: int = 1
    ) -> None:
        people_bundle(base / "churn")
        numbers_bundle(base / "numbers")
        self.folder = base / "events"
        sink = sink or SegmentWriter(self.folder, "0")
        self.journal = Journal(Metrics(), sink=sink if events else None)
        service = Service(self.journal.metrics, self.journal)
        for name in ("churn", "numbers")[:models]:
            service.models[name] = LiveModel(name, 1, load_bundle(base / name))
        self.app = App(service)
        self.app.ready = True
        routes_labels.add(self.app)

    def post(self, body: Any, kind: bytes = b"", path: str = "/labels") -> tuple[int, Any]:
        """The status and document of an answer."""
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        headers = {b"content-type": kind} if kind else {}

        async def ask() -> Response:
            found = self.app(Request("POST", path, headers, data))
            if isinstance(found, Response):
                return found
            waiting: Awaitable[Response] = found  # type: ignore[assignment]  # labels never give a Reply
            return await waiting

        response = asyncio.run(ask())
        return response.status, msgspec.json.decode(response.body)

    def kept(self) -> list[tuple[Any, ...]]:
        """What is kept now, without waiting."""
        return [
            (e.event_id, e.entity, e.ts, e.true_label if e.true_value is None else e.true_value)
            for e in read_segments(self.folder)
        ]


def test_labels_are_kept_as_events_when_they_are_answered_for(tmp_path: Path) -> None:
    """By prediction or by entity, unknown ones too, with the time that was given or is."""
    client = Client(tmp_path)
    labels = [
        {"event_id": "p1", "label": "yes", "ts": "2026-11-23T10:00:00Z"},
        {"entity": "Jürgen", "value": "no", "ts": 1_795_435_200},
        {"event_id": "nobody knows it", "label": "no"},
    ]
    before = time.time_ns() // 1000
    assert client.post({"labels": labels}) == (200, {"accepted": 3, "duplicates": 0})
    first, second, third = client.kept()
    assert first == ("p1", "", NOW - 7_200_000_000, "yes")
    assert second == ("", "Jürgen", NOW, "no")
    assert third[:2] == ("nobody knows it", "")
    assert before <= third[2] <= time.time_ns() // 1000
    assert {(e.kind, e.model) for e in read_segments(client.folder)} == {("label", "churn")}
    client.journal.close()


def test_the_same_label_is_kept_once_and_a_correction_beside_it(tmp_path: Path) -> None:
    """Same id, time and value; in one request or in several."""
    client = Client(tmp_path)
    label = {"event_id": "p1", "label": "yes", "ts": 100}
    assert client.post({"labels": [label, label]}) == (200, {"accepted": 1, "duplicates": 1})
    later = {**label, "label": "no", "ts": 200}
    assert client.post({"labels": [label, later]}) == (200, {"accepted": 1, "duplicates": 1})
    assert client.post({"labels": [label]}) == (200, {"accepted": 0, "duplicates": 1})
    assert [(ts, word) for _, _, ts, word in client.kept()] == [
        (100_000_000, "yes"),
        (200_000_000, "no"),
    ]
    client.journal.close()


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (b"text/csv", b'event_id,label,ts\r\np1,yes,2026-11-23T12:00:00Z\r\n"p,2",no,\r\n'),
        (
            b"application/jsonlines",
            (
                b'{"event_id":"p1","label":"yes","ts":"2026-11-23T12:00Z"}\n\n'
                b'{"event_id":"p,2","label":"no"}\n'
            ),
        ),
        (
            b"application/json; charset=utf-8",
            (
                b'{"labels":[{"event_id":"p1","label":"yes","ts":1795435200000},'
                b'{"event_id":"p,2","value":"no"}]}'
            ),
        ),
    ],
)
def test_json_lines_and_csv_say_the_same(tmp_path: Path, kind: bytes, body: bytes) -> None:
    """An empty field of CSV is none."""
    client = Client(tmp_path)
    assert client.post(body, kind) == (200, {"accepted": 2, "duplicates": 0})
    kept = client.kept()
    assert [(one, word) for one, _, _, word in kept] == [("p1", "yes"), ("p,2", "no")]
    assert kept[0][2] == NOW
    client.journal.close()


def test_classes_are_found_by_their_word_as_in_a_file(tmp_path: Path) -> None:
    """CSV has no types, so its text finds the number; the event has the class itself."""
    client = Client(tmp_path, models=2)
    body = b"event_id,label\na,1\nb,0\n"
    assert client.post(body, b"text/csv", "/labels/numbers")[0] == 200
    assert client.post({"labels": [{"event_id": "c", "label": True}]}, path="/labels/numbers")[0]
    assert [word for *_, word in client.kept()] == [1, 0, 1]
    client.journal.close()


@pytest.mark.parametrize(
    ("items", "where", "what"),
    [
        ([{"event_id": "a", "label": "maybe"}], "$.labels[0].label", "the classes are no, yes"),
        ([{"event_id": "a", "value": 1.5}], "$.labels[0].value", "is no class"),
        ([{"event_id": "a", "label": ["yes"]}], "$.labels[0].label", "is no class"),
        ([{"event_id": "a"}], "$.labels[0]", "one of label and value"),
        ([{"event_id": "a", "label": None}], "$.labels[0]", "one of label and value"),
        ([{"label": "yes"}], "$.labels[0]", "one of event_id and entity"),
        ([{"event_id": "a", "entity": "b", "label": "yes"}], "$.labels[0]", "one of event_id"),
        ([{"event_id": 5, "label": "yes"}], "$.labels[0].event_id", "expected a string"),
        ([{"event_id": "", "label": "yes"}], "$.labels[0].event_id", "expected a string"),
        ([{"event_id": "x" * 257, "label": "yes"}], "$.labels[0].event_id", "expected a string"),
        ([{"id": "a", "label": "yes"}], "$.labels[0].id", "unknown field"),
        (["a"], "$.labels[0]", "expected an object"),
        ([{"event_id": "a", "label": "yes", "ts": "soon"}], "$.labels[0].ts", "no time"),
        ([{"event_id": "a", "label": "yes", "ts": -1}], "$.labels[0].ts", "no time"),
        ([{"event_id": "a", "label": "yes", "ts": True}], "$.labels[0].ts", "no time"),
        ([{"event_id": "a", "label": "yes", "ts": 4e9}], "$.labels[0].ts", "more than a day"),
    ],
)
def test_what_is_wrong_is_refused_with_its_path(items: list[Any], where: str, what: str) -> None:
    """And nothing of the request is kept, as one label among many may be the wrong one."""
    good = {"event_id": "a", "label": "yes"}
    with pytest.raises(FieldError) as caught:
        checked([*items, good])
    assert (caught.value.problems[0].path, len(caught.value.problems)) == (where, 1)
    assert what in caught.value.problems[0].message


@pytest.mark.parametrize("value", ["5", True, None, [1], float("inf"), float("nan")])
def test_a_regression_takes_finite_numbers(value: Any) -> None:
    """Text is a number only where a file has no types."""
    with pytest.raises(FieldError):
        checked([{"event_id": "a", "value": value}], REGRESSION)
    rows = checked([{"event_id": "a", "value": 5}, {"event_id": "b", "label": -0.5}], REGRESSION)
    assert (rows.values, rows.words) == ([5.0, -0.5], None)
    parsed = parse_labels(b"event_id,value\na,1e3\n", "csv", Limits())
    assert check_labels(parsed, REGRESSION, "m", now_us=NOW).values == [1000.0]
    for text in (b"1_0", b"nan", b"1e999", b"x"):
        parsed = parse_labels(b"event_id,value\na," + text + b"\n", "csv", Limits())
        with pytest.raises(FieldError, match="line 2, column 'value'"):
            check_labels(parsed, REGRESSION, "m", now_us=NOW)


@pytest.mark.parametrize(
    ("body", "kind", "status", "what"),
    [
        (b"{", b"", 400, "not JSON"),
        (b'{"labels":[]}', b"", 422, "at least one label"),
        (b"[]", b"", 422, "expected an object"),
        (b'{"labels":[{"event_id":"a","label":NaN}]}', b"", 422, "$.labels[0].label"),
        (b"event_id,label\n", b"text/csv", 400, "no label"),
        (b"event_id,label\na\n", b"text/csv", 422, "line 2"),
        (b"event_id,label\na,yes,3\n", b"text/csv", 422, "line 2"),
        (b"event_id,label\na,\xff\n", b"text/csv", 400, "not UTF-8"),
        (b'event_id,label\n"a,yes\n', b"text/csv", 400, "cannot be read"),
        (b'{"event_id":"a","label":"yes"}\n{', b"application/x-ndjson", 400, "line 2"),
        (b"\n\n", b"application/x-ndjson", 400, "no line"),
        (b"<a/>", b"text/xml", 415, "text/csv"),
        (
            b"\n".join([b'{"event_id":"a","label":"yes"}'] * 10_001),
            b"application/jsonl",
            413,
            "10000",
        ),
    ],
)
def test_bodies_that_are_none_are_refused_in_words(
    tmp_path: Path, body: bytes, kind: bytes, status: int, what: str
) -> None:
    """Never a 500, and nothing is kept."""
    client = Client(tmp_path)
    found, document = client.post(body, kind)
    assert (found, what in msgspec.json.encode(document).decode()) == (status, True)
    client.journal.close()
    assert not client.folder.exists()


def test_large_bodies_are_read_beside_the_event_loop(tmp_path: Path) -> None:
    """With the same outcome: ten thousand labels, each one once."""
    client = Client(tmp_path)
    labels = [{"event_id": f"p{n}", "label": ("no", "yes")[n % 2], "ts": n} for n in range(9999)]
    assert client.post({"labels": labels}) == (200, {"accepted": 9999, "duplicates": 0})
    assert client.post({"labels": labels})[1] == {"accepted": 0, "duplicates": 9999}
    assert len(client.kept()) == 9999
    client.journal.close()


def test_several_models_are_told_apart_by_the_path(tmp_path: Path) -> None:
    """As predictions are."""
    client = Client(tmp_path, models=2)
    status, document = client.post({"labels": [{"event_id": "a", "label": "yes"}]})
    assert (status, "/labels/churn, /labels/numbers" in document["error"]) == (404, True)
    assert client.post({"labels": []}, path="/labels/nothing")[0] == 404
    labels = {"labels": [{"event_id": "a", "label": 1}]}
    assert client.post(labels, path="/labels/numbers")[0] == 200
    assert [event.model for event in read_segments(client.folder)] == ["numbers"]
    client.journal.close()


def test_labels_that_are_not_kept_are_not_answered_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failing or stalled sink is a 503 to be sent again; then they are kept, not a duplicate."""
    sink = Failing()
    client = Client(tmp_path, sink=sink)
    labels = {"labels": [{"event_id": "a", "label": "yes", "ts": 1}]}
    status, document = client.post(labels)
    assert (status, "send them again" in document["error"]) == (503, True)
    sink.well = True
    assert client.post(labels) == (200, {"accepted": 1, "duplicates": 0})
    client.journal.close()
    monkeypatch.setattr(routes_labels, "KEPT_SECONDS", 0.05)
    stalled = Stalled()
    client = Client(tmp_path / "stalled", sink=stalled)
    status, document = client.post(labels)
    assert (status, "sending them again is safe" in document["error"]) == (503, True)
    stalled.release.set()
    client.journal.close()


def test_a_server_without_events_takes_no_labels(tmp_path: Path) -> None:
    """It says so, and does not pretend."""
    client = Client(tmp_path, events=False)
    status, document = client.post({"labels": [{"event_id": "a", "label": "yes"}]})
    assert (status, "keeps no events" in document["error"]) == (501, True)
    client.journal.close()


def test_the_route_wants_a_key_that_may_label(tmp_path: Path) -> None:
    """The role is the route's, so that the server's keys decide."""
    client = Client(tmp_path)
    assert client.app.fixed["/labels"].role == "label"
    assert client.app.fixed["/labels"].methods == ("POST",)
    client.journal.close()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-11-23T12:00:00Z", NOW),
        ("2026-11-23T14:00:00+02:00", NOW),
        ("2026-11-23", NOW - 43_200_000_000),
        (1_795_435_200, NOW),
        (1_795_435_200.25, NOW + 250_000),
        (NOW // 1000, NOW),
        (NOW, NOW),
        (NOW * 1000, NOW),
        ("1795435200", NOW),
        (0, 0),
        ("yesterday", None),
        (float("nan"), None),
        (None, None),
        (False, None),
        ([1], None),
    ],
)
def test_moments_are_understood_by_their_size(value: Any, expected: int | None) -> None:
    """Seconds, ms, µs and ns since 1970, or ISO 8601; UTC where no zone is given."""
    assert moment_us(value) == expected


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2), st.sampled_from(["yes", "no"])))
)
def test_a_worker_remembers_a_bounded_number_of_labels(rows: list[tuple[str, int, str]]) -> None:
    """Whatever it forgets is only written once more; what it knows is known exactly."""
    recent, sent = RecentLabels(most=8), set()
    for one, ts, word in rows:
        labels = checked([{"event_id": one, "label": word, "ts": ts}])
        fresh = take(labels, recent.new(labels))
        if not len(fresh):
            assert (one, ts, word) in sent
        recent.add(fresh)
        sent.add((one, ts, word))
        assert len(recent._recent) + len(recent._older) <= 8 + 1
