"""Ladders: worse rows cost more, images and texts included, and without labels none is claimed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.robustness.models import (
    BINARY,
    VALUES,
    Scoring,
    Valuing,
    examined,
    found,
    people,
    sound,
)

from afterfit.core.bundle import TensorInput
from afterfit.core.dataset import Dataset
from afterfit.core.frame import Predictions
from afterfit.core.metric import find
from afterfit.core.metric_names import METRICS
from afterfit.core.signature import Column, Signature
from afterfit.robustness.corruption_images import image_corruptions
from afterfit.robustness.corruption_tables import table_corruptions
from afterfit.robustness.corruption_texts import text_corruptions
from afterfit.robustness.layout import image_layout
from afterfit.testing.networks import digits

if TYPE_CHECKING:
    from afterfit.core.frame import Frame
    from afterfit.records.robustness import Ladder, RobustnessRecord
    from afterfit.robustness.corruption import Corruption


def ladder(record: RobustnessRecord, name: str) -> Ladder:
    """The ladder of that name."""
    return next(each for each in record.ladders if each.name == name)


def drops(record: RobustnessRecord, name: str) -> list[float]:
    """The drops of a ladder, each a number."""
    found_drops = [rung.drop for rung in ladder(record, name).rungs]
    assert None not in found_drops
    return [drop for drop in found_drops if drop is not None]


def test_more_noise_costs_more_and_every_rung_has_its_interval() -> None:
    """A plain model of 1,200 rows: the drops of noise rise by severity, each within its bounds."""
    record = examined(Scoring(sound), data=people(1200), rows=60)
    noise = drops(record, "numeric noise")
    assert noise == sorted(noise)
    assert noise[0] < 0.01
    assert noise[4] > 0.05
    for each in record.ladders:
        assert (each.metric, each.n, each.relative) == ("roc_auc", 1200, False)
        for rung in each.rungs:
            assert rung.low is not None
            assert rung.high is not None
            assert rung.drop is not None
            assert rung.low <= rung.drop <= rung.high
    assert len(found(record, "R016", "passed")) + len(found(record, "R016", "tip")) == 4


def test_the_middle_severity_is_what_gates_name() -> None:
    """Each drop has its name among the metrics of the step, an interval and its rows."""
    record = examined(Scoring(sound), data=people(800), rows=40)
    names = [metric.name for metric in record.metrics]
    drops_of = ["noise_drop", "missing_drop", "swap_drop", "unit_drop"]
    assert [name for name in names if name.endswith("_drop")] == drops_of
    assert set(names) <= set(METRICS["robustness"])
    noise = find(record.metrics, "noise_drop")
    rung = ladder(record, "numeric noise").rungs[2]
    assert noise is not None
    assert (noise.value, noise.low, noise.high, noise.n) == (rung.drop, rung.low, rung.high, 800)
    assert "severity 3 of 5" in noise.scope


def test_values_have_drops_as_shares_of_their_error() -> None:
    """A regression is measured by its mean absolute error."""

    def value(frame: Frame) -> Any:
        return np.nan_to_num(np.asarray(frame["income"], np.float64), nan=50.0)

    rows = people(300)
    target = np.asarray(rows.frame["income"]) + np.random.default_rng(2).normal(0, 1, 300)
    record = examined(Valuing(value), VALUES, Dataset(frame=rows.frame, target=target))
    noise = ladder(record, "numeric noise")
    assert (noise.metric, noise.relative) == ("mae", True)
    assert drops(record, "numeric noise")[4] > 1.0
    (tip,) = [f for f in found(record, "R016", "tip") if f.evidence["ladder"] == "numeric noise"]
    assert "of it (95 % interval" in tip.message
    assert '"robustness.noise_drop.high' in tip.fix


def test_a_metric_that_rises_is_told_as_better() -> None:
    """A model that is wrong as a rule gains by noise, and no gate of a drop is in the way."""
    record = examined(Scoring(lambda frame: 1 - sound(frame)), data=people(1200))
    told = next(
        f for f in found(record, "R016", "passed") if f.evidence["ladder"] == "numeric noise"
    )
    assert "better by" in told.message
    noise = find(record.metrics, "noise_drop")
    assert noise is not None
    assert noise.value is not None
    assert noise.value < 0


def test_without_labels_no_ladder_is_climbed() -> None:
    """Skipped, with what is needed; too few labels likewise."""
    for target in (None, np.array(["yes"] * 9 + [None] * 391, dtype=object)):
        data = Dataset(frame=people().frame, target=target)
        (skipped,) = found(examined(Scoring(sound), BINARY, data), "R016", "skipped")
        assert skipped.evidence["needed_n"] == 30


def test_a_model_that_fails_on_a_rung_has_no_number_there_and_an_issue() -> None:
    """Swapped memberships crash it: the rung says why, and the gate has no number to pass on."""

    def brittle(frame: Frame) -> Any:
        if len(frame["city"]) > 100 and (np.asarray(frame["income"], np.float64) > 500).any():
            raise ValueError("income out of bounds")
        return sound(frame)

    record = examined(Scoring(brittle))
    crash = next(f for f in found(record, "R001") if f.where == "whole rows")
    assert "wrong units at severity 5" in crash.evidence["cases"]
    last = ladder(record, "wrong units").rungs[4]
    assert (last.value, last.drop, "ValueError" in last.why) == (None, None, True)
    units = find(record.metrics, "unit_drop")
    assert units is not None
    assert units.value is None


def spoiled(corruption: Corruption, rows: Frame, level: float) -> Frame:
    """The rows at one level, drawn with one seed."""
    return corruption.spoiled(rows, level, np.random.default_rng(0))


def test_tables_keep_their_types_and_change_as_much_as_they_say() -> None:
    """Whole numbers stay whole, gaps come only where they may, swaps are other known words."""
    data = people(2000)
    given: Any = SimpleNamespace(signature=BINARY, inputs=())
    noise, gaps, swaps, units = table_corruptions(given)
    noisy = spoiled(noise, data.frame, 0.2)
    assert noisy["age"].dtype.kind == "i"
    assert 0.15 < np.std(noisy["income"] - data.frame["income"]) / data.frame["income"].std() < 0.2
    empty = np.isnan(spoiled(gaps, data.frame, 0.1)["age"])
    assert 0.07 < empty.mean() < 0.13
    swapped = spoiled(swaps, data.frame, 0.2)["city"]
    assert set(swapped) == {"Bonn", "Kiel", "Ulm"}
    assert 0.17 < (swapped != data.frame["city"]).mean() < 0.23
    wrong = spoiled(units, data.frame, 0.1)
    there = data.frame["income"] > 0
    ratio = (wrong["income"][there] / data.frame["income"][there]).round(6)
    assert set(ratio.tolist()) == {1.0, 10.0, 100.0}


def test_a_zero_that_most_rows_hold_is_exact() -> None:
    """Noise belongs to what was measured: "no gain" is not a gain of some cents."""
    column = Column(name="gain", kind="number")
    rows = {"gain": np.array([0.0] * 70 + list(range(1, 31)))}
    signature = Signature(task="regression", columns=(column,))
    given: Any = SimpleNamespace(signature=signature, inputs=())
    noisy = spoiled(table_corruptions(given)[0], rows, 0.5)["gain"]
    assert (noisy[:70] == 0).all()
    assert (noisy[70:] != rows["gain"][70:]).any()


PIXELS = tuple(f"pixel{index}" for index in range(64))
IMAGE = Signature(
    task="multiclass",
    columns=tuple(Column(name=name, kind="number", low=0.0, high=1.0) for name in PIXELS),
    classes=tuple(range(10)),
)
INPUTS = (TensorInput(name="input", columns=PIXELS, dtype="float32", shape=(1, 8, 8)),)


class Nearest:
    """Digits by their nearest mean image."""

    def __init__(self, images: Frame, labels: np.ndarray) -> None:
        table = np.stack([images[name] for name in PIXELS], axis=1)
        self.means = np.stack([table[labels == code].mean(axis=0) for code in range(10)])

    def predict(self, frame: Frame) -> Predictions:
        """Return a softmax of the distances."""
        table = np.stack([np.asarray(frame[name], np.float64) for name in PIXELS], axis=1)
        gaps = ((table[:, None, :] - self.means[None]) ** 2).sum(axis=2)
        raised = np.exp(-(gaps - gaps.min(axis=1, keepdims=True)))
        return Predictions(probabilities=raised / raised.sum(axis=1, keepdims=True))


def test_a_model_of_images_is_spoiled_as_images_are() -> None:
    """Six ladders, no table of pixels; noise and rotation cost more and more; few pixel cases."""
    rows = digits()
    data = Dataset(frame=rows.test, target=rows.test_target)
    model = Nearest(rows.train, rows.train_target)
    record = examined(model, IMAGE, data, rows=20, inputs=INPUTS)
    assert [each.name for each in record.ladders] == [
        "pixel noise", "blur", "rotation", "brightness", "lost contrast", "occlusion",
    ]  # fmt: skip
    assert ladder(record, "rotation").clean > 0.85
    turned = drops(record, "rotation")
    assert turned[0] < turned[2] < turned[4]
    assert drops(record, "pixel noise")[4] > drops(record, "pixel noise")[0]
    assert find(record.metrics, "image_drop") is not None
    assert len({case.column for case in record.cases if case.case == "missing"}) == 8
    assert found(record, "R015", "tip") == []


def test_pictures_stay_in_range_and_change_as_told() -> None:
    """Nothing leaves the range of the rows; a tenth of the area hidden is about a tenth."""
    rows = {name: array[:50] for name, array in digits().test.items()}
    given: Any = SimpleNamespace(signature=IMAGE, inputs=INPUTS)
    whole = np.stack([rows[name] for name in PIXELS])
    for corruption in image_corruptions(given):
        changed = np.stack([spoiled(corruption, rows, corruption.levels[4])[n] for n in PIXELS])
        assert changed.min() >= whole.min()
        assert changed.max() <= whole.max()
        assert not np.array_equal(changed, whole)


@pytest.mark.parametrize(
    ("shape", "known"),
    [((1, 8, 8), True), ((8, 8, 1), True), ((8, 8), True), ((64,), False), ((16, 2, 2), False)],
)
def test_which_tensors_are_images(shape: tuple[int, ...], known: bool) -> None:  # noqa: FBT001
    """Channels first or last or none; going to images and back changes nothing."""
    tensor = TensorInput(name="input", columns=PIXELS, dtype="float32", shape=shape)
    layout = image_layout((tensor,), IMAGE)
    assert (layout is not None) == known
    if layout is not None:
        rows = {name: np.array([float(i), -float(i)]) for i, name in enumerate(PIXELS)}
        assert layout.images(rows).shape == (2, 1, 8, 8)
        back = layout.columns_of(layout.images(rows))
        assert all((back[name] == rows[name]).all() for name in PIXELS)


TEXT = Signature(
    task="binary",
    columns=(Column(name="review", kind="text", nullable=True),),
    classes=("bad", "good"),
    positive="good",
    threshold=0.5,
)


def reviews(n: int = 300) -> Dataset:
    """Reviews of thirty words in which good or bad words are more."""
    random = np.random.default_rng(5)
    good, bad = ["lovely", "splendid", "charming"], ["dreadful", "tedious", "shabby"]
    texts, labels = [], []
    for _ in range(n):
        liked = bool(random.random() < 0.5)
        mine, other = (good, bad) if liked else (bad, good)
        words = [*random.choice(mine, 4), *random.choice(other, 2), *(["the", "film"] * 12)]
        texts.append(" ".join(random.permutation(words).tolist()))
        labels.append("good" if liked else "bad")
    frame = {"review": np.array(texts, dtype=object)}
    return Dataset(frame=frame, target=np.array(labels, dtype=object))


def by_words(frame: Frame) -> np.ndarray:
    """The share of good words among the telling ones."""
    scores = []
    for text in frame["review"].tolist():
        words = str(text or "").split()
        good = sum(word in ("lovely", "splendid", "charming") for word in words)
        bad = sum(word in ("dreadful", "tedious", "shabby") for word in words)
        scores.append((good + 1) / (good + bad + 2))
    return np.array(scores)


def test_a_model_of_texts_is_spoiled_as_texts_are() -> None:
    """Five ladders of words beside that of gaps: typos and unknown words cost more and more."""
    record = examined(Scoring(by_words), TEXT, reviews())
    assert [each.name for each in record.ladders] == [
        "missing values", "typos", "words in other case", "truncation", "unknown words",
        "emoji and right-to-left words",
    ]  # fmt: skip
    for name in ("typos", "unknown words"):
        cost = drops(record, name)
        assert cost[0] <= cost[2] <= cost[4]
        assert cost[4] > 0.01
    assert drops(record, "emoji and right-to-left words")[4] == pytest.approx(0.0, abs=0.02)
    worst = find(record.metrics, "text_drop")
    assert worst is not None
    assert worst.value == max(rung.drop or 0.0 for each in record.ladders[1:]
                              for rung in each.rungs if rung.severity == 3)  # fmt: skip


def test_texts_change_as_much_as_they_say_and_gaps_stay() -> None:
    """Half of the text cut off, a fifth of the letters wrong; equal draws at every level."""
    text = "the quick brown fox jumps over the lazy dog " * 5
    rows = {"review": np.array([text, None, ""], dtype=object)}
    given: Any = SimpleNamespace(signature=TEXT, inputs=())
    by_name = {each.name: each for each in text_corruptions(given)}
    for corruption in by_name.values():
        changed = spoiled(corruption, rows, corruption.levels[4])["review"]
        assert changed[1] is None
        assert changed[0] != text
    cut = spoiled(by_name["truncation"], rows, 0.5)["review"][0]
    assert len(cut) == len(text) // 2
    mild, strong = (spoiled(by_name["unknown words"], rows, x)["review"][0] for x in (0.1, 0.5))
    words = text.split(" ")
    few = {i for i, word in enumerate(mild.split(" ")) if word != words[i]}
    many = {i for i, word in enumerate(strong.split(" ")) if word != words[i]}
    assert few < many
