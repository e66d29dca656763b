"""8-bit variants of networks: what is proposed, what is made, and the same bytes each time."""

from __future__ import annotations

import platform
from typing import Any

import numpy as np
import pytest
from onnx import helper, load_model_from_string, numpy_helper
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.optimize.quantize_graphs import (
    answers,
    dense,
    framed,
    graph,
    kinds,
    made,
    names,
    network,
    normal,
    signed,
    wrapped,
)

from afterfit.core.bundle import GraphOutput, TensorInput
from afterfit.core.frame import Frame
from afterfit.core.signature import Signature
from afterfit.models.convert import Converted, attempts, to_onnx
from afterfit.optimize.quantize import proposals
from afterfit.optimize.quantize_graph import prepared, weighted, weights_bytes
from afterfit.optimize.quantize_half import half, half_kernels
from afterfit.optimize.quantize_int8 import last
from afterfit.store.environment import current_environment

STATIC: list[dict[str, Any]] = [
    {},
    {"per_channel": True},
    {"last_float": True},
    {"calibrate": "percentile"},
    {"calibrate": "entropy"},
    {"activations": "int8"},
]


def fitted(estimator: Any, rows: Frame, classes: int) -> tuple[Any, Signature]:
    """The estimator fitted on rows whose target is a sum, behind its adapter."""
    table = np.column_stack(list(rows.values()))
    total = np.nan_to_num(table[:, :4]).sum(axis=1)
    target = np.digitize(total, np.quantile(total, [0.33, 0.66])) if classes else total
    estimator.fit(table, target)
    signature = signed(rows, "multiclass" if classes else "regression", classes)
    return wrapped(estimator, signature), signature


@pytest.fixture(scope="module")
def perceptron() -> tuple[Any, Signature, Converted]:
    """A network of scikit-learn's and its exact graph, which is in double precision."""
    rows = normal(1500, width=32)
    native, signature = fitted(
        MLPClassifier((192, 64), max_iter=6, random_state=0), rows, classes=3
    )
    base = to_onnx(native, signature, attempts(native)[0])
    assert base.inputs[0].dtype == "float64"
    return native, signature, base


def offered(native: Any, signature: Signature) -> list[str]:
    """The names of what is proposed."""
    found = proposals(native, signature=signature, labelled=False, rows=1000)
    return [proposal.name for proposal in found]


def test_networks_are_proposed_for_and_trees_are_not(
    perceptron: tuple[Any, Signature, Converted],
) -> None:
    """A dense network gets all variants; trees and small models get none."""
    native, signature, _ = perceptron
    found = offered(native, signature)
    assert found[0] == "quantize-int8"
    assert {"quantize-int8-dynamic", "quantize-int8-last-float", "onnx-optimized-basic"} < {*found}
    assert ("quantize-float16" in found) == half_kernels()
    rows = normal(300, width=8)
    for estimator in (RandomForestClassifier(5), LogisticRegression(), MLPClassifier((8,))):
        assert offered(*fitted(estimator, rows, classes=3)) == []


def test_a_graph_of_the_users_is_proposed_for_and_made_of_itself() -> None:
    """An ONNX model needs no conversion: its own graph is the base."""
    rows = normal(300)
    signature = signed(rows, "multiclass", 10)
    native = wrapped(network(dense(64, 256, 10), softmax=True).data, signature)
    assert "quantize-int8" in offered(native, signature)
    found = made(Converted(), signature, rows, native=native, flips=0.05)
    assert "QuantizeLinear" in kinds(found.data)
    assert answers(found, signature, rows).main.shape == (300, 10)


@pytest.mark.parametrize("options", STATIC, ids=str)
def test_a_double_network_becomes_8_bit_and_answers_alike(
    perceptron: tuple[Any, Signature, Converted], options: dict[str, Any]
) -> None:
    """The file is far smaller, the answers are near, and rows it has not seen too."""
    _, signature, base = perceptron
    found = made(base, signature, normal(500, 1, 32), **options)
    fresh = normal(2000, 2, 32)
    exact, said = (answers(one, signature, fresh) for one in (base, found))
    assert (signature.codes(exact) != signature.codes(said)).mean() < 0.02
    sizes = weights_bytes(found.data)
    # Of double precision: 8 times smaller at best.
    assert weights_bytes(base.data).file / sizes.file > 2.8
    assert sizes.eight_bit > 0.8 * sizes.weights
    assert {"QGemm", "QLinearMatMul", "MatMulIntegerToFloat"} & {*kinds(found.data, loaded=True)}


@pytest.mark.parametrize(
    ("function", "options"),
    [*(("int8", options) for options in STATIC), ("int8_dynamic", {}), ("optimized", {})],
    ids=str,
)
def test_the_same_rows_give_the_same_bytes(
    perceptron: tuple[Any, Signature, Converted], function: str, options: dict[str, Any]
) -> None:
    """Nothing of a run, a clock or a folder is in the graph."""
    _, signature, base = perceptron
    first, second = (made(base, signature, normal(300, 1, 32), function, **options) for _ in "ab")
    assert first.error == ""
    assert first == second
    told = load_model_from_string(first.data)
    assert not told.metadata_props
    assert not any(node.metadata_props or node.doc_string for node in told.graph.node)
    assert not any(tensor.external_data for tensor in told.graph.initializer)


def test_ranges_at_each_call_need_no_rows(perceptron: tuple[Any, Signature, Converted]) -> None:
    """The dynamic variant is made of the weights alone."""
    _, signature, base = perceptron
    found = made(base, signature, {}, "int8_dynamic")
    assert "MatMulInteger" in kinds(found.data)
    rows = normal(1000, 2, 32)
    said, exact = (signature.codes(answers(one, signature, rows)) for one in (found, base))
    assert (said != exact).mean() < 0.02


def test_optimized_graphs_answer_exactly(perceptron: tuple[Any, Signature, Converted]) -> None:
    """Both levels keep double precision and every answer."""
    _, signature, base = perceptron
    rows = normal(500, 2, 32)
    exact = answers(base, signature, rows).main
    for level in ("basic", "extended"):
        found = made(base, signature, {}, "optimized", level=level)
        assert np.abs(answers(found, signature, rows).main - exact).max() < 1e-12


def test_what_is_before_the_network_keeps_its_precision() -> None:
    """Columns around 10⁹ are centred in double precision, where single would lose them."""
    table = np.column_stack(list(normal(1500, width=16).values()))
    rows = framed(1e9 + table)
    steps = make_pipeline(
        StandardScaler(), MLPRegressor(hidden_layer_sizes=(256, 64), max_iter=30, random_state=0)
    )
    native, signature = fitted(steps, rows, classes=0)
    base = to_onnx(native, signature, attempts(native)[0])
    found = made(base, signature, rows)
    assert found.inputs[0].dtype == "float64"
    exact, said = (answers(one, signature, rows).main for one in (base, found))
    assert np.abs(said - exact).mean() < 0.02 * exact.std()


def test_missing_values_that_the_model_fills_are_no_obstacle() -> None:
    """Ranges are found behind the step that fills them."""
    rows = normal(600, width=32)
    rows["c3"][::5] = np.nan
    steps = make_pipeline(
        SimpleImputer(), MLPRegressor(hidden_layer_sizes=(256, 64), max_iter=20, random_state=0)
    )
    native, signature = fitted(steps, rows, classes=0)
    base = to_onnx(native, signature, attempts(native)[0])
    found = made(base, signature, rows)
    exact, said = (answers(one, signature, rows).main for one in (base, found))
    assert np.abs(said - exact).mean() < 0.02 * exact.std()


def test_missing_values_that_reach_the_weights_are_told() -> None:
    """A network that answers NaN has no range there."""
    rows = normal(600)
    rows["c3"][::5] = np.nan
    signature = signed(rows, "multiclass", 10)
    found = made(network(dense(64, 256, 10), softmax=True), signature, rows)
    assert "numbers that are not finite" in found.error
    assert "fill missing values" in found.error


def test_a_graph_without_weights_is_told() -> None:
    """What has no matrix product stays as it is."""
    nodes = [helper.make_node("Relu", ["rows"], ["answer"])]
    given = TensorInput(name="rows", columns=names(64), dtype="float32")
    data = graph(nodes, [], ["n", 64], ["n", 64])
    base = Converted(data=data, inputs=(given,), output=GraphOutput(name="answer", form="matrix"))
    rows = normal(100)
    for function in ("int8", "int8_dynamic"):
        found = made(base, signed(rows, "multiclass", 64), rows, function)
        assert found.data == b""
        assert "no operator of the graph multiplies by weights" in found.error


def test_wrong_options_and_too_few_rows_are_told() -> None:
    """Neither reaches a person as a traceback."""
    rows = normal(20)
    signature = signed(rows, "multiclass", 10)
    base = network(dense(64, 256, 10), softmax=True)
    assert "32 are needed" in made(base, signature, rows).error
    assert "options of quantizing" in made(base, signature, rows, calibrate="guess").error


def test_old_graphs_are_brought_to_a_scale_for_each_channel() -> None:
    """Opset 11 has no scales of channels; the graph is converted before."""
    rows = normal(300)
    signature = signed(rows, "multiclass", 10)
    base = network(dense(64, 256, 10), softmax=True, opset=11)
    found = made(base, signature, rows, per_channel=True, flips=0.05)
    assert load_model_from_string(found.data).opset_import[0].version >= 13
    exact, said = (answers(one, signature, rows).main for one in (base, found))
    assert np.abs(exact - said).mean() < 0.01


def image_graph() -> tuple[Converted, Signature, dict[str, np.ndarray]]:
    """Two convolutions, the first with a batch norm behind it, and a dense layer."""
    rng = np.random.default_rng(3)
    shapes = {
        "k0": (16, 1, 3, 3),
        "k1": (32, 16, 3, 3),
        "dense": (32 * 4 * 4, 10),
        "scale": (16,),
        "shift": (16,),
        "mean": (16,),
    }
    values = {n: rng.normal(size=s) / np.sqrt(np.prod(s[1:])) for n, s in shapes.items()}
    values |= {"spread": rng.random(16) + 0.5}
    constants = [numpy_helper.from_array(v.astype(np.float32), n) for n, v in values.items()]
    around: dict[str, Any] = {"pads": [1, 1, 1, 1]}
    halved: dict[str, Any] = {"kernel_shape": [2, 2], "strides": [2, 2]}
    norm = ["a", "scale", "shift", "mean", "spread"]
    nodes = [
        helper.make_node("Conv", ["rows", "k0"], ["a"], **around),
        helper.make_node("BatchNormalization", norm, ["b"]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("MaxPool", ["c"], ["d"], **halved),
        helper.make_node("Conv", ["d", "k1"], ["e"], **around),
        helper.make_node("Relu", ["e"], ["f"]),
        helper.make_node("Flatten", ["f"], ["g"]),
        helper.make_node("MatMul", ["g", "dense"], ["h"]),
        helper.make_node("Softmax", ["h"], ["answer"], axis=1),
    ]
    data = graph(nodes, constants, ["n", 1, 8, 8], ["n", 10])
    given = TensorInput(name="rows", columns=names(), dtype="float32", shape=(1, 8, 8))
    base = Converted(data=data, inputs=(given,), output=GraphOutput(name="answer", form="matrix"))
    rows = framed(rng.random((400, 64)))
    return base, signed(rows, "multiclass", 10), rows


def test_convolutions_become_8_bit_with_their_batch_norm_folded() -> None:
    """ONNX Runtime runs both convolutions on integers, and the pooling between them."""
    base, signature, rows = image_graph()
    found = made(base, signature, rows)
    assert "BatchNormalization" not in kinds(found.data)
    running = kinds(found.data, loaded=True)
    assert running.count("QLinearConv") == 2
    assert "Conv" not in running
    # One rounding of the rows, and none of what the last product answers.
    assert running.count("QuantizeLinear") == 1
    exact, said = (answers(one, signature, rows).main for one in (base, found))
    assert np.abs(exact - said).mean() < 0.01
    assert weights_bytes(base.data).file / weights_bytes(found.data).file > 2.8


def test_convolutions_get_no_ranges_at_each_call() -> None:
    """They would be slower than in float."""
    base, signature, _ = image_graph()
    assert "quantize-int8-dynamic" not in offered(wrapped(base.data, signature), signature)


def test_the_last_layer_stays_in_float_where_that_is_asked_for() -> None:
    """Only the operator that no other one with weights follows keeps its weights."""
    base, signature, rows = image_graph()
    model = prepared(base.data)
    assert last(model) == [weighted(model)[-1].name]
    found = made(base, signature, rows, last_float=True)
    running = kinds(found.data, loaded=True)
    assert running.count("QLinearConv") == 2
    assert "MatMul" in running


def test_a_bit_is_left_unused_where_products_overflow() -> None:
    """Without VNNI the notes say 7 bits, and the weights have no more."""
    rows = normal(300)
    signature = signed(rows, "multiclass", 10)
    base = network(dense(64, 256, 10), softmax=True)
    largest = {}
    for bits in ("auto", "yes", "no"):
        found = made(base, signature, rows, seven_bits=bits, flips=0.05)
        tensors = load_model_from_string(found.data).graph.initializer
        eight = [numpy_helper.to_array(t) for t in tensors if t.data_type == 3 and len(t.dims) == 2]
        largest[bits] = max(int(np.abs(each.astype(int)).max()) for each in eight)
        if bits == "auto":
            told = " ".join(found.notes)
    assert (largest["yes"], largest["no"]) == (64, 127)
    features = {*current_environment().cpu_features}
    arm = platform.machine().lower() in {"aarch64", "arm64"}
    dots = bool(features & {"avx512_vnni", "avx_vnni", "asimddp", "i8mm"})
    assert largest["auto"] == (127 if dots or arm else 64)
    assert ("8-bit weights" if dots or arm else "7-bit weights") in told


def test_half_precision_is_refused_where_nothing_computes_in_it() -> None:
    """The proposal and its function agree with what ONNX Runtime has for this processor."""
    rows = normal(300)
    signature = signed(rows, "multiclass", 10)
    base = network(dense(64, 256, 10), softmax=True)
    found = made(base, signature, rows, "sixteen_bits")
    if half_kernels():
        assert weights_bytes(found.data).file < 0.6 * len(base.data)
    else:
        assert "nothing in 16 bits" in found.error
    if platform.machine() == "x86_64":
        assert not half_kernels()


def test_half_precision_halves_the_file_and_keeps_the_answers() -> None:
    """What it would be where the processor had it."""
    rows = normal(300)
    signature = signed(rows, "multiclass", 10)
    base = network(dense(64, 256, 10), softmax=True)
    found = Converted(data=half(base.data), inputs=base.inputs, output=base.output)
    exact, said = (answers(one, signature, rows).main for one in (base, found))
    assert np.abs(exact - said).max() < 5e-3
    assert len(found.data) < 0.6 * len(base.data)


def test_tables_of_words_get_8_bits() -> None:
    """An embedding is most of a small text model's file, and no matrix product."""
    rng = np.random.default_rng(0)
    constants = [
        numpy_helper.from_array(rng.normal(size=(1000, 32)).astype(np.float32), "words"),
        numpy_helper.from_array(rng.normal(size=(32, 4)).astype(np.float32), "dense"),
        numpy_helper.from_array(np.array([1]), "places"),
    ]
    nodes = [
        helper.make_node("Cast", ["rows"], ["numbers"], to=7),
        helper.make_node("Gather", ["words", "numbers"], ["found"]),
        helper.make_node("ReduceMean", ["found", "places"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "dense"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["answer"], axis=1),
    ]
    given = TensorInput(name="rows", columns=names(8), dtype="float32")
    data = graph(nodes, constants, ["n", 8], ["n", 4])
    base = Converted(data=data, inputs=(given,), output=GraphOutput(name="answer", form="matrix"))
    rows = framed(rng.integers(0, 1000, (500, 8)).astype(float))
    signature = signed(rows, "multiclass", 4)
    for function in ("int8", "int8_dynamic"):
        found = made(base, signature, rows, function)
        assert len(base.data) / len(found.data) > 2.8
        exact, said = (answers(one, signature, rows).main for one in (base, found))
        assert np.abs(exact - said).mean() < 0.01
