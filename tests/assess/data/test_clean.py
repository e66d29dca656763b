"""Rows without a fault: no issue but what is truly there, on real tables and where nothing is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_wine,
)
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from tests.assess.data.tables import (
    evidence_of,
    findings_of,
    issues_of,
    logistic,
    signature_of,
    whole,
)

from afterfit.assess.data.duplicates import rows_in_training, rows_twice
from afterfit.assess.data.noise import wrong_labels
from afterfit.assess.evidence import Evidence
from afterfit.core.dataset import Dataset
from afterfit.core.frame import Predictions
from afterfit.models import baseline
from afterfit.store.tables import read_dataset


@pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer, load_digits])
def test_bundled_classifications_have_no_issue(load: Callable[..., Any]) -> None:
    """Iris has columns that nearly tell the species, digits has pixels that are always 0."""
    rows, labels = load(return_X_y=True)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(rows))
        held, rest = order[: len(rows) // 3], order[len(rows) // 3 :]
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
        said = model.fit(rows[rest], labels[rest]).predict_proba(rows[held])
        classes = tuple(int(label) for label in np.unique(labels))
        task = "binary" if len(classes) == 2 else "multiclass"
        sides = (rows[held], labels[held]), (rows[rest], labels[rest])
        evidence = _arrays(*sides, Predictions(probabilities=said), task, classes)
        assert issues_of(evidence) == [], seed


def test_a_bundled_regression_has_no_issue() -> None:
    """The diabetes table."""
    rows, target = load_diabetes(return_X_y=True)
    predictions = Predictions(values=np.full(140, target.mean()))
    held, rest = (rows[:140], target[:140]), (rows[140:], target[140:])
    assert issues_of(_arrays(held, rest, predictions, "regression", ())) == []


def _arrays(
    held: tuple[np.ndarray, np.ndarray],
    rest: tuple[np.ndarray, np.ndarray],
    predictions: Predictions,
    task: str,
    classes: tuple[int, ...],
) -> Evidence:
    data, train = (
        Dataset(frame={f"x{i}": rows[:, i].copy() for i in range(rows.shape[1])}, target=target)
        for rows, target in (held, rest)
    )
    return evidence_of(data, train, predictions, signature_of(data.frame, task, classes))


def test_adult_has_23_test_rows_in_its_training_file(shared_data: Callable[[str], Path]) -> None:
    """These, as many as its training rows lead to expect, are a tip; nothing is an issue."""
    data, train = (
        read_dataset(shared_data(f"adult_{name}.csv"), target="income")
        for name in ("test", "train")
    )
    signature = signature_of(data.frame, "binary", ("<=50K", ">50K"))
    truth = np.asarray(train.target == ">50K", np.int64)
    said = baseline.linear(signature, dict(train.frame), truth, data.frame, seed=0)
    evidence = evidence_of(data, train, said, signature)
    across, within = (check(evidence).findings[0] for check in (rows_in_training, rows_twice))
    assert (across.outcome, across.evidence["exact"], across.evidence["other_label"]) == (
        "tip", 23, 3,
    )  # fmt: skip
    assert (within.outcome, within.evidence["exact"]) == ("tip", 5)
    assert issues_of(evidence) == []
    tree = DecisionTreeClassifier(max_depth=8, random_state=0)
    numbers = [c.name for c in signature.columns if c.kind != "category"]
    matrices = [np.column_stack([d.frame[n] for n in numbers]) for d in (train, data)]
    sure = tree.fit(matrices[0], truth).predict_proba(matrices[1])
    seen = wrong_labels(evidence_of(data, train, Predictions(probabilities=sure), signature))
    assert seen.findings[0].outcome in {"tip", "passed"}


def test_wine_has_its_repeated_rows(shared_data: Callable[[str], Path]) -> None:
    """240 of the 1,599 red wines repeat an earlier one, and 937 of the 4,898 white ones."""
    red, white = (
        read_dataset(shared_data(f"wine_quality_{name}.csv"), target="quality")
        for name in ("red", "white")
    )
    for data, repeated in ((red, 240), (white, 937)):
        signature = signature_of(data.frame, "regression")
        predictions = Predictions(values=np.full(len(data), 5.0))
        evidence = evidence_of(data, None, predictions, signature)
        found = rows_twice(evidence).findings[0]
        assert (found.outcome, found.evidence["exact"]) == ("issue", repeated)
        assert [code for code, _ in issues_of(evidence)] == ["A011"]
    order = np.random.default_rng(0).permutation(len(red))
    held, rest = red.take(order[:480]), red.take(order[480:])
    values = Predictions(values=np.full(480, 5.0))
    evidence = evidence_of(held, rest, values, signature_of(red.frame, "regression"))
    across = rows_in_training(evidence).findings[0]
    assert (across.outcome, across.severity) == ("issue", "medium")
    assert "before it was split" in across.message
    assert {code for code, _ in issues_of(evidence)} == {"A010", "A011"}


def _null(seed: int) -> Evidence:
    """Two tables of one population, of some shape by the seed, and a calibrated model."""
    random = np.random.default_rng(seed)
    n, n_train = int(random.integers(150, 900)), int(random.integers(300, 1500))
    columns = int(random.integers(3, 15))
    mixing = random.normal(size=(columns, columns)) * (random.random((columns, columns)) < 0.4)
    kinds = random.integers(0, 4, columns)
    steep = random.uniform(0.5, 3.0)
    words = np.array(["p", "q", "r", "s", None], object)

    def table(rows: int) -> tuple[Dataset, np.ndarray]:
        hidden = random.normal(size=(rows, columns)) @ (np.eye(columns) + mixing)
        shapes: list[Callable[[np.ndarray], np.ndarray]] = [
            lambda x: x,
            lambda x: np.rint(2 * x).astype(np.int64),
            lambda x: words[np.clip(np.rint(x + 2), 0, 4).astype(int)],
            lambda x: np.where(np.abs(x) > 1.5, np.nan, np.exp(x)).round(2),
        ]
        frame = {f"x{i}": shapes[kind](hidden[:, i]) for i, kind in enumerate(kinds)}
        shares = logistic(steep * hidden[:, 0] - 0.5)
        labels = (random.random(rows) < shares).astype(np.int64)
        roles: dict[str, Any] = {"time": np.arange(rows) + (0 if rows == n_train else n_train)}
        return Dataset(frame=frame, target=labels, **roles), shares

    train, _ = table(n_train)
    data, shares = table(n)
    return whole(data, train, shares)


@pytest.mark.slow
def test_at_most_one_in_twenty_null_tables_has_any_issue() -> None:
    """200 pairs of tables of one population each: correlated, rounded, with words and gaps."""
    alarms = {seed: found for seed in range(200) if (found := issues_of(_null(seed)))}
    assert len(alarms) <= 10, alarms
    ran = {finding.code for finding in findings_of(_null(0)) if finding.outcome == "passed"}
    assert {"A010", "A013", "A014", "A015", "A016", "A019"} <= ran
