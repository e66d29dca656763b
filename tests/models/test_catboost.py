"""CatBoost models: files, objects, pipelines, and their exact graphs."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from afterfit.core.dataset import Dataset
from afterfit.core.frame import Frame
from afterfit.core.signature import Column, Signature
from afterfit.errors import InputError, ModelError
from afterfit.models import native
from afterfit.models.audit import audit
from afterfit.models.catboost import Adapter
from afterfit.models.convert import attempts, to_onnx
from afterfit.models.convert_booster import read_booster
from afterfit.models.convert_trees import table
from afterfit.models.decision import OwnThreshold, own_threshold
from afterfit.models.draft import serving_requirements
from afterfit.models.loaded import open_model
from afterfit.models.native import Hints, NativeModel, adapter_for_object
from afterfit.optimize.config import OptimizeConfig
from afterfit.optimize.run import optimize
from afterfit.runtime.onnx import OnnxModel
from afterfit.runtime.predict import open_variant
from afterfit.testing import check_adapter

catboost = pytest.importorskip("catboost")
ROWS = 500
EVERYTHING = ("description", "batches", "missing column", "column order", "round trip")


def numbers(*, holes: bool = True) -> dict[str, np.ndarray]:
    """Columns of numbers, one of them whole."""
    rng = np.random.default_rng(11)
    frame: dict[str, np.ndarray] = {f"x{index}": rng.normal(size=ROWS) for index in range(4)}
    if holes:
        frame["x0"] = np.where(rng.random(ROWS) < 0.1, np.nan, frame["x0"])
    frame["whole"] = rng.integers(0, 9, ROWS)
    return frame


def score(frame: Frame) -> np.ndarray:
    """A value that depends on every column."""
    return np.asarray(sum(np.nan_to_num(values) for values in frame.values()))


def made(kind: str, **more: Any) -> Any:
    """An untrained model of a kind, small and quiet."""
    few = {"iterations": 15, "verbose": 0, "allow_writing_files": False, "thread_count": 1}
    return getattr(catboost, f"CatBoost{kind}")(**(few | more))


def wrap(model: Any, **hints: Any) -> NativeModel:
    """The model behind Afterfit's interface."""
    return adapter_for_object(model).wrap(model, Hints(**hints))


def signature_of(found: NativeModel, frame: Frame) -> Signature:
    """What ``inspect`` makes of such columns."""
    told = found.description
    assert told.task is not None
    kinds = {"O": "category", "i": "integer", "f": "number"}
    return Signature(
        task=told.task,
        columns=tuple(
            Column(
                name=name,
                kind=kinds[values.dtype.kind],  # type: ignore[arg-type]
                nullable=values.dtype.kind == "f",
                categories=tuple(sorted(set(values))) if values.dtype.kind == "O" else (),
            )
            for name, values in frame.items()
        ),
        classes=told.classes,
        positive=told.classes[-1] if told.task == "binary" else None,
    )


def targets(frame: Frame) -> dict[str, np.ndarray]:
    """Labels and values by the kind of target."""
    base = score(frame)
    return {
        "binary": (base > np.median(base)).astype(int),
        "words": np.where(base > np.median(base), "yes", "no").astype(object),
        "three": np.digitize(base, np.quantile(base, [0.3, 0.7])),
        "value": base * 100,
        "count": np.abs(base),
    }


MODELS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "binary": ("Classifier", "binary", {}),
    "words": ("Classifier", "words", {}),
    "three": ("Classifier", "three", {}),
    "one-vs-all": ("Classifier", "three", {"loss_function": "MultiClassOneVsAll"}),
    "two-outputs": ("Classifier", "binary", {"loss_function": "MultiClass"}),
    "cross-entropy": ("Classifier", "binary", {"loss_function": "CrossEntropy"}),
    "regression": ("Regressor", "value", {}),
    "quantile": ("Regressor", "value", {"loss_function": "Quantile:alpha=0.3"}),
    "poisson": ("Regressor", "count", {"loss_function": "Poisson"}),
    "tweedie": ("Regressor", "count", {"loss_function": "Tweedie:variance_power=1.5"}),
    "lossguide": ("Classifier", "binary", {"grow_policy": "Lossguide"}),
    "depthwise-three": ("Classifier", "three", {"grow_policy": "Depthwise"}),
    "nan-is-high": ("Classifier", "binary", {"nan_mode": "Max"}),
    "one-tree": ("Regressor", "value", {"iterations": 1}),
}


def fitted(name: str, frame: Frame) -> Any:
    """One of the models, trained on a DataFrame."""
    kind, target, more = MODELS[name]
    return made(kind, **more).fit(pd.DataFrame(dict(frame)), targets(frame)[target])


@pytest.mark.parametrize("name", list(MODELS))
def test_a_model_answers_as_catboost_does_and_its_graph_as_the_model(name: str) -> None:
    """Losses, kinds of tree and treatments of NaN; beside every border on both sides too."""
    frame = numbers()
    model = fitted(name, frame)
    found = wrap(model)
    ask = getattr(model, "predict_proba", model.predict)
    assert np.array_equal(found.predict(frame).main, ask(pd.DataFrame(frame)))
    signature = signature_of(found, frame)
    (attempt,) = attempts(found)
    graph = to_onnx(found, signature, attempt)
    assert graph.error == ""
    assert graph.output is not None
    variant = OnnxModel(graph.data, graph.inputs, graph.output, signature.classes)
    splits = table(read_booster(model))
    assert len(splits["split"]) > 3
    beside = {k: np.repeat(v[:1], 3 * len(splits["split"])) for k, v in frame.items()}
    beside = {k: v.astype(np.float64) for k, v in beside.items()}
    for place, (feature, split) in enumerate(zip(*splits.values(), strict=True)):
        for side, toward in enumerate((split, np.inf, -np.inf)):
            with np.errstate(over="ignore"):
                value = np.nextafter(np.float32(split), np.float32(toward))
            beside[list(frame)[feature]][3 * place + side] = value
    for rows in (frame, beside):
        expected = found.predict(rows).main
        scale = max(1.0, float(np.abs(expected).max()))
        assert np.abs(variant.predict(rows).main - expected).max() <= 1e-12 * scale
    assert to_onnx(found, signature, attempt).data == graph.data


def test_the_public_check_holds() -> None:
    """The adapter keeps to what every adapter is checked for."""
    frame = numbers()
    model = fitted("words", frame)
    assert check_adapter(Adapter(), lambda: model, frame) == EVERYTHING


def categories() -> dict[str, np.ndarray]:
    """Numbers, text and whole numbers that are categories."""
    frame = numbers()
    rng = np.random.default_rng(2)
    frame["job"] = rng.choice(np.array(["smith", "clerk", "nurse"], dtype=object), ROWS)
    frame["code"] = rng.integers(100, 104, ROWS)
    return frame


def of_categories() -> tuple[Any, dict[str, np.ndarray]]:
    """A model of all of these columns."""
    frame = categories()
    base = score(numbers()) + 2 * (frame["job"] == "nurse") + (frame["code"] == 101)
    model = made("Classifier", cat_features=["job", "code"])
    return model.fit(pd.DataFrame(frame), (base > np.median(base)).astype(int)), frame


def test_categories_are_given_as_words_and_whole_numbers() -> None:
    """Unseen words are answered, holes are refused by name with the fix."""
    model, frame = of_categories()
    found = wrap(model)
    assert np.array_equal(found.predict(frame).main, model.predict_proba(pd.DataFrame(frame)))
    frame["job"][0] = "pilot"
    assert np.isfinite(found.predict(frame).main).all()
    frame["job"][3] = None
    with pytest.raises(InputError, match="column job has a missing value") as refused:
        found.predict(frame)
    assert "job='nan'" in refused.value.fix
    with pytest.raises(InputError, match="column x1 holds text"):
        found.predict({**categories(), "x1": frame["job"]})
    with pytest.raises(InputError, match="CatBoost cannot take these rows"):
        found.predict({**categories(), "code": np.full(ROWS, 1.5)})


def test_categories_have_no_graph_and_the_reason_is_one_line() -> None:
    """What CatBoost counts by category is in tables of its own: the model ships as it is."""
    model, frame = of_categories()
    found = wrap(model)
    graph = to_onnx(found, signature_of(found, frame), attempts(found)[0])
    assert graph.error.startswith("CatBoost's categorical features: ")
    assert "\n" not in graph.error


def test_one_hot_categories_have_no_graph_either() -> None:
    """They are compared by their hashes."""
    frame = categories()
    model = made("Classifier", cat_features=["job", "code"], one_hot_max_size=10)
    model.fit(pd.DataFrame(frame), (frame["job"] == "nurse").astype(int))
    found = wrap(model)
    graph = to_onnx(found, signature_of(found, frame), attempts(found)[0])
    assert graph.error.startswith("CatBoost's categorical features: ")


def test_a_file_is_audited_opened_and_answers_as_the_object(tmp_path: Path) -> None:
    """A .cbm file holds the names of columns and the labels."""
    frame = numbers()
    model = fitted("words", frame)
    path = tmp_path / "model.cbm"
    model.save_model(str(path))
    assert audit(path).verdict == "clean"
    with open_model(path, workdir=tmp_path / "work") as opened:
        told = opened.description
        answers = opened.predict(frame).main
    assert (told.framework, told.task, told.classes) == ("catboost", "binary", ("no", "yes"))
    assert told.features == tuple(frame)
    assert told.installed == {"catboost": catboost.__version__}
    assert np.array_equal(answers, model.predict_proba(pd.DataFrame(frame)))


def test_an_array_has_no_names(tmp_path: Path) -> None:
    """Columns are then matched by position, under the names of the data."""
    frame = numbers()
    matrix = np.column_stack(list(frame.values()))
    model = made("Regressor").fit(matrix, targets(frame)["value"])
    with open_model(model, hints=Hints(features=tuple(frame)), workdir=tmp_path) as opened:
        assert opened.format == "catboost"
        assert opened.description.features == tuple(frame)
        assert np.array_equal(opened.predict(frame).main, model.predict(matrix))


@pytest.mark.parametrize("where", ["pickle", "pipeline"])
def test_pickles_and_pipelines_are_read(where: str, tmp_path: Path) -> None:
    """A pickled class of CatBoost, and one behind a scaler, which converts too."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    frame = numbers()
    model = made("Classifier")
    whole = model if where == "pickle" else make_pipeline(StandardScaler(), model)
    whole.fit(pd.DataFrame(frame), targets(frame)["words"])
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(whole))
    with open_model(path, workdir=tmp_path / "work") as opened:
        answers = opened.predict(frame).main
        signature = signature_of(opened, frame)  # type: ignore[arg-type]
        graph = opened.call(
            "afterfit.models.convert:to_onnx",
            signature=signature,
            attempt=opened.call("afterfit.models.convert:attempts")[0],
        )
    assert np.array_equal(answers, whole.predict_proba(pd.DataFrame(frame)))
    assert graph.error == ""
    variant = OnnxModel(graph.data, graph.inputs, graph.output, signature.classes)
    assert np.abs(variant.predict(frame).main - answers).max() <= 1e-9


def test_a_threshold_of_its_own_is_read_and_decides() -> None:
    """CatBoost can keep the probability from which it says yes."""
    frame = numbers()
    model = fitted("words", frame)
    assert own_threshold(wrap(model)) is None
    model.set_probability_threshold(0.7)
    found: Any = wrap(model)
    assert own_threshold(found) == OwnThreshold(value=0.7)
    decided = np.array(["no", "yes"])[found.decide(frame)]
    assert np.array_equal(decided, model.predict(pd.DataFrame(frame)))
    assert (decided == "yes").sum() < (found.predict(frame).main[:, 1] > 0.5).sum()


@pytest.mark.parametrize(
    ("kind", "more", "words"),
    [
        ("Ranker", {}, "ranks"),
        ("Regressor", {"loss_function": "MultiRMSE"}, "several values a row"),
        ("Regressor", {"loss_function": "RMSEWithUncertainty"}, "several values a row"),
    ],
)
def test_what_has_no_one_answer_is_refused(kind: str, more: dict[str, Any], words: str) -> None:
    """Rankings and several values a row, with a way that works."""
    frame = numbers()
    value = targets(frame)["count"]
    target = np.column_stack([value, value]) if "Multi" in str(more) else value
    groups = {"group_id": np.repeat(np.arange(ROWS // 10), 10)} if kind == "Ranker" else {}
    model = made(kind, **more).fit(pd.DataFrame(frame), target, **groups)
    with pytest.raises(ModelError, match=words) as refused:
        wrap(model)
    assert refused.value.fix


def test_a_model_that_was_not_fitted_is_told() -> None:
    """It has no trees to ask."""
    with pytest.raises(ModelError, match="is not fitted"):
        wrap(made("Classifier"))


def test_a_model_with_names_ships_its_graph_or_itself(tmp_path: Path) -> None:
    """Optimize on numbers: exact graph with few rows, CatBoost itself where it is faster."""
    frame = numbers()
    model = made("Classifier", iterations=300).fit(pd.DataFrame(frame), targets(frame)["words"])
    signature = signature_of(wrap(model), frame)
    config = OptimizeConfig(effort="quick", batches=(1, 512))
    with open_model(model, hints=Hints.of(signature), workdir=tmp_path) as opened:
        done = optimize(opened, signature, Dataset(frame=frame), config)
        answers = opened.predict(frame).main
        needed = serving_requirements(opened.description)
    assert {f.code: f.outcome for f in done.record.findings}["O003"] == "passed"
    assert done.record.chosen in {"onnx-float64", "native"}
    assert any(pin.startswith("catboost==") for pin in needed)
    folder = tmp_path / "bundle"
    for name, content in done.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        data = content if isinstance(content, bytes) else content.read_bytes()
        (folder / name).write_bytes(data)
    variant = open_variant(folder, done.record.variant, signature)
    for form in getattr(variant, "forms", (variant,)):
        assert np.abs(form.predict(frame).main - answers).max() <= 1e-9


def test_a_model_of_categories_ships_as_it_is(tmp_path: Path) -> None:
    """The whole of it in a bundle that needs nobody's trust: its file holds data alone."""
    model, frame = of_categories()
    signature = signature_of(wrap(model), frame)
    config = OptimizeConfig(effort="quick", batches=(1, 64))
    with open_model(model, hints=Hints.of(signature), workdir=tmp_path) as opened:
        done = optimize(opened, signature, Dataset(frame=frame), config)
    assert done.record.chosen == "native"
    assert list(done.files) == ["model/model.cbm"]
    assert done.record.variant.asks == ""
    (finding,) = done.record.findings
    assert finding.code == "O001"
    assert "CatBoost's categorical features" in finding.message


def test_the_borders_in_the_json_are_single_precision() -> None:
    """What the graph compares with is a float32: its decimals in the JSON are rounded to it."""
    frame = numbers()
    splits = table(read_booster(fitted("binary", frame)))["split"]
    assert np.array_equal(splits, splits.astype(np.float32).astype(np.float64))
    assert json.loads(json.dumps(splits.tolist())) == splits.tolist()


def test_an_adapter_of_someone_elses_is_asked_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that registers an adapter of an earlier order gets the models."""

    class Other:
        name = "other"
        formats = frozenset({"catboost"})
        order = 1

        def owns(self, estimator: object) -> bool:
            return native.family(estimator, "catboost")

    added: Any = Other()
    everyone = (added, *native.adapters())
    monkeypatch.setattr(native, "adapters", lambda: everyone)
    assert adapter_for_object(made("Classifier")) is added
    assert native.adapter_for_format("catboost") is added
