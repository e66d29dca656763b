"""Greedy batching: an idle model runs at once, and batches form only while it is busy.

Requests that were read in one turn of the event loop run together in the next; nothing ever waits
for a batch to fill. How many rows run at once follows from a fit of time against rows and from the
deadlines of those who wait. What does not fit into a bounded queue is refused at once.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from afterfit.core.frame import Frame, Predictions
from afterfit.runtime.answers import Answer
from afterfit.runtime.costs import CpuPerRow, LatencyFit
from afterfit.runtime.limit import Bucket
from afterfit.runtime.messages import Reply, Request, Response
from afterfit.runtime.problems import BUSY, BusyError, LateError
from afterfit.runtime.rows import Parsed

__all__ = ["BatchSettings", "Batcher", "Finish", "Outcome", "Part", "Work"]

Finish = Callable[[Answer], Response]
NEVER = math.inf


class BatchSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How requests are brought together.

    ``cap`` is the most rows in one call of the model (0: by measurement), ``queue_rows`` the most
    rows that wait (0: as many as run in ``queue_ms``). A call that is expected to take longer than
    ``inline_ms`` runs in a thread, so that the server goes on reading meanwhile. ``target_ms`` is
    the time that one call of a batch should stay below. ``deadline_ms`` is for requests that bring
    no deadline (0: none). Beyond ``admission_rps`` requests/s a worker turns away (0: never).
    """

    enabled: bool = True
    cap: int = 0
    queue_rows: int = 0
    queue_ms: float = 100.0
    inline_ms: float = 5.0
    target_ms: float = 25.0
    deadline_ms: float = 0.0
    admission_rps: float = 0.0


MOST_ROWS = 4096
LEAST_QUEUE, MOST_QUEUE = 256, 20_000
RECKON_EVERY = 32
CROWDED_SECONDS = 0.05
BURST_SECONDS = 0.1
"""So much of a second's admission may come at once after a pause."""
ALONE = 8
"""After so many requests that came one at a time, the next runs without waiting for company."""
ALL_OF, ONE_IN = 256, 4
"""The first measurements all count, later ones one in four: the fit has long been found."""


class Work:
    """One request for a model, and where its answer goes; times are perf_counter seconds.

    One that is ``pinned`` asks for this version and no other: nothing stands in for it.
    """

    __slots__ = (
        "deadline",
        "finish",
        "frame",
        "parsed",
        "pinned",
        "reply",
        "request",
        "route",
        "submitted",
    )

    def __init__(
        self,
        parsed: Parsed,
        request: Request,
        route: str,
        finish: Finish,
        deadline: float = NEVER,
    ) -> None:
        self.parsed = parsed
        self.request = request
        self.route = route
        self.finish = finish
        self.deadline = deadline
        self.pinned = False
        self.frame: Frame | None = parsed.frame
        self.reply = Reply()
        self.submitted = time.perf_counter()


class Part(NamedTuple):
    """Requests that ran in one call of the model; the rows lie in the order of the requests."""

    works: list[Work]
    frame: Frame
    predictions: Predictions


@dataclass(slots=True)
class Outcome:
    """What became of a batch: the parts that ran, the requests that failed, and the seconds.

    In perf_counter seconds: the rows were brought together from ``began`` to ``framed``, and the
    model ran from then to ``ended``.
    """

    parts: list[Part] = field(default_factory=list)
    failed: list[tuple[Work, Exception]] = field(default_factory=list)
    began: float = 0.0
    framed: float = 0.0
    ended: float = 0.0


class Batcher:
    """The queue of one model.

    ``infer`` runs requests and may be called in a thread; ``complete`` answers them and ``refuse``
    answers one that did not run, both on the event loop. ``relief`` tells whether others may take
    what does not fit in here.
    """

    def __init__(
        self,
        infer: Callable[[list[Work]], Outcome],
        complete: Callable[[Outcome], None],
        refuse: Callable[[Work, Exception], None],
        settings: BatchSettings | None = None,
        relief: Callable[[], bool] = lambda: False,
    ) -> None:
        self.settings = settings or BatchSettings()
        self.fit = LatencyFit()
        self.rows = 0
        self.limit = self.settings.queue_rows or MOST_QUEUE
        self.seconds_a_row = 0.0
        self._measured = self._done = 0
        self._loop_cost = CpuPerRow()
        self._helps = self.settings.enabled
        self._cap = self.settings.cap or MOST_ROWS
        self._infer = infer
        self._complete = complete
        self._refuse = refuse
        self._relief = relief
        self._waiting: deque[Work] = deque()
        self._scheduled = self._crowded = False
        self._alone = 0
        self._loop: Any = None
        self._pool: ThreadPoolExecutor | None = None
        rate = self.settings.admission_rps
        self._gate = Bucket(rate, rate * BURST_SECONDS) if rate else None
        self._inline_seconds = self.settings.inline_ms / 1000
        self._target_seconds = self.settings.target_ms / 1000

    @property
    def full(self) -> bool:
        """Whether no more rows are let in."""
        return self.rows >= self.limit or self._beyond_rate()

    def turns_away(self) -> bool:
        """Whether nobody can take more; costs next to nothing, so it is asked first."""
        if not self.full or self._relief():
            return False
        self._crowded = True
        return True

    def _beyond_rate(self) -> bool:
        return self._gate is not None and self._gate.wait(time.perf_counter()) > 0

    @property
    def wait_seconds(self) -> int:
        """Whole seconds until there may be room again, at least 1."""
        return max(1, math.ceil(self.rows * self.seconds_a_row))

    def busy(self) -> BusyError:
        """Return the refusal of what does not fit, with the time until it may."""
        return BusyError(BUSY, self.wait_seconds)

    def learn_from(self, other: Batcher) -> None:
        """Begin with what another queue of the same model has measured."""
        self.fit = copy(other.fit)
        self._measured = other._measured
        self._reckon()

    def learn(self, rows: int, seconds: float) -> None:
        """Take note of how long ``rows`` took; now and then, what follows is worked out anew."""
        self._measured += 1
        if self._measured > ALL_OF and self._measured % ONE_IN:
            return
        self.fit.update(rows, seconds)
        if self._measured % RECKON_EVERY == 1:
            self._reckon()

    def submit(self, work: Work) -> Reply:
        """Return the promise of the answer."""
        if self._gate is not None:
            self._gate.spend(1.0, time.perf_counter())
        self._waiting.append(work)
        self.rows += work.parsed.size
        if self._scheduled:
            self._alone = 0
        else:
            self._scheduled = True
            self._loop = self._loop or asyncio.get_running_loop()
            if self._alone < ALONE:
                self._alone += 1
                self._loop.call_soon(self._turn)
            else:
                self._at_once()
        return work.reply

    def _at_once(self) -> None:
        """Run what came now, as requests have come one at a time.

        Another one in the same turn of the loop tells that they no longer do.
        """
        works, rows = self._take()
        if works and self.fit.expected(rows) <= self._inline_seconds:
            self._run(works, rows)
            self._loop.call_soon(self._turn)
        elif works:
            self._run_in_thread(works, rows)
        else:
            self._scheduled = False

    def close(self) -> None:
        """Let go of the thread, if there is one."""
        if self._pool is not None:
            self._pool.shutdown(wait=False)

    def _turn(self) -> None:
        """Run one batch, or where requests were turned away as many as take `CROWDED_SECONDS`.

        What is sent meanwhile is then read and refused in larger pieces, which leaves more of the
        time for answers. A thread would let the loop go on reading, so there is none then.
        """
        until = time.perf_counter() + CROWDED_SECONDS if self._crowded else 0.0
        longest = CROWDED_SECONDS if self._crowded else self._inline_seconds
        self._crowded = False
        while True:
            works, rows = self._take()
            if not works:
                self._scheduled = False
                return
            if self.fit.expected(rows) > longest:
                self._run_in_thread(works, rows)
                return
            self._run(works, rows)
            if not until or time.perf_counter() >= until:
                break
        self._again(self._loop)

    def _run(self, works: list[Work], rows: int) -> None:
        try:
            outcome = self._infer(works)
        except Exception as error:  # noqa: BLE001 - a defect is answered, and the queue goes on
            self._refuse_all(works, error)
        else:
            self._close_batch(outcome, works, rows)

    def _run_in_thread(self, works: list[Work], rows: int) -> None:
        loop = self._loop
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="afterfit-model")
        future = self._pool.submit(self._infer, works)
        future.add_done_callback(
            lambda done: loop.call_soon_threadsafe(self._finished, done, works, rows)
        )

    def _finished(self, done: Future[Outcome], works: list[Work], rows: int) -> None:
        error = done.exception()
        if error is None:
            self._close_batch(done.result(), works, rows)
        else:
            self._refuse_all(works, error)
        self._again(self._loop)

    def _close_batch(self, outcome: Outcome, works: list[Work], rows: int) -> None:
        self._done += rows
        began = time.perf_counter()
        try:
            self._complete(outcome)
        except Exception as error:  # noqa: BLE001 - as above
            self._refuse_all(works, error)
        if len(outcome.parts) == 1 and not outcome.failed:
            spent = outcome.ended - outcome.began + time.perf_counter() - began
            self.learn(rows, spent)

    def _refuse_all(self, works: list[Work], error: BaseException) -> None:
        """Answer with a defect whoever has no answer yet."""
        defect = error if isinstance(error, Exception) else RuntimeError(repr(error))
        for work in works:
            if work.reply.response is None:
                self._refuse(work, defect)

    def _again(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._waiting:
            loop.call_soon(self._turn)
        else:
            self._scheduled = False

    def _take(self) -> tuple[list[Work], int]:
        """Return what runs next, and its rows; whoever is too late, or gone, is left out."""
        works: list[Work] = []
        rows, most, now = 0, 0, 0.0
        while self._waiting:
            work = self._waiting[0]
            count = work.parsed.size
            if work.deadline != NEVER:
                now = now or time.perf_counter()
                if work.deadline <= now + self.fit.expected(count):
                    self._drop()
                    self._refuse(work, LateError())
                    continue
            if work.reply.abandoned:
                self._drop()
                self._refuse(work, LateError())
                continue
            most = most or self._most(work, now)
            if works and rows + count > most:
                break
            self._drop()
            works.append(work)
            rows += count
        return works, rows

    def _drop(self) -> None:
        self.rows -= self._waiting.popleft().parsed.size

    def _most(self, first: Work, now: float) -> int:
        """Return how many rows may run together with the first one that waits."""
        if not self._helps:
            return 1
        if first.deadline == NEVER:
            return self._cap
        seconds = min(self._target_seconds, first.deadline - now)
        return self.fit.cap(seconds, self._cap, strict=True)

    def _reckon(self) -> None:
        """Work out the cap of a batch, what a row takes when busy, and the limit of the queue."""
        settings = self.settings
        self._helps = settings.enabled and self.fit.batching_helps
        self._cap = self.fit.cap(self._target_seconds, settings.cap or MOST_ROWS)
        rows = self._cap if self._helps else 1
        # What the model takes in a batch, or what the loop takes with reading and writing.
        self.seconds_a_row = max(
            self.fit.expected(rows) / rows, self._loop_cost.seconds(self._done)
        )
        if not settings.queue_rows and self.seconds_a_row:
            fits = int(settings.queue_ms / 1000 / self.seconds_a_row)
            self.limit = min(MOST_QUEUE, max(LEAST_QUEUE, fits))
