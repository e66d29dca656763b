"""What becomes of a request for one of the models that serve, events included."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial

from afterfit.core.event import new_ids
from afterfit.core.frame import Frame, row_count
from afterfit.errors import AfterfitError, InputError
from afterfit.runtime.answers import Answer, BatchAnswer
from afterfit.runtime.away import Away
from afterfit.runtime.batch import Batcher, BatchSettings, Outcome, Part, Work
from afterfit.runtime.decode import Rows
from afterfit.runtime.endpoint import Endpoint
from afterfit.runtime.journal import Block, Journal, refusal
from afterfit.runtime.live_model import LiveModel, check_answers
from afterfit.runtime.messages import Reply, Request, Response
from afterfit.runtime.metrics import Metrics
from afterfit.runtime.problems import (
    BUSY,
    HttpError,
    busy_response,
    defect_response,
    error_response,
)
from afterfit.runtime.slots import Slot
from afterfit.runtime.tracing import Tracer
from afterfit.runtime.traffic import Choice, log_defect, phases, watched

__all__ = ["LiveModel", "Service"]


class Service:
    """What a worker knows: its models, counters and journal.

    ``document`` is what it serves, and ``slots`` tell which counters are whose.
    """

    def __init__(
        self, metrics: Metrics, journal: Journal | None, batching: BatchSettings | None = None
    ) -> None:
        self.metrics = metrics
        self.journal = journal
        self.batching = batching or BatchSettings()
        self.tracer: Tracer | None = None
        self.models: dict[str, LiveModel] = {}
        self.document = Endpoint(name="")
        self.slots: tuple[Slot, ...] = ()
        self.choice = Choice(self)

    def submit(self, model: LiveModel, work: Work, *, pinned: bool = False) -> Reply:
        """Return the promise of a request's answer; raises BusyError.

        One that is ``pinned`` asked for this very version; any other may go to the model's canary,
        or to its stand-in.
        """
        work.pinned = pinned
        if model.divided:
            model = self.choice.choose(model, work)
        model.in_flight += 1
        if work.request.grant is not None:
            work.request.grant.charge(work.parsed.size, time.time())
        return self.batcher(model).submit(work)

    def turn_away(self, model: LiveModel, request: Request) -> Response | None:
        """Return the refusal of a request where nobody can take more, else None.

        Under overload these must cost little, so nothing is raised and nothing is read before.
        """
        away = self.away(model)
        if away is None:
            return None
        away.note([request.id])
        return away.response

    def away(self, model: LiveModel) -> Away | None:
        """Return how requests are refused where nobody can take more, else None."""
        batcher = self.batcher(model)
        if not batcher.turns_away():
            return None

        def note(ids: list[str]) -> None:
            if self.journal is not None:
                self.journal.put(refusal("refused", BUSY, model.key, ids))

        return Away(busy_response(batcher.wait_seconds), note)

    def batcher(self, model: LiveModel) -> Batcher:
        """Return the model's queue, made when it is first asked for."""
        if model.batcher is None:
            model.batcher = Batcher(
                lambda works: watched(model, works),
                lambda outcome: self._complete(model, outcome),
                lambda work, error: self._fail(model, work, error),
                self.batching,
                lambda: self.choice.stand_in(model) is not None,
            )
        return model.batcher

    def predict(self, model: LiveModel, rows: Rows, request_id: str) -> Answer:
        """Return the answer at once, on the calling thread; raises InputError."""
        began = time.perf_counter()
        predictions = model.predictor.predict(rows.frame)
        check_answers(predictions, row_count(rows.frame))
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
        self.journal.put(refusal(kind, message, key, [request_id]))  # type: ignore[arg-type]

    def _complete(self, model: LiveModel, outcome: Outcome) -> None:
        for part in outcome.parts:
            self._answer(model, part, outcome)
        for work, error in outcome.failed:
            self._fail(model, work, error)
        # An error leads to the frames it passed, and those to this outcome: such a ring would keep
        # the bodies of the requests until the collector comes by.
        outcome.failed.clear()

    def _answer(self, model: LiveModel, part: Part, outcome: Outcome) -> None:
        """Answer the requests; what is to be kept of them is seen to in the loop's next turn."""
        works, predictions = part.works, part.predictions
        batch = BatchAnswer(model, predictions, new_ids(len(predictions)))
        responses, start = [], 0
        for work in works:
            stop = start + work.parsed.size
            responses.append(self._finish(work, Answer(batch, start, stop)))
            start = stop
        ended = time.perf_counter()
        shared = _timing(outcome, ended)
        model.in_flight -= len(works)
        for work, response in zip(works, responses, strict=True):
            parse = 1000 * (work.submitted - work.request.received)
            queue = 1000 * (outcome.began - work.submitted)
            timing = ("server-timing", f"parse;dur={parse:.3f}, queue;dur={queue:.3f}, {shared}")
            status, body, content_type, headers = response
            headers = (*headers, *model.marks, timing)
            work.reply.set(Response(status, body, content_type, headers))
        self._soon(partial(self._account, model, part, outcome, batch, responses, ended))

    def _account(
        self,
        model: LiveModel,
        part: Part,
        outcome: Outcome,
        batch: BatchAnswer,
        responses: list[Response],
        ended: float,
    ) -> None:
        """Count answered requests and hand them to the journal, the tracer and the shadows."""
        works = part.works
        ids = [work.request.id for work in works]
        counts = [work.parsed.size for work in works]
        waits = [int(1e6 * (outcome.began - work.submitted)) for work in works]
        infer_us = int(1e6 * (outcome.ended - outcome.framed))
        self._note(model, batch, part.frame, (ids, counts, waits), _entities(works), infer_us)
        spent = [ended - work.request.received for work in works]
        for work, response, seconds in zip(works, responses, spent, strict=True):
            self.metrics.request(work.route, response.status, seconds)
        model.tally.called(len(batch.ids), batch.codes, part.predictions.values)
        model.tally.answered(spent, phases(works, outcome, ended - outcome.ended), time.time())
        if self.tracer is not None:
            self._trace(self.tracer, model, list(zip(works, responses, strict=True)), outcome)
        if model.shadows is not None:
            model.shadows.offer(model, batch, part.frame, (ids, counts))

    def _soon(self, account: Callable[[], None]) -> None:
        """Call it once the answers are on their way; at once where no event loop runs."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            account()
        else:
            loop.call_soon(account)

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
        if model.stand_in is not None and self.choice.divert(model, work, error):
            return
        response = self._response(work, error)
        self.refused(model, error, work.request.id)
        spent = time.perf_counter() - work.request.received
        self.metrics.request(work.route, response.status, spent)
        model.tally.add("failed")
        model.tally.add("failed_seconds", spent)
        model.in_flight -= 1
        if self.tracer is not None:
            waited = (("queue", work.submitted, time.perf_counter()),)
            self.tracer.answered(work.request, response, model.key, work.parsed.size, waited)
        work.reply.set(response)

    def _response(self, work: Work, error: Exception) -> Response:
        response = error_response(error, work.request.id)
        if response is None:
            log_defect(error, work.request.id)
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
                role="canary" if model.role == "canary" else "primary",
                stand_in=model.role == "stand_in",
                ood=model.predictor.ood,
                tally=model.tally,
            )
        )


def _timing(outcome: Outcome, ended: float) -> str:
    """Return the phases that the requests of a batch have in common, in milliseconds."""
    framing = 1000 * (outcome.framed - outcome.began)
    infer = 1000 * (outcome.ended - outcome.framed)
    encode = 1000 * (ended - outcome.ended)
    return f"batch;dur={framing:.3f}, infer;dur={infer:.3f}, encode;dur={encode:.3f}"


def _entities(works: Sequence[Work]) -> list[str] | None:
    if all(work.parsed.entities is None for work in works):
        return None
    return [
        entity for work in works for entity in (work.parsed.entities or [""] * work.parsed.size)
    ]
