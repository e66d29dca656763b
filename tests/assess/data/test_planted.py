"""Each fault of the tables, planted in rows that have no other: it is found, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.assess.data.tables import (
    CHECKS,
    evidence_of,
    findings_of,
    issues_of,
    said,
    sides,
    signature_of,
    whole,
)

from afterfit.assess.data.alone import derived_from_target, predicts_alone
from afterfit.assess.data.clock import stands_for_time
from afterfit.assess.data.drift import held_out_moved
from afterfit.assess.data.duplicates import rows_in_training, rows_twice
from afterfit.assess.data.identity import uninformative
from afterfit.assess.data.noise import wrong_labels
from afterfit.assess.data.overlap import earlier_than_training, shared_groups
from afterfit.core.dataset import Dataset
from afterfit.core.finding import Finding
from afterfit.core.frame import Predictions, take


def with_columns(data: Dataset, **columns: np.ndarray) -> Dataset:
    """The same rows with more columns, or others."""
    return replace(data, frame={**data.frame, **columns})


def with_log(data: Dataset) -> Dataset:
    """The same rows with the logarithm of their target."""
    assert data.target is not None
    return with_columns(data, log=np.log(data.target))


def copied(train: Dataset, data: Dataset, n: int) -> Dataset:
    """The held-out rows with the first n replaced by training rows."""
    frame = {name: values.copy() for name, values in data.frame.items()}
    assert data.target is not None
    assert train.target is not None
    labels = data.target.copy()
    for name, values in train.frame.items():
        frame[name][:n] = values[:n]
    labels[:n] = train.target[:n]
    return replace(data, frame=frame, target=labels)


def only(findings: tuple[Finding, ...]) -> Finding:
    """The one finding."""
    (found,) = findings
    return found


def test_rows_without_a_fault_have_no_finding_but_passed_ones() -> None:
    """What needs a role does not apply; all other checks pass."""
    outcomes = {f.code: f.outcome for f in findings_of(whole(*sides()))}
    assert outcomes.pop("A012") == outcomes.pop("A013") == outcomes.pop("A014") == "not_applicable"
    assert outcomes == dict.fromkeys(outcomes, "passed")
    assert len(outcomes) == 7


def test_copied_rows_are_counted_with_their_places() -> None:
    """60 of 1,500 rows come from the training table: 4 %, severe, and nothing else is an issue."""
    data, train, shares = sides()
    evidence = whole(copied(train, data, 60), train, shares)
    part = rows_in_training(evidence)
    found = only(part.findings)
    assert (found.outcome, found.severity) == ("issue", "high")
    assert (found.evidence["exact"], found.evidence["near"]) == (60, 0)
    assert found.evidence["rows"] == list(range(10))
    repeats = part.fields["repeats_training"]
    assert repeats.low < 0.04 < repeats.high
    assert part.metrics[0].value == pytest.approx(0.04)
    assert issues_of(evidence) == [("A010", "")]


def test_a_few_copies_are_less_severe_than_many() -> None:
    """0.6 % is an issue of medium severity."""
    data, train, shares = sides(n=3000)
    found = only(rows_in_training(whole(copied(train, data, 18), train, shares)).findings)
    assert (found.outcome, found.severity) == ("issue", "medium")


def test_rows_that_differ_in_rounding_case_or_space_are_near() -> None:
    """Single precision, and words as somebody typed them again; the other rows stay apart."""
    data, train, shares = sides()
    data = copied(train, data, 50)
    frame = dict(data.frame)
    frame["a"] = np.where(np.arange(1500) < 50, frame["a"].astype(np.float32), frame["a"])
    frame["city"] = np.array([f" {word.upper()}" for word in frame["city"].tolist()], object)
    found = only(rows_in_training(whole(replace(data, frame=frame), train, shares)).findings)
    assert found.outcome == "issue"
    assert found.evidence["exact"] == 0
    assert found.evidence["near"] == 50


def test_equal_columns_with_another_label_are_told_apart() -> None:
    """A row whose copy has the other label is no copy with its label."""
    data, train, shares = sides()
    data = copied(train, data, 60)
    assert data.target is not None
    labels = data.target.copy()
    labels[:20] = 1 - labels[:20]
    found = only(rows_in_training(whole(replace(data, target=labels), train, shares)).findings)
    assert (found.evidence["exact"], found.evidence["other_label"]) == (40, 20)


def test_rows_of_few_values_repeat_by_chance() -> None:
    """Of 27 possible rows all are in both tables: many copies, and no issue."""
    random = np.random.default_rng(3)

    def few(n: int) -> Dataset:
        frame = {name: random.integers(0, 3, n) for name in ("x", "y", "z")}
        return Dataset(frame=frame, target=random.integers(0, 2, n))

    data, train = few(400), few(900)
    evidence = whole(data, train, np.full(400, 0.5))
    across, within = rows_in_training(evidence), rows_twice(evidence)
    assert only(across.findings).outcome == only(within.findings).outcome == "tip"
    assert only(across.findings).evidence["exact"] == 400
    assert issues_of(evidence) == []


def test_integers_and_floats_are_equal_numbers_and_gaps_are_equal() -> None:
    """A column that has gaps in one table is one of floats there; huge integers stay apart."""
    n = 40
    ids = 2**62 + np.arange(n)
    data = Dataset(
        frame={"x": np.arange(n), "big": ids, "g": np.full(n, np.nan)}, target=np.zeros(n)
    )
    floats = {"x": np.arange(n).astype(float), "big": ids, "g": np.full(n, np.nan)}
    train = Dataset(frame=floats, target=np.zeros(n))
    shares = np.full(n, 0.5)
    part = rows_in_training(whole(data, train, shares))
    assert only(part.findings).evidence["exact"] == n
    near = Dataset(frame={**floats, "big": ids + 1}, target=np.zeros(n))
    assert only(rows_in_training(whole(data, near, shares)).findings).evidence["exact"] == 0


def test_repeated_held_out_rows_make_intervals_too_narrow() -> None:
    """A third of the rows stands there twice, which chance never does."""
    data, _, shares = sides(n=600)
    twice = np.concatenate([np.arange(400), np.arange(200)])
    evidence = whole(data.take(twice), None, shares[twice])
    found = only(rows_twice(evidence).findings)
    assert found.outcome == "issue"
    assert found.evidence["exact"] == 200
    assert found.evidence["rows"] == list(range(400, 410))


def test_groups_on_both_sides_are_an_issue_and_on_one_side_are_none() -> None:
    """Half of the held-out groups are known; missing names are no group."""
    data, train, shares = sides(n=200)
    names = np.array([f"p{i // 4}" for i in range(200)], object)
    names[:4] = None
    data = replace(data, group=names, roles={"group": "patient"})
    known = np.array([f"p{25 + i % 40}" for i in range(3000)], object)
    found = only(shared_groups(whole(data, replace(train, group=known), shares)).findings)
    assert (found.outcome, found.severity, found.where) == ("issue", "high", "patient")
    assert (found.evidence["count"], found.evidence["n"]) == (100, 196)
    others = np.array([f"q{i}" for i in range(3000)], object)
    found = only(shared_groups(whole(data, replace(train, group=others), shares)).findings)
    assert found.outcome == "passed"


def test_customers_that_come_back_later_are_a_tip() -> None:
    """Entities on both sides, split by time, are as in service; shuffled ones are an issue."""
    data, train, shares = sides(n=200)
    ids = np.arange(200)
    data = replace(data, entity=ids, time=np.arange(200) + 5000)
    train = replace(train, entity=np.arange(3000), time=np.arange(3000))
    assert only(shared_groups(whole(data, train, shares)).findings).outcome == "tip"
    shuffled = replace(data, time=np.arange(200) + 100)
    assert only(shared_groups(whole(shuffled, train, shares)).findings).outcome == "issue"


def test_a_random_split_of_time_is_an_issue_and_one_odd_date_is_a_tip() -> None:
    """The severity goes by the smaller share of both sides."""
    data, train, shares = sides(n=300)
    random = np.random.default_rng(0)
    moments = random.permutation(3300)
    mixed = replace(data, time=moments[:300]), replace(train, time=moments[300:])
    found = only(earlier_than_training(whole(*mixed, shares)).findings)
    assert (found.outcome, found.severity) == ("issue", "high")
    after = replace(data, time=np.arange(300) + 3000)
    days = np.arange(3000)
    assert only(
        earlier_than_training(whole(after, replace(train, time=days), shares)).findings
    ).outcome == "passed"  # fmt: skip
    days[7] = 99_999
    found = only(earlier_than_training(whole(after, replace(train, time=days), shares)).findings)
    assert (found.outcome, found.evidence["count"]) == ("tip", 300)


def test_times_without_order_are_skipped_with_the_fix() -> None:
    """Words are no moments; nothing is said of their order."""
    data, train, shares = sides(n=300)
    words = np.array(["spring", "autumn"] * 150, object)
    evidence = whole(replace(data, time=words), replace(train, time=np.arange(3000)), shares)
    found = only(earlier_than_training(evidence).findings)
    assert (found.outcome, found.fix) == ("skipped", "write times as 2026-11-23T10:00:00")


def test_a_clock_among_the_columns_is_found() -> None:
    """A running number goes with time, and all held-out rows lie beyond what was seen."""
    data, train, shares = sides()
    random = np.random.default_rng(1)
    data = with_columns(data, order=np.arange(1500) * 7.0 + 30_000)
    train = with_columns(train, order=np.arange(3000) * 7.0 + random.normal(size=3000))
    data, train = replace(data, time=np.arange(1500) + 3000), replace(train, time=np.arange(3000))
    found = only(stands_for_time(whole(data, train, shares)).findings)
    assert (found.outcome, found.where) == ("issue", "order")
    assert found.evidence["outside"] == 1500


def test_a_column_that_is_filled_in_later_is_found() -> None:
    """The latest rows lack it; a column with gaps anywhere does not count."""
    data, train, shares = sides()
    random = np.random.default_rng(2)
    closed = np.where(np.arange(3000) > 2650, np.nan, random.normal(size=3000))
    gaps = np.where(random.random(3000) < 0.3, np.nan, random.normal(size=3000))
    train = replace(with_columns(train, closed=closed, gaps=gaps), time=np.arange(3000))
    data = with_columns(data, closed=np.full(1500, np.nan), gaps=random.normal(size=1500))
    found = only(stands_for_time(whole(data, train, shares)).findings)
    assert (found.outcome, found.where) == ("issue", "closed")
    assert "may be filled in only later" in found.message


@pytest.mark.parametrize("kind", ["number", "word", "gap"])
def test_a_leaked_column_predicts_alone(kind: str) -> None:
    """A number above a limit, a word of the label, a gap where it is negative: a suspicion each."""
    random = np.random.default_rng(5)

    def leaked(data: Dataset) -> np.ndarray:
        labels, n = data.target, len(data)
        assert labels is not None
        if kind == "number":
            return labels * 2.0 + random.normal(size=n) * 0.3
        if kind == "word":
            words = np.where(labels == 1, "closed by ", "open since ")
            return np.array([f"{w}{random.integers(20)}" for w in words], object)
        return np.where(labels == 1, random.normal(size=n), np.nan)

    data, train, shares = sides()
    data, train = with_columns(data, leak=leaked(data)), with_columns(train, leak=leaked(train))
    evidence = whole(data, train, shares)
    part = predicts_alone(evidence)
    found = only(part.findings)
    assert (found.outcome, found.where, found.severity) == ("issue", "leak", "high")
    assert "suspicion" in found.message
    assert found.evidence["low"] > 0.98
    assert part.fields["alone"][0].column == "leak"
    assert issues_of(evidence) == [("A015", "leak")]


def test_a_strong_column_is_no_leak() -> None:
    """A ROC AUC of about 0.95 is what good columns have."""
    data, train, shares = sides()
    part = predicts_alone(whole(data, train, shares))
    assert only(part.findings).outcome == "passed"
    assert 0.85 < part.fields["alone"][0].value < 0.97


def test_without_training_rows_one_half_tells_of_the_other() -> None:
    """The leak is found in the held-out rows alone."""
    data, _, shares = sides()
    assert data.target is not None
    data = with_columns(data, leak=data.target * 1.0)
    assert only(predicts_alone(whole(data, None, shares)).findings).where == "leak"
    assert only(derived_from_target(whole(data, None, shares)).findings).where == "leak"


def test_a_band_of_a_price_is_derived_from_it() -> None:
    """It does not predict the price alone to 0.99, but the price tells it."""
    random = np.random.default_rng(0)

    def table(n: int) -> Dataset:
        price = np.exp(random.normal(size=n))
        frame = {
            "band": np.digitize(price, [0.5, 1.0, 2.0]).astype(float),
            "size": price + random.normal(size=n),
        }
        return Dataset(frame=frame, target=price)

    data, train = table(1500), table(3000)
    signature = signature_of(data.frame, "regression")
    evidence = evidence_of(data, train, Predictions(values=np.zeros(1500)), signature)
    assert [f.where for f in derived_from_target(evidence).findings] == ["band"]
    assert only(predicts_alone(evidence).findings).outcome == "passed"
    copy = with_log(data), with_log(train)
    evidence = evidence_of(
        *copy, Predictions(values=np.zeros(1500)), signature_of(copy[0].frame, "regression")
    )
    assert only(predicts_alone(evidence).findings).where == "log"


def test_a_code_of_two_of_three_classes_is_derived() -> None:
    """A column that merges two classes tells not all of the target, and all of it is told."""
    random = np.random.default_rng(0)

    def table(n: int) -> Dataset:
        labels = random.integers(0, 3, n)
        words = np.array(["x", "y", "y"], object)[labels]
        words[random.random(n) < 0.002] = "x"
        return Dataset(frame={"merged": words, "a": random.normal(size=n)}, target=labels)

    data, train = table(1500), table(3000)
    signature = signature_of(data.frame, "multiclass", (0, 1, 2))
    predictions = Predictions(probabilities=np.full((1500, 3), 1 / 3))
    evidence = evidence_of(data, train, predictions, signature)
    found = only(derived_from_target(evidence).findings)
    assert (found.outcome, found.where) == ("issue", "merged")
    assert only(predicts_alone(evidence).findings).outcome == "passed"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("number", np.arange(3000)),
        ("order", np.random.default_rng(0).permutation(6000)[:3000]),
        ("mail", np.array([f"{i * 7919}@example.org" for i in range(3000)], object)),
        ("customer_id", np.random.default_rng(0).integers(10**9, 10**10, 3000)),
        ("gaps", np.where(np.arange(3000) < 50, np.nan, np.arange(3000))),
    ],
)
def test_columns_that_name_rows_are_found(name: str, values: np.ndarray) -> None:
    """Running numbers, shuffled ones, addresses, and ids by their name."""
    data, train, shares = sides()
    data = with_columns(data, **{name: values[:1500]})
    found = only(uninformative(whole(data, with_columns(train, **{name: values}), shares)).findings)
    assert (found.outcome, found.where) == ("issue", name)


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(0).integers(0, 10**9, 3000),
        np.random.default_rng(0).integers(0, 5000, 3000),
        np.random.default_rng(0).normal(size=3000),
        np.array([f"the part number {i} broke" for i in range(3000)], object),
    ],
)
def test_amounts_and_sentences_name_no_rows(values: np.ndarray) -> None:
    """Distinct by chance, or repeated as chance repeats, or with words between."""
    data, train, shares = sides()
    evidence = whole(
        with_columns(data, amount=values[:1500]), with_columns(train, amount=values), shares
    )
    assert only(uninformative(evidence).findings).outcome == "passed"


def test_constant_columns_are_a_tip() -> None:
    """One value, or nothing at all in every row."""
    data, train, shares = sides()
    for n, side in ((1500, "data"), (3000, "train")):
        more: dict[str, Any] = {"one": np.ones(n), "none": np.full(n, None, object)}
        if side == "data":
            data = with_columns(data, **more)
        else:
            train = with_columns(train, **more)
    found = only(uninformative(whole(data, train, shares)).findings)
    assert (found.outcome, found.evidence["columns"]) == ("tip", ["one", "none"])


def test_flipped_labels_are_found_with_their_rows() -> None:
    """3 % of 4,000 labels are turned; the interval holds it, and most rows named were turned."""
    data, train, shares = sides(n=4000, n_train=4000)
    turned = np.random.default_rng(9).choice(4000, 120, replace=False)
    assert data.target is not None
    labels = data.target.copy()
    labels[turned] = 1 - labels[turned]
    part = wrong_labels(whole(replace(data, target=labels), train, shares))
    found, suspects = only(part.findings), part.fields["suspects"]
    assert found.outcome == "issue"
    assert suspects.low < 0.03 < suspects.high
    assert np.isin(suspects.rows, turned).mean() > 0.5
    assert len(suspects.rows) == min(100, suspects.count)


@pytest.mark.parametrize("slope", [0.4, 1.0, 3.0])
def test_a_model_that_is_too_sure_or_not_sure_enough_makes_no_label_wrong(slope: float) -> None:
    """Its log-odds times a number: that is calibration, not noise."""
    data, train, shares = sides(n=4000)
    odds = slope * np.log(shares / (1 - shares))
    part = wrong_labels(whole(data, train, 1 / (1 + np.exp(-odds))))
    assert only(part.findings).outcome == "passed"
    assert part.fields["suspects"].rows == ()


def test_a_model_that_is_sure_and_wrong_on_some_rows_is_the_other_reading() -> None:
    """The labels are right and the model answers 300 rows the other way: a tip that says so."""
    data, train, shares = sides(n=4000)
    wrong = np.random.default_rng(4).choice(4000, 300, replace=False)
    odds = np.log(shares / (1 - shares))
    odds[wrong] = -odds[wrong]
    found = only(wrong_labels(whole(data, train, 1 / (1 + np.exp(-odds)))).findings)
    assert found.outcome == "tip"
    assert "another model needs no flips" in found.message


def test_a_column_that_moved_is_found_and_those_that_did_not_are_not() -> None:
    """One column is moved by half of its spread, one word is new."""
    data, train, shares = sides()
    frame = dict(data.frame)
    frame["b"] = frame["b"] + 0.6
    frame["city"] = np.where(np.arange(1500) % 4 == 0, "Jena", frame["city"]).astype(object)
    part = held_out_moved(whole(replace(data, frame=frame), train, shares))
    assert {f.where for f in part.findings if f.outcome == "issue"} == {"b", "city"}
    shifts = {shift.column: shift for shift in part.fields["shifts"]}
    assert shifts["city"].total_variation == pytest.approx(0.25, abs=0.05)
    assert shifts["a"].p_value > 0.001


def test_a_tiny_shift_of_many_rows_is_significant_and_not_worth_an_issue() -> None:
    """0.1 of a standard deviation in 60,000 rows has p < 1e-20."""
    data, train, shares = sides(n=60_000, n_train=60_000)
    frame = {"b": data.frame["b"] + 0.1}
    evidence = whole(replace(data, frame=frame), train, shares)
    part = held_out_moved(evidence)
    assert part.fields["shifts"][0].p_value < 1e-20
    assert only(part.findings).outcome == "passed"


def test_the_tail_of_a_column_that_is_nearly_always_zero_can_move() -> None:
    """Its zeros have a bin of their own, whatever the quantiles are."""
    data, train, shares = sides()
    random = np.random.default_rng(0)

    def losses(n: int, share: float) -> np.ndarray:
        return np.where(random.random(n) < share, random.exponential(size=n), 0.0)

    evidence = whole(
        with_columns(data, loss=losses(1500, 0.2)),
        with_columns(train, loss=losses(3000, 0.04)),
        shares,
    )
    found = only(held_out_moved(evidence).findings)
    assert (found.outcome, found.where) == ("issue", "loss")


def test_few_rows_are_skipped_with_how_many_there_must_be() -> None:
    """No check says anything of eight rows, and each says how many it needs."""
    data, train, shares = sides()
    few = slice(0, 8)
    roles: dict[str, Any] = {"group": np.arange(8).astype(str), "time": np.arange(8)}
    evidence = whole(
        replace(data.take(few), **roles), replace(train.take(few), **roles), shares[few]
    )
    for finding in findings_of(evidence):
        assert finding.outcome == "skipped", finding
        assert finding.evidence["needed_n"] > 8


def test_no_time_left_is_skipped_everywhere() -> None:
    """A check that would come after the deadline does not run, and does not read as passed."""
    data, train, shares = sides(n=200)
    data = replace(data, group=np.arange(200), time=np.arange(200))
    train = replace(train, group=np.arange(3000), time=np.arange(3000))
    signature = signature_of(data.frame)
    evidence = evidence_of(data, train, said(shares), signature, seconds=-1.0)
    assert {check(evidence).findings[0].outcome for check in CHECKS} == {"skipped"}


def test_without_training_rows_what_compares_does_not_apply() -> None:
    """The checks that need one table alone still run."""
    data, _, shares = sides()
    outcomes = {f.code: f.outcome for f in findings_of(whole(data, None, shares))}
    compare = {"A010", "A012", "A013", "A014", "A019"}
    assert {code for code, outcome in outcomes.items() if outcome == "not_applicable"} == compare
    assert {outcomes[code] for code in set(outcomes) - compare} == {"passed"}


def test_odd_columns_stop_no_check() -> None:
    """Infinity, gaps alone, booleans with gaps, mixed words: findings, no exception."""
    n = 300
    random = np.random.default_rng(0)
    frame = {
        "inf": np.where(random.random(n) > 0.5, np.inf, -np.inf),
        "huge": np.where(random.random(n) > 0.5, 1e300, -1e300),
        "gone": np.full(n, np.nan),
        "flag": np.array([True, False, None] * 100, object),
        "mixed": np.array([1, "1", None] * 100, object),
        "big": random.integers(2**62, 2**63 - 1, n),
    }
    train = Dataset(frame=dict(frame), target=random.integers(0, 2, n), time=np.arange(n))
    data = Dataset(frame=take(frame, slice(0, 150)), target=train.target[:150])  # type: ignore[index]
    evidence = whole(data, train, np.full(150, 0.5))
    assert len(findings_of(evidence)) >= len(CHECKS)
    assert only(rows_in_training(evidence).findings).evidence["exact"] == 150
