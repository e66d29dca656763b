"""The models that serve now, and one prediction through one of them, events included."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import numpy as np

from afterfit.core.event import new_ids
from afterfit.core.frame import Predictions
from afterfit.core.signature import Label
from afterfit.errors import InputError
from afterfit.runtime.batch import DirectDispatcher, Dispatcher
from afterfit.runtime.columns import FieldError, Problem
from afterfit.runtime.decode import Decoder, Limits, Rows
from afterfit.runtime.journal import Journal, Served
from afterfit.runtime.metrics import FLAGS, Metrics
from afterfit.runtime.predict import Predictor

__all__ = ["Answer", "LiveModel", "Service", "word"]

T = TypeVar("T")


class LiveModel:
    """A loaded bundle under its name and number; ``in_flight`` counts the requests inside."""

    def __init__(
        self, name: str, version: int, predictor: Predictor, limits: Limits | None = None
    ) -> None:
        self.name = name
        self.version = version
        self.predictor = predictor
        self.decoder = Decoder(predictor.signature, limits)
        self.words = tuple(word(label) for label in predictor.signature.classes)
        self.in_flight = 0

    @property
    def key(self) -> tuple[str, int, str]:
        """The (name, version, digest) that counters and events carry."""
        return (self.name, self.version, self.predictor.digest)


class Answer:
    """The predictions of one request, ready to be written in the form that was asked for."""

    __slots__ = ("codes", "ids", "model", "predictions")

    def __init__(self, model: LiveModel, predictions: Predictions, ids: list[str]) -> None:
        self.model = model
        self.predictions = predictions
        self.ids = ids
        signature = model.predictor.signature
        regression = predictions.values is not None
        self.codes: list[int] = [] if regression else signature.codes(predictions).tolist()

    @property
    def labels(self) -> list[Label]:
        """The decided class of each row, in the user's words."""
        classes = self.model.predictor.signature.classes
        return [classes[code] for code in self.codes]

    def document(self) -> dict[str, Any]:
        """Return the answer to ``POST /predict`` as plain values."""
        name, version, digest = self.model.key
        return {"model": name, "version": version, "digest": digest, "predictions": self.rows()}

    def rows(self) -> list[dict[str, Any]]:
        """Return ``{id, value}`` or ``{id, label, probabilities}`` for each row."""
        if self.predictions.values is not None:
            values = self.predictions.values.tolist()
            return [{"id": i, "value": v} for i, v in zip(self.ids, values, strict=True)]
        labelled = zip(self.ids, self.labels, strict=True)
        if self.predictions.probabilities is None:
            return [{"id": i, "label": label} for i, label in labelled]
        words = self.model.words
        return [
            {"id": i, "label": label, "probabilities": dict(zip(words, chances, strict=True))}
            for (i, label), chances in zip(
                labelled, self.predictions.probabilities.tolist(), strict=True
            )
        ]


class Service:
    """What a worker knows: its models, counters, journal and dispatcher."""

    def __init__(
        self, metrics: Metrics, journal: Journal | None, dispatcher: Dispatcher | None = None
    ) -> None:
        self.metrics = metrics
        self.journal = journal
        self.dispatcher = dispatcher or DirectDispatcher()
        self.models: dict[str, LiveModel] = {}

    def predict(
        self, model: LiveModel, rows: Rows, request_id: str, finish: Callable[[Answer], T]
    ) -> T | Awaitable[T]:
        """Return ``finish(answer)`` for the rows, or a promise of it; raises InputError."""
        started = time.perf_counter_ns()
        result = self.dispatcher.predict(model.predictor, rows.frame)
        if isinstance(result, Predictions):
            return finish(self._complete(model, rows, request_id, result, started))
        return self._later(model, rows, request_id, result, finish)

    async def _later(
        self,
        model: LiveModel,
        rows: Rows,
        request_id: str,
        result: Awaitable[Predictions],
        finish: Callable[[Answer], T],
    ) -> T:
        started = time.perf_counter_ns()
        model.in_flight += 1
        try:
            predictions = await result
            return finish(self._complete(model, rows, request_id, predictions, started))
        finally:
            model.in_flight -= 1

    def _complete(
        self, model: LiveModel, rows: Rows, request_id: str, predictions: Predictions, started: int
    ) -> Answer:
        _check_finite(predictions)
        infer_us = (time.perf_counter_ns() - started) // 1000
        ids = new_ids(len(predictions))
        flags = model.decoder.flags(rows.frame)
        self.metrics.add("rows", len(ids))
        for name in FLAGS:
            count = int(flags.masks[name].sum())
            if count:
                self.metrics.add(f"flag/{name}", count)
        if self.journal is not None:
            name, version, digest = model.key
            self.journal.put(
                Served(
                    model=name,
                    version=version,
                    digest=digest,
                    signature=model.predictor.signature,
                    fingerprint=model.predictor.fingerprint,
                    frame=rows.frame,
                    predictions=predictions,
                    flags=flags,
                    ids=ids,
                    request_id=request_id,
                    entities=rows.entities,
                    infer_us=infer_us,
                )
            )
        return Answer(model, predictions, ids)


def word(label: Label) -> str:
    """Return a class as the key of a JSON object: ``true`` for True, its text for any other."""
    if isinstance(label, bool):
        return "true" if label else "false"
    return str(label)


def _check_finite(predictions: Predictions) -> None:
    """Raise FieldError for rows without a finite answer: JSON has no word for it."""
    main = predictions.main
    if main.dtype.kind != "f" or np.isfinite(main).all():
        return
    bad = np.flatnonzero(~np.isfinite(main).reshape(len(main), -1).all(axis=1))
    message = "the model has no finite answer for this row"
    raise FieldError([Problem(f"$.rows[{row}]", message) for row in bad.tolist()])


def answer_error(error: InputError) -> dict[str, Any]:
    """Return the body of a 422: ``error`` and, where known, the path and message of each field."""
    body: dict[str, Any] = {"error": _one_line(error)}
    if isinstance(error, FieldError):
        body["fields"] = [{"path": p.path, "message": p.message} for p in error.problems]
    return body


def _one_line(error: InputError) -> str:
    return f"{error.message} ({error.why})" if error.why else error.message
