"""How the model does on other rows, on more rows, and beside other models."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier

from afterfit.assess.agreement import LEVEL, about_agreement, gap_of
from afterfit.assess.config import AssessConfig
from afterfit.assess.evidence import Evidence
from afterfit.assess.folds import fit_folds, fitted, plan, summarize, told_of_folds
from afterfit.assess.learning import Point, learning_curve, told_of_doubling
from afterfit.assess.metrics import measure
from afterfit.assess.nested import nested_search
from afterfit.assess.run import assess
from afterfit.assess.splits import growing_order
from afterfit.config import load_config
from afterfit.core.dataset import Dataset
from afterfit.core.effort import Effort
from afterfit.core.frame import Predictions
from afterfit.core.metric import Metric, find
from afterfit.core.progress import SILENT
from afterfit.core.quality import encode_truth
from afterfit.core.signature import Column, Signature
from afterfit.errors import ConfigError, ModelError
from afterfit.models.loaded import Hints, open_model
from afterfit.records.assess import AssessRecord, Fold
from afterfit.records.assess_generalization import Comparison
from afterfit.records.record import Environment
from afterfit.report.assess_generalization import generalization_blocks
from afterfit.report.page import Chart, Table
from afterfit.stats.interval import resampled_t_interval, t_interval
from afterfit.testing.samples import labels, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from afterfit.core.finding import Finding
    from afterfit.models.loaded import LoadedModel

QUICK = AssessConfig(effort="quick", folds=0)
X = (Column(name="x", kind="number", low=-9.0, high=9.0),)
SCORE = Signature(task="binary", columns=X, classes=(0, 1), positive=1, threshold=0.5)
VALUE = Signature(task="regression", columns=X, target="price")


@dataclass(frozen=True)
class Champion:
    """A champion that answers what it was told to."""

    answer: Predictions
    signature: Signature
    same: bool = False
    name: str = "the champion m@1"
    digest: str = "c" * 64

    def predict(self, frame: Any) -> Predictions:
        """Return the answer; a champion without rows cannot be asked."""
        if not len(self.answer):
            raise ModelError("its process died", why="out of memory")
        assert len(frame["x"]) == len(self.answer)
        return self.answer


class Told:
    """A model that answers what it was told to."""

    def __init__(self, answer: Predictions) -> None:
        self.answer = answer

    def predict(self, _frame: Any) -> Predictions:
        """Return the answer."""
        return self.answer


def finding(record: AssessRecord, code: str) -> Finding:
    """The one finding of that code."""
    (found,) = [each for each in record.findings if each.code == code]
    return found


def shares(p: np.ndarray) -> Predictions:
    """Probabilities of two classes."""
    return Predictions(probabilities=np.column_stack([1 - p, p]))


def scored(n: int, seed: int = 0, noise: float = 1.0) -> tuple[Dataset, np.ndarray]:
    """Rows of two classes, and probabilities that tell them apart."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 2, n)
    x = generator.normal(size=n) * noise + 1.5 * truth
    return Dataset(frame={"x": x}, target=truth), 1 / (1 + np.exp(-1.5 * (x - 0.75)))


def beside(ours: np.ndarray, theirs: Champion, data: Dataset) -> AssessRecord:
    """Assess answers beside a champion; the record must survive its own JSON."""
    record = assess(Told(shares(ours)), SCORE, data, None, QUICK, subject="m", rival=theirs)
    assert msgspec.json.decode(record.encode(), type=type(record)).digest == record.digest
    return record


def test_a_worse_model_is_inferior_and_a_better_one_superior() -> None:
    """By the ROC AUC first, then accuracy and log loss; the lift is a metric for gates."""
    data, good = scored(4000)
    bad = np.clip(good + np.random.default_rng(1).normal(size=4000) / 3, 0.01, 0.99)
    lost = beside(bad, Champion(shares(good), SCORE), data)
    won = beside(good, Champion(shares(bad), SCORE), data)
    assert finding(lost, "A043").outcome == "issue"
    assert finding(lost, "A043").severity == "high"
    assert "needed_n" not in finding(lost, "A043").evidence  # else a page says: needs 0 rows
    assert finding(won, "A043").outcome == "passed"
    assert [c.metric for c in won.comparisons[:3]] == ["roc_auc", "accuracy", "log_loss"]
    assert {c.verdict for c in won.comparisons[:3]} == {"superior"}
    assert {c.verdict for c in lost.comparisons[:3]} == {"inferior"}
    assert [c.gain.method for c in won.comparisons[:3]] == [
        "delong", "tango", "paired bootstrap-bca"]  # fmt: skip
    lift = find(won.metrics, "champion_lift")
    assert lift is not None
    assert lift.value is not None
    assert lift.low is not None
    assert 0 < lift.low < lift.value
    assert won.inputs["champion"] == "c" * 64


def test_the_model_beside_itself_is_non_inferior_and_never_superior() -> None:
    """Thousands of equal answers show no loss beyond the margin; a hundred cannot tell."""
    data, good = scored(6000)
    record = beside(good, Champion(shares(good), SCORE), data)
    assert {c.verdict for c in record.comparisons[:3]} == {"non-inferior"}
    few, answers = scored(100)
    unsure = beside(answers, Champion(shares(answers), SCORE), few)
    assert {c.verdict for c in unsure.comparisons[:3]} == {"cannot tell"}
    assert finding(unsure, "A043").outcome == "tip"
    assert finding(unsure, "A043").evidence["needed_n"] == unsure.comparisons[0].needed_n
    assert unsure.comparisons[0].needed_n > 100
    known = beside(answers, Champion(shares(answers), SCORE, same=True), few)
    assert {c.verdict for c in known.comparisons[:3]} == {"non-inferior"}
    assert "the same model" in finding(known, "A043").message


def test_a_small_difference_in_few_rows_cannot_be_told() -> None:
    """It never reads as equal; about how many rows would tell is named."""
    data, good = scored(300)
    near = np.clip(good + np.random.default_rng(1).normal(size=300) / 20, 0.01, 0.99)
    record = beside(near, Champion(shares(good), SCORE), data)
    told = finding(record, "A043")
    assert told.outcome == "tip"
    assert "cannot tell" in told.message


def test_champions_of_other_columns_or_classes_are_told_apart() -> None:
    """Classes in another order are matched by name; others, or absent columns, are skipped."""
    data, good = scored(6000)
    turned = msgspec.structs.replace(SCORE, classes=(1, 0))
    swapped = Champion(Predictions(probabilities=np.column_stack([good, 1 - good])), turned)
    record = beside(good, swapped, data)
    assert record.comparisons[0].verdict == "non-inferior"
    assert record.comparisons[0].gain.value == pytest.approx(0.0)
    assert record.comparisons[1].gain.value == pytest.approx(0.0)
    others = msgspec.structs.replace(SCORE, classes=(0, 2), positive=2)
    column = msgspec.structs.replace(SCORE, columns=(msgspec.structs.replace(X[0], name="gone"),))
    for champion, words in (
        (Champion(shares(good), others), "classes [0, 2]"),
        (Champion(shares(good), column), "lack its columns: gone"),
        (Champion(shares(good[:0]), SCORE), "its process died"),
    ):
        told = finding(beside(good, champion, data), "A043")
        assert told.outcome == "skipped"
        assert words in told.message


def test_errors_are_compared_as_shares_of_the_champions() -> None:
    """An error that is 2 % larger is inferior by a margin of 0.5 %; in groups by whole groups."""
    generator = np.random.default_rng(0)
    truth, noise = generator.normal(size=5000), generator.normal(size=5000)
    data = Dataset(frame={"x": truth}, target=truth)
    champion = Champion(Predictions(values=truth + noise), VALUE)
    for group in (None, np.arange(5000) // 10):
        record = assess(
            Told(Predictions(values=truth + 1.02 * noise)),
            VALUE,
            replace(data, group=group),
            None,
            QUICK,
            subject="m",
            rival=champion,
        )
        found = record.comparisons[0]
        assert (found.metric, found.verdict, found.share) == ("mae", "inferior", True)
        assert found.gain.value == pytest.approx(-0.02)
        assert ("over 500 groups" in found.gain.method) is (group is not None)
        (shown, *_) = generalization_blocks(record)
        assert isinstance(shown, Table)
        against, metric, *_, gain, margin, verdict = (cell.text for cell in shown.rows[0])
        assert (against, metric) == ("the champion m@1", "mean absolute error")
        assert gain.startswith("\N{MINUS SIGN}2.00 % (")
        assert (margin, verdict) == ("0.5 %", "inferior")


def test_a_margin_that_is_none_is_refused_with_its_place() -> None:
    """A margin of 2 would call everything non-inferior."""
    with pytest.raises(ConfigError) as caught:
        load_config(overrides={"compare.margin": 2.0}, environ={})
    assert "$.compare.margin" in caught.value.why
    assert load_config(overrides={"compare.margin": 0.01}, environ={}).config.compare.margin == 0.01


def test_baselines_are_compared_by_the_same_margin() -> None:
    """Without a champion the check makes no sense, and the baselines are told all the same."""
    data, good = scored(2000)
    record = assess(Told(shares(good)), SCORE, data, None, QUICK, subject="m")
    assert finding(record, "A043").outcome == "not_applicable"
    constant, linear = record.comparisons
    assert (constant.against, constant.verdict) == ("baseline majority", "superior")
    assert linear.against == "baseline logistic"
    assert linear.verdict in {"non-inferior", "cannot tell"}


def test_groups_and_times_widen_the_intervals_and_say_so() -> None:
    """30 machines of 60 rows say less than 1,800 rows; the finding and the method name them."""
    generator = np.random.default_rng(0)
    luck = np.repeat(generator.normal(size=30), 60)
    truth = generator.integers(0, 2, 1800)
    x = 1.5 * truth + luck + generator.normal(size=1800) / 2
    data = Dataset(frame={"x": x}, target=truth, roles={"group": "machine"})
    roles: dict[str, Any] = {"group": np.arange(1800) // 60, "entity": np.arange(1800)}
    roles |= {"none": None, "time": np.arange(1800.0)}
    p = 1 / (1 + np.exp(-(x - 0.75)))
    widths, told = {}, {}
    for role, column in roles.items():
        rows = data if column is None else replace(data, **{role: column})
        record = assess(Told(shares(p)), SCORE, rows, None, QUICK, subject="m")
        metric = find(record.metrics, "roc_auc", "held-out")
        assert metric is not None
        assert metric.low is not None
        assert metric.high is not None
        widths[role], told[role] = metric.high - metric.low, finding(record, "A040")
        assert ("groups" in metric.method) is (role == "group")
    assert widths["group"] > 1.5 * widths["none"]
    assert widths["time"] > 1.5 * widths["none"]
    assert widths["entity"] == widths["none"]  # each comes once: no structure
    outcomes = {role: found.outcome for role, found in told.items()}
    assert outcomes["none"] == outcomes["entity"] == "not_applicable"
    assert outcomes["group"] == "passed"
    assert "'machine'" in told["group"].message


def test_few_groups_are_a_tip() -> None:
    """Six groups: approximate, and what helps is more groups."""
    data, good = scored(600)
    rows = replace(data, group=np.arange(600) // 100)
    told = finding(assess(Told(shares(good)), SCORE, rows, None, QUICK, subject="m"), "A040")
    assert told.outcome == "tip"
    assert "approximate" in told.message


def test_repetitions_shuffle_anew_and_forward_folds_do_not_repeat() -> None:
    """Each repetition tests every row once, in other folds than the one before."""
    data, _ = scored(90)
    truth = np.asarray(data.target)
    config = AssessConfig(folds=3, repeats=2)
    planned = plan(SCORE, data, truth, config)
    assert [(s.repeat, s.fold) for s in planned] == [(r, f) for r in (0, 1) for f in range(3)]
    for repeat in (0, 1):
        tested = np.concatenate([s.test for s in planned if s.repeat == repeat])
        assert sorted(tested) == list(range(90))
    assert set(planned[0].test) != set(planned[3].test)
    timed = replace(data, time=np.arange(90.0))
    assert {s.repeat for s in plan(SCORE, timed, truth, config)} == {0}


def test_the_interval_of_folds_is_corrected_for_rows_that_they_share() -> None:
    """1 / J becomes 1 / J + test / train: Nadeau and Bengio (2003), equation 13."""
    values = np.array([0.8, 0.82, 0.79, 0.85, 0.83])
    plain, corrected = t_interval(values), resampled_t_interval(values, 0.25)
    ratio = (corrected.high - corrected.low) / (plain.high - plain.low)
    assert ratio == pytest.approx(np.sqrt((1 / 5 + 1 / 4) / (1 / 5)))
    data, good = scored(400)
    truth = np.asarray(data.target)
    folds = tuple(
        Fold(
            fold=fold,
            n_train=320,
            n_test=80,
            metrics=measure(
                SCORE, truth[fold::5], shares(good[fold::5]), QUICK, scope="cv", names=("roc_auc",)
            ),
        )
        for fold in range(5)
    )
    (metric,) = summarize(SCORE, folds, QUICK, forward=False)
    assert metric.method == "corrected resampled t over 5 folds"
    assert metric.n == 400


def test_every_beginning_of_the_growing_order_is_a_fair_part() -> None:
    """Classes spread evenly, groups one after another, the latest rows first."""
    truth = np.repeat([0, 1], [900, 100])
    asked: dict[str, Any] = {"stratify": True, "group": None, "time": None, "seed": 0}
    order = growing_order(truth, **asked)
    assert sorted(order) == list(range(1000))
    for part in (20, 100, 500):
        assert abs(truth[order[:part]].mean() - 0.1) <= 1.0 / part + 1e-9
    member = np.arange(1000) // 10
    grouped = growing_order(truth, **(asked | {"group": member}))
    assert len(np.unique(member[grouped[:100]])) == 10
    timed = growing_order(truth, **(asked | {"time": np.arange(1000.0)}))
    assert timed[:3].tolist() == [999, 998, 997]


def evidence(
    model: Any, signature: Signature, data: Dataset, train: Dataset | None, **asked: Any
) -> Evidence:
    """What a part is given; ``asked`` are settings, and ``cv`` and ``refittable``."""
    more: dict[str, Any] = {"refittable": True}
    more |= {name: asked.pop(name) for name in ("cv", "refittable") if name in asked}
    settings: dict[str, Any] = {"effort": "quick", "folds": 2, "jobs": 1} | asked
    config = AssessConfig(**settings)
    return Evidence(
        signature=signature,
        data=data,
        truth=encode_truth(signature, data),
        predictions=model.predict(data.frame),
        model=model,
        train=train,
        config=config,
        held_out=(),
        deadline=time.monotonic() + config.seconds,
        progress=SILENT,
        **more,
    )


def curved(n: int, seed: int) -> Dataset:
    """Rows whose class is the sign of two numbers' product: neighbours learn it row by row."""
    x, y = np.random.default_rng(seed).uniform(-1, 1, (2, n))
    return Dataset(frame={"x": x, "y": y}, target=np.where(x * y > 0, "yes", "no").astype(object))


def test_the_learning_curve_of_a_model_that_learns_rises(tmp_path: Path) -> None:
    """Each quarter to half to whole is better; the last doubling is judged in pairs of rows."""
    train, data = curved(80, 0), curved(1500, 1)
    columns = tuple(msgspec.structs.replace(X[0], name=name) for name in train.frame)
    signature = Signature(
        task="binary", columns=columns, classes=("no", "yes"), positive="yes", threshold=0.5
    )
    fitted = KNeighborsClassifier(15).fit(np.column_stack([*train.frame.values()]), train.target)
    with open_model(fitted, hints=Hints.of(signature), workdir=tmp_path) as model:
        part = learning_curve(evidence(model, signature, data, train))
    learning = part.fields["learning"]
    assert [point.n_train for point in learning.points] == [20, 40, 80]
    values = [point.metric.value for point in learning.points]
    assert values[0] + 0.05 < values[1] < values[2]
    assert all(point.metric.low < point.metric.value for point in learning.points)
    (told,) = part.findings
    assert told.outcome == "tip", told.message
    assert told.message.startswith("the curve still rises: from 40 to 80 training rows")
    assert learning.gain.low > 0
    # The last point is that of all training rows: the model as it was fitted above, by hand.
    scores = fitted.predict_proba(np.column_stack([*data.frame.values()]))[:, 1]
    assert values[-1] == pytest.approx(roc_auc_score(data.target == "yes", scores))
    (chart,) = generalization_blocks(
        AssessRecord(subject="m", env=Environment(afterfit="0"), learning=learning)
    )
    assert isinstance(chart, Chart)
    assert [row[0].text for row in chart.table.rows] == ["20", "40", "80"]


@pytest.mark.parametrize(
    ("gain", "outcome", "needed_n"),
    [
        ((0.02, 0.01, 0.03), "tip", 0),
        ((0.001, -0.002, 0.004), "passed", 0),
        ((0.0, -0.05, 0.05), "skipped", 100 * 10**2),
        ((0.02, -0.02, 0.06), "skipped", 100 * 2**2),
    ],
)
def test_a_rise_that_few_rows_could_not_show_is_skipped(
    gain: tuple[float, float, float], outcome: str, needed_n: int
) -> None:
    """With a margin of 0.005 an interval of ±0.05 shows nothing, and says how many rows would."""
    value, low, high = gain
    metric = Metric(name="accuracy_gain", value=value, low=low, high=high, n=100)
    found = Comparison(
        against="57 rows", metric="accuracy", ours=0.9, theirs=0.9, gain=metric, margin=0.005,
        verdict="cannot tell", share=False, needed_n=0,
    )  # fmt: skip
    half, whole = (Point(n, Predictions(values=np.zeros(0))) for n in (57, 115))
    told = told_of_doubling(found, half, whole, complete=True, longer="")
    assert told.outcome == outcome, told.message
    assert told.evidence.get("needed_n", 0) == pytest.approx(needed_n, rel=0.01)


def test_what_was_cut_by_the_time_asks_for_the_next_effort() -> None:
    """Quick work is sent to standard, standard to full, and full has nothing more."""
    data = Dataset(frame={"x": np.arange(40.0)}, target=np.arange(40.0))
    planned = plan(VALUE, data, np.arange(40.0), AssessConfig(folds=3))
    efforts: tuple[Effort, ...] = ("quick", "standard", "full")
    fixes = [told_of_folds(1, planned, data, effort).fix for effort in efforts]
    assert fixes == ["--effort standard", "--effort full", ""]


def test_a_curve_that_cannot_be_drawn_says_why(
    logistic: LoadedModel, binary: Signature, rows: dict[str, Any]
) -> None:
    """No training rows, no folds, no clone, no time, few rows: none of them reads as passed."""
    data = Dataset(frame=rows, target=labels(table()))
    cases: list[tuple[Dataset | None, dict[str, Any], str]] = [
        (None, {}, "not_applicable"),
        (data, {"folds": 0}, "skipped"),
        (data, {"refittable": False}, "not_applicable"),
        (data, {"seconds": 1e-9}, "skipped"),
        (data.take(slice(0, 30)), {}, "skipped"),
    ]
    for train, asked, outcome in cases:
        part = learning_curve(evidence(logistic, binary, data, train, **asked))
        assert [found.outcome for found in part.findings] == [outcome]
        assert not part.fields


def test_a_curve_does_not_start_a_process_that_has_no_time_to_fit(
    logistic: LoadedModel, binary: Signature, rows: dict[str, Any]
) -> None:
    """Where the folds' time has ended it, starting it again would take all that is left."""
    data = Dataset(frame=rows, target=labels(table()))
    late = replace(evidence(logistic, binary, data, data, seconds=2.0), model=Process())
    (told,) = learning_curve(late).findings
    assert (told.outcome, told.fix) == ("skipped", "--effort standard")


def test_a_search_is_nested_and_its_own_score_is_not_to_be_quoted(
    opened: Callable[..., LoadedModel],
    logistic: LoadedModel,
    binary: Signature,
    rows: dict[str, Any],
) -> None:
    """Clones search anew in each fold: noise that wins the search does not win there."""
    noise = np.where(np.random.default_rng(3).random(240) < 0.5, "yes", "no").astype(object)
    grid = {"n_neighbors": list(range(1, 30, 2))}
    search = GridSearchCV(KNeighborsClassifier(), grid, cv=3, scoring="roc_auc")
    model = opened(search, noise)
    data = Dataset(frame=rows, target=noise)
    config = AssessConfig(effort="quick", folds=3, jobs=2)
    folds, _ = fit_folds(model, binary, data, config, SILENT, refittable=True)
    cv = summarize(binary, folds, config, forward=False)
    (told,) = nested_search(evidence(model, binary, data, data, cv=cv)).findings
    assert told.outcome == "tip"
    assert told.evidence["candidates"] == 15
    assert "nested" in told.message
    nested = find(cv, "roc_auc", "cv")
    assert nested is not None
    assert nested.value is not None
    assert told.evidence["best_score"] > nested.value
    # Known beforehand, the model is not asked: its process may have been ended with the folds.
    known = replace(evidence(model, binary, data, data, cv=cv), search={})
    assert nested_search(replace(known, model=None)).findings[0].outcome == "not_applicable"
    (without,) = nested_search(evidence(model, binary, data, data)).findings
    assert without.outcome == "skipped"
    (plain,) = nested_search(evidence(logistic, binary, data, data)).findings
    assert plain.outcome == "not_applicable"


def nulls(runs: int, shift: float = 0.0, n: int = 300) -> list[float]:
    """The p of the gap test where held-out rows are like the training rows, but for ``shift``."""
    generator = np.random.default_rng(11)
    found = []
    for _ in range(runs):
        x = generator.normal(size=(2 * n, 6))
        y = x[:, 0] + 0.5 * x[:, 1] + generator.normal(size=2 * n)
        y[n:] += shift * generator.normal(size=n)
        train = Dataset(frame={"x": x[:n, 0]}, target=y[:n])
        folds = []
        for split in plan(VALUE, train, y[:n], AssessConfig(folds=5)):
            model = Ridge().fit(x[split.train], y[split.train])
            answers = Predictions(values=model.predict(x[split.test]))
            metrics = measure(VALUE, y[split.test], answers, QUICK, scope="cv", names=("mae",))
            folds.append(
                Fold(
                    fold=split.fold,
                    n_train=len(split.train),
                    n_test=len(split.test),
                    metrics=metrics,
                )
            )
        answers = Predictions(values=Ridge().fit(x[:n], y[:n]).predict(x[n:]))
        (ours,) = measure(VALUE, y[n:], answers, QUICK, scope="held-out", names=("mae",))
        gap = gap_of(ours, tuple(folds))
        assert gap is not None
        found.append(gap.p)
        told = about_agreement("mae", (ours,), tuple(folds), 0.005)
        assert (told[0].outcome == "issue") is (gap.p < 1 - LEVEL)
    return found


@pytest.mark.slow
def test_the_gap_test_calls_like_rows_other_rows_at_most_as_often_as_it_says() -> None:
    """200 null sets: 1 % is the stated chance, and 5 % would fail; another table is seen."""
    p = np.array(nulls(200))
    assert (p < 1 - LEVEL).mean() <= 0.03
    assert 0.3 < np.median(p) < 0.8
    assert (np.array(nulls(20, shift=1.0)) < 1 - LEVEL).mean() >= 0.8


def test_a_gap_without_an_interval_is_skipped() -> None:
    """One fold, or folds without numbers, tell nothing."""
    data, good = scored(200)
    truth = np.asarray(data.target)
    (ours,) = measure(SCORE, truth, shares(good), QUICK, scope="held-out", names=("roc_auc",))
    one = (Fold(fold=0, n_train=100, n_test=100, metrics=(ours,)),)
    assert gap_of(ours, one) is None
    assert about_agreement("roc_auc", (ours,), one, 0.005)[0].outcome == "skipped"
    assert about_agreement("roc_auc", (ours,), (), 0.005) == []


def test_a_gap_that_few_rows_could_not_show_is_skipped() -> None:
    """Of 30 rows no gap below 0.1 shows, so none was seen; of 4,000 it would have."""
    for n, outcome in ((30, "skipped"), (4000, "passed")):
        data, good = scored(n)
        truth = np.asarray(data.target)
        (ours,) = measure(SCORE, truth, shares(good), QUICK, scope="held-out", names=("roc_auc",))
        folds = tuple(Fold(fold=i, n_train=n, n_test=n, metrics=(ours,)) for i in range(2))
        (told,) = about_agreement("roc_auc", (ours,), folds, 0.005)
        assert told.outcome == outcome
        assert told.evidence.get("needed_n", n + 1) > n


def test_groups_that_come_again_over_time_are_told_as_no_folds() -> None:
    """The sentence says why, and the fix names the option to leave out."""
    n = 60
    x = np.arange(n, dtype=float)
    train = Dataset(frame={"x": x}, target=x, time=x, group=np.arange(n) % 3)
    folds, told = fit_folds(None, VALUE, train, AssessConfig(folds=3), SILENT, refittable=True)
    assert not folds
    assert told.outcome == "skipped"
    assert "groups come again over time" in told.message
    assert "--group" in told.fix


class Process:
    """A process that can be cloned, and counts how often it was."""

    pid = None

    def __init__(self) -> None:
        self.clones: list[Process] = []

    @contextmanager
    def clone_host(self) -> Iterator[Process]:
        """Yield another one."""
        self.clones.append(Process())
        yield self.clones[-1]

    def call(self, target: str, /, **arguments: Any) -> Any:
        """Nobody asks."""
        raise NotImplementedError

    def close(self) -> None:
        """Nothing runs."""


@pytest.mark.parametrize(("start", "clones"), [(60.0, 0), (0.0, 1)])
def test_short_fits_stay_in_the_process_that_there_is(
    start: float, clones: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Starting more to fit for a moment takes longer; answers are in the order of the work."""
    monkeypatch.setattr("afterfit.assess.folds.START_SECONDS", start)
    model = Process()
    done = fitted(
        model,
        [3, 1, 2],
        lambda host, item: (item, host is model),
        jobs=4,
        seconds=60.0,
        progress=SILENT,
        cost=float,
    )
    assert [each[0] for each in done if each is not None] == [3, 1, 2]
    assert done[0] == (3, True)
    assert len(model.clones) == clones
    assert fitted(model, [], lambda _, item: item, jobs=2, seconds=1.0, progress=SILENT) == []


def test_no_process_is_started_when_the_first_fit_took_all_the_time() -> None:
    """What was not reached is None, and nothing else is begun."""
    model = Process()

    def slow(_: Process, item: int) -> int:
        time.sleep(0.05)
        return item

    done = fitted(model, [1, 2, 3], slow, jobs=3, seconds=0.02, progress=SILENT)
    assert done == [1, None, None]
    assert not model.clones
