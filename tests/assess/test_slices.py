"""Weak slices: what is broken is found by name, and what is not is left alone."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.assess.parts import evidence

from afterfit.assess.slice_search import Coded, search
from afterfit.assess.slices import weak_slices
from afterfit.core.cuts import cut
from afterfit.core.dataset import Dataset
from afterfit.core.frame import Predictions

if TYPE_CHECKING:
    from collections.abc import Callable

    from afterfit.core.finding import Finding
    from afterfit.records.assess_slices import SliceSearch

Frame = dict[str, np.ndarray]
Case = tuple[Frame, np.ndarray, Predictions, str]


def rows(rng: np.random.Generator, n: int) -> Frame:
    """Numbers, one of few values, one with gaps, and categories of unequal shares."""
    frame: Frame = {f"x{i}": rng.normal(size=n) for i in range(4)}
    frame["k"] = rng.integers(0, 6, n)
    frame["gap"] = np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n))
    frame["city"] = rng.choice(["Ulm", "Kiel", "Bonn"], n).astype(object)
    shares = np.arange(8, 0, -1) / 36
    frame["job"] = rng.choice(list("abcdefgh"), n, p=shares).astype(object)
    return frame


def honest(rng: np.random.Generator, n: int, base: float = 0.0) -> Case:
    """A calibrated model, unsure of some rows and sure of others."""
    frame = rows(rng, n)
    p = 1 / (1 + np.exp(-base - 1.5 * (frame["x0"] + 0.5 * (frame["city"] == "Ulm"))))
    truth = (rng.random(n) < p).astype(np.int64)
    return frame, truth, Predictions(probabilities=np.stack([1 - p, p], axis=1)), "binary"


def rare(rng: np.random.Generator, n: int) -> Case:
    """A calibrated model of a rare class, which it hardly ever decides for."""
    return honest(rng, n, base=-4.0)


def labels_alone(rng: np.random.Generator, n: int) -> Case:
    """A model that gives labels, one in ten of them wrong."""
    truth = rng.integers(0, 2, n)
    codes = np.where(rng.random(n) < 0.9, truth, 1 - truth)
    return rows(rng, n), truth, Predictions(codes=codes), "binary"


def heavy(rng: np.random.Generator, n: int) -> Case:
    """A regression whose errors have hardly a variance."""
    frame = rows(rng, n)
    return (
        frame,
        frame["x0"] + rng.standard_t(2.2, n),
        Predictions(values=frame["x0"]),
        "regression",
    )


def broken(case: Case, bad: np.ndarray, rng: np.random.Generator) -> Case:
    """The same with the labels of some rows mostly turned, or errors added."""
    frame, truth, predictions, task = case
    if task == "regression":
        shift = 3 * rng.choice([-1.0, 1.0], len(truth))
        return frame, np.where(bad, truth + shift, truth), predictions, task
    decided = predictions.codes
    if decided is None:
        decided = (predictions.main[:, 1] >= 0.5).astype(np.int64)
    turned = bad & (rng.random(len(truth)) < 0.8)
    return frame, np.where(turned, 1 - decided, truth), predictions, task


def found(case: Case, **more: Any) -> tuple[tuple[Finding, ...], SliceSearch]:
    """The findings and the search; a warning of numpy is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        part = weak_slices(evidence(*case, **more))
    return part.findings, part.fields["slices"]


def issues(findings: tuple[Finding, ...]) -> list[str]:
    """The names of the slices that are issues."""
    return [each.where for each in findings if each.outcome == "issue"]


@pytest.mark.parametrize("make", [honest, labels_alone, heavy])
def test_a_broken_category_is_found_by_its_name(
    make: Callable[[np.random.Generator, int], Case],
) -> None:
    """One category of 6 % of the rows, alone: it is told without a second condition."""
    rng = np.random.default_rng(3)
    case = make(rng, 3000)
    case = broken(case, case[0]["job"] == "g", rng)
    findings, search_ = found(case)
    assert 0.04 < (case[0]["job"] == "g").mean() < 0.07
    assert issues(findings) == ["job = g"]
    worst = search_.slices[0]
    assert (worst.name, worst.verdict) == ("job = g", "weak")
    (told,) = [each for each in findings if each.outcome == "issue"]
    foresees = make is honest
    assert ("points (" in told.message and "beyond what was foreseen" in told.message) is foresees
    assert worst.inside.value is not None
    assert worst.outside.value is not None
    assert worst.gap.value == pytest.approx(worst.inside.value - worst.outside.value)
    assert worst.gap.low is not None
    assert 0 < worst.gap.low < worst.inside.value - worst.outside.value
    assert worst.n == worst.gap.n == worst.inside.n


@pytest.mark.parametrize("make", [honest, labels_alone, heavy])
def test_a_broken_pair_of_conditions_is_found_by_its_name(
    make: Callable[[np.random.Generator, int], Case],
) -> None:
    """A range of a number within one category, 6 % of the rows; the edge is near the true one."""
    rng = np.random.default_rng(4)
    case = make(rng, 4000)
    bad = (case[0]["city"] == "Ulm") & (case[0]["x1"] > 0.9)
    assert 0.05 < bad.mean() < 0.07
    findings, search_ = found(broken(case, bad, rng))
    (name,) = issues(findings)
    assert name.endswith(" and city = Ulm")
    edge = float(name.split(" and ")[0].removeprefix("x1 ≥ "))
    assert 0.6 < edge < 1.2
    assert search_.slices[0].adjusted is not None
    assert search_.slices[0].adjusted < 1e-6


def test_a_missing_value_is_a_slice() -> None:
    """Rows without a number fail: the slice is that they lack it."""
    rng = np.random.default_rng(5)
    case = honest(rng, 2000)
    findings, _ = found(broken(case, np.isnan(case[0]["gap"]), rng))
    assert issues(findings) == ["gap is missing"]


def test_of_two_broken_parts_both_are_told_and_none_twice() -> None:
    """Distinct slices: neither a near-duplicate nor a larger part that merely contains one."""
    rng = np.random.default_rng(6)
    case = honest(rng, 6000)
    bad = (case[0]["job"] == "f") | (case[0]["k"] == 2) & (case[0]["city"] == "Kiel")
    findings, _ = found(broken(case, bad, rng))
    assert set(issues(findings)) == {"job = f", "k = 2 and city = Kiel"}


def test_rows_that_are_hard_and_known_to_be_are_no_issue() -> None:
    """A calibrated model errs more where it is unsure: a tip, with what it foresaw."""
    findings, search_ = found(honest(np.random.default_rng(7), 8000))
    outcomes = {each.code: each.outcome for each in findings}
    assert outcomes == {"A020": "passed", "A021": "tip"}
    hard = [part for part in search_.slices if part.verdict == "hard"]
    assert hard
    for part in hard:
        assert part.foreseen == pytest.approx(part.inside.value, abs=0.06)


def test_an_effect_that_is_not_worth_knowing_is_no_issue() -> None:
    """Very many rows make a small difference sure; it is still small."""
    rng = np.random.default_rng(8)
    n = 20_000
    frame = {"job": rng.choice(list("abcd"), n).astype(object), "x": rng.normal(size=n)}
    wrong = rng.random(n) < np.where(frame["job"] == "a", 0.26, 0.2)
    truth = np.zeros(n, np.int64)
    findings, search_ = found((frame, truth, Predictions(codes=wrong.astype(np.int64)), "binary"))
    assert issues(findings) == []
    assert [part.verdict for part in search_.slices if part.name == "job = a"] == ["slight"]


def test_rows_of_one_group_stay_on_one_side() -> None:
    """A group is never searched and tested at once; a single group cannot be halved."""
    rng = np.random.default_rng(9)
    frame, truth, predictions, _ = honest(rng, 600)
    whole = Dataset(frame=frame, target=truth, group=np.full(600, "g", object))
    findings = weak_slices(evidence(frame, truth, predictions, data=whole)).findings
    assert {each.outcome for each in findings} == {"skipped"}
    groups = Dataset(frame=frame, target=truth, group=np.arange(600) // 300)
    _, search_ = found((frame, truth, predictions, "binary"), data=groups)
    assert search_.n_discovery == search_.n_confirmation == 300


def test_of_rows_with_a_time_the_later_half_is_tested() -> None:
    """A part that is broken all the time is found; one that was so early only is not."""
    for until, expected in ((1.0, ["job = f"]), (0.5, [])):
        rng = np.random.default_rng(10)
        time = rng.permutation(4000)
        case = honest(rng, 4000)
        bad = (case[0]["job"] == "f") & (time < until * 4000)
        frame, truth, predictions, task = broken(case, bad, rng)
        data = Dataset(frame=frame, target=truth, time=time)
        findings, search_ = found((frame, truth, predictions, task), data=data)
        assert issues(findings) == expected
        assert "blocks" in search_.slices[0].gap.method


def test_rows_of_groups_that_differ_are_no_weak_slice() -> None:
    """A region of few shops is worse by the luck of its shops: groups count, not their rows."""
    alarms = {"groups": 0, "rows": 0}
    for seed in range(60):
        rng = np.random.default_rng(seed)
        shop = np.repeat(np.arange(60), 40)
        region = rng.choice(list("abcd"), 60)[shop].astype(object)
        wrong = rng.random(2400) < rng.beta(0.6, 3.0, 60)[shop]
        truth = np.zeros(2400, np.int64)
        frame = {"region": region, "x": rng.normal(size=2400)}
        case = frame, truth, Predictions(codes=wrong.astype(np.int64)), "binary"
        for name, group in (("groups", shop), ("rows", None)):
            data = Dataset(frame=frame, target=truth, group=group)
            alarms[name] += bool(issues(found(case, data=data, seed=seed)[0]))
    assert alarms["groups"] <= 0.05 * 60
    assert alarms["rows"] > 2 * alarms["groups"]


@pytest.mark.parametrize(
    ("make", "n"), [(honest, 1500), (rare, 1500), (labels_alone, 500), (heavy, 1000)]
)
@pytest.mark.slow
def test_models_without_a_broken_slice_have_few_issues(
    make: Callable[[np.random.Generator, int], Case], n: int
) -> None:
    """At most 5 % of the tables have a false issue: 200 simulations of each kind."""
    alarms = 0
    for seed in range(200):
        case = make(np.random.default_rng(seed), n)
        alarms += bool(issues(found(case, seed=seed)[0]))
    assert alarms <= 0.05 * 200


@pytest.mark.parametrize("frame", [
    {"c": np.full(400, 3.0)},
    {"c": np.full(400, np.nan), "o": np.full(400, None, object)},
    {"c": np.full(400, "a", object), "x": np.linspace(0, 1, 400)},
    {"f": np.arange(400) % 2 == 0, "i": np.full(400, np.inf)},
    {"id": np.array([f"r{i}" for i in range(400)], object)},
    {},
])  # fmt: skip
def test_columns_that_say_nothing_do_no_harm(frame: Frame) -> None:
    """Constant, all-missing, infinite and identifying columns, with and without errors."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 400)
    for codes in (truth, 1 - truth, rng.integers(0, 2, 400), np.zeros(400, np.int64)):
        findings, _ = found((frame, truth, Predictions(codes=codes), "binary"))
        assert {each.outcome for each in findings} == {"passed", "not_applicable"}
    findings, _ = found((frame, truth * 1.0, Predictions(values=truth * 1.0), "regression"))
    assert {each.outcome for each in findings} == {"passed", "not_applicable"}


@pytest.mark.parametrize(
    ("n", "truth", "word"),
    [(2, 1, "too few"), (199, 0, "too few"), (400, 0, "none is surely")],
)
def test_few_rows_and_one_class_have_their_outcome(n: int, truth: int, word: str) -> None:
    """Two rows are too few, and say how many are needed; one class alone is no reason to fail."""
    frame = {"x": np.arange(n) * 1.0}
    probabilities = np.tile([0.4, 0.6], (n, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        part = weak_slices(
            evidence(frame, np.full(n, truth), Predictions(probabilities=probabilities))
        )
    assert word in part.findings[0].message
    if word == "too few":
        assert part.findings[0].outcome == "skipped"
        assert part.findings[0].evidence["needed_n"] == 200


def test_predictions_that_are_not_finite_and_no_time_are_told() -> None:
    """Neither is a crash, and neither is a pass."""
    frame = {"x": np.arange(400) * 1.0}
    values = np.where(np.arange(400) == 7, np.nan, 1.0)
    bad = weak_slices(evidence(frame, np.zeros(400), Predictions(values=values), "regression"))
    late = weak_slices(
        evidence(frame, np.zeros(400), Predictions(values=frame["x"]), "regression", seconds=-1.0)
    )
    assert {each.outcome for each in (*bad.findings, *late.findings)} == {"skipped"}
    assert "finite" in bad.findings[0].message
    assert late.findings[0].fix == "--effort full"


def test_pruning_leaves_out_nothing() -> None:
    """With the upper bounds and without them, the best slices are the same."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        frame = rows(rng, 1500)
        bad = (frame["city"] == "Ulm") & (frame["x1"] > 0.9) | (frame["job"] == "f")
        wrong = (rng.random(1500) < np.where(bad, 0.5, 0.1)).astype(np.float64)
        losses = wrong - np.float64(0.1 * (seed % 2))
        columns = []
        for name, values in frame.items():
            made = cut(name, values, ranges=10, least=30)
            columns.append(Coded(made, made.codes(values)))
        fast, _ = search(columns, losses, 30)
        slow, _ = search(columns, losses, 30, prune=False)
        assert len(fast) > 10
        assert [(each.name, each.score) for each in fast] == [
            (each.name, each.score) for each in slow
        ]


def test_a_search_that_runs_out_of_time_says_so() -> None:
    """What was found until then is kept."""
    rng = np.random.default_rng(1)
    values = rng.choice(list("abcd"), 1000).astype(object)
    other = rng.choice(list("efgh"), 1000).astype(object)
    made = [cut("u", values, ranges=10), cut("v", other, ranges=10)]
    columns = [Coded(made[0], made[0].codes(values)), Coded(made[1], made[1].codes(other))]
    losses = np.where(values == "a", 1.0, 0.1)
    pool, whole = search(columns, losses, 30, deadline=0.0)
    assert not whole
    assert pool[0].name == "u = a"
