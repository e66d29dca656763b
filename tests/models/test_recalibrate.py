"""Maps as operators of a graph: what they answer is what numpy says, whatever the output's form."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from afterfit.core.bundle import GraphOutput, TensorInput
from afterfit.core.signature import Column, Signature
from afterfit.models.convert import Converted
from afterfit.models.recalibrate import appended, options_of
from afterfit.runtime.onnx import OnnxModel
from afterfit.stats.recalibration import Isotonic, Logistic, Map, Temperature, fit_rising

NOBODY: Any = None
RNG = np.random.default_rng(0)
MAPS: dict[str, Map] = {
    "platt": Logistic(0.4, -1.2),
    "temperature": Temperature(2.5),
    "isotonic": Isotonic(np.array([0.0, 0.2, 0.21, 1.0]), np.array([0.01, 0.05, 0.6, 0.99])),
    "one line": Isotonic(np.array([0.0, 1.0]), np.array([0.2, 0.9])),
}
EDGES = np.array([0.0, 1e-300, 1e-9, 0.2, 0.21, 0.5, 1 - 1e-9, 1.0, np.nan])


def graph(form: str, k: int, *, single: bool = False, opset: int = 21) -> Converted:
    """Return a graph whose output is its input, in one of the forms of an output."""
    kind = TensorProto.FLOAT if single else TensorProto.DOUBLE
    width = 1 if form in {"positive", "score"} else k
    nodes = [helper.make_node("Identity", ["x"], ["p"])]
    told = helper.make_tensor_value_info("p", kind, [None, width])
    if form == "zipmap":
        cast = helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT)
        labels = [f"c{code}" for code in range(k)]
        zipped = helper.make_node(
            "ZipMap", ["f"], ["p"], domain="ai.onnx.ml", classlabels_strings=labels
        )
        nodes = [cast, zipped]
        pair = helper.make_map_type_proto(
            TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, None)
        )
        told = helper.make_value_info("p", helper.make_sequence_type_proto(pair))
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    inputs = [helper.make_tensor_value_info("x", kind, [None, width])]
    made = helper.make_model(
        helper.make_graph(nodes, "g", inputs, [told]), opset_imports=opsets, ir_version=8
    )
    onnx.checker.check_model(made)
    dtype: Any = "float32" if single else "float64"
    columns = tuple(f"x{index}" for index in range(width))
    return Converted(
        data=made.SerializeToString(),
        inputs=(TensorInput(name="x", columns=columns, dtype=dtype),),
        output=GraphOutput(name="p", form=form),  # type: ignore[arg-type]
    )


def signature(k: int, columns: int) -> Signature:
    """Return the signature of k classes."""
    return Signature(
        task="binary" if k == 2 else "multiclass",
        columns=tuple(Column(name=f"x{index}", kind="number") for index in range(columns)),
        classes=tuple(f"c{code}" for code in range(k)),
        positive="c1" if k == 2 else None,
        threshold=0.5 if k == 2 else None,
    )


def answered(base: Converted, found: Map, rows: np.ndarray, k: int) -> np.ndarray:
    """Return what the graph with the map answers, [n, k]."""
    signed = signature(k, rows.shape[1])
    made = appended(NOBODY, signature=signed, graph=base, options=options_of(found))
    assert not made.error
    assert made.output is not None
    model = OnnxModel(made.data, made.inputs, made.output, signed.classes)
    frame = {f"x{index}": rows[:, index] for index in range(rows.shape[1])}
    found_p = model.predict(frame).probabilities
    assert found_p is not None
    return found_p


@pytest.mark.parametrize("name", MAPS)
def test_the_graph_answers_what_the_map_says_in_numpy(name: str) -> None:
    """Also at 0, 1, on the points of lines, and where the model answers no number."""
    p = np.concatenate([EDGES, RNG.random(500), RNG.beta(0.05, 0.05, 500)])
    wanted = MAPS[name].apply(p)
    second = answered(graph("positive", 2), MAPS[name], p[:, None], 2)[:, 1]
    np.testing.assert_allclose(second, wanted, atol=1e-12, equal_nan=True)
    assert np.isnan(second).sum() == 1


@pytest.mark.parametrize("form", ["matrix", "positive", "scores", "score", "zipmap"])
def test_every_form_of_an_output_is_read(form: str) -> None:
    """Scores become probabilities first; a ZipMap is taken out of the graph."""
    p = np.array([0.1, 0.4, 0.9])
    odds = np.log(p / (1 - p))
    rows = {
        "matrix": np.column_stack([1 - p, p]),
        "zipmap": np.column_stack([1 - p, p]),
        "positive": p[:, None],
        "scores": np.column_stack([np.zeros(3), odds]),
        "score": odds[:, None],
    }[form]
    found = answered(graph(form, 2), MAPS["platt"], rows, 2)
    tolerance = 1e-6 if form == "zipmap" else 1e-12
    np.testing.assert_allclose(found[:, 1], MAPS["platt"].apply(p), atol=tolerance)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-15)


def test_a_temperature_of_several_classes_keeps_the_likeliest() -> None:
    """Logarithms are divided, and the rows sum to 1 again."""
    p = RNG.dirichlet(np.full(4, 0.3), 400)
    p[0] = [0.0, 0.0, 1.0, 0.0]
    for single in (False, True):
        found = answered(graph("matrix", 4, single=single), Temperature(1.7), p, 4)
        tolerance = 1e-5 if single else 1e-12
        np.testing.assert_allclose(found, Temperature(1.7).apply(p), atol=tolerance)
        assert (found.argmax(axis=1) == p.argmax(axis=1)).all()


def test_an_old_opset_and_a_graph_of_labels_are_told() -> None:
    """There is no graph then, and the reason why."""
    signed = signature(2, 1)
    for base, words in ((graph("positive", 2, opset=12), "opset 12"), (graph("label", 1), "no pr")):
        made = appended(NOBODY, signature=signed, graph=base, options=options_of(MAPS["platt"]))
        assert words in made.error


def test_a_rising_line_has_no_step() -> None:
    """It rises everywhere from 0 to 1, so that no two rows become one; steps would pool them."""
    p = RNG.random(2000)
    found = fit_rising(p, RNG.random(2000) < p**3)
    x = np.linspace(0, 1, 4001)
    assert (np.diff(found.apply(x)) > 0).all()
    assert found.x[[0, -1]].tolist() == [0.0, 1.0]
    assert ((found.y > 0) & (found.y < 1)).all()
    np.testing.assert_allclose(found.apply(p), p**3, atol=0.12)
