"""Signals of all columns together, of the schema, and of skew: planted changes and none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from afterfit.core.fingerprint import build
from afterfit.core.signature import Column, Signature
from afterfit.monitor.sample import Sample
from afterfit.monitor.signals.multivariate import (
    Limits,
    Rows,
    domain_classifier,
    reconstruction,
    rows_of,
)
from afterfit.monitor.signals.schema import Change, changes, schema_points
from afterfit.monitor.signals.skew import Keyed, first_windows, same_rows
from afterfit.records.signals import Scope

SPAN = (0, 3_600_000_000)
NAMES = ("a", "b", "c", "d")


def rows(seed: int, n: int, *, related: bool = True) -> Rows:
    """Two columns that hang together (or not, with the same margins), a gap and a category."""
    random = np.random.default_rng(seed)
    a = random.normal(size=n)
    b = (0.9 * a if related else 0.9 * random.normal(size=n)) + 0.436 * random.normal(size=n)
    c = np.where(random.random(n) < 0.2, np.nan, random.normal(size=n))
    d = random.integers(-1, 3, n)
    return Rows(
        NAMES, np.column_stack([a, b, c, d]).astype(np.float32), (False, False, False, True)
    )


@pytest.mark.parametrize("signal", [domain_classifier, reconstruction])
def test_a_relation_that_broke_is_seen_where_no_column_moved(signal: object) -> None:
    """Every column alone has the distribution that it had."""
    point = signal(rows(0, 4000), rows(1, 3000, related=False), Scope(), SPAN, Limits())  # type: ignore[operator]
    assert point.state == "alarm"
    assert point.low is not None
    assert point.high is not None
    assert point.low <= point.value <= point.high
    assert point.low > point.threshold > 0.5
    if point.signal == "domain":
        assert set(point.evidence["columns"]) == {"a", "b"}


@pytest.mark.parametrize("signal", [domain_classifier, reconstruction])
def test_chance_alarms_about_as_often_as_asked(signal: object) -> None:
    """Of 60 windows without a change a tenth is beyond a limit of a tenth (1 to 13 of them)."""
    limits = Limits(chance=0.1, least=0.0)
    reference = rows(100, 1200)
    alarms = 0
    for seed in range(60):
        part = replace(reference, matrix=rows(500 + seed, 800).matrix)
        live = rows(1000 + seed, 500)
        point = signal(part, live, Scope(), SPAN, replace(limits, seed=seed))  # type: ignore[operator]
        alarms += point.state == "alarm"
    assert 1 <= alarms <= 13


@pytest.mark.parametrize("signal", [domain_classifier, reconstruction])
def test_too_few_rows_say_so(signal: object) -> None:
    """Either side may be the one that is too small."""
    for reference, live in ((rows(0, 4000), rows(1, 90)), (rows(0, 90), rows(1, 4000))):
        point = signal(reference, live, Scope(), SPAN, Limits())  # type: ignore[operator]
        assert (point.state, point.value, point.needed) == ("insufficient", None, 400)


@pytest.mark.parametrize("signal", [domain_classifier, reconstruction])
def test_odd_columns_give_numbers(signal: object) -> None:
    """All missing, constant, infinite: a number between 0 and 1, and an alarm where it changed."""
    calm, odd = rows(0, 2000), rows(1, 2000)
    calm.matrix[:, 2], odd.matrix[:, 2] = np.nan, np.nan
    calm.matrix[:, 3], odd.matrix[:, 3] = 1.0, 1.0
    odd.matrix[::50, 0] = np.inf
    assert 0 <= signal(calm, odd, Scope(), SPAN, Limits()).value <= 1  # type: ignore[operator]
    odd.matrix[:, 3] = 2.0
    assert signal(calm, odd, Scope(), SPAN, Limits()).state == "alarm"  # type: ignore[operator]


def test_rows_of_a_window_are_its_sample() -> None:
    """The output is no input, and categories are known as such."""
    frame = {"x": np.arange(50.0), "k": np.array(["u", "v"] * 25, dtype=object)}
    columns = (Column(name="x", kind="number"), Column(name="k", kind="category"))
    reference = build(frame, Signature(task="regression", columns=columns))
    sample = Sample.like(reference, 0)
    sample.update(np.arange(50, dtype=np.uint64), frame, np.zeros(50), reference)
    found = rows_of(sample, reference)
    assert found.names == ("x", "k")
    assert found.categories == (False, True)
    assert sorted(found.matrix[:, 0].tolist()) == frame["x"].tolist()
    assert set(found.matrix[:, 1].tolist()) == {0.0, 1.0}


SIGNATURE = Signature(
    task="regression",
    columns=(
        Column(name="age", kind="number"),
        Column(name="job", kind="category"),
        Column(name="member", kind="boolean"),
    ),
)


def test_schema_changes_are_named() -> None:
    """Missing and retyped inputs are alarms; a new column is told and is none."""
    found = changes(
        SIGNATURE,
        ["age", "member", "mood", "score"],
        {"age": "category", "member": "integer", "mood": "number"},
        roles=frozenset({"score"}),
    )
    assert found == [
        Change("job", "missing", "category"),
        Change("age", "retyped", "number", "category"),
        Change("mood", "extra", "", "number"),
    ]
    points = schema_points(found, Scope(), SPAN, 10)
    assert [(p.subject, p.state) for p in points] == [("job", "alarm"), ("age", "alarm")]
    (calm,) = schema_points(found[2:], Scope(), SPAN, 10)
    assert (calm.state, calm.evidence) == ("ok", {"extra": ["mood"]})


def test_a_log_without_inputs_misses_none() -> None:
    """Scores alone are a log too."""
    assert changes(SIGNATURE, ["score"], {"score": "number"}, roles=frozenset({"score"})) == []


def test_the_same_rows_must_have_the_same_values() -> None:
    """A unit that serving has otherwise is seen in every row; a gap for a zero in those rows."""
    random = np.random.default_rng(0)
    amount, count = random.random(400) + 1, random.integers(0, 5, 400).astype(np.float64)
    training = Keyed(
        [(f"e{i}", 1) for i in range(400)],
        {"amount": amount, "count": count, "word": np.array(["a"] * 400, dtype=object)},
    )
    rows_live = np.arange(100, 300)
    live = Keyed(
        [*((f"e{i}", 1) for i in rows_live), ("e5", 2), ""],
        {
            "amount": np.append(amount[rows_live] * 100, [1.0, 1.0]),
            "count": np.append(np.where(count == 0, np.nan, count)[rows_live], [9.0, 9.0]),
            "word": np.array(["a"] * 202, dtype=object),
        },
    )
    points = {p.subject: p for p in same_rows(training, live, Scope(), SPAN)}
    assert {name: p.n for name, p in points.items()} == dict.fromkeys(points, 200)
    assert (points["amount"].state, points["amount"].value) == ("alarm", 1.0)
    assert points["count"].value == pytest.approx((count[rows_live] == 0).mean())
    assert points["count"].state == "alarm"
    assert (points["word"].state, points["word"].value) == ("ok", 0.0)
    few = Keyed(live.keys[:20], {name: column[:20] for name, column in live.frame.items()})
    assert {p.state for p in same_rows(training, few, Scope(), SPAN)} == {"insufficient"}


def test_first_windows_are_compared_with_training() -> None:
    """What differs from the first row on did not drift."""
    random = np.random.default_rng(0)
    frame = {"x": random.normal(size=3000), "y": random.normal(size=3000)}
    columns = tuple(Column(name=name, kind="number") for name in frame)
    reference = build(frame, Signature(task="regression", columns=columns))
    live = reference.blank()
    live.update({"x": random.normal(size=900) * 100, "y": random.normal(size=900)})
    points = {p.subject: p for p in first_windows(reference, live, Scope(), SPAN)}
    assert (points["x"].state, points["y"].state) == ("alarm", "ok")
    few = reference.blank()
    few.update({name: values[:50] for name, values in frame.items()})
    assert {p.state for p in first_windows(reference, few, Scope(), SPAN)} == {"insufficient"}
