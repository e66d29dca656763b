"""Groups beside one another: known numbers, intervals that hold, and what cannot be told."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from tests.assess.parts import evidence, signature_of

from afterfit.assess.config import AssessConfig
from afterfit.assess.fairness import fairness
from afterfit.assess.run import assess
from afterfit.core.dataset import Dataset
from afterfit.core.frame import Predictions
from afterfit.core.metric import find
from afterfit.errors import InputError

if TYPE_CHECKING:
    from afterfit.core.finding import Finding
    from afterfit.records.assess_slices import Disparity, Fairness


def told(
    frame: dict[str, np.ndarray],
    truth: np.ndarray,
    predictions: Predictions,
    task: str = "binary",
    columns: tuple[str, ...] = ("sex",),
    **more: Any,
) -> tuple[dict[str, Finding], tuple[Fairness, ...]]:
    """The findings by code (of the last column) and the views; a warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        part = fairness(evidence(frame, truth, predictions, task, fairness=columns, **more))
    return {each.code: each for each in part.findings}, part.fields["fairness"]


def people(counts: dict[str, tuple[int, int, int, int]]) -> tuple[Any, Any, Predictions]:
    """Rows by group: true positives, misses, false alarms, true negatives."""
    names, truth, codes = [], [], []
    for name, cells in counts.items():
        names += [name] * sum(cells)
        truth += [1] * (cells[0] + cells[1]) + [0] * (cells[2] + cells[3])
        codes += [1] * cells[0] + [0] * cells[1] + [1] * cells[2] + [0] * cells[3]
    frame = {"sex": np.array(names, object)}
    return frame, np.array(truth), Predictions(codes=np.array(codes))


def by_measure(view: Fairness, measure: str) -> Disparity:
    """The one comparison by a measure."""
    (found,) = [each for each in view.disparities if each.measure == measure]
    return found


def test_rates_ratios_and_gaps_are_those_of_the_counts() -> None:
    """Two groups by hand: 60 of 100 and 24 of 100 selected; the gaps have Newcombe's intervals."""
    frame, truth, predictions = people({"m": (40, 10, 20, 30), "f": (20, 30, 4, 46)})
    found, (view,) = told(frame, truth, predictions)
    rates = {g.name: {m.name: m.value for m in g.metrics} for g in view.groups}
    assert rates["m"] == {
        "selection_rate": 0.6, "true_positive_rate": 0.8, "false_positive_rate": 0.4,
        "accuracy": 0.7,
    }  # fmt: skip
    assert rates["f"]["true_positive_rate"] == 0.4
    ratio = by_measure(view, "selection_ratio")
    assert (ratio.group, ratio.reference, ratio.outcome) == ("f", "m", "beyond")
    assert ratio.metric.value == pytest.approx(0.4)
    assert ratio.metric.high is not None
    assert ratio.metric.high < 0.8
    hits = by_measure(view, "true_positive_gap")
    # Wilson: 40 of 50 is 0.6696 to 0.8876, 20 of 50 is 0.2761 to 0.5382.
    assert hits.metric.value == pytest.approx(0.4)
    assert hits.outcome == "beyond"
    assert hits.metric.low == pytest.approx(0.4 - np.hypot(0.8 - 0.6696, 0.5382 - 0.4), abs=2e-4)
    assert by_measure(view, "false_positive_gap").group == "m"
    assert [found[code].outcome for code in ("A022", "A023")] == ["issue", "issue"]
    assert found["A022"].where == "sex"


def test_an_issue_needs_an_interval_beyond_the_limit() -> None:
    """The same rates in fewer rows are a tip with the rows that would decide; equal ones pass."""
    few = people({"m": (18, 2, 2, 18), "f": (13, 7, 1, 19)})
    found, (view,) = told(*few)
    ratio = by_measure(view, "selection_ratio")
    assert ratio.metric.value == pytest.approx(0.7)
    assert ratio.outcome == "perhaps"
    assert found["A022"].outcome == "tip"
    assert found["A022"].evidence["needed_n"] == ratio.needed_n
    assert ratio.needed_n is not None
    scale = int(np.ceil(ratio.needed_n / 80)) + 1
    many = people({"m": (18 * scale, 2 * scale, 2 * scale, 18 * scale),
                   "f": (13 * scale, 7 * scale, 1 * scale, 19 * scale)})  # fmt: skip
    assert by_measure(told(*many)[1][0], "selection_ratio").outcome == "beyond"
    alike = people({"m": (180, 20, 20, 180), "f": (181, 19, 21, 179)})
    found, (view,) = told(*alike)
    assert {each.outcome for each in found.values()} == {"passed"}
    assert {each.outcome for each in view.disparities} == {"within"}


def test_a_group_with_too_few_rows_is_named_and_two_are_needed() -> None:
    """29 rows say nothing; with one group left the check is skipped, with the rows needed."""
    frame, truth, predictions = people({"m": (100, 20, 20, 100), "f": (10, 3, 3, 13)})
    found, (view,) = told(frame, truth, predictions)
    assert view.disparities == ()
    assert {each.outcome for each in found.values()} == {"skipped"}
    assert found["A022"].evidence["needed_n"] == int(np.ceil(269 * 30 / 29))
    three = people({"m": (100, 20, 20, 100), "w": (100, 20, 20, 100), "f": (10, 3, 3, 13)})
    found, _ = told(*three)
    assert found["A022"].outcome == "passed"
    assert found["A022"].message.endswith("too few rows to tell of all: f")


def test_many_groups_beyond_the_limit_are_told_in_a_few_words() -> None:
    """The farthest three are told, the others counted."""
    worst = people({"m": (400, 20, 20, 60)} | {g: (100 + 9 * i, 100 - 9 * i, 20, 280)
                    for i, g in enumerate("abcdef")})  # fmt: skip
    found, (view,) = told(*worst)
    beyond = [d for d in view.disparities if d.measure == "selection_ratio"]
    assert {each.outcome for each in beyond} == {"beyond"}
    assert found["A022"].message.startswith("a is selected")
    assert found["A022"].message.endswith("; and 3 more groups")


def test_intervals_hold_for_all_pairs_of_groups_at_once() -> None:
    """Four groups that are alike: the best is picked from the rows, and yet 95 % of tables hold."""
    rng = np.random.default_rng(11)
    names = np.repeat(list("abcd"), (300, 200, 150, 100)).astype(object)
    missed = dict.fromkeys(("selection_ratio", "true_positive_gap", "accuracy_gap"), 0)
    runs = 250
    for _ in range(runs):
        truth = rng.integers(0, 2, len(names))
        codes = np.where(rng.random(len(names)) < 0.75, truth, 1 - truth)
        _, (view,) = told({"sex": names}, truth, Predictions(codes=codes))
        for measure in missed:
            true = 1.0 if measure == "selection_ratio" else 0.0
            bounds = np.array(
                [
                    (each.metric.low, each.metric.high)
                    for each in view.disparities
                    if each.measure == measure
                ],
                np.float64,
            )
            assert bounds.shape == (3, 2)
            missed[measure] += bool(((bounds[:, 0] > true) | (bounds[:, 1] < true)).any())
    assert max(missed.values()) <= 0.05 * runs + 2 * (0.05 * 0.95 * runs) ** 0.5


def test_rows_that_hang_together_count_less() -> None:
    """Forty shops of each sex that differ: by rows men and women often differ, by shops seldom."""
    alarms = {"shops": 0, "rows": 0}
    for seed in range(60):
        rng = np.random.default_rng(seed)
        shop = np.repeat(np.arange(80), 30)
        sex = np.where(shop < 40, "m", "f").astype(object)
        codes = (rng.random(2400) < rng.beta(1.0, 1.5, 80)[shop]).astype(np.int64)
        truth = rng.integers(0, 2, 2400)
        for name, group in (("shops", shop), ("rows", None)):
            data = Dataset(frame={"sex": sex}, target=truth, group=group)
            _, (view,) = told({"sex": sex}, truth, Predictions(codes=codes), data=data)
            metric = by_measure(view, "selection_ratio").metric
            assert metric.low is not None
            assert metric.high is not None
            alarms[name] += not metric.low <= 1 <= metric.high
    assert alarms["shops"] <= 0.05 * 60 + 3
    assert alarms["rows"] > 20


def test_of_a_regression_errors_are_compared() -> None:
    """Mean absolute and mean error by group; the limit is a quarter of the mean absolute error."""
    rng = np.random.default_rng(2)
    sex = np.repeat(["m", "f"], 400).astype(object)
    truth = rng.normal(size=800)
    values = truth + rng.normal(size=800) * 0.5 + np.where(sex == "f", 0.6, 0.0)
    found, (view,) = told({"sex": sex}, truth, Predictions(values=values), "regression")
    assert [found[code].outcome for code in ("A022", "A023", "A024")] == [
        "not_applicable", "not_applicable", "issue",
    ]  # fmt: skip
    bias = by_measure(view, "mean_error_gap")
    assert bias.metric.value == pytest.approx(0.6, abs=0.15)
    assert bias.metric.unit == "price"
    assert bias.limit == pytest.approx(0.25 * np.abs(values - truth).mean())
    group = next(each for each in view.groups if each.name == "f")
    mine = find(group.metrics, "mean_error")
    assert mine is not None
    assert mine.value == pytest.approx((values - truth)[sex == "f"].mean())


def test_of_several_classes_accuracy_is_compared() -> None:
    """Without a positive class there is no selection."""
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 3, 600)
    sex = np.repeat(["m", "f"], 300).astype(object)
    codes = np.where((sex == "f") & (rng.random(600) < 0.4), (truth + 1) % 3, truth)
    found, (view,) = told({"sex": sex}, truth, Predictions(codes=codes), "multiclass")
    assert found["A022"].outcome == found["A023"].outcome == "not_applicable"
    assert found["A024"].outcome == "issue"
    assert [each.measure for each in view.disparities] == ["accuracy_gap"]


@pytest.mark.parametrize(
    ("values", "groups"),
    [
        (np.full(300, 3.0), 1),
        (np.full(300, np.nan), 1),
        (np.full(300, None, object), 1),
        (np.array([f"r{i}" for i in range(300)], object), 20),
        (np.linspace(0, 80, 300), 4),
        (np.array([None, "a", "a"] * 100, object), 2),
        (np.arange(300) // 2 % 2 == 0, 2),
    ],
)
def test_any_column_has_groups(values: np.ndarray, groups: int) -> None:
    """Constant, missing, identifying, numeric and boolean columns; what is missing is a group."""
    truth = np.arange(300) % 2
    for codes in (truth, np.zeros(300, np.int64)):
        found, (view,) = told({"sex": values}, truth, Predictions(codes=codes))
        assert len(view.groups) == groups
        assert sum(each.n for each in view.groups) + view.left_out == 300
        assert not {each.outcome for each in found.values()} & {"issue", "tip"}


@pytest.mark.parametrize("n", [2, 60])
def test_two_rows_and_one_class_are_skipped(n: int) -> None:
    """No positive row, or hardly any row: no crash and no pass of what was not measured."""
    sex = np.array(["m", "f"] * (n // 2), object)
    found, _ = told({"sex": sex}, np.zeros(n, np.int64), Predictions(codes=np.zeros(n, np.int64)))
    assert found["A022"].outcome == "skipped"
    assert found["A023"].outcome == ("passed" if n == 60 else "skipped")


def test_columns_beyond_the_signature_and_of_a_role_can_be_named() -> None:
    """The model need not take the column; one that groups rows is found as well."""
    frame, truth, predictions = people({"m": (40, 10, 20, 30), "f": (20, 30, 4, 46)})
    data = Dataset(
        frame={"x": truth * 1.0}, target=truth, group=frame["sex"], roles={"group": "house"}
    )
    _, views = told(frame, truth, predictions, columns=("house",), data=data)
    assert [each.column for each in views] == ["house"]
    assert {group.name for group in views[0].groups} == {"m", "f"}


def test_nothing_is_compared_where_no_column_was_named() -> None:
    """Nobody guesses which columns are sensitive."""
    frame, truth, predictions = people({"m": (4, 1, 2, 3)})
    part = fairness(evidence(frame, truth, predictions))
    assert {each.outcome for each in part.findings} == {"not_applicable"}
    assert part.fields == {}


class Logistic:
    """A model of one number."""

    def predict(self, frame: Any) -> Predictions:
        """Return the probabilities of no and yes."""
        p = 1 / (1 + np.exp(-frame["x"]))
        return Predictions(probabilities=np.stack([1 - p, p], axis=1))


def test_a_column_that_is_not_there_is_an_error_with_the_nearest_name() -> None:
    """It is told before anything is measured."""
    frame, truth, _ = people({"m": (4, 1, 2, 3), "f": (4, 1, 2, 3)})
    config = AssessConfig(effort="quick", folds=0, fairness=("sexx",))
    signature = signature_of(frame, "binary")
    with pytest.raises(InputError) as caught:
        assess(
            Logistic(), signature, Dataset(frame=frame, target=truth), None, config,
            subject="m",
        )  # fmt: skip
    assert "'sexx'" in caught.value.message
    assert "did you mean 'sex'?" in caught.value.why
    assert caught.value.fix == "--fairness sex"


def test_the_record_holds_both_parts_through_json() -> None:
    """The whole step with named columns: what it found survives its own JSON."""
    rng = np.random.default_rng(5)
    n = 1200
    frame = {"sex": rng.choice(["m", "f"], n).astype(object), "x": rng.normal(size=n)}
    p = 1 / (1 + np.exp(-frame["x"]))
    truth = (rng.random(n) < p).astype(np.int64)
    labels = np.where(truth == 1, "yes", "no").astype(object)
    config = AssessConfig(effort="quick", folds=0, fairness=("sex",))
    record = assess(
        Logistic(), signature_of(frame, "binary"), Dataset(frame=frame, target=labels), None,
        config, subject="m",
    )  # fmt: skip
    again = msgspec.json.decode(record.encode(), type=type(record))
    assert again.digest == record.digest
    assert again.slices is not None
    assert [view.column for view in again.fairness] == ["sex"]
    assert {"A020", "A021", "A022", "A023", "A024"} <= {each.code for each in again.findings}
