"""Graphs in every form of input and output that a variant can describe."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from tests.runtime.bundles import PEOPLE_INPUTS, numbers_graph, people, people_graph, serialized

from afterfit.core.bundle import GraphOutput, TensorInput
from afterfit.errors import InputError, ModelError
from afterfit.runtime.onnx import OnnxModel, feed

SUM = TensorInput(name="input", columns=("a", "b"), dtype="float32")


def identity(kind: int, shape: list[Any]) -> bytes:
    """A graph that answers with its input."""
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "identity",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", kind, shape)],
    )
    return serialized(graph)


def test_probabilities_of_the_positive_class_become_two_columns() -> None:
    """[n, 1] of the second class is [n, 2] in the signature's order, and rows sum to 1."""
    model = OnnxModel(people_graph(), PEOPLE_INPUTS, GraphOutput(name="answer", form="positive"))
    frame = people(50)
    chances = model.predict(frame).probabilities
    assert chances is not None
    age = np.where(np.isnan(frame["age"]), 40, frame["age"])
    job = np.array([{"clerk": 0, "nurse": 0.5, "smith": 1}[job] for job in frame["job"]])
    expected = 1 / (1 + np.exp(-(0.05 * age + 0.01 * frame["hours"] + job - 3)))
    np.testing.assert_allclose(chances[:, 1], expected, rtol=1e-6)
    np.testing.assert_allclose(chances.sum(axis=1), 1)


def test_a_value_beyond_float32_becomes_an_infinity_of_its_sign() -> None:
    """The cast neither wraps nor warns, and the graph decides what it means."""
    tensor = TensorInput(name="x", columns=("a",), dtype="float32")
    with np.errstate(all="raise"):
        out = feed({"a": np.array([1e300, -1e300, 1.0, np.nan])}, tensor)
    np.testing.assert_array_equal(out[:, 0], np.array([np.inf, -np.inf, 1, np.nan], np.float32))


def test_a_missing_string_is_the_token_of_the_variant() -> None:
    """None becomes ``missing``, and numbers their text."""
    tensor = TensorInput(name="x", columns=("s",), dtype="string", missing="?")
    out = feed({"s": np.array(["a", None, "ü"], dtype=object)}, tensor)
    assert out[:, 0].tolist() == ["a", "?", "ü"]


def test_booleans_with_gaps_are_numbers_with_nan() -> None:
    """An object column of True, False and None can feed a float tensor."""
    tensor = TensorInput(name="x", columns=("b",), dtype="float32", rank=1)
    out = feed({"b": np.array([True, None, False], dtype=object)}, tensor)
    np.testing.assert_array_equal(out, np.array([1, np.nan, 0], np.float32))


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("int64", np.array([1.0, np.nan])),
        ("int64", np.array([1e300])),
        ("int32", np.array([2**40])),
        ("bool", np.array([True, None], dtype=object)),
        ("float32", np.array(["word"], dtype=object)),
    ],
)
def test_what_a_tensor_has_no_word_for_is_an_input_error(dtype: Any, values: Any) -> None:
    """A missing integer, an overflow or a word for a number names its column."""
    with pytest.raises(InputError) as caught:
        feed({"c": values}, TensorInput(name="x", columns=("c",), dtype=dtype))
    assert caught.value.where == "c"


def test_an_absent_column_is_named() -> None:
    """A frame without a column that the graph needs is an input error."""
    with pytest.raises(InputError, match="no column 'b'"):
        feed({"a": np.zeros(1)}, SUM)


@pytest.mark.parametrize("classes", [("no", "yes"), (False, True)])
def test_labels_that_are_positions_find_their_class(classes: Any) -> None:
    """A graph that answers 0 and 1 for other class words means the positions."""
    model = OnnxModel(
        identity(TensorProto.INT64, [None]),
        [TensorInput(name="x", columns=("a",), dtype="int64", rank=1)],
        GraphOutput(name="y", form="label"),
        classes,
    )
    codes = model.predict({"a": np.array([1, 0, 1])}).codes
    assert codes is not None
    assert codes.tolist() == [1, 0, 1]


def test_labels_in_the_users_words_go_by_value_whatever_their_order() -> None:
    """Integer classes (5, 3) are found by value; a label that is no class is a model error."""
    model = OnnxModel(
        identity(TensorProto.INT64, [None]),
        [TensorInput(name="x", columns=("a",), dtype="int64", rank=1)],
        GraphOutput(name="y", form="label"),
        (5, 3),
    )
    codes = model.predict({"a": np.array([3, 5])}).codes
    assert codes is not None
    assert codes.tolist() == [1, 0]
    with pytest.raises(ModelError, match="none of the classes"):
        model.predict({"a": np.array([4])})


def zipmap_graph() -> bytes:
    """A graph whose answer is a list of {class: probability} with the classes b and a."""
    nodes = [
        helper.make_node(
            "ZipMap", ["x"], ["y"], domain="ai.onnx.ml", classlabels_strings=["b", "a"]
        )
    ]
    value = helper.make_map_type_proto(
        TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, [])
    )
    output = helper.make_value_info("y", helper.make_sequence_type_proto(value))
    shape = [None, 2]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    return serialized(helper.make_graph(nodes, "zipmap", inputs, [output]))


def test_a_zipmap_is_put_into_the_order_of_the_signature() -> None:
    """{b: p, a: q} with classes (a, b) is [q, p]."""
    inputs = [TensorInput(name="x", columns=("a", "b"), dtype="float32")]
    model = OnnxModel(zipmap_graph(), inputs, GraphOutput(name="y", form="zipmap"), ("a", "b"))
    chances = model.predict({"a": np.array([0.25, 0.5]), "b": np.array([0.75, 0.5])}).probabilities
    assert chances is not None
    np.testing.assert_allclose(chances, [[0.75, 0.25], [0.5, 0.5]])


def test_no_rows_give_no_predictions() -> None:
    """Zero rows never reach the graph and keep the shape."""
    output = GraphOutput(name="answer", form="positive")
    model = OnnxModel(numbers_graph(), [SUM], output, (0, 1))
    chances = model.predict({"a": np.empty(0), "b": np.empty(0)}).probabilities
    assert chances is not None
    assert chances.shape == (0, 2)


@pytest.mark.parametrize("source", [b"no graph", b""])
def test_bytes_that_are_no_graph_are_a_model_error(source: bytes) -> None:
    """ONNX Runtime's own exceptions do not come through."""
    with pytest.raises(ModelError, match="cannot load"):
        OnnxModel(source, [SUM], GraphOutput(name="answer", form="positive"))


def test_a_graph_with_other_inputs_than_described_is_a_model_error() -> None:
    """What variant.json says is checked against the graph at load."""
    wrong = TensorInput(name="other", columns=("a", "b"), dtype="float32")
    with pytest.raises(ModelError, match="not the one that"):
        OnnxModel(numbers_graph(), [wrong], GraphOutput(name="answer", form="positive"))


def test_a_matrix_of_another_width_than_the_classes_is_a_model_error() -> None:
    """Two columns for three classes cannot be read in any order."""
    inputs = [TensorInput(name="x", columns=("a", "b"), dtype="float32")]
    graph = identity(TensorProto.FLOAT, [None, 2])
    model = OnnxModel(graph, inputs, GraphOutput(name="y", form="matrix"), (0, 1, 2))
    with pytest.raises(ModelError, match="do not fit the classes"):
        model.predict({"a": np.zeros(1), "b": np.zeros(1)})


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize("n", [1, 5])
def test_columns_that_fit_as_they_are_become_the_tensor_that_each_by_itself_does(
    dtype: Any, n: int
) -> None:
    """Whole columns at once, and column by column where one of them has to be looked at."""
    rng = np.random.default_rng(0)
    frame: dict[str, np.ndarray] = {f"c{i}": rng.integers(0, 99, n) for i in range(6)}
    if dtype != "int64":
        frame["c1"] = rng.normal(size=n) * 1e30
        frame["c2"] = np.full(n, 1e300)
    tensor = TensorInput(name="x", columns=tuple(frame), dtype=dtype)
    alone = [feed(frame, TensorInput(name="x", columns=(c,), dtype=dtype)) for c in frame]
    whole = feed(frame, tensor)
    np.testing.assert_array_equal(whole, np.hstack(alone))
    assert whole.dtype == np.dtype(dtype)
    assert whole.flags.c_contiguous
    frame["c0"] = frame["c0"].astype(object)
    np.testing.assert_array_equal(feed(frame, tensor), whole)
