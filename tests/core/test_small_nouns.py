"""Events, gates, metrics, digests and findings."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterfit.core.digest import canonical_json, digest_of, short
from afterfit.core.event import Event, format_id, new_id, new_ids
from afterfit.core.finding import Check
from afterfit.core.frame import Predictions
from afterfit.core.gate import Gate, evaluate, parse_gate
from afterfit.core.metric import Metric, find
from afterfit.core.signature import Signature
from afterfit.errors import ConfigError


@given(st.integers(0, 2**48 - 1), st.integers(0, 2**80 - 1))
def test_an_id_is_a_version_7_uuid_of_its_millisecond(milliseconds: int, tail: int) -> None:
    """RFC 9562: version, variant and the stamp stand where they must."""
    parsed = uuid.UUID(format_id(milliseconds, tail))
    assert parsed.version == 7
    assert parsed.variant == uuid.RFC_4122
    assert parsed.int >> 80 == milliseconds


def test_ids_of_later_moments_sort_later() -> None:
    """Text order is time order."""
    ids = [new_id(stamp * 1_000_000) for stamp in (1, 255, 256, 10**12)]
    assert ids == sorted(ids)
    before = time.time_ns() // 1_000_000
    now = uuid.UUID(new_id()).int >> 80
    assert before <= now <= time.time_ns() // 1_000_000


@pytest.mark.parametrize("top", [b"\x00" * 10, b"\xff" * 10, b"\x7f" + b"\xff" * 9])
def test_ids_of_one_call_are_distinct_and_ascending(
    monkeypatch: pytest.MonkeyPatch, top: bytes
) -> None:
    """Whatever the random start is, no carry makes two alike or out of order."""
    monkeypatch.setattr("os.urandom", lambda _: top)
    ids = new_ids(5000)
    assert len(set(ids)) == 5000
    assert ids == sorted(ids)
    assert all(uuid.UUID(each).version == 7 for each in ids)


def test_ids_of_many_calls_do_not_meet() -> None:
    """Two calls in the same millisecond share none."""
    ids = [each for _ in range(50) for each in new_ids(50)]
    assert len(set(ids)) == len(ids)


def test_an_event_is_small_and_comes_back() -> None:
    """Fields that say nothing are not written."""
    event = Event(event_id="e", kind="served", ts=1, label=True, probabilities=(0.25, 0.75))
    data = msgspec.json.encode(event)
    assert set(json.loads(data)) == {"event_id", "kind", "ts", "label", "probabilities"}
    assert msgspec.json.decode(data, type=Event) == event


LIMITS = st.floats(-1e6, 1e6).map(lambda x: float(f"{x:g}"))


@given(
    st.sampled_from(["", "assess", "loadtest"]),
    st.sampled_from(["f1", "latency_p99_ms", "recall@5", "baseline_lift", "a-b", "p%"]),
    st.sampled_from(["value", "low", "high"]),
    st.sampled_from([">=", "<=", ">", "<", "=="]),
    LIMITS,
)
def test_a_gate_is_read_as_it_is_written(
    step: str, metric: str, bound: Any, op: Any, limit: float
) -> None:
    """Writing and reading are each other's inverse."""
    gate = Gate(step=step, metric=metric, bound=bound, op=op, limit=limit)
    assert parse_gate(str(gate)) == gate


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_limit_keeps_every_digit(limit: float) -> None:
    """What is shown for a gate is the gate: no digit of its limit is lost."""
    gate = Gate(metric="f1", op=">=", limit=limit)
    assert parse_gate(str(gate)).limit == limit


@pytest.mark.parametrize(
    "text",
    ["", "f1", "f1 >=", ">= 1", "f1 => 1", "f1 >= x", "f1 >= 1 2", "f1.mid >= 1", "F1; f1 >= 1"],
)
def test_what_is_no_gate_shows_the_grammar(text: str) -> None:
    """The error quotes the text, its place and an example."""
    with pytest.raises(ConfigError, match="not a gate") as caught:
        parse_gate(text, where="afterfit.toml: gates[0]")
    assert caught.value.where == "afterfit.toml: gates[0]"
    assert "f1 >= 0.80" in caught.value.fix


METRIC = Metric(name="f1", value=0.8, low=0.7, high=0.9, n=100)
EVIDENCE = {"assess": [METRIC, Metric(name="auc", value=None)], "loadtest": [METRIC]}


@pytest.mark.parametrize(
    ("text", "outcome", "value"),
    [
        ("f1 >= 0.8", "pass", 0.8),
        ("f1 > 0.8", "fail", 0.8),
        ("f1.low >= 0.75", "fail", 0.7),
        ("f1.high <= 0.9", "pass", 0.9),
        ("f1 == 0.8", "pass", 0.8),
        ("loadtest.f1 < 1", "pass", 0.8),
        ("auc >= 0.5", "missing", None),
        ("auc.low >= 0.5", "missing", None),
        ("recall >= 0.5", "missing", None),
        ("robustness.f1 >= 0.5", "missing", None),
    ],
)
def test_a_gate_passes_fails_or_is_missing(text: str, outcome: str, value: float | None) -> None:
    """What was not measured is missing, with the reason, and never passed."""
    result = evaluate(parse_gate(text), EVIDENCE)
    assert (result.outcome, result.value) == (outcome, value)
    assert bool(result.why) is (outcome == "missing")


@pytest.mark.parametrize("op", [">=", "<=", ">", "<", "=="])
def test_a_number_that_is_none_passes_no_gate(op: str) -> None:
    """NaN is no measurement."""
    evidence = {"assess": [Metric(name="f1", value=float("nan"))]}
    assert evaluate(parse_gate(f"f1 {op} 0"), evidence).outcome == "missing"


def test_a_metric_is_shown_with_its_interval_or_its_rows() -> None:
    """Never a bare number where more is known."""
    assert METRIC.text() == "0.8 (0.7 to 0.9, 95 %, n = 100)"
    assert Metric(name="x", value=None).text() == "not computed"
    assert Metric(name="x", value=12.5, unit="ms", n=3).text() == "12.5 ms (n = 3)"
    assert find((METRIC,), "f1", "cv") is None
    assert find((METRIC,), "f1") is METRIC


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.lists(st.floats())))
def test_equal_values_have_equal_canonical_json(value: dict[str, Any]) -> None:
    """The order of keys is none; the result is JSON without spaces between its parts."""
    backwards = dict(reversed(value.items()))
    assert canonical_json(value) == canonical_json(backwards)
    assert digest_of(value) == digest_of(backwards)
    assert len(short(digest_of(value))) == 12


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.float64(0.1), b"0.1"),
        (np.int8(3), b"3"),
        (np.True_, b"true"),
        (np.array([1.5, np.nan]), b"[1.5,null]"),
        (float("inf"), b"null"),
        ({"b": 1, "a": np.str_("x")}, b'{"a":"x","b":1}'),
    ],
)
def test_numpy_has_its_place_in_canonical_json(value: Any, text: bytes) -> None:
    """A scalar or an array is the number or list that it holds."""
    assert canonical_json(value) == text


def test_what_has_no_json_form_is_an_error() -> None:
    """An object is not written as its address."""
    with pytest.raises(NotImplementedError, match="object has no place"):
        canonical_json({"a": object()})


def test_a_check_makes_findings_of_its_code_and_severity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each outcome has its severity; a code is taken once."""
    monkeypatch.setattr(Check, "registry", {})

    class Leaky(Check):
        """A check."""

        code = "X901"
        title = "No leak"
        severity = "high"

    assert (Leaky.issue("m", n=1).severity, Leaky.issue("m", n=1).evidence) == ("high", {"n": 1})
    assert Leaky.passed().message == "No leak"
    outcomes = [f("m").outcome for f in (Leaky.tip, Leaky.skipped, Leaky.not_applicable)]
    assert outcomes == ["tip", "skipped", "not_applicable"]
    assert Check.registry == {"X901": Leaky}
    with pytest.raises(TypeError, match="X901 is taken"):
        type("Other", (Check,), {"code": "X901", "title": "t"})


@pytest.mark.parametrize(("threshold", "decided"), [(None, [0, 1]), (0.5, [0, 1]), (0.4, [1, 1])])
def test_a_tie_at_one_half_is_decided_as_the_model_does(
    threshold: float | None, decided: list[int]
) -> None:
    """scikit-learn's predict takes the first class of a tie; a threshold of one's own counts."""
    signature = Signature(
        task="binary", columns=(), classes=("no", "yes"), positive="yes", threshold=threshold
    )
    answers = Predictions(probabilities=np.array([[0.5, 0.5], [0.4, 0.6]]))
    assert signature.codes(answers).tolist() == decided


def test_a_gate_on_an_unknown_step_says_so() -> None:
    """The misspelt step is named, and the steps that there are."""
    metric = Metric(name="latency_p99_ms", value=3.0)
    found = evaluate(parse_gate("loadtets.latency_p99_ms <= 20"), {"loadtest": [metric]})
    assert found.outcome == "missing"
    assert "'loadtets'" in found.why
    assert "loadtest" in found.why
