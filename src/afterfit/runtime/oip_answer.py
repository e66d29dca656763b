"""Answers of the Open Inference Protocol: JSON written straight from the batch, or raw tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from afterfit.core.signature import Label, Signature
from afterfit.runtime.answers import Answer, Served
from afterfit.runtime.messages import Response, json_response
from afterfit.runtime.oip_binary import DTYPES, pack, pack_bytes
from afterfit.runtime.problems import ProtocolError

__all__ = ["InferWriter", "output_tensors"]

LABEL, PROBABILITIES, VALUE = "label", "probabilities", "value"
HEADER = "inference-header-content-length"


def output_tensors(signature: Signature) -> list[dict[str, Any]]:
    """Return name, datatype and shape of each output."""
    if signature.task == "regression":
        return [{"name": VALUE, "datatype": "FP64", "shape": [-1]}]
    label = {"name": LABEL, "datatype": label_datatype(signature.classes), "shape": [-1]}
    if not signature.probabilities:
        return [label]
    shape = [-1, len(signature.classes)]
    return [label, {"name": PROBABILITIES, "datatype": "FP64", "shape": shape}]


def label_datatype(classes: tuple[Label, ...]) -> str:
    """Return INT64 or BOOL where every class is one, else BYTES."""
    kinds = {type(label) for label in classes}
    return {frozenset({int}): "INT64", frozenset({bool}): "BOOL"}.get(frozenset(kinds), "BYTES")


class InferWriter:
    """Writes the answers of one model; what every answer has alike is made once.

    An answer that another model gave in its place is written by that model's own writer.
    """

    def __init__(self, model: Served) -> None:
        self._model = model
        self.tensors = {tensor["name"]: tensor for tensor in output_tensors(model.signature)}
        self.width = len(model.signature.classes)
        label = self.tensors.get(LABEL, {}).get("datatype")
        self._labels = model.label_text_json if label == "BYTES" else model.label_json
        name, version = msgspec.json.encode(model.name), msgspec.json.encode(str(model.version))
        self._begin = b'{"model_name":' + name + b',"model_version":' + version + b","
        self._heads = {
            name: b'{"name":"%b","datatype":"%b","shape":['
            % (name.encode(), tensor["datatype"].encode())
            for name, tensor in self.tensors.items()
        }
        self._chances = PROBABILITIES in self.tensors
        outputs = []
        for name, head in self._heads.items():
            shape = b"1,%d" % self.width if name == PROBABILITIES else b"1"
            outputs.append(head.replace(b"%", b"%%") + shape + b'],"data":[%b]}')
        begin = self._begin.replace(b"%", b"%%")
        self._one = begin + b'"outputs":[' + b",".join(outputs) + b"]}"

    def _row(self, answer: Answer) -> tuple[bytes, ...]:
        """Return the JSON of each output of an answer of one row, as ``_one`` wants it."""
        batch, row = answer.batch, answer.start
        if LABEL not in self.tensors:
            return (batch.numbers_json[row],)
        label = self._labels[batch.codes[row]]
        return (label, batch.numbers_json[row][1:-1]) if self._chances else (label,)

    def check(self, wanted: Sequence[str]) -> None:
        """Raise ProtocolError for an output that the model does not have."""
        for name in wanted:
            if name not in self.tensors:
                raise ProtocolError(
                    f"no output {name[:80]!r}", why=f"the outputs are {list(self.tensors)}"
                )

    def json(self, answer: Answer, wanted: Sequence[str] = (), request_id: str = "") -> Response:
        """Return the answer as JSON: all outputs, or the wanted ones in that order."""
        if answer.batch.model is not self._model:
            return answer.batch.model.part(InferWriter).json(answer, wanted, request_id)
        if answer.stop == answer.start + 1 and not wanted and not request_id:
            return Response(200, self._one % self._row(answer))
        outputs = b",".join([self._output(name, answer) for name in wanted or self.tensors])
        named = b'"id":' + msgspec.json.encode(request_id) + b"," if request_id else b""
        return Response(200, self._begin + named + b'"outputs":[' + outputs + b"]}")

    def writer(
        self, wanted: Sequence[str], binary: frozenset[str], request_id: str
    ) -> Callable[[Answer], Response]:
        """Return what writes an answer with the outputs asked for, the ``binary`` ones raw."""
        if binary:
            return lambda answer: self._mixed(
                answer, wanted or list(self.tensors), binary, request_id
            )
        return lambda answer: self.json(answer, wanted, request_id)

    def _output(self, name: str, answer: Answer) -> bytes:
        batch, start, stop = answer.batch, answer.start, answer.stop
        n = stop - start
        head = self._heads[name]
        if name == LABEL:
            labels = self._labels
            data = b",".join([labels[code] for code in batch.codes[start:stop]])
        elif name == PROBABILITIES:
            data = b",".join([row[1:-1] for row in batch.numbers_json[start:stop]])
            return b'%b%d,%d],"data":[%b]}' % (head, n, self.width, data)
        else:
            data = b",".join(batch.numbers_json[start:stop])
        return b'%b%d],"data":[%b]}' % (head, n, data)

    def _mixed(
        self, answer: Answer, wanted: Sequence[str], binary: frozenset[str], request_id: str
    ) -> Response:
        model = answer.model
        document: dict[str, Any] = {"model_name": model.name, "model_version": str(model.version)}
        if request_id:
            document["id"] = request_id
        parts, outputs = [], []
        for name in wanted:
            raw = self._raw(name, answer) if name in binary else None
            output = msgspec.json.decode(self._output(name, answer))
            if raw is not None:
                del output["data"]
                output["parameters"] = {"binary_data_size": len(raw)}
                parts.append(raw)
            outputs.append(output)
        head = json_response(200, {**document, "outputs": outputs}).body
        headers = ((HEADER, str(len(head))),)
        return Response(200, head + b"".join(parts), "application/octet-stream", headers)

    def _raw(self, name: str, answer: Answer) -> bytes:
        datatype = self.tensors[name]["datatype"]
        if name != LABEL:
            return pack(answer.predictions.main, datatype)
        if datatype in DTYPES:
            return pack(np.array(answer.labels), datatype)
        return pack_bytes([str(label) for label in answer.labels])
