"""Each verdict and each guard, on answers made for it."""

from __future__ import annotations

import numpy as np
import pytest

from afterfit.core.dataset import Dataset
from afterfit.core.frame import Predictions
from afterfit.core.signature import Column, Signature
from afterfit.errors import InputError
from afterfit.optimize.certify import Judge, changed, why_not
from afterfit.optimize.config import OptimizeConfig
from afterfit.optimize.split import Part, split

SIGNATURE = Signature(
    task="binary",
    columns=(
        Column(name="age", kind="number"),
        Column(name="job", kind="category", categories=("clerk", "nurse")),
    ),
    classes=("no", "yes"),
    positive="yes",
)
N = 10_000


def judge(n: int = N, **settings: object) -> tuple[Judge, np.random.Generator]:
    """A model that is right nine times of ten, and its rows."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, n)
    job = np.where(rng.random(n) < 0.1, "nurse", "clerk").astype(object)
    frame = {"age": rng.uniform(20, 60, n), "job": job}
    codes = np.where(rng.random(n) < 0.1, 1 - truth, truth)
    config = OptimizeConfig(**settings)  # type: ignore[arg-type]
    return Judge(SIGNATURE, Part(frame, truth, n), answer(codes), config), rng


def answer(codes: np.ndarray, sure: float = 0.9) -> Predictions:
    """Probabilities that decide these codes."""
    p = np.where(codes == 1, sure, 1 - sure)
    return Predictions(probabilities=np.column_stack([1 - p, p]))


def flipped(one: Judge, rows: np.ndarray) -> Predictions:
    """The model's answers with other labels in these rows."""
    codes = SIGNATURE.codes(one.native)
    codes[rows] = 1 - codes[rows]
    return answer(codes)


def wrong_rows(one: Judge, count: int) -> np.ndarray:
    """So many rows that the model gets right, evenly over the table."""
    right = np.flatnonzero(SIGNATURE.codes(one.native) == one.part.truth)
    return right[:: len(right) // count][:count]


def test_two_points_worse_is_rejected() -> None:
    """A variant planted to be 2 points worse is refused with what it loses."""
    one, _ = judge()
    found = one.certificate(flipped(one, wrong_rows(one, N // 50)), "a", 1)
    assert found.verdict == "rejected"
    assert found.drop == pytest.approx(0.02)
    assert "loses more than allowed" in why_not(found)


def test_within_the_margin_is_certified() -> None:
    """A tenth of a point worse on 10,000 rows is shown to be within half a point."""
    one, _ = judge()
    found = one.certificate(flipped(one, wrong_rows(one, 10)), "a", 1)
    assert found.verdict == "certified"
    assert why_not(found) == ""


def test_several_candidates_share_the_chance_of_error() -> None:
    """What is certified alone is not as one of many: the bound is further out."""
    one, _ = judge(max_drop=0.00235)
    rows = wrong_rows(one, 14)
    alone, among = (one.certificate(flipped(one, rows), "a", k) for k in (1, 50))
    assert alone.alpha == pytest.approx(0.05)
    assert among.alpha == pytest.approx(0.001)
    assert alone.high is not None
    assert among.high is not None
    assert alone.high < among.high
    assert (alone.verdict, among.verdict) == ("certified", "insufficient")


def test_a_slice_that_pays_for_the_rest_refuses() -> None:
    """No loss on the whole, won elsewhere, and every tenth nurse lost."""
    one, _ = judge()
    codes, truth = SIGNATURE.codes(one.native), one.part.truth
    nurses = one.part.frame["job"] == "nurse"
    lost = np.flatnonzero(nurses & (codes == truth))[::10]
    won = np.flatnonzero(~nurses & (codes != truth))[: len(lost)]
    found = one.certificate(flipped(one, np.concatenate([lost, won])), "a", 1)
    assert found.drop == 0.0
    assert found.verdict == "rejected"
    assert "rows with job = nurse lose" in why_not(found)


def test_lost_calibration_refuses() -> None:
    """The same labels with probabilities that no longer come true are refused."""
    one, _ = judge()
    found = one.certificate(answer(SIGNATURE.codes(one.native), sure=0.6), "a", 1)
    assert found.drop == 0.0
    assert found.verdict == "rejected"
    assert "calibration error" in why_not(found)


def test_too_many_other_labels_refuse() -> None:
    """As many won as lost is no drop, and a tenth of other labels is another model."""
    one, _ = judge(max_flips=0.01, max_drop=0.05)
    codes, truth = SIGNATURE.codes(one.native), one.part.truth
    lost = np.flatnonzero(codes == truth)[::90]
    won = np.flatnonzero(codes != truth)[::10]
    found = one.certificate(flipped(one, np.concatenate([lost, won])), "a", 1)
    assert found.verdict == "rejected"
    assert "labels are other ones" in why_not(found)


@pytest.mark.parametrize(
    ("metric", "drop", "high", "words"),
    [
        ("accuracy", 0.0092, 0.0174, "accuracy drops by 0.0092, at most 0.0174"),
        ("accuracy", -0.0053, 0.0008, "accuracy rises by 0.0053, and drops by 0.0008 at most"),
        ("accuracy", -0.02, -0.0105, "accuracy rises by 0.0200, at least 0.0105"),
        ("accuracy", 0.04, None, "accuracy drops by 0.0400"),
        ("mae", 0.0337, None, "mae rises by 3.37%"),
        ("mae", -0.01, 0.005, "mae drops by 1.00%, and rises by 0.50% at most"),
        ("brier", 0.01, 0.02, "brier rises by 0.0100, at most 0.0200"),
    ],
)
def test_which_way_a_metric_went_is_said(
    metric: str, drop: float, high: float | None, words: str
) -> None:
    """An error rises where it gets worse, and what is gained is no drop of a negative number."""
    assert changed(metric, drop, high) == words


def test_few_rows_certify_nothing() -> None:
    """The same answers on 200 rows are no proof, and the rows that would do are said."""
    one, _ = judge(200)
    found = one.certificate(one.native, "a", 1)
    assert found.verdict == "insufficient"
    assert found.needed_n is not None
    assert f"{found.needed_n:,} rows would be enough" in why_not(found)
    more, _ = judge(found.needed_n)
    assert more.certificate(more.native, "a", 1).verdict == "certified"


def test_a_metric_that_does_not_fit_is_an_error() -> None:
    """The mean absolute error of a classifier is none."""
    one, _ = judge(100, metric="mae")
    with pytest.raises(InputError, match="does not fit"):
        one.certificate(one.native, "a", 1)


def table(n: int = 3000, **roles: np.ndarray) -> Dataset:
    """A table of distinct rows."""
    rng = np.random.default_rng(1)
    frame = {"age": np.arange(n, dtype=float), "job": np.full(n, "clerk", dtype=object)}
    target = np.where(rng.random(n) < 0.1, "yes", "no").astype(object)
    return Dataset(frame=frame, target=target, **roles)  # type: ignore[arg-type]


def ages(part: Part) -> set[float]:
    """Which rows a part has."""
    return set(part.frame["age"].tolist())


def test_parts_share_no_row_and_spread_the_classes() -> None:
    """Every row is in one part, and each part has a tenth of the rare class."""
    parts = split(SIGNATURE, table(), None, 0)
    all_of = [parts.making, parts.selection, parts.certification]
    assert sum(part.rows for part in all_of) == 3000
    assert len(set().union(*(ages(part) for part in all_of))) == 3000
    share = np.asarray(table().target == "yes")
    for part in all_of:
        assert part.truth is not None
        assert part.truth.mean() == pytest.approx(share.mean(), abs=0.01)
    again = split(SIGNATURE, table(), None, 0)
    assert ages(again.certification) == ages(parts.certification)
    assert ages(split(SIGNATURE, table(), None, 1).certification) != ages(parts.certification)


def test_groups_stay_whole_and_the_newest_rows_certify() -> None:
    """No group is on two sides; with times each part is newer than the one before."""
    group = np.repeat(np.arange(300), 10)
    parts = split(SIGNATURE, table(group=group), None, 0)
    sides = [{int(a) // 10 for a in ages(p)} for p in (parts.selection, parts.certification)]
    assert not sides[0] & sides[1]
    forward = split(SIGNATURE, table(time=np.arange(3000)), None, 0)
    assert max(ages(forward.making)) < min(ages(forward.selection))
    assert max(ages(forward.selection)) < min(ages(forward.certification))


def test_training_rows_that_are_held_out_rows_are_left_out_of_training() -> None:
    """A variant is judged on rows that it was not made of, even where the files overlap."""
    data = table()
    parts = split(SIGNATURE, data.take(slice(1000, 3000)), data.take(slice(0, 1500)), 0)
    assert ages(parts.making) == set(map(float, range(1000)))
    assert "500 training rows are held-out rows too" in parts.notes[0]
