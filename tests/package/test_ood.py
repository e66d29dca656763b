"""The scorer of unlike rows: chosen on made-up rows, set to a rate, the same bytes each time."""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from scipy.stats import betabinom

from afterfit.core.frame import Frame, MatrixFrame, Predictions, row_count, take
from afterfit.core.metric import find
from afterfit.core.ranking import binary_roc_auc
from afterfit.core.signature import Column, ColumnKind, Signature
from afterfit.errors import InputError
from afterfit.package.ood.config import OodConfig
from afterfit.package.ood.forest import make_forest
from afterfit.package.ood.make import Made, Reference, Rows, least_rows, make_scorer
from afterfit.package.ood.rows import FAMILIES, image_shape, made_up
from afterfit.runtime.ood import FILE, OodScorer
from afterfit.stats.conformal import band, needed_rows, threshold
from afterfit.stats.rates import newcombe_difference
from afterfit.store.tables import read_dataset

WORDS = ("clerk", "doctor", "nurse", "poet")
KINDS: dict[str, ColumnKind] = {"age": "integer", "tenure": "number", "job": "category"}
SIGNATURE = Signature(
    task="binary",
    columns=tuple(Column(name=n, kind=k, nullable=n != "age") for n, k in KINDS.items()),
    classes=("no", "yes"),
)
AGAIN = """
from tests.package.test_ood import made, workers
import hashlib
print(hashlib.sha256(made(workers(900)).files["ood.json"]).hexdigest())
"""


def workers(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    """People whose years of employment follow their age, with a job and some gaps."""
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 66, n)
    tenure = (age - 18) * rng.beta(6, 3, n)
    job = np.array(WORDS, dtype=object)[rng.choice(4, n, p=[0.5, 0.2, 0.2, 0.1])]
    tenure[rng.random(n) < 0.05] = np.nan
    job[rng.random(n) < 0.05] = None
    return {"age": age, "tenure": tenure, "job": job}


def answers(frame: Frame) -> Predictions:
    """A model that is surer of the old."""
    p = 1 / (1 + np.exp(-(np.clip(frame["age"], 0, 100).astype(float) - 40) / 10))
    return Predictions(probabilities=np.stack([1 - p, p], axis=1))


def made(
    frame: Frame,
    config: OodConfig | None = None,
    *,
    signature: Signature = SIGNATURE,
    predict: Callable[[Frame], Predictions] = answers,
    fresh: Frame | None = None,
) -> Made:
    """The scorer of a frame."""
    reference = Reference(signature, frame, predict(frame), predict)
    rows = None if fresh is None else Rows(fresh, predict(fresh))
    return make_scorer(reference, config or OodConfig(), rows)


def scorer_of(made: Made) -> OodScorer:
    """The scorer that was made."""
    assert made.scorer is not None
    return made.scorer


def numbers(matrix: np.ndarray, names: list[str] | None = None) -> MatrixFrame:
    """Rows of numbers alone, as a server holds them."""
    names = names or [f"x{index}" for index in range(matrix.shape[1])]
    return MatrixFrame(dict.fromkeys(names, "number"), np.array(matrix, dtype=np.float64))


def regression(frame: MatrixFrame) -> Signature:
    """The signature of rows of numbers."""
    columns = tuple(Column(name=name, kind="number") for name in frame)
    return Signature(task="regression", columns=columns)


def zeros(frame: Frame) -> Predictions:
    """A model that says nothing."""
    return Predictions(values=np.zeros(row_count(frame)))


def auroc(scorer: OodScorer, usual: Frame, odd: Frame) -> float:
    """How often an odd row scores above a usual one."""
    scores = [scorer.scores(frame, zeros(frame)) for frame in (usual, odd)]
    truth = np.repeat([False, True], [len(part) for part in scores])
    return binary_roc_auc(truth, np.concatenate(scores))


def test_what_is_usual_alone_and_strange_together_is_flagged() -> None:
    """Both values are in range, and no column's flag would come."""
    scorer = scorer_of(made(workers(3000)))
    frame = {
        "age": np.array([19, 45]),
        "tenure": np.array([44.0, 18.0]),
        "job": np.array(["clerk", "clerk"], dtype=object),
    }
    assert scorer.flags(frame, answers(frame)).tolist() == [True, False]


@pytest.mark.parametrize("rate", [0.01, 0.05])
def test_fresh_rows_are_flagged_at_the_rate(rate: float) -> None:
    """The share of 20,000 new rows lies in the band of the calibration rows, sampling included."""
    found = made(workers(3000), OodConfig(rate=rate))
    fresh = workers(20_000, seed=5)
    flagged = int(scorer_of(found).flags(fresh, answers(fresh)).sum())
    assert found.record is not None
    about = band(found.record.rows["calibrate"], rate, 0.999)
    spread = 3.3 * math.sqrt(about.high / 20_000)
    assert about.low - spread <= flagged / 20_000 <= about.high + spread


def test_a_second_draw_of_new_rows_is_flagged_as_often_as_the_first() -> None:
    """Neither draw made the scorer: both counts lie where Vovk's law puts them, and agree.

    Of a threshold at the k-th of n scores the flagged rows of m new ones are beta-binomial.
    """
    found = made(workers(3000), OodConfig(rate=0.05))
    scorer, m = scorer_of(found), 20_000
    assert found.record is not None
    n = found.record.rows["calibrate"]
    rank = math.ceil((n + 1) * 0.95)
    low, high = betabinom.interval(0.999, m, n + 1 - rank, rank)
    draws = [workers(m, seed=seed) for seed in (6, 7)]
    first, second = (int(scorer.flags(rows, answers(rows)).sum()) for rows in draws)
    assert low <= first <= high
    assert low <= second <= high
    # Given the scorer each is binomial, so their difference is one of two shares.
    gap = newcombe_difference(first, m, second, m, 0.999)
    assert gap.low <= 0 <= gap.high


def test_the_rate_holds_over_many_draws() -> None:
    """Of 40 scorers the mean share on fresh rows is that asked for, within its own error."""
    shares = []
    for seed in range(40):
        rng = np.random.default_rng([seed, 3])
        rows, fresh = (numbers(rng.normal(size=(n, 3))) for n in (600, 2000))
        config = OodConfig(scorer="mahalanobis", rate=0.05, seed=seed)
        scorer = scorer_of(made(rows, config, signature=regression(rows), predict=zeros))
        shares.append(float(scorer.flags(fresh, zeros(fresh)).mean()))
    error = float(np.std(shares) / math.sqrt(len(shares)))
    assert abs(float(np.mean(shares)) - 0.05) < 3.5 * error
    assert error < 0.005


def test_equal_rows_give_equal_bytes_in_another_process() -> None:
    """Whatever the hash seed and the threads of the linear algebra."""
    first = made(workers(900)).files[FILE]
    assert made(workers(900)).files[FILE] == first
    assert made(workers(900), OodConfig(seed=1)).files[FILE] != first
    strange = {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PYTHONHASHSEED": "7",
        "OPENBLAS_NUM_THREADS": "2",
        "OMP_NUM_THREADS": "2",
        "LC_ALL": "C",
        "PATH": os.environ["PATH"],
    }
    done = subprocess.run(
        [sys.executable, "-c", AGAIN], env=strange, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == hashlib.sha256(first).hexdigest()


@pytest.mark.parametrize("method", ["distance", "mahalanobis", "forest", "softmax"])
def test_what_is_stored_scores_as_what_was_set_up(method: str) -> None:
    """Read from its bytes, alone or many at once, a row has one score; far rows are flagged."""
    config = msgspec.convert({"scorer": method, "rate": 0.02}, OodConfig)
    scorer = scorer_of(made(workers(1500), config))
    assert scorer.document.method == method
    frame = workers(2500, seed=9)
    said = answers(frame)
    together = scorer.scores(frame, said)
    for row in (0, 1023, 1024, 2499):
        one = slice(row, row + 1)
        alone = scorer.scores(take(frame, one), said.take(one))
        assert alone == pytest.approx(together[one], rel=1e-4)
    assert scorer.scores(take(frame, slice(0, 0)), said.take(slice(0, 0))).shape == (0,)
    share = scorer.flags(frame, said).mean()
    # The model is least sure of one age, which too many have for any threshold below it.
    assert share == 0 if method == "softmax" else 0 < share < 0.1
    if method in {"distance", "mahalanobis"}:
        far = {**frame, "age": frame["age"] * 100}
        assert scorer.flags(far, said).all()


def test_no_row_of_the_reference_is_stored() -> None:
    """Centres are of ten rows or more, and words of fewer are not named."""
    rng = np.random.default_rng(0)
    frame = workers(1200)
    frame["job"][:9] = "astronaut"
    frame["tenure"] = rng.normal(size=1200)
    found = made(frame, OodConfig(scorer="distance"))
    space = scorer_of(found).document.space
    assert space is not None
    assert b"astronaut" not in found.files[FILE]
    assert 1 < len(space.centres) <= 840 // 30 + 1
    leaves = made(frame, OodConfig(scorer="forest"))
    assert len(leaves.files[FILE]) < 1_000_000


def test_leaves_hold_ten_rows_or_none() -> None:
    """No cut of a tree sets few rows apart."""
    rows = np.random.default_rng(2).normal(size=(700, 4)).astype(np.float32)
    forest = make_forest(rows, np.random.default_rng(3))
    for features, cuts in zip(forest.features[:8], forest.cuts[:8], strict=True):
        node = np.zeros(len(rows), dtype=int)
        for _ in range(8):
            limit = np.array([math.inf if c is None else c for c in cuts], dtype=np.float32)[node]
            right = rows[np.arange(len(rows)), np.array(features)[node]] > limit
            node = 2 * node + 1 + right
        counts = np.bincount(node)
        assert counts[counts > 0].min() >= 10
        assert (counts > 0).sum() > 8


def test_strange_values_have_a_score() -> None:
    """The largest float, the largest integer, infinities, gaps everywhere, words never seen."""
    scorer = scorer_of(made(workers(900)))
    frame = {
        "age": np.array([2**62, -(2**62), 40, 40]),
        "tenure": np.array([1.7e308, -1.7e308, np.nan, np.inf]),
        "job": np.array(["", "\U0001f600" * 1000, None, math.nan], dtype=object),
    }
    scores = scorer.scores(frame, answers(frame))
    assert np.isfinite(scores).all()
    assert scorer.flags(frame, answers(frame))[[0, 1, 3]].all()


def test_few_rows_make_no_scorer_and_say_how_many_would() -> None:
    """One row less than needed is skipped with the number; as many are enough."""
    needed = least_rows(0.02)
    few = made(workers(needed - 1), OodConfig(rate=0.02))
    assert not few.files
    assert [(f.code, f.outcome, f.evidence) for f in few.findings] == [
        ("K007", "skipped", {"needed_n": needed})
    ]
    enough = made(workers(needed), OodConfig(rate=0.02))
    assert set(enough.files) == {FILE}
    assert made(workers(900), OodConfig(scorer="none")).files == {}


def test_the_choice_and_its_numbers_are_told() -> None:
    """What ships stands first; each method that was tried has its numbers, each its interval."""
    found = made(workers(2000), fresh=workers(1000, seed=4))
    record = found.record
    assert record is not None
    assert found.metrics[0].scope == "scorer"
    tried = {m.scope for m in found.metrics if m.scope.startswith("candidate:")}
    assert tried == {f"candidate:{m}" for m in ("mahalanobis", "distance", "forest", "softmax")}
    best = max(m.value or 0 for m in found.metrics if m.scope in tried and m.name == "ood_auroc")
    chosen = find(found.metrics, "ood_auroc", f"candidate:{record.method}")
    assert chosen is not None
    assert chosen.value == pytest.approx(best, abs=0.001)
    for metric in found.metrics:
        assert metric.low is not None
        assert metric.high is not None
        assert metric.value is not None
        assert metric.low <= metric.value <= metric.high
    assert {f.code: f.outcome for f in found.findings} == {
        "K007": "passed", "K008": "passed", "K009": found.findings[2].outcome,
    }  # fmt: skip
    assert record.rows == {"fit": 1200, "choose": 200, "calibrate": 400, "check": 200}
    assert msgspec.json.decode(found.files[FILE])["threshold"] == record.threshold


def test_evaluation_rows_that_are_another_kind_are_an_issue() -> None:
    """Rows of people who are all employed since they were born."""
    fresh = workers(1000, seed=4)
    fresh["tenure"] = fresh["age"].astype(float)
    about = made(workers(2000), fresh=fresh).findings[1]
    assert (about.code, about.outcome) == ("K008", "issue")
    assert about.evidence["flagged"] > 50


def test_a_model_that_refuses_made_up_rows_is_scored_by_its_columns() -> None:
    """Its probabilities are left out with the reason; nothing else changes."""

    def refuses(frame: Frame) -> Predictions:
        if len(frame["age"]) < 500:
            raise InputError("no such people", fix="send others")
        return answers(frame)

    found = made(workers(900), predict=refuses)
    assert found.record is not None
    assert "no such people" in found.record.left_out["softmax"]
    alone = made(workers(900), OodConfig(scorer="softmax"), predict=refuses)
    assert not alone.files
    assert alone.findings[0].outcome == "skipped"


def test_independent_columns_are_said_to_look_usual_when_shuffled() -> None:
    """Nothing can tell such rows, and the finding names the kind."""
    rows = numbers(np.random.default_rng(0).normal(size=(1500, 3)))
    found = made(rows, signature=regression(rows), predict=zeros)
    missed = found.findings[2]
    assert (missed.code, missed.outcome) == ("K009", "tip")
    assert FAMILIES["permuted"] in missed.message


def test_the_threshold_is_the_rank_that_split_conformal_prediction_asks() -> None:
    """99 scores give the greatest of them for 1 %, 98 are too few; ties stay below."""
    assert needed_rows(0.01) == 99
    scores = np.arange(1.0, 100.0)
    assert 99 < threshold(scores, 0.01) < 99.1
    with pytest.raises(ValueError, match="99 rows"):
        threshold(scores[:-1], 0.01)
    assert not (np.full(200, 0.3) > threshold(np.full(200, 0.3), 0.05)).any()
    about = band(99, 0.01)
    assert about.low < 0.01 < about.high


def test_made_up_rows_fit_the_signature() -> None:
    """Each family has the dtypes of the frame and as many rows; words are known ones."""
    frame = workers(200)
    for family, odd in made_up(frame, SIGNATURE, (), np.random.default_rng(0)).items():
        assert family in FAMILIES
        assert {n: v.dtype.kind for n, v in odd.items()} == {
            n: v.dtype.kind for n, v in frame.items()
        }
        assert row_count(odd) == 200
        assert {w for w in odd["job"].tolist() if w is not None} <= set(WORDS)


def images(n: int, side: int, seed: int = 0) -> MatrixFrame:
    """Pictures of one blob, dark at the edges."""
    rng = np.random.default_rng(seed)
    place = np.arange(side)
    across, down = (rng.uniform(0.35, 0.65, (n, 1)) * side for _ in range(2))
    blob = [np.exp(-(((place - at) / (0.2 * side)) ** 2)) for at in (across, down)]
    pictures = blob[0][:, :, None] * blob[1][:, None, :]
    return numbers(np.round(16 * pictures.reshape(n, -1) + rng.uniform(0, 1, (n, side * side))))


@pytest.mark.parametrize(("side", "method"), [(15, "distance"), (15, "forest"), (33, "softmax")])
def test_wide_rows_are_scored_by_few_axes_and_wider_ones_by_doubt(side: int, method: str) -> None:
    """225 pixels are 64 axes and what is left; of 1,089 only the answers are looked at."""
    frame = images(500, side)
    columns = tuple(Column(name=name, kind="number") for name in frame)
    signature = Signature(task="binary", columns=columns, classes=("no", "yes"))

    def share(frame: Frame) -> Predictions:
        p = np.asarray(frame["x0"]) / 40 + 0.5 + np.asarray(frame["x7"]) / 400
        return Predictions(probabilities=np.stack([1 - p, p], axis=1))

    asked = "auto" if method == "softmax" else method
    config = msgspec.convert({"scorer": asked, "rate": 0.02}, OodConfig)
    found = made(frame, config, signature=signature, predict=share)
    scorer = scorer_of(found)
    assert scorer.document.method == method
    assert len(found.files[FILE]) < 1_000_000
    if method == "softmax":
        assert found.record is not None
        assert "1089 features" in found.record.left_out["distance"]
        return
    usual, turned = images(300, side, seed=8), images(300, side, seed=9)
    matrix = turned.matrix.reshape(-1, side, side)
    rolled = numbers(np.roll(matrix, side // 2, axis=2).reshape(300, -1))
    assert auroc(scorer, usual, rolled) > 0.95
    assert scorer.flags(usual, share(usual)).mean() < 0.08


def test_text_counts_by_its_length() -> None:
    """A story where there were words is unlike them, and a gap is no story."""
    rng = np.random.default_rng(4)
    words = np.array(["a" * size for size in rng.integers(3, 30, 900)], dtype=object)
    words[::15] = None
    columns = (Column(name="note", kind="text", nullable=True), Column(name="x", kind="number"))
    signature = Signature(task="regression", columns=columns)
    frame = {"note": words, "x": rng.normal(size=900)}
    scorer = scorer_of(made(frame, signature=signature, predict=zeros))
    odd = {"note": np.array(["b" * 5000, None, "c" * 9], dtype=object), "x": np.zeros(3)}
    assert scorer.flags(odd, zeros(odd)).tolist() == [True, False, False]


# Acceptance, on real data.


@pytest.fixture(scope="module")
def digits() -> tuple[MatrixFrame, np.ndarray]:
    """1,257 training rows of scikit-learn's digits as a frame, and 540 others as images."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    data = load_digits()
    train, test = train_test_split(data.data, test_size=0.3, random_state=0, stratify=data.target)
    return numbers(train), test.reshape(-1, 8, 8)


def test_moved_and_turned_digits_are_told_from_straight_ones(
    digits: tuple[MatrixFrame, np.ndarray],
) -> None:
    """AUROC of at least 0.95 for each way of moving by two pixels and each quarter turn."""
    train, images = digits
    found = made(train, signature=regression(train), predict=zeros)
    scorer = scorer_of(found)
    assert image_shape(train, regression(train)) == (1, 8, 8)
    odd = {f"roll {by} {axis}": np.roll(images, by, axis) for by in (-2, 2) for axis in (1, 2)}
    odd |= {f"turn {k}": np.rot90(images, k, (1, 2)) for k in (1, 3)}
    usual = numbers(images.reshape(-1, 64))
    values = {name: auroc(scorer, usual, numbers(v.reshape(-1, 64))) for name, v in odd.items()}
    assert {name: value for name, value in values.items() if value < 0.95} == {}


@pytest.mark.parametrize(("known", "other"), [("red", "white"), ("white", "red")])
def test_wine_of_the_other_colour_is_told(
    known: str, other: str, shared_data: Callable[[str], Path]
) -> None:
    """AUROC of at least 0.9 in both directions, on rows that nothing was made of."""
    tables = {
        colour: read_dataset(shared_data(f"wine_quality_{colour}.csv"), target="quality").frame
        for colour in (known, other)
    }
    names = [name for name in tables[known] if name != "quality"]
    matrices = {
        colour: np.stack([frame[name].astype(float) for name in names], axis=1)
        for colour, frame in tables.items()
    }
    order = np.random.default_rng(0).permutation(len(matrices[known]))
    half = len(order) * 7 // 10
    train, usual = (numbers(matrices[known][part]) for part in (order[:half], order[half:]))
    found = made(train, signature=regression(train), predict=zeros)
    assert auroc(scorer_of(found), usual, numbers(matrices[other])) >= 0.9
