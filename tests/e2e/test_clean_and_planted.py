"""All of ``assess`` and ``robustness`` on tables without a fault, and on five planted faults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from sklearn import datasets
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from tests.assess.data.tables import sides
from tests.assess.data.test_planted import copied, with_columns

from afterfit.assess.config import AssessConfig
from afterfit.assess.run import assess
from afterfit.core.dataset import Dataset, to_label
from afterfit.core.finding import Finding
from afterfit.core.frame import Frame, Predictions, missing_mask
from afterfit.core.signature import Signature
from afterfit.inspect.columns import build_column
from afterfit.models.native import Hints
from afterfit.models.sklearn import SklearnModel
from afterfit.robustness.config import RobustnessConfig
from afterfit.robustness.run import robustness
from afterfit.store.tables import read_dataset

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


class Here:
    """A fitted pipeline that predicts and fits its clones in this process."""

    pid = None

    def __init__(self, pipeline: Any, signature: Signature) -> None:
        self._native = SklearnModel(pipeline, Hints.of(signature))

    def predict(self, frame: Frame) -> Predictions:
        """Return the predictions of n rows."""
        return self._native.predict(frame)

    def call(self, target: str, /, **arguments: Any) -> Any:
        """Return what ``module:function`` says of the model."""
        module, _, name = target.partition(":")
        return getattr(import_module(module), name)(self._native, **arguments)

    def close(self) -> None:
        """Nothing is to be ended."""


class Told(NamedTuple):
    """What the two steps found."""

    findings: tuple[Finding, ...]

    @property
    def issues(self) -> set[str]:
        """The codes of what is wrong."""
        return {each.code for each in self.findings if each.outcome == "issue"}

    def of(self, code: str) -> list[Finding]:
        """The issues of one code."""
        return [each for each in self.findings if (each.code, each.outcome) == (code, "issue")]


def signature_of(data: Dataset, train: Dataset) -> Signature:
    """The signature that ``inspect`` would find, with the classes in their order."""
    columns = tuple(
        build_column(name, values, train.frame[name], nullable=False)
        for name, values in data.frame.items()
    )
    assert train.target is not None
    if train.target.dtype.kind == "f":
        return Signature(task="regression", columns=columns, target="y")
    classes = tuple(to_label(label) for label in np.unique(train.target))
    if len(classes) > 2:
        return Signature(task="multiclass", columns=columns, classes=classes)
    return Signature(
        task="binary", columns=columns, classes=classes, positive=classes[1], threshold=0.5
    )


def looked_at(
    data: Dataset, train: Dataset, adjust: Callable[[Any], None] = lambda _: None
) -> Told:
    """Fit a linear pipeline and take it through both steps at quick effort."""
    import pandas as pd

    signature = signature_of(data, train)
    words = [column.name for column in signature.columns if column.kind == "category"]
    numbers = [name for name in signature.names if name not in words]
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    final = Ridge() if signature.task == "regression" else LogisticRegression(max_iter=300)
    prepared = make_column_transformer((StandardScaler(), numbers), (one_hot, words))
    fitted = make_pipeline(prepared, final).fit(pd.DataFrame(dict(train.frame)), train.target)
    adjust(fitted[-1])
    model = Here(fitted, signature)
    asked = AssessConfig(effort="quick", folds=3, jobs=1)
    quality = assess(model, signature, data, train, asked, subject="m", refittable=True)
    few = RobustnessConfig(rows=20, effort="quick")
    strange = robustness(model, signature, data, few, subject="m")
    return Told((*quality.findings, *strange.findings))


def halved(rows: np.ndarray, target: np.ndarray, seed: int = 0) -> tuple[Dataset, Dataset]:
    """A table of numbers, two fifths of it held out."""
    frame = {f"x{i}": rows[:, i].copy() for i in range(rows.shape[1])}
    whole = Dataset(frame=frame, target=target)
    order = np.random.default_rng(seed).permutation(len(target))
    held = 2 * len(order) // 5
    return whole.take(order[:held]), whole.take(order[held:])


def part_of(table: Dataset, n: int) -> tuple[Dataset, Dataset]:
    """Some rows of a table, drawn at random, two fifths of them held out."""
    order = np.random.default_rng(0).permutation(len(table))[:n]
    return table.take(order[: 2 * n // 5]), table.take(order[2 * n // 5 :])


def bundled(load: Callable[..., Any], columns: int | None = None) -> tuple[Dataset, Dataset]:
    """A table that comes with scikit-learn, of it the first columns."""
    rows, target = load(return_X_y=True)
    return halved(rows[:, :columns], target)


def several_classes() -> tuple[Dataset, Dataset]:
    """Three classes by the greatest of three noisy scores, of one population."""
    random = np.random.default_rng(4)
    rows = random.normal(size=(1500, 5))
    scores = rows[:, :3] * 2 + random.gumbel(size=(1500, 3))
    return halved(rows, scores.argmax(axis=1))


def values() -> tuple[Dataset, Dataset]:
    """A line with noise."""
    random = np.random.default_rng(5)
    rows = random.normal(size=(1500, 6))
    return halved(rows, rows @ np.arange(6.0) + random.normal(size=1500))


def two_classes() -> tuple[Dataset, Dataset]:
    """Two classes of a population with numbers, integers and words."""
    return sides(1200, 1500)[:2]


CLEAN: dict[str, tuple[Callable[[], tuple[Dataset, Dataset]], set[str]]] = {
    "iris": (lambda: bundled(datasets.load_iris), set()),
    "cancer": (lambda: bundled(datasets.load_breast_cancer, 12), set()),
    "digits": (lambda: bundled(datasets.load_digits, 20), set()),
    "cultivars": (lambda: bundled(datasets.load_wine), set()),
    "diabetes": (lambda: bundled(datasets.load_diabetes), set()),
    "null of two classes": (two_classes, {"R003"}),
    "null of three classes": (several_classes, set()),
    "null of values": (values, set()),
}
"""Tables without a fault, and what is truly in them: a one-hot encoder knows one spelling."""


@pytest.mark.parametrize("name", CLEAN)
def test_a_table_without_a_fault_has_no_issue(name: str) -> None:
    """Of both steps, but for what is named above."""
    make, true = CLEAN[name]
    told = looked_at(*make())
    assert told.issues <= true, [each for each in told.findings if each.outcome == "issue"]
    assert len(told.findings) > 40


def test_real_tables_have_the_issues_that_are_in_them(
    shared_data: Callable[[str], Path],
) -> None:
    """Adult's words have one spelling each; a part of the red wines holds wines twice."""
    adult = read_dataset(shared_data("adult_test.csv"), target="income")
    whole = ~np.any([missing_mask(values) for values in adult.frame.values()], axis=0)
    told = looked_at(*part_of(adult.take(whole), 1500))
    assert told.issues <= {"R003"}, told.of("A020")
    wine = read_dataset(shared_data("wine_quality_red.csv"), target="quality")
    wine = replace(wine, target=np.asarray(wine.target, np.float64))
    assert looked_at(*part_of(wine, 1599)).issues == {"A010", "A011"}


def planted() -> tuple[Dataset, Dataset]:
    """Rows that have no fault yet."""
    return sides(3000, 3000)[:2]


def leaked(data: Dataset) -> Dataset:
    """The rows with a column that is the label but for a little noise."""
    assert data.target is not None
    random = np.random.default_rng(len(data.frame))
    return with_columns(data, code=data.target + random.normal(size=len(data)) / 20)


def test_a_leaked_column_is_found() -> None:
    """By its name, as the one that predicts alone."""
    data, train = planted()
    told = looked_at(leaked(data), leaked(train))
    assert {each.where for each in told.of("A015")} == {"code"}


def test_rows_on_both_sides_of_the_split_are_found() -> None:
    """60 of 3,000 held-out rows are training rows."""
    data, train = planted()
    (found,) = looked_at(copied(train, data, 60), train).of("A010")
    assert found.evidence["exact"] == 60


def test_a_broken_slice_of_six_percent_is_found() -> None:
    """Where b is above 1.55 the labels of the held-out rows are the other way round."""
    data, train = planted()
    assert data.target is not None
    broken = data.frame["b"] > 1.55
    assert 0.05 < broken.mean() < 0.07
    told = looked_at(replace(data, target=np.where(broken, 1 - data.target, data.target)), train)
    assert any(each.where.startswith("b \u2265 1.") for each in told.of("A020")), told.of("A020")


def test_miscalibration_is_found() -> None:
    """Log-odds three times too large keep the order of the rows, and the threshold."""

    def sharpen(final: Any) -> None:
        final.coef_, final.intercept_ = 3 * final.coef_, 3 * final.intercept_

    told = looked_at(*planted(), sharpen)
    assert told.issues <= {"A020", "A030", "R003"}
    assert told.of("A030")


def test_a_split_that_mixes_times_is_found() -> None:
    """Held-out rows of all times: the model has learned from rows that are later."""
    data, train = planted()
    times = np.random.default_rng(1).permutation(6000)
    told = looked_at(replace(data, time=times[:3000]), replace(train, time=times[3000:]))
    (found,) = told.of("A013")
    assert found.severity == "high"
