"""The threshold of greatest F1, and the finding that names it."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from afterfit.assess.evidence import Rows
from afterfit.assess.judge import about_threshold
from afterfit.assess.threshold import best_threshold, f1_at
from afterfit.core.dataset import Dataset
from afterfit.core.frame import Predictions
from afterfit.core.signature import Column, Signature


def scored(hits: np.ndarray, scores: np.ndarray, threshold: float = 0.5) -> Rows:
    """Rows with these truths and probabilities of the positive class."""
    signature = Signature(
        task="binary",
        columns=(Column(name="x", kind="number"),),
        classes=("no", "yes"),
        positive="yes",
        threshold=threshold,
    )
    probabilities = np.column_stack([1 - scores, scores])
    data = Dataset(frame={"x": scores})
    return Rows(signature, data, hits.astype(np.int64), Predictions(probabilities=probabilities))


@given(
    arrays(bool, 40),
    arrays(float, 40, elements=st.floats(0, 1)),
    st.floats(0, 1, exclude_min=True, exclude_max=True),
)
def test_no_threshold_is_better_than_the_best(
    hits: np.ndarray, scores: np.ndarray, other: float
) -> None:
    """The threshold lies in (0, 1), has the F1 that it is told to have, and no other has more."""
    assume(hits.any() and (scores > 0).any())
    best = best_threshold(hits, scores)
    assert best is not None
    assert 0 < best.threshold < 1
    assert f1_at(hits, scores, best.threshold) == best.f1
    assert f1_at(hits, scores, other) <= best.f1 + 1e-12


def test_a_threshold_that_nothing_reaches_is_a_tip_with_the_option_to_set_another() -> None:
    """3 % positives with scores below 0.4: the best threshold is named, and that it was chosen."""
    hits = np.arange(200) < 6
    scores = np.where(hits, 0.3, 0.05)
    found = about_threshold(scored(hits, scores))
    assert (found.code, found.outcome) == ("A007", "tip")
    assert "0 of 200 rows are positive" in found.message
    assert "chosen on these very rows" in found.message
    assert found.fix == "--threshold 0.3"
    assert found.evidence["best_f1"] == 1.0


def test_a_clearly_better_threshold_is_a_tip_and_a_little_better_one_is_not() -> None:
    """A gain above 0.05 in F1 counts."""
    hits = np.arange(100) < 50
    scores = np.where(np.arange(100) < 70, 0.8, 0.2)
    scores[:50] = 0.9
    clear = about_threshold(scored(hits, scores))
    assert (clear.outcome, clear.fix) == ("tip", "--threshold 0.9")
    scores[52:70] = 0.2
    assert about_threshold(scored(hits, scores)).outcome == "passed"


def test_every_row_positive_without_a_better_threshold_is_told() -> None:
    """Scores that are all alike: there is no threshold to recommend."""
    found = about_threshold(scored(np.arange(10) < 5, np.full(10, 0.7)))
    assert found.outcome == "tip"
    assert "no threshold has a better F1" in found.message
    assert not found.fix


def test_where_a_threshold_makes_no_sense_it_is_not_judged() -> None:
    """One class only is skipped; labels alone do not have a threshold."""
    for hits in (np.zeros(10, bool), np.ones(10, bool)):
        assert about_threshold(scored(hits, np.linspace(0, 1, 10))).outcome == "skipped"
    rows = scored(np.arange(10) < 5, np.linspace(0, 1, 10))
    labels = Rows(rows.signature, rows.data, rows.truth, Predictions(codes=rows.truth))
    assert about_threshold(labels).outcome == "not_applicable"
