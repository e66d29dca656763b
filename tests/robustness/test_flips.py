"""Smallest changes: those of a linear model are the analytic ones, and nothing fixed moves."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.robustness.models import BINARY, VALUES, Scoring, Valuing, found, numbers, people, sound
from tests.robustness.test_shrink import Book

from afterfit.core.dataset import Dataset
from afterfit.core.fingerprint import build
from afterfit.core.frame import Predictions, row_count
from afterfit.core.metric import find
from afterfit.core.metric_names import METRICS
from afterfit.core.progress import SILENT
from afterfit.core.signature import Column, Signature
from afterfit.errors import ConfigError
from afterfit.robustness.config import RobustnessConfig
from afterfit.robustness.evidence import Evidence
from afterfit.robustness.flips import flips as search
from afterfit.robustness.run import robustness

if TYPE_CHECKING:
    from afterfit.core.frame import Frame
    from afterfit.records.robustness import RobustnessRecord
    from afterfit.records.robustness_cases import FlipExample, Flips

NAMES = ("a", "b", "c")
PLAIN = Signature(
    task="binary",
    columns=tuple(Column(name=name, kind="number", low=-4.0, high=4.0) for name in NAMES),
    classes=("no", "yes"),
    positive="yes",
    threshold=0.5,
)


def normal(n: int = 400, seed: int = 0) -> Dataset:
    """Three columns of different spreads, without labels."""
    random = np.random.default_rng(seed)
    return Dataset(frame={name: random.normal(0, 1 + place, n) for place, name in enumerate(NAMES)})


def linear(*weights: float) -> Scoring:
    """A logistic model of three columns."""

    def score(frame: Frame) -> np.ndarray:
        line = sum(w * np.asarray(frame[name]) for name, w in zip(NAMES, weights, strict=True))
        return np.asarray(1 / (1 + np.exp(-np.clip(line, -500, 500))))

    return Scoring(score)


def searched(
    model: Any, signature: Signature = PLAIN, data: Dataset | None = None, **settings: Any
) -> tuple[RobustnessRecord, Flips, tuple[FlipExample, ...]]:
    """The record, what it says of smallest changes, and the examples of real rows."""
    book = Book()
    config = RobustnessConfig(**{"rows": 60, **settings})
    data = normal() if data is None else data
    record = robustness(model, signature, data, config, subject="m", book=book)
    assert record.flips is not None
    assert book.kept is not None
    return record, record.flips, book.kept.examples


def test_the_smallest_change_of_a_linear_model_is_the_analytic_one() -> None:
    """|w.x| over the largest |w_j| times its spread, in one column, where the box lets it."""
    weights = np.array([1.0, 0.8, -0.2])
    data = normal()
    record, flips, examples = searched(linear(*weights), data=data)
    fingerprint = build(data.frame, PLAIN)
    counts = [fingerprint.column(name) for name in NAMES]
    spreads = np.array([np.sqrt(each.m2 / each.finite) for each in counts if each is not None])
    ends = [(each.min, each.max) for each in counts if each is not None]
    chosen = np.random.default_rng(0).permutation(400)[:30]
    rows = np.stack([data.frame[name][chosen] for name in NAMES], axis=1)
    line = rows @ weights
    moved = -line[:, None] / weights  # how far each column alone would have to go
    within = np.array([
        [low <= x + d <= high for x, d, (low, high) in zip(row, by, ends, strict=True)]
        for row, by in zip(rows, moved, strict=True)
    ])  # fmt: skip
    sizes = np.where(within, np.abs(moved) / spreads, np.inf).min(axis=1)
    assert flips.n == 30
    assert np.isfinite(sizes).all()
    assert flips.flipped == 30
    for each in flips.within:
        assert each.flipped == int((sizes <= each.size).sum())
    assert flips.median == pytest.approx(np.sort(sizes)[14], abs=1e-3)
    assert [sum(m.size for m in moves) for moves in flips.examples] == pytest.approx(
        np.sort(sizes)[:3], abs=1e-3
    )
    assert max(flips.names, key=lambda name: flips.names[name]) == "b"  # 0.8 of a spread of 2
    for example in examples:
        after = sum(w * example.after[name] for w, name in zip(weights, NAMES, strict=True))
        before = sum(w * example.before[name] for w, name in zip(weights, NAMES, strict=True))
        assert (after >= 0) != (before >= 0)
    names = [metric.name for metric in record.metrics]
    assert set(names) <= set(METRICS["robustness"])
    share = find(record.metrics, "flip_share_050")
    assert share is not None
    assert (share.low or 0) < (share.value or 0) < (share.high or 1)


def test_two_columns_are_moved_where_one_is_not_enough_and_no_more() -> None:
    """Only both beyond 1 turn it: the third column, tried on the way, is left as it was."""

    def both(frame: Frame) -> np.ndarray:
        a, b = np.asarray(frame["a"]), np.asarray(frame["b"])
        return np.asarray(0.1 + 0.35 * (a > 1) + 0.35 * (b > 1) + 0.01 * np.tanh(frame["c"]))

    random = np.random.default_rng(2)
    frame = {name: np.append(random.uniform(-1, 0, 380), np.full(20, 2.0)) for name in NAMES}
    _, flips, examples = searched(Scoring(both), data=Dataset(frame=frame))
    two = [moves for moves in flips.examples if len(moves) == 2]
    assert two
    assert {move.column for moves in two for move in moves} == {"a", "b"}
    for example in examples:
        if example.said_before.startswith("no"):
            assert example.after["a"] == pytest.approx(1.0, abs=0.01)
            assert example.after["b"] == pytest.approx(1.0, abs=0.01)
            assert example.after["c"] == example.before["c"]


class Watching(Scoring):
    """A model that remembers every row it was asked about."""

    def __init__(self, function: Any) -> None:
        super().__init__(function)
        self.seen: list[Frame] = []

    def predict(self, frame: Frame) -> Predictions:
        """Answer, and keep the frame."""
        self.seen.append({name: values.copy() for name, values in frame.items()})
        return super().predict(frame)


def test_fixed_columns_are_never_moved_and_none_leaves_its_box() -> None:
    """Of the rows that the search asked, income and city are always a row's own."""
    data, frame_of_people = people(), people().frame
    watching = Watching(sound)
    record, flips, examples = searched(watching, BINARY, data, fixed=("income", "city"))
    assert (flips.fixed, set(flips.tried)) == (("income", "city"), {"age", "member"})
    assert not set(flips.names) & {"income", "city"}
    assert flips.rows_of == "rightly decided"
    for example in examples:
        assert all(example.before[name] == example.after[name] for name in ("income", "city"))
    known = set(zip(frame_of_people["income"].tolist(), frame_of_people["city"].tolist(),
                    strict=True))  # fmt: skip
    counts = build(data.frame, BINARY).column("age")
    assert counts is not None
    assert counts.min is not None
    assert counts.max is not None
    watching.seen.clear()
    rows = {name: values[:60] for name, values in data.frame.items()}
    evidence = Evidence(
        watching, BINARY, data, rows, watching.predict(rows),
        RobustnessConfig(rows=60, fixed=("income", "city")), time.monotonic() + 60,
        SILENT, 1e6,
        build(data.frame, BINARY),
    )  # fmt: skip
    watching.seen.clear()
    assert search(evidence).fields["flips"] == flips
    assert watching.seen
    for frame in watching.seen:
        pairs = set(zip(frame["income"].tolist(), frame["city"].tolist(), strict=True))
        assert pairs <= known
        assert frame["age"].dtype.kind == "i"
        assert counts.min <= frame["age"].min()
        assert frame["age"].max() <= counts.max
    assert found(record, "R063", "tip") or found(record, "R063", "passed")


def test_a_category_turns_a_decision_by_one_spread() -> None:
    """Another known city, and no other, is the change; words nobody knows are not tried."""

    def by_city(frame: Frame) -> np.ndarray:
        return np.array([0.9 if word == "Ulm" else 0.2 for word in frame["city"].tolist()])

    _, flips, examples = searched(Scoring(by_city), BINARY, people())
    assert flips.names == {"city": flips.n}
    assert (flips.median, flips.within[2].flipped, flips.within[3].flipped) == (1.0, 0, flips.n)
    assert {example.after["city"] for example in examples} <= {"Ulm", "Bonn", "Kiel"}


def test_a_regression_moves_by_half_a_standard_deviation() -> None:
    """Of a value that is a column's, the change is half of the column's spread."""
    model = Valuing(lambda frame: 3 * numbers(frame, "income", 50.0))
    record, flips, _ = searched(model, VALUES, people(1000), rows=200)
    assert flips.amount > 0
    assert flips.names == {"income": 100}
    assert flips.median == pytest.approx(0.5, abs=0.05)
    (tip,) = [f for f in record.findings if f.code == "R063"]
    assert tip.outcome != "issue"


def test_a_constant_model_never_flips() -> None:
    """No share, no median, and the check passes."""
    record, flips, examples = searched(Scoring(lambda frame: np.full(row_count(frame), 0.1)))
    assert (flips.flipped, flips.median, examples) == (0, None, ())
    assert all(each.flipped == 0 and each.high < 0.2 for each in flips.within)
    assert found(record, "R063", "passed")


def test_the_time_is_kept_and_what_was_not_searched_is_skipped() -> None:
    """A model of 100 rows a second in one second: no search is begun, and its check says so."""

    def slow(frame: Frame) -> np.ndarray:
        time.sleep(row_count(frame) / 1000)
        return np.asarray(1 / (1 + np.exp(-np.asarray(frame["a"]))))

    started = time.monotonic()
    book = Book()
    config = RobustnessConfig(rows=60, seconds=1.0)
    record = robustness(Scoring(slow), PLAIN, normal(), config, subject="m", book=book)
    assert time.monotonic() - started < 4.0
    assert record.flips is None
    (skipped,) = found(record, "R063", "skipped")
    assert "time" in skipped.message
    assert "smallest changes" in record.unreached


def test_a_fixed_column_that_is_none_is_told_with_its_nearest_name() -> None:
    """A typing error would leave a column to be moved."""
    with pytest.raises(ConfigError, match="incom") as caught:
        searched(Scoring(sound), BINARY, people(), fixed=("incom",))
    assert "income" in caught.value.why
    assert "fixed" in caught.value.where
