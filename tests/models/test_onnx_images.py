"""Graphs whose rows are images, and graphs that answer scores, whoever exported them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.models.networks import PIXELS, pixels

from afterfit.core.bundle import GraphOutput, TensorInput
from afterfit.core.frame import MatrixFrame
from afterfit.core.scores import sigmoid, softmax
from afterfit.errors import InputError, ModelError
from afterfit.models.loaded import open_model
from afterfit.models.native import Hints
from afterfit.models.onnx import OnnxNative, graph_form
from afterfit.runtime.onnx import OnnxModel, feed

WEIGHTS = np.random.default_rng(4).normal(size=(64, 3)).astype(np.float32)


def image_graph(shape: list[Any], *, classes: int = 3, last: str = "") -> bytes:
    """A graph over images of a shape, as an exporter of networks writes it: scores as they are."""
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "weights"], ["scores" if last else "answer"]),
    ]
    if last:
        nodes.append(helper.make_node(last, ["scores"], ["answer"]))
    graph = helper.make_graph(
        nodes,
        "image",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, [shape[0], classes])],
        [numpy_helper.from_array(WEIGHTS[:, :classes].copy(), "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data


def scores(frame: dict[str, np.ndarray]) -> np.ndarray:
    """What the graph computes."""
    table = np.column_stack(list(frame.values())).astype(np.float32)
    found: np.ndarray = (table @ WEIGHTS).astype(np.float64)
    return found


@pytest.mark.parametrize("shape", [["n", 1, 8, 8], ["n", 8, 8], [None, 4, 4, 2, 2]])
def test_columns_fill_an_image_in_their_order(shape: list[Any], tmp_path: Path) -> None:
    """As many columns as a row has numbers; the scores of the graph become probabilities."""
    path = tmp_path / "net.onnx"
    path.write_bytes(image_graph(shape))
    frame = pixels(20)
    with open_model(path, workdir=tmp_path) as model:
        told = model.description
        answer = model.predict(frame).probabilities
    assert (told.n_features, told.classes, told.task) == (64, (0, 1, 2), "multiclass")
    assert told.steps == ("softmax added: the network answers scores",)
    assert answer is not None
    np.testing.assert_allclose(answer, softmax(scores(frame)), atol=1e-5)


@pytest.mark.parametrize(
    ("last", "classes", "form"),
    [("", 3, "scores"), ("Softmax", 3, "matrix"), ("", 1, "score"), ("Sigmoid", 1, "positive")],
)
def test_only_what_is_no_probability_gets_one(last: str, classes: int, form: str) -> None:
    """A graph that ends in its own softmax or sigmoid is read as it is."""
    told = Hints(task="binary" if classes == 1 else "multiclass")
    data = image_graph(["n", 1, 8, 8], classes=classes, last=last)
    model = OnnxNative(data, told)
    assert model.output.form == form
    raw = scores(pixels(9))
    expected = softmax(raw) if classes == 3 else sigmoid(raw[:, 0])
    answer = model.predict(pixels(9)).main
    np.testing.assert_allclose(answer if classes == 3 else answer[:, 1], expected, atol=1e-5)


def test_a_regression_keeps_its_numbers() -> None:
    """One number without a task is a value, whatever its size."""
    model = OnnxNative(image_graph(["n", 1, 8, 8], classes=1), Hints())
    np.testing.assert_allclose(model.predict(pixels(5)).main, scores(pixels(5))[:, 0], rtol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_a_matrix_and_a_table_fill_the_same_image(dtype: Any) -> None:
    """The quick way, of one matrix, and the way of columns give equal tensors."""
    tensor = TensorInput(name="image", columns=PIXELS, dtype=dtype, shape=(1, 8, 8))
    table = np.arange(128.0).reshape(2, 64)
    frame = dict(zip(PIXELS, table.T, strict=True))
    expected = table.reshape(2, 1, 8, 8).astype(dtype)
    np.testing.assert_array_equal(feed(frame, tensor), expected)
    matrix = MatrixFrame(dict.fromkeys(PIXELS, "number"), table)
    graph = OnnxModel(
        image_graph(["n", 1, 8, 8]),
        (TensorInput(name="image", columns=PIXELS, dtype="float32", shape=(1, 8, 8)),),
        GraphOutput(name="answer", form="scores"),
        (0, 1, 2),
    )
    np.testing.assert_array_equal(graph.predict(matrix).main, graph.predict(frame).main)
    assert graph.predict({n: v[:0] for n, v in frame.items()}).main.shape == (0, 3)


def test_a_variant_knows_the_shape() -> None:
    """What serves the graph is told how the columns fill its tensor."""
    form = graph_form(OnnxNative(image_graph(["n", 1, 8, 8]), Hints()), list(PIXELS))
    assert form["inputs"][0].shape == (1, 8, 8)


def test_shapes_that_do_not_fit_are_told() -> None:
    """Fixed rows, open axes, and a wrong number of columns each say what to do."""
    with pytest.raises(ModelError, match="fixed shape"):
        OnnxNative(image_graph([1, 1, 8, 8]), Hints())
    with pytest.raises(ModelError, match="shape") as caught:
        OnnxNative(image_graph(["n", 1, "height", "width"]), Hints())
    assert "no other" in caught.value.fix
    with pytest.raises(InputError, match="64 columns"):
        OnnxNative(image_graph(["n", 1, 8, 8]), Hints()).predict({"a": np.ones(2)})
    short = TensorInput(name="image", columns=PIXELS[:9], dtype="float32", shape=(1, 8, 8))
    with pytest.raises(ModelError, match="not filled"):
        OnnxModel(
            image_graph(["n", 1, 8, 8]), (short,), GraphOutput(name="answer", form="scores"), (0, 1)
        )


def test_scores_of_any_size_have_probabilities() -> None:
    """Neither form overflows, and both are exact where the answer is known."""
    with np.errstate(all="raise", under="ignore"):
        assert sigmoid(np.array([-1e4, 0.0, 1e4])).tolist() == [0.0, 0.5, 1.0]
        np.testing.assert_allclose(
            softmax(np.array([[1e4, 0.0], [3.0, 3.0]])), np.array([[1.0, 0.0], [0.5, 0.5]])
        )
