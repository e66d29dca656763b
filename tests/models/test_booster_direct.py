"""A booster by itself, made in the model's process and shipped where it is faster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from afterfit.core.dataset import Dataset
from afterfit.core.frame import Frame
from afterfit.core.signature import Column, Signature
from afterfit.models.booster_direct import Bare, direct, load, proposals
from afterfit.models.convert import Converted
from afterfit.models.draft import serving_requirements
from afterfit.models.loaded import open_model
from afterfit.models.native import Hints, NativeModel, adapter_for_object
from afterfit.models.tables import to_pandas
from afterfit.optimize.config import OptimizeConfig
from afterfit.optimize.run import optimize
from afterfit.runtime.by_size import BySize
from afterfit.runtime.predict import open_variant

pytestmark = pytest.mark.usefixtures("inline")
ROWS = 400


def rows(*, text: bool = False) -> dict[str, np.ndarray]:
    """Numbers with holes, integers, and where asked for a column of text."""
    rng = np.random.default_rng(5)
    frame: dict[str, np.ndarray] = {
        "ratio": np.where(rng.random(ROWS) < 0.1, np.nan, rng.normal(size=ROWS)),
        "age": rng.integers(17, 90, ROWS),
    }
    if text:
        frame["job"] = rng.choice(np.array(["smith", "clerk", "nurse"], dtype=object), ROWS)
    return frame


def words(frame: Frame) -> np.ndarray:
    """Labels in words, which depend on every column."""
    score = np.nan_to_num(frame["ratio"]) + frame["age"] / 30
    if "job" in frame:
        score = score + 2 * (frame["job"] == "nurse")
    return np.where(score > np.median(score), "yes", "no").astype(object)


def signature_of(frame: Frame, classes: tuple[Any, ...]) -> Signature:
    """What ``inspect`` makes of such rows."""
    kinds = {"O": "category", "i": "integer", "f": "number"}
    columns = tuple(
        Column(
            name=name,
            kind=kinds[values.dtype.kind],  # type: ignore[arg-type]
            nullable=name == "ratio",
            categories=tuple(sorted(set(values))) if values.dtype.kind == "O" else (),
        )
        for name, values in frame.items()
    )
    return Signature(task="binary", columns=columns, classes=classes, positive=classes[-1])


def table_of(frame: Frame) -> Any:
    """The rows as a DataFrame, with text as a pandas category."""
    table = to_pandas(frame, tuple(frame))
    return table.astype({"job": "category"}) if "job" in frame else table


def fitted(kind: str, frame: Frame) -> Any:
    """An estimator of each library, with 25 trees."""
    import lightgbm
    import xgboost

    label = words(frame)
    if kind == "lightgbm":
        made = lightgbm.LGBMClassifier(n_estimators=25, verbose=-1)
        return made.fit(table_of(frame), label)
    made = xgboost.XGBClassifier(n_estimators=25, enable_categorical=True)
    return made.fit(table_of(frame), (label == "yes").astype(int))


def bare(native: NativeModel, signature: Signature) -> Converted:
    """What the one proposal makes."""
    (proposal,) = proposals(native, signature=signature, labelled=False, rows=0)
    assert proposal.exact
    assert proposal.technique == "convert"
    return direct(
        native,
        signature=signature,
        options=proposal.options,
        rows={},
        target=None,
        graph=None,
        seed=0,
        seconds=1.0,
    )


@pytest.mark.parametrize("text", [False, True], ids=["numbers", "categories"])
@pytest.mark.parametrize("kind", ["lightgbm", "xgboost"])
def test_the_file_of_the_booster_answers_as_the_estimator(kind: str, text: bool) -> None:  # noqa: FBT001
    """With classes in the user's words, categories, holes, and text that was never seen."""
    frame = rows(text=text)
    estimator = fitted(kind, frame)
    classes = ("no", "yes") if kind == "lightgbm" else (0, 1)
    signature = signature_of(frame, classes)
    native = adapter_for_object(estimator).wrap(estimator, Hints.of(signature))
    made = bare(native, signature)
    assert made.error == ""
    assert made.format == {"lightgbm": "lightgbm-text", "xgboost": "xgboost-ubj"}[kind]
    if text:
        frame["job"][3] = "pilot"
    alone = load(Bare(made.data, made.format, Hints.of(signature)))
    assert alone.description.classes == classes
    for part in (slice(0, 1), slice(0, ROWS)):
        asked = {name: values[part] for name, values in frame.items()}
        np.testing.assert_allclose(
            alone.predict(asked).main, native.predict(asked).main, rtol=0, atol=1e-7
        )
    assert bare(native, signature).data == made.data


def test_the_rounds_after_the_best_are_left_out() -> None:
    """An estimator that stopped early does not use its last rounds, and its booster's file ends."""
    import xgboost

    frame = rows()
    label = (words(frame) == "yes").astype(int)
    table = table_of(frame)
    estimator = xgboost.XGBClassifier(n_estimators=60, early_stopping_rounds=2)
    estimator.fit(table[:200], label[:200], eval_set=[(table[200:], label[::-1][200:])])
    used = estimator.best_iteration + 1
    assert used < estimator.get_booster().num_boosted_rounds()
    signature = signature_of(frame, (0, 1))
    native = adapter_for_object(estimator).wrap(estimator, Hints.of(signature))
    made = bare(native, signature)
    alone = load(Bare(made.data, made.format, Hints.of(signature)))
    assert alone.estimator.num_boosted_rounds() == used
    np.testing.assert_allclose(alone.predict(frame).main, native.predict(frame).main, atol=1e-7)


def test_only_what_does_nothing_more_than_ask_a_booster_has_one() -> None:
    """A pipeline whose steps do nothing has; a scaler, a forest and a booster have none."""
    import xgboost
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    frame = rows()
    table, label = table_of(frame), (words(frame) == "yes").astype(int)
    signature = signature_of(frame, (0, 1))
    few = xgboost.XGBClassifier(n_estimators=3)
    idle = make_pipeline("passthrough", few).fit(table, label)
    others = [
        make_pipeline(StandardScaler(), xgboost.XGBClassifier(n_estimators=3)).fit(table, label),
        RandomForestClassifier(3).fit(table, label),
        idle[-1].get_booster(),
    ]
    found = [
        proposals(
            adapter_for_object(each).wrap(each, Hints.of(signature)),
            signature=signature,
            labelled=False,
            rows=0,
        )
        for each in (idle, *others)
    ]
    assert [len(each) for each in found] == [1, 0, 0, 0]


def test_an_estimator_with_a_missing_value_of_its_own_is_told() -> None:
    """Its booster would read -1 as a number."""
    import xgboost

    frame = rows()
    label = (words(frame) == "yes").astype(int)
    estimator = xgboost.XGBClassifier(n_estimators=3, missing=-1.0).fit(table_of(frame), label)
    signature = signature_of(frame, (0, 1))
    native = adapter_for_object(estimator).wrap(estimator, Hints.of(signature))
    assert "reads -1.0 as missing" in bare(native, signature).error


def test_xgboost_ships_its_graph_for_few_rows_and_its_booster_for_many(tmp_path: Path) -> None:
    """The line through: made, compared, timed, chosen, written, opened and asked."""
    import xgboost

    rng = np.random.default_rng(0)
    frame = {f"x{index}": rng.normal(size=2500) for index in range(12)}
    label = (sum(frame.values()) + rng.normal(size=2500) > 0).astype(int)
    estimator = xgboost.XGBClassifier(n_estimators=300, max_depth=6)
    estimator.fit(to_pandas(frame, tuple(frame)), label)
    signature = signature_of(frame, (0, 1))
    config = OptimizeConfig(effort="quick", batches=(1, 1024))
    with open_model(estimator, hints=Hints.of(signature), workdir=tmp_path) as model:
        done = optimize(model, signature, Dataset(frame=frame), config)
        native = model.predict(frame).main
        needed = serving_requirements(model.description, "xgboost")
    record = done.record
    told = {finding.code: finding.outcome for finding in record.findings}
    assert told == {"O003": "passed", "O004": "passed", "O014": "passed", "O015": "passed"}
    large = record.variant.large
    assert large
    assert 1 < large.rows <= 1024
    assert (record.variant.runtime, large.variant.runtime) == ("onnx", "native")
    assert set(done.files) == {record.variant.file, large.variant.file} == set(record.blobs)
    assert not [pin for pin in needed if pin.startswith("scikit-learn")]
    for name, content in done.files.items():
        path = tmp_path / "bundle" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        assert isinstance(content, bytes)
        path.write_bytes(content)
    opened = open_variant(tmp_path / "bundle", record.variant, signature)
    assert isinstance(opened, BySize)
    for form in opened.forms:
        np.testing.assert_allclose(form.predict(frame).main, native, rtol=0, atol=1e-5)


def test_a_booster_ships_by_itself_where_no_graph_is_exact(tmp_path: Path) -> None:
    """LightGBM's linear trees have no ONNX form; without its class the booster is faster."""
    import lightgbm

    frame = rows()
    frame["ratio"] = np.nan_to_num(frame["ratio"])
    estimator = lightgbm.LGBMClassifier(n_estimators=20, linear_tree=True, verbose=-1)
    estimator.fit(table_of(frame), words(frame))
    signature = signature_of(frame, ("no", "yes"))
    config = OptimizeConfig(effort="quick", batches=(1, 16))
    with open_model(estimator, hints=Hints.of(signature), workdir=tmp_path) as model:
        done = optimize(model, signature, Dataset(frame=frame), config)
    assert done.record.chosen == "booster-direct"
    assert list(done.files) == ["model/booster.txt"]
    told = {finding.code: finding.message for finding in done.record.findings}
    assert "its booster ships by itself" in told.get("O001", "") + told.get("O002", "")
    assert told["O014"].startswith("booster-direct answers as the model does, 1 row:")
