"""Predictions of a batch, and of each request in it, in the forms that answers are written in."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

import msgspec

from afterfit.core.frame import Predictions
from afterfit.core.signature import Label, Signature

__all__ = ["Answer", "BatchAnswer", "Served", "word"]

T = TypeVar("T")
_encoder = msgspec.json.Encoder()


class Served:
    """What an answer says of the model: its name, number, digest, signature and class names."""

    def __init__(self, name: str, version: int, digest: str, signature: Signature) -> None:
        self.name = name
        self.version = version
        self.digest = digest
        self.signature = signature
        self.likeliest = signature.decides_by_likeliest
        self.words = tuple(word(label) for label in signature.classes)
        self.label_json = tuple(_encoder.encode(label) for label in signature.classes)
        self.label_text_json = tuple(_encoder.encode(str(label)) for label in signature.classes)
        self._parts: dict[Any, Any] = {}

    def part(self, make: Callable[[Any], T]) -> T:
        """Return what ``make`` makes of this model, made once: a protocol's reader, a writer."""
        found = self._parts.get(make)
        if found is None:
            found = self._parts[make] = make(self)
        made: T = found
        return made

    @property
    def key(self) -> tuple[str, int, str]:
        """The (name, version, digest) that counters and events carry."""
        return (self.name, self.version, self.digest)


class BatchAnswer:
    """The predictions of rows that ran together; ``ids`` are their event ids."""

    def __init__(self, model: Served, predictions: Predictions, ids: list[str]) -> None:
        self.model = model
        self.predictions = predictions
        self.ids = ids
        if predictions.values is not None:
            self.codes: list[int] = []
        elif model.likeliest and predictions.probabilities is not None:
            self.codes = predictions.probabilities.argmax(axis=1).tolist()
        else:
            self.codes = model.signature.codes(predictions).tolist()

    @cached_property
    def numbers_json(self) -> list[bytes]:
        """The JSON of each row's value, or of its probabilities as an array."""
        lines: bytes = _encoder.encode_lines(self.predictions.main.tolist())
        return lines.split(b"\n")


class Answer:
    """The predictions of one request: rows ``start`` to ``stop`` of a batch."""

    __slots__ = ("batch", "start", "stop")

    def __init__(self, batch: BatchAnswer, start: int = 0, stop: int | None = None) -> None:
        self.batch = batch
        self.start = start
        self.stop = len(batch.ids) if stop is None else stop

    @property
    def model(self) -> Served:
        """The model that answered."""
        return self.batch.model

    @property
    def ids(self) -> list[str]:
        """The event id of each row."""
        return self.batch.ids[self.start : self.stop]

    @property
    def predictions(self) -> Predictions:
        """The predictions of this request's rows."""
        return self.batch.predictions.take(slice(self.start, self.stop))

    @property
    def codes(self) -> list[int]:
        """The decided class of each row; empty for a regression."""
        return self.batch.codes[self.start : self.stop]

    @property
    def labels(self) -> list[Label]:
        """The decided class of each row, in the user's words."""
        classes = self.model.signature.classes
        return [classes[code] for code in self.codes]

    def document(self) -> dict[str, Any]:
        """Return the answer to ``POST /predict`` as plain values."""
        name, version, digest = self.model.key
        return {"model": name, "version": version, "digest": digest, "predictions": self.rows()}

    def rows(self) -> list[dict[str, Any]]:
        """Return ``{id, value}`` or ``{id, label, probabilities}`` for each row."""
        predictions = self.predictions
        if predictions.values is not None:
            values = predictions.values.tolist()
            return [{"id": i, "value": v} for i, v in zip(self.ids, values, strict=True)]
        labelled = zip(self.ids, self.labels, strict=True)
        if predictions.probabilities is None:
            return [{"id": i, "label": label} for i, label in labelled]
        words = self.model.words
        return [
            {"id": i, "label": label, "probabilities": dict(zip(words, chances, strict=True))}
            for (i, label), chances in zip(
                labelled, predictions.probabilities.tolist(), strict=True
            )
        ]


def word(label: Label) -> str:
    """Return a class as the key of a JSON object: ``true`` for True, its text for any other."""
    if isinstance(label, bool):
        return "true" if label else "false"
    return str(label)
