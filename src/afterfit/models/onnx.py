"""ONNX models, whoever exported them, run by ONNX Runtime."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from afterfit.core.bundle import GraphOutput, TensorInput
from afterfit.core.dataset import to_label
from afterfit.core.frame import Frame, Predictions, row_count
from afterfit.core.model import ModelDescription
from afterfit.core.signature import Label, Task
from afterfit.errors import InputError, ModelError, first_line
from afterfit.models.native import Hints, NativeModel, Source
from afterfit.models.protobuf import onnx_facts
from afterfit.models.tables import chosen_features
from afterfit.models.torch_outputs import TOLD

__all__ = ["Adapter", "OnnxNative", "graph_form"]

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(bool)": "bool",
    "tensor(string)": "string",
}
_FLOATS = frozenset({"tensor(float)", "tensor(double)"})
_LABELS = frozenset({"tensor(int64)", "tensor(string)", "tensor(int32)"})


class Adapter:
    """Loads ``.onnx`` files, and ModelProto objects and their bytes in memory."""

    name = "onnx"
    formats = frozenset({"onnx"})
    order = 10

    def owns(self, estimator: object) -> bool:
        """Return whether the object is an ``onnx.ModelProto`` or bytes, which can only be one."""
        return type(estimator).__name__ == "ModelProto" or isinstance(estimator, bytes)

    def load(self, source: Source) -> NativeModel:
        """Return the model of a graph's file."""
        return OnnxNative(source.read(), source.hints)

    def wrap(self, estimator: Any, hints: Hints) -> NativeModel:
        """Return the model around a graph in memory."""
        data = estimator if isinstance(estimator, bytes) else estimator.SerializeToString()
        return OnnxNative(data, hints)

    def save_object(self, model: Any, folder: Path) -> tuple[Path, str]:
        """Return the file that holds a graph, and its format."""
        path = folder / "model.onnx"
        path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
        return path, "onnx"


class OnnxNative:
    """A graph behind Afterfit's interface; ``estimator`` is its bytes."""

    def __init__(self, data: bytes, hints: Hints) -> None:
        from afterfit.runtime.onnx import OnnxModel

        _require_whole(data)
        self.estimator = data
        self._hints = hints
        session = _session(data)
        self._inputs = session.get_inputs()
        _require_dynamic(self._inputs)
        labels = _class_labels(data)
        self._label = _label_beside(session.get_outputs())
        self.output = _output(session.get_outputs(), labels, hints)
        if hints.own_labels and self._label:
            self.output = msgspec.structs.replace(self.output, label=self._label)
        self._width = _width(self._inputs)
        classes = hints.classes or labels or _positions(session, self.output)
        task = _task(self.output, classes, hints)
        self._classes: tuple[Label, ...] = () if task == "regression" else classes
        if not labels and not self._label:
            self.output = self._scored(task)
        self._model: OnnxModel | None = None
        self._order: tuple[str, ...] = ()
        self.description = self._describe(task)

    def _scored(self, task: Task) -> GraphOutput:
        """Return the output, read as scores where it is no distribution whatever goes in."""
        from afterfit.models.torch_outputs import activation_of

        if self.output.form not in {"matrix", "positive"} or self._width is None:
            return self.output
        tensors = self.tensors(tuple(f"x{index}" for index in range(self._width)))
        if any(tensor.dtype == "string" for tensor in tensors):
            return self.output
        session, name = _session(self.estimator), self.output.name
        try:
            found = activation_of(
                lambda arrays: session.run(
                    [name], {t.name: each for t, each in zip(tensors, arrays, strict=True)}
                )[0],
                tensors,
                task,
            )
        except Exception:  # noqa: BLE001 - the graph refuses made-up rows; real ones come later
            return self.output
        form: Any = {"softmax": "scores", "sigmoid": "score"}.get(found, self.output.form)
        return msgspec.structs.replace(self.output, form=form)

    def _describe(self, task: Task) -> ModelDescription:
        import onnxruntime

        told = {"scores": TOLD["softmax"], "score": TOLD["sigmoid"]}.get(self.output.form)

        named = self._named()
        return ModelDescription(
            framework="onnx",
            estimator="ModelProto",
            task=task,
            features=named or self._hints.features or None,
            n_features=len(named) or self._width,
            classes=self._classes,
            probabilities=task != "regression" and self.output.form != "label",
            steps=(told,) if told else (),
            installed={"onnxruntime": onnxruntime.__version__},
        )

    def _named(self) -> tuple[str, ...]:
        return tuple(node.name for node in self._inputs) if len(self._inputs) > 1 else ()

    def tensors(self, features: tuple[str, ...]) -> tuple[TensorInput, ...]:
        """Return how the graph's inputs are made of these columns."""
        if len(self._inputs) > 1:
            pairs = zip(self._inputs, features, strict=True)
            return tuple(_tensor(node, (name,)) for node, name in pairs)
        return (_tensor(self._inputs[0], features),)

    def predict(self, frame: Frame) -> Predictions:
        """Return the graph's answers for n rows; raises InputError."""
        from afterfit.runtime.onnx import OnnxModel

        if row_count(frame) == 0:
            raise InputError("no rows to predict", fix="give at least one row")
        features = self._features(frame)
        if self._model is None or self._order != features:
            self._order = features
            self._model = OnnxModel(
                self.estimator, self.tensors(features), self.output, self._classes
            )
        return self._model.predict(frame)

    def decide(self, frame: Frame) -> np.ndarray | None:
        """Return the classes that the graph itself decides for; None where it gives no labels."""
        from afterfit.runtime.onnx import OnnxModel

        if not self._label or not self.description.probabilities:
            return None
        output = GraphOutput(name=self._label, form="label")
        tensors = self.tensors(self._features(frame))
        return OnnxModel(self.estimator, tensors, output, self._classes).predict(frame).codes

    def _features(self, frame: Frame) -> tuple[str, ...]:
        expected = self.description.n_features
        return chosen_features(frame, self._named(), self._hints.features, expected)

    def save(self, path: Path) -> None:
        """Write the graph to an ``.onnx`` file."""
        path.write_bytes(self.estimator)


def graph_form(native: OnnxNative, features: list[str]) -> dict[str, Any]:
    """Return ``inputs`` and ``output`` of the graph, for the variant that runs it."""
    return {"inputs": list(native.tensors(tuple(features))), "output": native.output}


def _require_whole(data: bytes) -> None:
    """Do nothing where all weights are in the graph; raises ModelError.

    ONNX Runtime would look for those of a graph in memory in the working directory.
    """
    outside = onnx_facts(memoryview(data)).locations if b"location" in data else ()
    if outside:
        raise ModelError(
            "the graph keeps weights in other files",
            why=f"{', '.join(sorted(outside))}: what is there decides the answers, and no digest "
            "covers it",
            fix="load it whole: onnx.load(PATH) reads the weights too",
        )


def _session(data: bytes) -> Any:
    import onnxruntime

    from afterfit.runtime.onnx import session_options

    try:
        return onnxruntime.InferenceSession(
            data, sess_options=session_options(), providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # noqa: BLE001  # its errors have no common class
        raise ModelError(
            "ONNX Runtime cannot load the graph",
            why=first_line(error, 500),
            fix="export it as one file, with operators of the standard domains",
        ) from None


def _require_dynamic(inputs: list[Any]) -> None:
    for node in inputs:
        if node.type not in _DTYPES:
            raise ModelError(
                f"the input {node.name} is a {node.type}",
                why="tables give tensors",
                fix="export it with tensors of numbers or strings as inputs",
            )
        if not node.shape or isinstance(node.shape[0], int):
            raise ModelError(
                f"the input {node.name} has the fixed shape {node.shape}",
                why="a served model takes any number of rows: [n], [n, columns] or [n, 1, 8, 8]",
                fix="export it again with a dynamic first axis",
            )
        if len(node.shape) > 2 and not all(isinstance(size, int) for size in node.shape[1:]):
            raise ModelError(
                f"the input {node.name} has the shape {node.shape}",
                why="how many columns fill which of its axes is not written in the graph",
                fix="export it again with the first axis dynamic, and no other",
            )
        if len(inputs) > 1 and _columns(node) != 1 and node.shape[1:] != [None]:
            raise ModelError(
                f"the input {node.name} takes {_columns(node)} columns beside other inputs",
                why="which columns belong to it is not written in the graph",
                fix="export it with one input, or with one input for each column",
            )


def _columns(node: Any) -> int | None:
    """Return how many columns fill an input; None where any number does."""
    if len(node.shape) == 2 and not isinstance(node.shape[1], int):
        return None
    return int(math.prod(node.shape[1:]))


def _tensor(node: Any, columns: tuple[str, ...]) -> TensorInput:
    rank: Any = min(2, len(node.shape))
    dtype: Any = _DTYPES[node.type]
    shape = tuple(node.shape[1:]) if len(node.shape) > 2 else msgspec.UNSET
    return TensorInput(name=node.name, columns=columns, dtype=dtype, rank=rank, shape=shape)


def _width(inputs: list[Any]) -> int | None:
    if len(inputs) > 1:
        return len(inputs)
    return _columns(inputs[0])


def _output(outputs: list[Any], labels: tuple[Label, ...], hints: Hints) -> GraphOutput:
    maps = [node for node in outputs if node.type.startswith("seq(map(")]
    if maps:
        return GraphOutput(name=maps[0].name, form="zipmap")
    floats = [node for node in outputs if node.type in _FLOATS]
    floats.sort(key=lambda node: "prob" not in node.name.lower())
    label = next((node for node in outputs if node.type in _LABELS), None)
    if not floats:
        if label is None:
            raise ModelError(
                "the graph has no output that is a tensor of numbers or labels",
                fix="export it with a probability, label or number as output",
            )
        return GraphOutput(name=label.name, form="label")
    shape = floats[0].shape
    wide = len(shape) == 2 and shape[1] != 1
    if wide and (not isinstance(shape[1], str | None) or label is not None or labels):
        return GraphOutput(name=floats[0].name, form="matrix")
    classifies = label is not None or (hints.task or "regression") != "regression"
    return GraphOutput(name=floats[0].name, form="positive" if classifies else "value")


def _label_beside(outputs: list[Any]) -> str:
    """Return the output of a label a row, beside others; empty where there is none."""
    labels = [n.name for n in outputs if n.type in _LABELS and n.shape[1:] in ([], [1])]
    return labels[0] if labels and len(outputs) > 1 else ""


def _task(output: GraphOutput, classes: tuple[Label, ...], hints: Hints) -> Task:
    if output.form == "value":
        return "regression"
    if hints.task is not None and hints.task != "regression":
        return hints.task
    return "binary" if len(classes) == 2 else "multiclass"


def _class_labels(data: bytes) -> tuple[Label, ...]:
    """Return the labels that a classifier's node or a ZipMap carries."""
    import onnx

    model = onnx.load_model_from_string(data)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name.startswith("classlabels_"):
                values = attribute.strings or attribute.ints
                decoded = [v.decode() if isinstance(v, bytes) else int(v) for v in values]
                if len(decoded) > 1:
                    return tuple(to_label(value) for value in decoded)
    return ()


def _positions(session: Any, output: GraphOutput) -> tuple[Label, ...]:
    if output.form == "positive":
        return (0, 1)
    if output.form == "value":
        return ()
    node = next(each for each in session.get_outputs() if each.name == output.name)
    last = node.shape[-1] if node.shape else None
    width = last if isinstance(last, int) else _probe_width(session, output)
    return tuple(range(width))


def _probe_width(session: Any, output: GraphOutput) -> int:
    feeds = {}
    for node in session.get_inputs():
        dtype: Any = {"string": object}.get(_DTYPES[node.type], _DTYPES[node.type])
        shape = [size if isinstance(size, int) else 1 for size in node.shape]
        feeds[node.name] = np.zeros(shape, dtype=dtype)
    try:
        answer = np.asarray(session.run([output.name], feeds)[0])
    except Exception as error:  # noqa: BLE001  # as above
        raise ModelError(
            "the graph does not tell how many classes it has",
            why=first_line(error),
            fix="set the classes in afterfit.toml",
        ) from None
    return int(answer.shape[-1]) if answer.ndim == 2 else 2
