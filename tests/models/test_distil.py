"""Students: what they learn of a slow teacher, and what they cannot follow."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_classification
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.svm import SVC
from tests.models.made_variants import (
    accuracy,
    answers,
    certified,
    made,
    numbers,
    signature_of,
    wrapped,
)

from afterfit.core.frame import take
from afterfit.core.signature import Signature
from afterfit.models.convert import Attempt, to_onnx
from afterfit.models.distil import proposals
from afterfit.models.distil_trees import Growth, grow
from afterfit.models.native import NativeModel
from afterfit.models.proposal import Proposal
from afterfit.models.prune_trees_table import leaves_of, margin

if TYPE_CHECKING:
    from collections.abc import Callable

TRAIN = 2000


def offered(native: NativeModel, signature: Signature, rows: int = TRAIN) -> dict[str, Proposal]:
    """The proposals by name."""
    found = proposals(native, signature=signature, labelled=True, rows=rows)
    return {proposal.name: proposal for proposal in found}


def adult(path: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The rows of the census table as a frame, and whether the income is above 50K."""
    table = pd.read_csv(path)
    rows = {
        name: table[name].to_numpy()
        if table[name].dtype.kind == "i"
        else np.array([None if pd.isna(v) else str(v) for v in table[name]], dtype=object)
        for name in table.columns[:-1]
    }
    return rows, (table["income"] == ">50K").to_numpy().astype(np.int64)


def forest(rows: dict[str, np.ndarray], target: np.ndarray, trees: int) -> Any:
    """A forest behind one-hot encoded text, as many people write it."""
    text = [name for name, values in rows.items() if values.dtype.kind == "O"]
    steps = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), text), remainder="passthrough"
    )
    pipeline = make_pipeline(steps, RandomForestClassifier(trees, random_state=0))
    return pipeline.fit(pd.DataFrame(rows), target)


@pytest.mark.slow
def test_a_student_of_a_forest_is_certified_small_and_fast(
    shared_data: Callable[[str], Path],
) -> None:
    """On the census a student of 100 trees is right as often, and smaller and faster by far."""
    rows, target = adult(shared_data("adult_train.csv"))
    held, truth = adult(shared_data("adult_test.csv"))
    few = take(rows, slice(0, 12_000))
    signature = signature_of(rows, "binary", (0, 1))
    native = wrapped(forest(few, target[:12_000], 100), signature)
    proposal = offered(native, signature)["distil-boosting-100"]
    student = made(native, signature, proposal, few, target[:12_000])
    said, before = answers(student, signature, held), native.predict(held)
    assert certified(signature, said, before, truth)
    whole = to_onnx(native, signature, Attempt(name="onnx-float64"), "\x1fmissing")
    assert len(whole.data) > 20 * len(student.data)
    one = take(held, slice(0, 1))
    assert median_time(native.predict, one, 20) > 30 * student_time(student, signature, one)


def median_time(ask: Callable[[Any], Any], rows: Any, calls: int) -> float:
    """The median seconds of a call."""
    spent = []
    for _ in range(calls):
        begun = time.perf_counter()
        ask(rows)
        spent.append(time.perf_counter() - begun)
    return float(np.median(spent))


def student_time(student: Any, signature: Signature, rows: Any) -> float:
    """The median seconds of a call of a graph."""
    from afterfit.runtime.onnx import OnnxModel

    model = OnnxModel(student.data, student.inputs, student.output, signature.classes)
    return median_time(model.predict, rows, 200)


def parity_rows(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows whose class is the parity of two signs: no line tells them apart."""
    X = np.random.default_rng(seed).normal(size=(n, 4))
    return X, ((X[:, 0] > 0) ^ (X[:, 1] > 0)).astype(np.int64)


def test_a_student_that_cannot_follow_is_not_certified() -> None:
    """A line learns nothing of a parity, and gets no certificate; small trees learn it."""
    X, y = parity_rows(TRAIN, 0)
    held, truth = parity_rows(6000, 1)
    signature = signature_of(numbers(X), "binary", (0, 1))
    native = wrapped(RandomForestClassifier(60, random_state=0).fit(X, y), signature)
    before = native.predict(numbers(held))
    options = offered(native, signature)
    line = answers(made(native, signature, options["distil-linear"], numbers(X), y), signature,
                   numbers(held))  # fmt: skip
    assert accuracy(signature, line, truth) < 0.6
    assert not certified(signature, line, before, truth)
    trees = answers(made(native, signature, options["distil-boosting-40"], numbers(X), y),
                    signature, numbers(held))  # fmt: skip
    assert certified(signature, trees, before, truth)


def test_rows_without_labels_teach() -> None:
    """Without a single label, the student agrees with its teacher on nearly all held-out rows."""
    X, y = make_classification(6000, 8, n_informative=5, n_classes=3, random_state=1)
    signature = signature_of(numbers(X), "multiclass", (0, 1, 2))
    estimator = HistGradientBoostingClassifier(max_iter=100).fit(X[:TRAIN], y[:TRAIN])
    native = wrapped(estimator, signature)
    student = made(native, signature, offered(native, signature)["distil-boosting-100"],
                   numbers(X[:TRAIN]))  # fmt: skip
    held = numbers(X[TRAIN:])
    teacher = native.predict(held).main.argmax(axis=1)
    said = answers(student, signature, held)
    assert accuracy(signature, said, teacher) > 0.9
    np.testing.assert_allclose(said.main.sum(axis=1), 1.0, atol=1e-9)
    assert "2,000 rows" in student.notes[0]
    assert "labels" not in student.notes[0]


@pytest.mark.parametrize("name", ["distil-boosting-100", "distil-network-32"])
def test_a_regression_is_followed(name: str) -> None:
    """A student exrowss nearly all of what the teacher's values vary by."""
    X = np.random.default_rng(0).normal(size=(5000, 5))
    value = 300.0 + 50 * (X[:, 0] + X[:, 1] * X[:, 2])
    signature = signature_of(numbers(X), "regression")
    native = wrapped(RandomForestRegressor(50, random_state=0).fit(X, value), signature)
    proposal = offered(native, signature)[name]
    student = made(native, signature, proposal, numbers(X[:4000]), value[:4000])
    held = numbers(X[4000:])
    gap = answers(student, signature, held).main - native.predict(held).main
    assert gap.std() < 0.3 * value.std()
    assert abs(gap.mean()) < 5


@pytest.mark.parametrize("name", ["distil-boosting-40", "distil-network-32", "distil-linear"])
def test_missing_and_unseen_values_are_answered(name: str) -> None:
    """A hole or a new word in any column gets probabilities, whatever kind the student is."""
    generator = np.random.default_rng(0)
    rows: dict[str, np.ndarray] = {
        "a": generator.normal(size=TRAIN),
        "b": generator.normal(size=TRAIN),
        "word": np.array(["red", "blue", None, "green"], dtype=object)[
            generator.integers(0, 4, TRAIN)
        ],
    }
    rows["a"][::7] = np.nan
    red = rows["word"] == "red"
    target = (red ^ (np.nan_to_num(rows["a"]) > 0)).astype(np.int64)
    signature = signature_of(rows, "binary", (0, 1))
    native = wrapped(forest(rows, target, 40), signature)
    student = made(native, signature, offered(native, signature)[name], rows, target)
    odd = take(rows, slice(0, 3))
    odd["a"] = np.array([np.nan, np.inf, -1e300])
    odd["word"] = np.array(["never seen", None, "red"], dtype=object)
    said = answers(student, signature, odd).main
    assert np.isfinite(said).all()
    np.testing.assert_allclose(said.sum(axis=1), 1.0, atol=1e-9)


def test_equal_inputs_make_equal_bytes() -> None:
    """The same teacher, rows and seed make the same student, also in another process's stead."""
    X, y = make_classification(1500, 6, random_state=0)
    signature = signature_of(numbers(X), "binary", (0, 1))
    estimator = RandomForestClassifier(30, random_state=0).fit(X, y)
    for name, proposal in offered(wrapped(estimator, signature), signature).items():
        first, second = (
            made(wrapped(estimator, signature), signature, proposal, numbers(X), y, seed=5).data
            for _ in range(2)
        )
        assert first == second != b"", name


def test_splits_are_those_of_the_trees_that_were_grown() -> None:
    """Trees over edges answer rows on, between and beyond the edges as the trees over parts do."""
    generator = np.random.default_rng(0)
    rows = np.column_stack([generator.normal(size=3000), generator.integers(0, 4, 3000)])
    rows[::9, 0] = np.nan
    soft = (np.nan_to_num(rows[:, 0], nan=1.0) * rows[:, 1])[:, None]
    growth = Growth(rounds=60, leaves=16, rate=0.3, classifier=False, seed=0, deadline=1e18)
    trees, gains = grow(rows, soft, np.ones(3000), growth)
    said = margin(trees, [leaves_of(tree, rows) for tree in trees.trees])
    assert np.mean((said - soft) ** 2) < 0.01 * soft.var()
    assert (gains > 0).all()
    far = np.array([[np.inf, 3.0], [-np.inf, 3.0], [np.nan, 3.0]])
    high, low, hole = margin(trees, [leaves_of(tree, far) for tree in trees.trees])[:, 0]
    assert low < hole < high


def test_a_column_teaches_that_says_something_where_it_is_missing_only() -> None:
    """A split between what is missing and all numbers is grown, and answers every number."""
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(2000, 1))
    rows[::5] = np.nan
    soft = np.where(np.isnan(rows), 0.9, 0.1)
    growth = Growth(rounds=20, leaves=4, rate=0.5, classifier=False, seed=0, deadline=1e18)
    trees, _ = grow(rows, soft, np.ones(2000), growth)
    assert any(np.isposinf(tree.split).any() for tree in trees.trees)
    far = np.array([[np.inf], [-np.inf], [0.0], [np.nan]])
    said = margin(trees, [leaves_of(tree, far) for tree in trees.trees])[:, 0]
    assert said == pytest.approx([0.1, 0.1, 0.1, 0.9], abs=0.01)


def test_little_time_ends_in_a_smaller_lesson_or_a_reason() -> None:
    """A teacher that has no time to answer enough rows makes no student, and it says so."""
    X, y = make_classification(30_000, 6, random_state=0)
    signature = signature_of(numbers(X), "binary", (0, 1))
    native = wrapped(RandomForestClassifier(200, random_state=0).fit(X[:2000], y[:2000]), signature)
    proposal = offered(native, signature)["distil-boosting-20"]
    begun = time.monotonic()
    student = made(native, signature, proposal, numbers(X), y, seconds=0.01)
    assert time.monotonic() - begun < 10
    assert student.error == ""
    assert "2,000 rows" in student.notes[0]
    few = made(native, signature, proposal, numbers(X[:50]), y[:50])
    assert "50 rows teach nothing" in few.error


def test_nothing_is_proposed_where_no_student_fits() -> None:
    """No student of a line, of labels alone, of free text, or without rows."""
    X, y = make_classification(400, 6, random_state=0)
    signature = signature_of(numbers(X), "binary", (0, 1))
    line = wrapped(LogisticRegression().fit(X, y), signature)
    assert offered(line, signature) == {}
    labels = signature_of(numbers(X), "binary", (0, 1))
    labels = Signature(**{**{f: getattr(labels, f) for f in labels.__struct_fields__},
                          "probabilities": False})  # fmt: skip
    assert offered(wrapped(SVC().fit(X, y), labels), labels) == {}
    trees = wrapped(RandomForestClassifier(30).fit(X, y), signature)
    assert offered(trees, signature, rows=0) == {}
    assert offered(trees, signature) != {}
