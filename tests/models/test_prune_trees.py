"""Pruned trees: the library's shorter model, scikit-learn's own pruning, and a better choice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from tests.models.made_variants import (
    accuracy,
    answers,
    certified,
    made,
    numbers,
    signature_of,
    wrapped,
)

from afterfit.core.signature import Signature, Task
from afterfit.models.native import NativeModel
from afterfit.models.proposal import Proposal
from afterfit.models.prune_trees import proposals
from afterfit.models.prune_trees_graph import reaching, trees_of, with_trees
from afterfit.models.prune_trees_table import at_alpha, leaves_of, margin

TRAIN = 2000


def table(classes: int = 2, n: int = 6000, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """Rows of ten numbers, some missing, and their classes."""
    given = {"n_informative": 6, "flip_y": 0.1, "n_classes": classes, "random_state": 3} | options
    X, y = make_classification(n, 10, **given)
    X[np.random.default_rng(0).random(X.shape) < 0.03] = np.nan
    return X, y


def ready(estimator: Any, X: np.ndarray, y: np.ndarray) -> tuple[NativeModel, Signature]:
    """The estimator, fitted on the first rows, and its signature."""
    classes = tuple(int(label) for label in np.unique(y))
    task: Task = "binary" if len(classes) == 2 else "multiclass"
    signature = signature_of(numbers(X), task, classes)
    return wrapped(estimator.fit(X[:TRAIN], y[:TRAIN]), signature), signature


def offered(native: NativeModel, signature: Signature, rows: int = TRAIN) -> dict[str, Proposal]:
    """The proposals by name."""
    found = proposals(native, signature=signature, labelled=True, rows=rows)
    return {proposal.name: proposal for proposal in found}


def shorter(kind: str, estimator: Any, X: np.ndarray, k: int) -> np.ndarray:
    """The probabilities of the library's own model of its first k rounds or trees."""
    if kind == "lightgbm":
        return np.asarray(estimator.predict_proba(X, num_iteration=k))
    if kind == "xgboost":
        return np.asarray(estimator.predict_proba(X, iteration_range=(0, k)))
    if kind == "forest":
        return np.asarray(
            np.mean([tree.predict_proba(X) for tree in estimator.estimators_[:k]], axis=0)
        )
    return np.asarray(list(estimator.staged_predict_proba(X))[k - 1])


def estimator_of(kind: str) -> Any:
    """An estimator of 40 rounds or trees."""
    if kind == "lightgbm":
        return pytest.importorskip("lightgbm").LGBMClassifier(n_estimators=40, verbose=-1, n_jobs=1)
    if kind == "xgboost":
        return pytest.importorskip("xgboost").XGBClassifier(n_estimators=40)
    if kind == "forest":
        return RandomForestClassifier(40, random_state=0)
    return HistGradientBoostingClassifier(max_iter=40, early_stopping=False)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("kind", ["lightgbm", "xgboost", "forest", "histogram"])
def test_the_first_rounds_are_the_librarys_own_shorter_model(kind: str, classes: int) -> None:
    """40 % of the rounds answer as the library does when it is told to stop there."""
    X, y = table(classes)
    estimator = estimator_of(kind)
    native, signature = ready(estimator, X, y)
    variant = made(native, signature, offered(native, signature)["prune-rounds-40"], numbers(X[:9]))
    said = answers(variant, signature, numbers(X[TRAIN:])).probabilities
    assert said is not None
    np.testing.assert_allclose(said, shorter(kind, estimator, X[TRAIN:], 16), atol=2e-6)
    assert "16 of 40" in variant.notes[0]


@pytest.mark.parametrize("alpha", [0.0005, 0.002, 0.01])
def test_collapsing_at_a_price_is_scikit_learns_own_pruning(alpha: float) -> None:
    """A full tree collapsed at alpha is the tree that scikit-learn fits with ``ccp_alpha``."""
    X, y = table()
    X = np.nan_to_num(X)
    native, signature = ready(DecisionTreeClassifier(random_state=0), X, y)
    wanted = DecisionTreeClassifier(random_state=0, ccp_alpha=alpha).fit(X[:TRAIN], y[:TRAIN])
    tree = native.estimator.tree_
    weight = tree.weighted_n_node_samples
    risk = tree.impurity * weight / weight[0]
    smaller = at_alpha(trees_of(native), [risk], [weight], alpha)
    assert len(smaller.trees[0].kind) == wanted.tree_.node_count < tree.node_count
    variant = with_trees(native, signature, smaller)
    said = answers(variant, signature, numbers(X[TRAIN:])).main
    np.testing.assert_allclose(said, wanted.predict_proba(X[TRAIN:]), atol=1e-12)


def test_a_tree_that_learned_noise_is_better_for_being_pruned() -> None:
    """A tenth of an overgrown tree's leaves is certified, because it is right more often."""
    X, y = table(flip_y=0.2)
    native, signature = ready(DecisionTreeClassifier(random_state=0), X, y)
    variant = made(native, signature, offered(native, signature)["prune-leaves-10"], numbers(X[:9]))
    held = numbers(X[TRAIN:])
    said, before = answers(variant, signature, held), native.predict(held)
    assert certified(signature, said, before, y[TRAIN:])
    assert accuracy(signature, said, y[TRAIN:]) > accuracy(signature, before, y[TRAIN:])


@pytest.mark.slow
def test_rounds_that_were_needed_are_missed() -> None:
    """40 % of a slowly learning model's rounds is no match for it, and no certificate is given."""
    lightgbm = pytest.importorskip("lightgbm")
    X, y = table(n=12000, flip_y=0.01, n_clusters_per_class=4, class_sep=0.7)
    estimator = lightgbm.LGBMClassifier(n_estimators=300, learning_rate=0.02, verbose=-1, n_jobs=1)
    native, signature = ready(estimator, X, y)
    variant = made(native, signature, offered(native, signature)["prune-rounds-40"], numbers(X[:9]))
    held = numbers(X[TRAIN:])
    said, before = answers(variant, signature, held), native.predict(held)
    assert accuracy(signature, said, y[TRAIN:]) < accuracy(signature, before, y[TRAIN:]) - 0.005
    assert not certified(signature, said, before, y[TRAIN:])


def test_chosen_trees_say_what_all_say_better_than_the_first_ones() -> None:
    """A tenth of a regression's trees, chosen and refitted, is nearer to it than its beginning."""
    X = np.nan_to_num(table()[0])
    value = X[:, 0] * X[:, 1] + np.sin(2 * X[:, 2]) + X[:, 3]
    estimator = GradientBoostingRegressor(n_estimators=200, random_state=0)
    signature = signature_of(numbers(X), "regression")
    native = wrapped(estimator.fit(X[:TRAIN], value[:TRAIN]), signature)
    options = offered(native, signature)
    held = numbers(X[TRAIN:])
    whole = native.predict(held).main
    gaps = {}
    for name in ("prune-trees-10", "prune-rounds-10"):
        variant = made(native, signature, options[name], numbers(X[:TRAIN]))
        gaps[name] = np.mean((answers(variant, signature, held).main - whole) ** 2)
    assert gaps["prune-trees-10"] < gaps["prune-rounds-10"] / 3


def test_chosen_trees_of_a_forest_still_answer_probabilities() -> None:
    """However trees are chosen and refitted, every row's answers add up to one and none is less."""
    X, y = table(classes=3)
    native, signature = ready(RandomForestClassifier(60, random_state=0), X, y)
    variant = made(
        native, signature, offered(native, signature)["prune-trees-20"], numbers(X[:TRAIN])
    )
    said = answers(variant, signature, numbers(X[TRAIN:])).probabilities
    assert said is not None
    assert "12 of 60" in variant.notes[0]
    assert said.min() >= 0
    np.testing.assert_allclose(said.sum(axis=1), 1.0, atol=1e-12)


def test_rows_reach_the_trees_of_the_table_as_they_reach_the_librarys() -> None:
    """Scaled rows with holes and text go to the leaves that make up the model's own answer."""
    X, y = table()
    rows = numbers(X)
    rows["word"] = np.array(["red", "blue", None], dtype=object)[np.arange(len(y)) % 3]
    import pandas as pd
    from sklearn.compose import make_column_transformer
    from sklearn.preprocessing import OneHotEncoder

    steps = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["word"]), remainder=StandardScaler()
    )
    estimator = make_pipeline(steps, RandomForestClassifier(20, random_state=0))
    estimator.fit(pd.DataFrame(rows)[:TRAIN], y[:TRAIN])
    signature = signature_of(rows, "binary", (0, 1))
    native = wrapped(estimator, signature)
    trees = trees_of(native)
    reached = reaching(native, signature, trees)(rows)
    leaves = [leaves_of(tree, reached) for tree in trees.trees]
    said = native.predict(rows).probabilities
    assert said is not None
    np.testing.assert_allclose(margin(trees, leaves)[:, 0], said[:, 1], atol=1e-12)
    variant = made(native, signature, offered(native, signature)["prune-trees-70"], rows)
    assert np.abs(answers(variant, signature, rows).main - said).max() < 0.5


def test_the_model_itself_stays_whole() -> None:
    """Pruning works on copies: afterwards the model answers as before, with all its trees."""
    X, y = table()
    native, signature = ready(GradientBoostingClassifier(n_estimators=30), np.nan_to_num(X), y)
    held = numbers(np.nan_to_num(X[TRAIN:]))
    before = native.predict(held).probabilities
    for proposal in offered(native, signature).values():
        assert made(native, signature, proposal, numbers(np.nan_to_num(X[:TRAIN]))).error == ""
    np.testing.assert_array_equal(native.predict(held).probabilities, before)
    assert len(trees_of(native).trees) == 30


def test_equal_inputs_make_equal_bytes() -> None:
    """The same model, rows and seed make the same graph, to the byte."""
    X, y = table()
    native, signature = ready(HistGradientBoostingClassifier(max_iter=40), X, y)
    for proposal in offered(native, signature).values():
        first, second = (
            made(native, signature, proposal, numbers(X[:TRAIN]), seed=7).data for _ in range(2)
        )
        assert first == second != b""


def test_nothing_is_proposed_where_there_are_no_trees_or_few() -> None:
    """A linear model has no trees, and eight rounds leave nothing out."""
    X, y = table()
    X = np.nan_to_num(X)
    for estimator in (LogisticRegression(), HistGradientBoostingClassifier(max_iter=8)):
        native, signature = ready(estimator, X, y)
        assert offered(native, signature) == {}


def test_choosing_needs_rows_and_time() -> None:
    """Without rows it is not proposed; with few, or without time, the reason is told."""
    X, y = table()
    native, signature = ready(HistGradientBoostingClassifier(max_iter=40), X, y)
    assert not any("trees" in name for name in offered(native, signature, rows=0))
    proposal = offered(native, signature)["prune-trees-20"]
    assert "50 rows" in made(native, signature, proposal, numbers(X[:50])).error
    late = made(native, signature, proposal, numbers(X[:TRAIN]), seconds=0.0)
    assert "in time" in late.error
