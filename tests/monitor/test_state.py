"""The state of a window: exact in any division, small, and at ease with odd columns."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterfit.core.fingerprint import Fingerprint, build
from afterfit.core.frame import Predictions
from afterfit.core.signature import Column, Signature
from afterfit.monitor.batches import Batch
from afterfit.monitor.cut import DAY, HOUR, Windows, by_time
from afterfit.monitor.sample import Sample, mixed
from afterfit.monitor.score_table import ScoreTable
from afterfit.monitor.state import MOST_ERRORS, WindowState
from afterfit.monitor.waits import Waits
from afterfit.records.signals import Scope

SCOPE = Scope(endpoint="shop", model="churn", version=3, digest="9b")
NOON = 1_795_435_200_000_000
SIGNATURE = Signature(
    task="binary",
    columns=(
        Column(name="age", kind="number"),
        Column(name="job", kind="category"),
        Column(name="gone", kind="number", nullable=True),
        Column(name="same", kind="number"),
    ),
    classes=("no", "yes"),
    positive="yes",
)


def columns(random: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    """An ordinary column, a category, one without any value and a constant."""
    job = random.choice(np.array(["clerk", "cook", "pilot", "mime"], dtype=object), n)
    return {
        "age": random.normal(40, 10, n),
        "job": job,
        "gone": np.full(n, np.nan),
        "same": np.full(n, 7.0),
    }


def batch_of(seed: int, n: int, **more: Any) -> Batch:
    """Predictions of which some failed, a minute apart."""
    random = np.random.default_rng(seed)
    kinds = random.choice(np.array(["served", "served", "failed"], dtype=object), n)
    found: dict[str, Any] = {
        "scope": SCOPE,
        "role": "primary",
        "ts": NOON + np.arange(n) * 60_000_000,
        "kinds": kinds,
        "scores": random.random(n),
        "probabilities": None,
        "codes": random.integers(0, 2, n),
        "ids": np.array([f"{seed}-{i}" for i in range(n)], dtype=object),
        "entities": np.full(n, "", dtype=object),
        "queue_us": random.integers(-1, 10_000, n),
        "infer_us": random.integers(-1, 500, n),
        "flags": random.integers(-1, 64, n),
        "errors": np.where(kinds == "failed", "row 17 is bad", "").astype(object),
        "frame": columns(random, n),
        "marks": np.arange(n, dtype=np.uint64) + np.uint64(seed << 32),
    }
    return Batch(**(found | more))


@pytest.fixture(scope="module")
def reference() -> Fingerprint:
    """What the version was assessed on: 500 rows."""
    random = np.random.default_rng(0)
    scores = random.random(500)
    frame = columns(random, 500)
    frame["job"][frame["job"] == "mime"] = "cook"
    return build(frame, SIGNATURE, Predictions(probabilities=np.column_stack([1 - scores, scores])))


def plain(state: WindowState) -> dict[str, Any]:
    """The state as plain values, but for moments, which agree to rounding only."""
    found: dict[str, Any] = msgspec.to_builtins(state)
    for column in [*found["counts"]["columns"], found["counts"]["output"]]:
        del column["mean"], column["m2"]
    return found


def read(batches: list[Batch], reference: Fingerprint) -> WindowState:
    """The state of some batches, read one after the other."""
    state = WindowState.empty(SCOPE, NOON, NOON + DAY, reference)
    for batch in batches:
        state.update(batch)
    return state


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 3000), max_size=4), st.randoms())
def test_any_division_merges_to_the_same(
    reference: Fingerprint, cuts: list[int], shuffled: Any
) -> None:
    """Read in one go, in pieces, or in pieces apart and merged in any order."""
    whole = batch_of(1, 3000)
    bounds = sorted({0, 3000, *cuts})
    parts = [whole.take(slice(a, b)) for a, b in pairwise(bounds)]
    once, pieces = read([whole], reference), read(parts, reference)
    states = [read([part], reference) for part in parts]
    shuffled.shuffle(states)
    merged = WindowState.empty(SCOPE, NOON, NOON + DAY, reference)
    for state in states:
        merged.merge(state)
    assert plain(pieces) == plain(once) == plain(merged)
    for a, b in zip(once.counts.columns, merged.counts.columns, strict=True):
        assert (a.mean, a.m2) == pytest.approx((b.mean, b.m2), rel=1e-9, abs=1e-6)


def test_what_is_counted(reference: Fingerprint) -> None:
    """Answers, failures, flags and odd columns each where they belong."""
    batch = batch_of(2, 900)
    state = read([batch], reference)
    served = batch.kinds == "served"
    assert state.kinds == {"served": served.sum(), "failed": (~served).sum()}
    assert state.errors == {"row # is bad": (~served).sum()}
    assert state.n == state.inputs_n == served.sum()
    assert state.flags_n == (batch.flags[served] >= 0).sum()
    assert state.flags["range"] == ((batch.flags[served] & 1) & (batch.flags[served] >= 0)).sum()
    gone, same, job = (state.counts.column(name) for name in ("gone", "same", "job"))
    assert gone is not None
    assert same is not None
    assert job is not None
    assert gone.nan == state.n
    assert (same.min, same.max, same.m2) == (7.0, 7.0, 0.0)
    assert job.new == (batch.frame["job"][served] == "mime").sum()
    assert (state.first, state.last) == (batch.ts[0], batch.ts[-1])


def test_quality_is_counted_where_a_table_is_given(reference: Fingerprint) -> None:
    """Answers by score; and by truth where that is known, of answered rows alone."""
    batch = batch_of(2, 900)
    table = ScoreTable.of(SIGNATURE)
    whole, parts = (
        WindowState.empty(SCOPE, NOON, NOON + DAY, reference, scores=table) for _ in range(2)
    )
    truth = np.where(np.arange(900) % 3 == 0, -1, batch.codes)
    whole.update(batch, truth)
    parts.update(batch.take(slice(0, 400)), truth[:400])
    rest = WindowState.empty(SCOPE, NOON, NOON + DAY, reference, scores=table)
    rest.update(batch.take(slice(400, 900)), truth[400:])
    parts.merge(rest)
    assert whole.scores is not None
    assert parts.scores is not None
    served = batch.kinds == "served"
    assert whole.scores.answered == served.sum()
    assert whole.scores.labelled == (served & (truth >= 0)).sum()
    assert (parts.scores.hits, parts.scores.cells) == (whole.scores.hits, whole.scores.cells)


def test_nothing_changes_nothing(reference: Fingerprint) -> None:
    """An empty batch, and a batch of refusals alone, are no predictions."""
    state = read([batch_of(1, 0)], reference)
    assert plain(state) == plain(WindowState.empty(SCOPE, NOON, NOON + DAY, reference))
    refused = batch_of(1, 5, kinds=np.full(5, "refused", dtype=object))
    assert read([refused], reference).counts.n_ref == 0
    assert read([refused], reference).kinds == {"refused": 5}


def test_inputs_may_be_unknown(reference: Fingerprint) -> None:
    """Without captured inputs there are outputs and waits, and no sample."""
    state = read([batch_of(1, 100, frame={})], reference)
    assert state.inputs_n == 0
    assert len(state.sample) == 0
    assert state.counts.output is not None
    assert state.counts.output.total == state.n > 0


def test_errors_do_not_grow_without_end(reference: Fingerprint) -> None:
    """Wordings beyond the fiftieth are counted together."""
    words = np.array([f"{'x' * i}!" for i in range(1, 71)], dtype=object)
    state = read([batch_of(1, 70, kinds=np.full(70, "failed", object), errors=words)], reference)
    assert len(state.errors) == MOST_ERRORS + 1
    assert state.errors["other errors"] == 70 - MOST_ERRORS


def test_a_state_is_small_and_survives_being_written() -> None:
    """50 columns and a full sample are below a megabyte, as JSON too."""
    random = np.random.default_rng(0)
    frame = {f"column_{i}": random.normal(size=4000) for i in range(50)}
    signature = Signature(
        task="regression", columns=tuple(Column(name=name, kind="number") for name in frame)
    )
    reference = build(frame, signature, Predictions(values=random.normal(size=4000)))
    table = ScoreTable.empty("multiclass", classes=10)
    state = WindowState.empty(SCOPE, NOON, NOON + HOUR, reference, scores=table)
    state.update(batch_of(0, 4000, frame=frame, kinds=np.full(4000, "served", dtype=object)))
    assert len(state.sample) == 2000
    written = msgspec.json.encode(state)
    assert len(written) < 1_000_000
    assert len(msgspec.msgpack.encode(state)) < 1_000_000
    assert msgspec.json.decode(written, type=WindowState) == state


def test_every_row_is_as_likely_in_the_sample(reference: Fingerprint) -> None:
    """Of 20,000 rows the 2,000 that are kept lie anywhere."""
    sample = Sample.like(reference, seed=3)
    place = np.arange(20_000, dtype=np.float64)
    frame = {"age": place}
    sample.update(np.arange(20_000, dtype=np.uint64), frame, place, reference)
    kept = sample.matrix()[:, 0]
    assert len(kept) == 2000
    assert kept.mean() == pytest.approx(10_000, abs=3 * 20_000 / np.sqrt(12 * 2000))
    assert len(np.unique(mixed(np.arange(50_000, dtype=np.uint64), 0))) == 50_000


@given(st.lists(st.integers(-5, 2**40), min_size=1, max_size=60))
def test_waits_are_near_the_exact_quantile(values: list[int]) -> None:
    """A quantile is within a bin, 1/32, of the value at its rank."""
    waits = Waits()
    waits.update(np.array(values, dtype=np.int64))
    known = sorted(value for value in values if value >= 0)
    assert waits.n == len(known)
    assert waits.total_us == sum(known)
    if known:
        value, low, high = waits.quantile(0.5)
        exact = known[max(1, int(np.ceil(len(known) / 2))) - 1]
        assert value == pytest.approx(exact, rel=1 / 32, abs=1)
        assert low <= value <= high
        assert waits.above(exact * 1.04 + 1) <= sum(v > exact for v in known)


def test_windows_by_time_take_rows_of_any_order(reference: Fingerprint) -> None:
    """Rows out of order, and rows of the future, go to the hour that they say."""
    batch = batch_of(4, 300)
    mixed_up = batch.take(np.random.default_rng(0).permutation(300))
    windows = Windows(lambda _: reference)
    windows.add(mixed_up)
    assert [state.start for state in windows.close(NOON + 2 * HOUR)] == [NOON, NOON + HOUR]
    rest = windows.close()
    assert [state.start for state in rest] == [NOON + h * HOUR for h in range(2, 5)]
    whole = dict(by_time(batch, HOUR))[NOON + 2 * HOUR]
    alone = WindowState.empty(SCOPE, NOON + 2 * HOUR, NOON + 3 * HOUR, reference)
    alone.update(whole)
    assert plain(rest[0]) == plain(alone)


def test_windows_by_count_are_full_to_the_row(reference: Fingerprint) -> None:
    """However the stream is cut, each window has its answered predictions."""
    batch = batch_of(5, 1000)
    served = int((batch.kinds == "served").sum())
    found = []
    for size in (1000, 77):
        windows = Windows(lambda _: reference, rows=100)
        for start in range(0, 1000, size):
            windows.add(batch.take(slice(start, start + size)))
        full = windows.close(0)
        assert {state.n for state in full} == {100}
        assert len(full) == served // 100
        assert full[0].end <= full[1].first
        found.append([plain(state) for state in [*full, *windows.close()]])
    assert found[0] == found[1]


def test_slices_and_restarts(reference: Fingerprint) -> None:
    """A named column has a window for each value; kept windows go on where they were."""
    windows = Windows(lambda _: reference, width_us=DAY, slices=("job", "unknown"))
    windows.add(batch_of(6, 200))
    states = windows.close()
    assert {state.scope.slice for state in states} == {
        "", "job = clerk", "job = cook", "job = pilot", "job = mime",
    }  # fmt: skip
    assert sum(state.n for state in states[1:]) == states[0].n
    again = Windows(lambda _: reference, width_us=DAY)
    again.put_back(msgspec.json.decode(msgspec.json.encode(states[0]), type=WindowState))
    again.add(batch_of(7, 200))
    both = read([batch_of(6, 200), batch_of(7, 200)], reference)
    assert again.close()[0].n == both.n


def test_a_version_that_is_not_watched_is_passed_over(reference: Fingerprint) -> None:
    """Without a reference there are no bins to count in."""
    windows = Windows(lambda scope: reference if scope.version == 4 else None)
    windows.add(batch_of(1, 10))
    assert windows.close() == []
