"""Rows of a model on a server of the Open Inference Protocol, version 2."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from afterfit.core.wire.client import Client, Exchange, Sent
from afterfit.core.wire.documents import (
    ModelMetadata,
    UnreadableError,
    answer_of,
)
from afterfit.core.wire.material import Material
from afterfit.core.wire.model import JSON_TYPE, described_model, rows_taken
from afterfit.core.wire.tensors import FLOATS, INTEGERS, RAW_ONLY, Tensor
from afterfit.errors import InputError
from afterfit.robustness.endpoint.config import EndpointConfig
from afterfit.robustness.endpoint.fields import ABSENT, Field, Kind, written


class Oip:
    """The protocol as one model speaks it; a row has a list of values for each input."""

    protocol: str = "Open Inference Protocol v2"
    holder: str = "inputs"

    def __init__(self, route: str, metadata: ModelMetadata, material: Material) -> None:
        self.route = route
        self.metadata = metadata
        self.material = material
        self.batched = material.batched
        self.tensors = {tensor.name: tensor for tensor in material.tensors(1)}
        self.fields = tuple(_fields(self.tensors.values()))
        model_ready = f"{route.removesuffix('/infer')}/ready"
        self.ready: tuple[str, ...] = (model_ready,)
        self.missing = "/v2/models/afterfit-no-such-model/infer"

    def rows(self, count: int, start: int = 0) -> list[Any]:
        """Return rows: of each input its values."""
        made = [self.material.tensors(1, row) for row in range(start, start + count)]
        return [{tensor.name: list(tensor.values) for tensor in row} for row in made]

    def document(self, rows: Sequence[Any]) -> Any:
        """Return a request; an input that the model does not have goes along as FP64."""
        names = dict.fromkeys(name for row in rows for name in row) if rows else self.tensors
        return {"inputs": [self._input(name, rows) for name in names]}

    def misshapen(self, rows: Sequence[Any]) -> Any:
        """Return a request whose first input has a dimension too many."""
        document = self.document(rows)
        first = document["inputs"][0]
        first["shape"] = [*first["shape"], 2]
        first["data"] = first["data"] * 2
        return document

    def names(self, field: Field) -> list[str]:
        """Return the input's name, and its place in the request."""
        place = list(self.tensors).index(field.name)
        return [field.name, f"inputs[{place}]", f"inputs/{place}", f"inputs.{place}"]

    def extra(self, row: Any) -> Any:
        """Return the row with an input that the model does not have."""
        return {**row, ABSENT: [1.0]}

    def answers(self, exchange: Exchange, rows: int) -> list[Any]:
        """Return the outputs of each row by their names; raises UnreadableError."""
        outputs = answer_of(exchange).outputs
        if not self.batched:
            return [{output.name: list(output.values) for output in outputs}]
        found: list[dict[str, list[Any]]] = [{} for _ in range(rows)]
        for output in outputs:
            if not output.shape or output.shape[0] != rows:
                raise UnreadableError(
                    f"the output {output.name} has the shape {list(output.shape)} for {rows} rows"
                )
            width = len(output.values) // rows if rows else 0
            for row, answer in enumerate(found):
                answer[output.name] = list(output.values[row * width : (row + 1) * width])
        return found

    def _input(self, name: str, rows: Sequence[Any]) -> dict[str, Any]:
        values = [value for row in rows for value in row[name]]
        tensor = self.tensors.get(name)
        if tensor is None:
            return {"name": name, "shape": [len(rows)], "datatype": "FP64", "data": values}
        shape = [len(rows), *tensor.shape[1:]] if self.batched else list(tensor.shape)
        return {"name": name, "shape": shape, "datatype": tensor.datatype, "data": values}


def oip(client: Client, url: str, config: EndpointConfig) -> Oip:
    """Return the protocol as the model speaks it, with rows that it takes.

    Raises NotFoundError for a model that the server does not have, InputError where no made-up row
    is taken, NoAnswerError.
    """
    path, metadata = described_model(client, url, config.model, config.version)
    if any(meta.datatype in RAW_ONLY for meta in (*metadata.inputs, *metadata.outputs)):
        raise InputError(
            "the model takes or gives half-precision numbers, which have no form in JSON",
            where=path,
            fix=f"afterfit conform {url}   # which sends raw bytes",
        )
    route = f"{path}/infer"

    def written_rows(material: Material, rows: int) -> Sent:
        made = Oip(route, metadata, material)
        return Sent("POST", route, JSON_TYPE, written(made.document(made.rows(rows))))

    material = rows_taken(
        client, route, metadata, written_rows, example=config.example, seed=config.seed
    )
    return Oip(route, metadata, material)


def _fields(tensors: Iterable[Tensor]) -> Iterable[Field]:
    for tensor in tensors:
        kind = _kind(tensor)
        if kind is None:
            continue
        values = [value for value in tensor.values if isinstance(value, int | float)]
        known = kind in {"number", "integer"} and values
        yield Field(
            name=tensor.name,
            path=(tensor.name, 0),
            kind=kind,
            required=True,
            low=float(min(values)) if known else None,
            high=float(max(values)) if known else None,
        )


def _kind(tensor: Tensor) -> Kind | None:
    if not tensor.values or not math.prod(tensor.shape):
        return None
    if tensor.datatype in FLOATS:
        return "number"
    if tensor.datatype in INTEGERS:
        return "integer"
    return "boolean" if tensor.datatype == "BOOL" else "text"


__all__ = ["JSON_TYPE", "Oip", "oip"]
