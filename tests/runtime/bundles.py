"""Small bundles made by hand, so that the runtime is tested without the step that packages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from onnx import TensorProto, helper, numpy_helper

from afterfit.core.bundle import Golden, GraphOutput, TensorInput, Variant, write_manifest
from afterfit.core.fingerprint import build
from afterfit.core.signature import Column, Signature
from afterfit.runtime.onnx import OnnxModel

if TYPE_CHECKING:
    from afterfit.core.signature import Task

JOBS = ("clerk", "nurse", "smith")
AGE_WEIGHT, HOURS_WEIGHT = 0.05, 0.01


def people(rows: int = 400, seed: int = 0) -> dict[str, np.ndarray]:
    """A frame of age (number, some missing), hours (integer) and job (category)."""
    rng = np.random.default_rng(seed)
    age = rng.uniform(18, 80, rows).round(1)
    age[::10] = np.nan
    job = np.array([JOBS[code] for code in rng.integers(0, 3, rows)], dtype=object)
    return {"age": age, "hours": rng.integers(10, 60, rows), "job": job}


def people_signature(
    *, classes: tuple[Any, ...] = ("no", "yes"), task: Task = "binary"
) -> Signature:
    """The signature of ``people``."""
    return Signature(
        task=task,
        columns=(
            Column(name="age", kind="number", nullable=True, low=18.0, high=80.0),
            Column(name="hours", kind="integer", low=10, high=59),
            Column(name="job", kind="category", categories=JOBS),
        ),
        classes=classes,
        positive=classes[1] if classes else None,
        threshold=0.5 if classes else None,
    )


def people_graph(bias: float = -3.0, *, regression: bool = False) -> bytes:
    """A graph: sigmoid(0.05 age + 0.01 hours + bias + job), missing age counts as 40."""
    doubles = TensorProto.DOUBLE
    constants = [
        numpy_helper.from_array(np.array([AGE_WEIGHT]), "w_age"),
        numpy_helper.from_array(np.array([HOURS_WEIGHT]), "w_hours"),
        numpy_helper.from_array(np.array([bias]), "bias"),
        numpy_helper.from_array(np.array([40.0]), "filler"),
    ]
    node = helper.make_node
    nodes = [
        node("IsNaN", ["age"], ["gone"]),
        node("Where", ["gone", "filler", "age"], ["age_full"]),
        node("Mul", ["age_full", "w_age"], ["a"]),
        node("Mul", ["hours", "w_hours"], ["h"]),
        node(
            "LabelEncoder",
            ["job"],
            ["j"],
            domain="ai.onnx.ml",
            keys_strings=list(JOBS),
            values_floats=[0.0, 0.5, 1.0],
            default_float=0.25,
        ),
        node("Cast", ["j"], ["j64"], to=doubles),
        node("Sum", ["a", "h", "j64", "bias"], ["logit"]),
        node("Identity" if regression else "Sigmoid", ["logit"], ["answer"]),
    ]
    column = [None, 1]
    graph = helper.make_graph(
        nodes,
        "people",
        [
            helper.make_tensor_value_info("age", doubles, column),
            helper.make_tensor_value_info("hours", doubles, column),
            helper.make_tensor_value_info("job", TensorProto.STRING, column),
        ],
        [helper.make_tensor_value_info("answer", doubles, column)],
        constants,
    )
    return serialized(graph)


def numbers_graph(columns: int = 2) -> bytes:
    """A graph over one float32 tensor: softmax of (0, sum of the columns)."""
    nodes = [
        helper.make_node("ReduceSum", ["input", "axis"], ["total"], keepdims=1),
        helper.make_node("Sigmoid", ["total"], ["answer"]),
    ]
    graph = helper.make_graph(
        nodes,
        "numbers",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, columns])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, [None, 1])],
        [numpy_helper.from_array(np.array([1], np.int64), "axis")],
    )
    return serialized(graph)


def serialized(graph: Any) -> bytes:
    """The bytes of a model around the graph."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()
    return model


PEOPLE_INPUTS = (
    TensorInput(name="age", columns=("age",), dtype="float64"),
    TensorInput(name="hours", columns=("hours",), dtype="float64"),
    TensorInput(name="job", columns=("job",), dtype="string"),
)


def people_bundle(folder: Path, *, bias: float = -3.0, regression: bool = False) -> str:
    """The digest of a bundle over ``people`` written to ``folder``."""
    signature = people_signature()
    if regression:
        signature = people_signature(classes=(), task="regression")
    variant = Variant(
        name="onnx",
        runtime="onnx",
        framework="onnx",
        file="model/model.onnx",
        inputs=PEOPLE_INPUTS,
        output=GraphOutput(name="answer", form="value" if regression else "positive"),
    )
    graph = people_graph(bias, regression=regression)
    return write_bundle(folder, signature, variant, graph, people())


def numbers_bundle(folder: Path) -> str:
    """The digest of a bundle over two numeric columns a and b, classes 0 and 1."""
    signature = Signature(
        task="binary",
        columns=(
            Column(name="a", kind="number", low=-3, high=3),
            Column(name="b", kind="number", nullable=False, low=-3, high=3),
        ),
        classes=(0, 1),
        positive=1,
    )
    variant = Variant(
        name="onnx",
        runtime="onnx",
        framework="onnx",
        file="model/model.onnx",
        inputs=(TensorInput(name="input", columns=("a", "b"), dtype="float32"),),
        output=GraphOutput(name="answer", form="positive"),
    )
    rng = np.random.default_rng(1)
    frame = {"a": rng.normal(size=200), "b": rng.normal(size=200)}
    return write_bundle(folder, signature, variant, numbers_graph(), frame)


def write_bundle(
    folder: Path, signature: Signature, variant: Variant, graph: bytes, frame: dict[str, Any]
) -> str:
    """The digest of a whole bundle written to ``folder``, golden rows included."""
    (folder / "model").mkdir(parents=True)
    (folder / variant.file).write_bytes(graph)
    assert variant.output is not None
    model = OnnxModel(graph, variant.inputs, variant.output, signature.classes)
    answers = model.predict(frame)
    few = {name: values[:16] for name, values in frame.items()}
    golden = Golden(
        columns={name: _plain(values) for name, values in few.items()},
        probabilities=None
        if answers.probabilities is None
        else answers.probabilities[:16].tolist(),
        values=None if answers.values is None else answers.values[:16].tolist(),
    )
    parts = {
        "signature.json": signature,
        "fingerprint.json": build(frame, signature, answers),
        "golden.json": golden,
        "variant.json": variant,
    }
    for name, part in parts.items():
        (folder / name).write_bytes(msgspec.json.encode(part))
    (folder / "requirements.lock").write_text("onnxruntime\n")
    return write_manifest(folder).digest


def store_bundle(bundles: Path, **options: Any) -> tuple[str, Path]:
    """The digest and folder of a people bundle kept as ``bundles/DIGEST``."""
    draft = bundles / f"draft-{len(list(bundles.glob('*'))) if bundles.is_dir() else 0}"
    digest = people_bundle(draft, **options)
    folder = draft.rename(bundles / digest)
    return digest, folder


def _plain(values: np.ndarray) -> list[Any]:
    return [None if value != value else value for value in values.tolist()]  # noqa: PLR0124 - NaN
