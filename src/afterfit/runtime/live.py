"""The models that serve now, and what becomes of a request for one of them, events included."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from afterfit.core.event import new_ids
from afterfit.core.frame import Frame, Predictions, join, row_count, take
from afterfit.errors import AfterfitError, InputError
from afterfit.runtime.answers import Answer, BatchAnswer, Served
from afterfit.runtime.batch import Batcher, BatchSettings, Outcome, Part, Work
from afterfit.runtime.columns import FieldError, Problem
from afterfit.runtime.decode import Decoder, Limits, Rows
from afterfit.runtime.journal import Block, Journal, refusal
from afterfit.runtime.log import log_line
from afterfit.runtime.messages import Reply, Response
from afterfit.runtime.metrics import Metrics
from afterfit.runtime.predict import Predictor
from afterfit.runtime.problems import HttpError, defect_response, error_response
from afterfit.runtime.rows import Parsed, RowReader
from afterfit.runtime.tracing import Tracer

__all__ = ["LiveModel", "Service"]

T = TypeVar("T")
add = np.add
WARM_ROWS = (1, 8, 64, 256)
WARM_REPEATS = 5
WARM_SECONDS = 0.3


class LiveModel(Served):
    """A loaded bundle under its name and number; ``in_flight`` counts the requests inside."""

    def __init__(
        self, name: str, version: int, predictor: Predictor, limits: Limits | None = None
    ) -> None:
        super().__init__(name, version, predictor.digest, predictor.signature)
        self.predictor = predictor
        self.decoder = Decoder(predictor.signature, limits)
        self.reader = RowReader(predictor.signature, self.decoder.limits)
        self.batcher: Batcher | None = None
        self.in_flight = 0
        self._parts: dict[Any, Any] = {}

    def part(self, make: Callable[[LiveModel], T]) -> T:
        """Return what ``make`` makes of this model, made once: a protocol's reader, a writer."""
        found = self._parts.get(make)
        if found is None:
            found = self._parts[make] = make(self)
        made: T = found
        return made

    def infer(self, works: list[Work]) -> Outcome:
        """Return what became of the requests; one that the model cannot take fails alone."""
        outcome = Outcome(began=time.perf_counter())
        frame = self._frame(works, outcome)
        outcome.framed = time.perf_counter()
        if frame is not None:
            self._run(works, frame, outcome)
        outcome.ended = time.perf_counter()
        return outcome

    def measure(self, frame: Frame, learn: Callable[[int, float], None]) -> None:
        """Run the rows at several sizes, for at most 0.3 s, and tell how long each took."""
        n = row_count(frame)
        until = time.perf_counter() + WARM_SECONDS
        for size in WARM_ROWS if n else ():
            rows = take(frame, np.arange(size) % n)
            for _ in range(WARM_REPEATS):
                began = time.perf_counter()
                self.predictor.predict(rows)
                ended = time.perf_counter()
                learn(size, ended - began)
                if ended > until:
                    return

    def _frame(self, works: list[Work], outcome: Outcome) -> Frame | None:
        """Return the rows of all requests; those that turn out wrong leave ``works``."""
        plain = [row for work in works if work.frame is None for row in work.parsed.rows or ()]
        if plain and all(work.frame is None for work in works):
            frame = self.reader.frame(plain)
            if frame is not None:
                return frame
        for work in list(works):
            if work.frame is None:
                try:
                    work.frame = self._one_frame(work.parsed)
                except Exception as error:  # noqa: BLE001 - it is answered as its kind asks
                    outcome.failed.append((work, error))
                    works.remove(work)
        return join([work.frame for work in works if work.frame is not None]) if works else None

    def _one_frame(self, parsed: Parsed) -> Frame:
        frame = self.reader.frame(parsed.rows or ())
        if frame is None and parsed.strict is not None:
            frame = parsed.strict()
        if frame is None:
            raise InputError("the rows do not fit the signature")
        return frame

    def _run(self, works: list[Work], frame: Frame, outcome: Outcome) -> None:
        try:
            predictions = self.predictor.predict(frame)
            _check_answers(predictions, row_count(frame))
        except Exception as error:  # noqa: BLE001 - whatever a model raises fails its rows only
            if len(works) == 1:
                outcome.failed.append((works[0], error))
                return
            middle = len(works) // 2
            split = sum(work.parsed.size for work in works[:middle])
            self._run(works[:middle], take(frame, slice(0, split)), outcome)
            self._run(works[middle:], take(frame, slice(split, None)), outcome)
        else:
            outcome.parts.append(Part(works, frame, predictions))


class Service:
    """What a worker knows: its models, counters and journal."""

    def __init__(
        self, metrics: Metrics, journal: Journal | None, batching: BatchSettings | None = None
    ) -> None:
        self.metrics = metrics
        self.journal = journal
        self.batching = batching or BatchSettings()
        self.tracer: Tracer | None = None
        self.models: dict[str, LiveModel] = {}

    def submit(self, model: LiveModel, work: Work) -> Reply:
        """Return the promise of a request's answer."""
        model.in_flight += 1
        if work.request.grant is not None:
            work.request.grant.charge(work.parsed.size, time.time())
        return self.batcher(model).submit(work)

    def batcher(self, model: LiveModel) -> Batcher:
        """Return the model's queue, made when it is first asked for."""
        if model.batcher is None:
            model.batcher = Batcher(
                model.infer,
                lambda outcome: self._complete(model, outcome),
                lambda work, error: self._fail(model, work, error),
                self.batching,
            )
        return model.batcher

    def predict(self, model: LiveModel, rows: Rows, request_id: str) -> Answer:
        """Return the answer at once, on the calling thread; raises InputError."""
        began = time.perf_counter()
        predictions = model.predictor.predict(rows.frame)
        _check_answers(predictions, row_count(rows.frame))
        infer_us = int(1e6 * (time.perf_counter() - began))
        batch = BatchAnswer(model, predictions, new_ids(len(predictions)))
        counts = ([request_id], [len(batch.ids)], [0])
        self._note(model, batch, rows.frame, counts, rows.entities, infer_us)
        return Answer(batch)

    def refused(self, model: LiveModel | None, error: Exception, request_id: str) -> None:
        """Keep a refusal or a failure as an event."""
        if self.journal is None:
            return
        bad = isinstance(error, InputError) or (isinstance(error, HttpError) and error.status < 500)
        kind = "refused" if bad else "failed"
        message = error.message if isinstance(error, AfterfitError | HttpError) else "a defect"
        key = ("", 0, "") if model is None else model.key
        self.journal.put(refusal(kind, message, key, request_id))  # type: ignore[arg-type]

    def _complete(self, model: LiveModel, outcome: Outcome) -> None:
        for part in outcome.parts:
            self._answer(model, part, outcome)
        for work, error in outcome.failed:
            self._fail(model, work, error)

    def _answer(self, model: LiveModel, part: Part, outcome: Outcome) -> None:
        works, predictions = part.works, part.predictions
        batch = BatchAnswer(model, predictions, new_ids(len(predictions)))
        infer_us = int(1e6 * (outcome.ended - outcome.framed))
        waits = [int(1e6 * (outcome.began - work.submitted)) for work in works]
        counts = [work.parsed.size for work in works]
        ids = [work.request.id for work in works]
        self._note(model, batch, part.frame, (ids, counts, waits), _entities(works), infer_us)
        began, start = time.perf_counter(), 0
        responses = []
        for work in works:
            stop = start + work.parsed.size
            responses.append(self._finish(work, Answer(batch, start, stop)))
            start = stop
        ended = time.perf_counter()
        framing, encoding = 1000 * (outcome.framed - outcome.began), 1000 * (ended - began)
        shared = f"batch;dur={framing:.3f}, infer;dur={infer_us / 1000:.3f}, "
        shared += f"encode;dur={encoding:.3f}"
        for work, response in zip(works, responses, strict=True):
            self.metrics.request(work.route, response.status, ended - work.request.received)
        model.in_flight -= len(works)
        if self.tracer is not None:
            self._trace(self.tracer, model, list(zip(works, responses, strict=True)), outcome)
        for work, response, wait in zip(works, responses, waits, strict=True):
            parse = 1000 * (work.submitted - work.request.received)
            timing = f"parse;dur={parse:.3f}, queue;dur={wait / 1000:.3f}, {shared}"
            status, body, content_type, headers = response
            work.reply.set(
                Response(status, body, content_type, (*headers, ("server-timing", timing)))
            )

    def _trace(
        self,
        tracer: Tracer,
        model: LiveModel,
        answered: list[tuple[Work, Response]],
        outcome: Outcome,
    ) -> None:
        for work, response in answered:
            phases = (
                ("parse", work.request.received, work.submitted),
                ("queue", work.submitted, outcome.began),
                ("batch", outcome.began, outcome.framed),
                ("infer", outcome.framed, outcome.ended),
                ("encode", outcome.ended, time.perf_counter()),
            )
            tracer.answered(work.request, response, model.key, work.parsed.size, phases)

    def _finish(self, work: Work, answer: Answer) -> Response:
        try:
            return work.finish(answer)
        except Exception as error:  # noqa: BLE001 - one answer that cannot be written is one 4xx or 500
            return self._response(work, error)

    def _fail(self, model: LiveModel, work: Work, error: Exception) -> None:
        response = self._response(work, error)
        self.refused(model, error, work.request.id)
        spent = time.perf_counter() - work.request.received
        self.metrics.request(work.route, response.status, spent)
        model.in_flight -= 1
        if self.tracer is not None:
            waited = (("queue", work.submitted, time.perf_counter()),)
            self.tracer.answered(work.request, response, model.key, work.parsed.size, waited)
        work.reply.set(response)

    def _response(self, work: Work, error: Exception) -> Response:
        response = error_response(error, work.request.id)
        if response is None:
            trace = "".join(traceback.format_exception(error))
            log_line({"event": "error", "request_id": work.request.id, "trace": trace})
            response = defect_response(work.request.id)
        return response

    def _note(
        self,
        model: LiveModel,
        batch: BatchAnswer,
        frame: Frame,
        requests: tuple[list[str], list[int], list[int]],
        entities: list[str] | None,
        infer_us: int,
    ) -> None:
        """Count the rows and hand them to the journal, which tells what is unusual about them."""
        self.metrics.add("rows", len(batch.ids))
        if self.journal is None:
            return
        request_ids, counts, waits = requests
        self.journal.put(
            Block(
                model=model.key,
                decoder=model.decoder,
                fingerprint=model.predictor.fingerprint,
                frame=frame,
                predictions=batch.predictions,
                codes=batch.codes,
                ids=batch.ids,
                request_ids=request_ids,
                counts=counts,
                queue_us=waits,
                entities=entities,
                infer_us=infer_us,
            )
        )


def _entities(works: Sequence[Work]) -> list[str] | None:
    if all(work.parsed.entities is None for work in works):
        return None
    return [
        entity for work in works for entity in (work.parsed.entities or [""] * work.parsed.size)
    ]


def _check_answers(predictions: Predictions, rows: int) -> None:
    """Raise FieldError for rows without a finite answer: JSON has no word for it."""
    main = predictions.main
    if len(main) != rows:
        raise RuntimeError(f"the model gave {len(main)} answers for {rows} rows")
    # A sum is finite only if every part of it is; a sum that overflows is looked at closely.
    if main.dtype.kind != "f" or math.isfinite(add.reduce(main, axis=None)):
        return
    if np.isfinite(main).all():
        return
    bad = np.flatnonzero(~np.isfinite(main).reshape(len(main), -1).all(axis=1))
    message = "the model has no finite answer for this row"
    raise FieldError([Problem(f"$.rows[{row}]", message) for row in bad.tolist()])
