"""Networks of PyTorch as ONNX graphs: any number of rows, weights inside, equal bytes each time."""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np

from afterfit.core.bundle import GraphOutput, TensorInput
from afterfit.core.signature import Signature
from afterfit.errors import ModelError
from afterfit.models.convert import Converted
from afterfit.models.convert_words import plain
from afterfit.models.torch_outputs import TOLD, Activation, activation_of, first_output

__all__ = ["OPSET", "brief_cause", "example", "export", "is_script", "quiet"]

OPSET = 20
MOST_BYTES = (2 << 30) - (1 << 20)
"""A protobuf message ends at 2 GiB, and a bundle keeps a graph in one file."""

_ROWS = 3  # neither 0 nor 1, which exporters take for constants
_ROWS_TRIED = (1, 5, 256)


def export(
    module: Any,
    signature: Signature,
    inputs: Sequence[TensorInput],
    *,
    activation: Activation | None = None,
) -> Converted:
    """Return the network as an ONNX graph, or ``Converted(error=...)`` that says why there is none.

    ``module`` is an ``nn.Module`` (in eval mode), a ``ScriptModule`` or an ``ExportedProgram``.
    ``inputs`` say how its tensors are made of columns (`TorchNative.tensors`), in the order of
    ``forward``. ``activation`` is what makes probabilities of its answers: left out, it is found
    by asking the network. The first axis takes any number of rows; that is tried.
    """
    try:
        with quiet():
            return _exported(module, signature, tuple(inputs), activation)
    except Exception as error:  # noqa: BLE001 - exporters raise anything, and none of it is fatal
        return Converted(error=brief_cause(error))


def _exported(
    module: Any,
    signature: Signature,
    inputs: tuple[TensorInput, ...],
    activation: Activation | None,
) -> Converted:
    import torch

    runnable = module.module() if _is_program(module) else module
    if activation is None:
        with torch.inference_mode():
            activation = activation_of(_asker(runnable), inputs, signature.task)
    graph = _graph(module, inputs)
    _clean(graph)
    graph.graph.name = "network"
    width = _width(runnable, inputs)
    output = _finish(graph, activation, signature, width)
    named = tuple(
        msgspec.structs.replace(tensor, name=node.name)
        for tensor, node in zip(inputs, graph.graph.input, strict=True)
    )
    if graph.ByteSize() > MOST_BYTES:
        raise ModelError(
            f"its weights are {graph.ByteSize():,} bytes: a graph's file ends at 2 GB",
            fix="quantize or prune the network first",
        )
    data = graph.SerializeToString(deterministic=True)
    _require_any_rows(data, named)
    notes = (TOLD[activation],) if TOLD[activation] else ()
    return Converted(data=data, inputs=named, output=output, notes=notes)


def example(inputs: Sequence[TensorInput], rows: int = _ROWS) -> tuple[Any, ...]:
    """Return one tensor of zeros an input, of so many rows."""
    import torch

    return tuple(
        torch.zeros(_shape(tensor, rows), dtype=getattr(torch, tensor.dtype)) for tensor in inputs
    )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what exporters print and warn of away from people: what they raise says it all."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _shape(tensor: TensorInput, rows: int) -> tuple[int, ...]:
    if tensor.rank == 1:
        return (rows,)
    return (rows, *tensor.shape) if tensor.shape else (rows, len(tensor.columns))


def _is_program(module: Any) -> bool:
    return type(module).__name__ == "ExportedProgram"


def is_script(module: Any) -> bool:
    """Return whether a module is TorchScript, which holds code and no classes of Python."""
    return any(kind.__name__ == "ScriptModule" for kind in type(module).__mro__)


def _asker(module: Any) -> Any:
    import torch

    def ask(arrays: list[np.ndarray]) -> np.ndarray:
        answer = first_output(module(*(torch.from_numpy(array) for array in arrays)))
        found: np.ndarray = answer.numpy()
        return found

    return ask


def _graph(module: Any, inputs: tuple[TensorInput, ...]) -> Any:
    import torch

    if is_script(module):
        return _script_graph(module, inputs)
    program = module
    if not _is_program(module):
        rows = torch.export.Dim("rows")
        # By position and as one list: forward may name its inputs or take any number of them.
        program = torch.export.export(
            module, example(inputs), dynamic_shapes=tuple({0: rows} for _ in inputs)
        )
    _read_translations_once()
    made: Any = torch.onnx.export(program, dynamo=True, opset_version=OPSET, verbose=False)
    return made.model_proto


def _read_translations_once() -> None:
    """Keep how the exporter translates operators: it would read 500 functions anew each time.

    They are the same for every network, and half of the time that a small one takes. Where PyTorch
    has other internals than these, it goes on as it does by itself.
    """
    with contextlib.suppress(ImportError, AttributeError):
        from torch.onnx._internal.exporter import _registration

        apis: Any = _registration.onnxscript_apis  # type: ignore[attr-defined]
        if not hasattr(apis.get_torchlib_ops, "cache_info"):
            apis.get_torchlib_ops = functools.cache(apis.get_torchlib_ops)


def _script_graph(module: Any, inputs: tuple[TensorInput, ...]) -> Any:
    # torch.export does not read TorchScript; the exporter that does is kept for it alone.
    import onnx
    import torch

    names = [f"input_{index}" for index in range(len(inputs))]
    buffer: Any = io.BytesIO()
    torch.onnx.export(
        module,
        example(inputs),
        buffer,
        dynamo=False,
        opset_version=OPSET,
        input_names=names,
        output_names=["answer"],
        dynamic_axes={name: {0: "rows"} for name in [*names, "answer"]},
    )
    graph = onnx.load_model_from_string(buffer.getvalue())
    _renumber(graph.graph, {})
    return graph


def _renumber(graph: Any, names: dict[str, str]) -> None:
    """Name values by their order: this exporter's names hold a count of the whole process."""
    for value in [*graph.input, *graph.output]:
        names.setdefault(value.name, value.name)
    for initializer in graph.initializer:
        initializer.name = names.setdefault(initializer.name, f"v{len(names)}")
    for node in graph.node:
        node.name = ""
        node.input[:] = [names.setdefault(n, f"v{len(names)}") if n else "" for n in node.input]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _renumber(attribute.g, names)
        node.output[:] = [names.setdefault(n, f"v{len(names)}") if n else "" for n in node.output]
    del graph.value_info[:]


def _clean(model: Any) -> None:
    """Leave out what tells of the machine: stack traces, and who made it."""
    model.doc_string = ""
    del model.metadata_props[:]
    graphs = [model.graph, *model.functions]
    while graphs:
        graph = graphs.pop()
        graph.doc_string = ""
        del graph.metadata_props[:]
        for node in graph.node:
            node.doc_string = ""
            del node.metadata_props[:]
            graphs += [each.g for each in node.attribute if each.HasField("g")]
        values = [*graph.value_info, *graph.input, *graph.output]
        initializers = getattr(graph, "initializer", ())
        for value in [*(v for v in values if not isinstance(v, str)), *initializers]:
            value.doc_string = ""
            del value.metadata_props[:]


def _width(module: Any, inputs: tuple[TensorInput, ...]) -> int:
    """Return how many numbers the network answers a row."""
    import torch

    with torch.inference_mode():
        answer = first_output(module(*example(inputs)))
    return 1 if answer.ndim == 1 else int(answer.shape[1])


def _finish(model: Any, activation: Activation, signature: Signature, width: int) -> GraphOutput:
    """Return the graph's output, after adding what makes probabilities of it."""
    from onnx import TensorProto, helper

    regression = signature.task == "regression"
    classes = len(signature.classes)
    if (regression and width > 1) or (not regression and width not in {1, classes}):
        what = "a regression" if regression else f"{classes} classes"
        raise ModelError(
            f"the network answers {width} numbers a row for {what}",
            fix="name its classes in its order: --classes A B C",
        )
    answer = model.graph.output[0]
    name = answer.name
    if activation != "none":
        operator = "Softmax" if activation == "softmax" else "Sigmoid"
        attributes: dict[str, Any] = {"axis": -1} if activation == "softmax" else {}
        name = "probabilities"
        model.graph.node.append(helper.make_node(operator, [answer.name], [name], **attributes))
    kind = answer.type.tensor_type.elem_type or TensorProto.FLOAT
    flat = len(answer.type.tensor_type.shape.dim) == 1
    shape: list[str | int | None] = ["rows"] if flat else ["rows", width]
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info(name, kind, shape))
    if regression:
        return GraphOutput(name=name, form="value")
    return GraphOutput(name=name, form="matrix" if width > 1 else "positive")


def _require_any_rows(data: bytes, inputs: tuple[TensorInput, ...]) -> None:
    """Do nothing where the graph runs with 1, 5 and 256 rows; raises ModelError."""
    from afterfit.runtime.onnx import onnx_session

    session = onnx_session(data)
    for rows in _ROWS_TRIED:
        feeds = {t.name: np.zeros(_shape(t, rows), t.dtype) for t in inputs}
        answer = session.run(None, feeds)[0]
        if len(answer) != rows:
            raise ModelError(
                f"the graph answers {len(answer)} rows for {rows}",
                fix="let the network keep the first axis: one answer for each row",
            )


def brief_cause(error: BaseException) -> str:
    """Return in a line what went wrong first: exporters wrap it in advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    return plain(error)
