"""Greedy batching: nothing waits for a batch, a full queue refuses, a bad row fails alone."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.runtime.bundles import people, people_bundle

from afterfit.core.frame import Predictions, row_count
from afterfit.core.frame import take as take_rows
from afterfit.errors import InputError
from afterfit.runtime.batch import NEVER, Batcher, BatchSettings, Outcome, Work
from afterfit.runtime.live import LiveModel, Service
from afterfit.runtime.messages import Request, Response
from afterfit.runtime.metrics import Metrics
from afterfit.runtime.predict import Predictor, load_bundle
from afterfit.runtime.problems import LateError
from afterfit.runtime.rows import Parsed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from afterfit.core.frame import Frame
    from afterfit.runtime.answers import Answer


def work(rows: int = 1, deadline: float = NEVER) -> Work:
    """A request of some rows; nothing reads them here."""
    request = Request("POST", "/predict", {}, b"")
    parsed = Parsed(rows, rows=[()] * rows)
    return Work(parsed, request, "predict", lambda _: Response(200), deadline)


class Recorder:
    """Stands in for a model: keeps the sizes of its batches, and answers with their number."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.sizes: list[list[int]] = []
        self.refused: list[tuple[Work, Exception]] = []
        self.threads: set[int] = set()
        self.seconds = seconds
        self.gate: threading.Event | None = None

    def infer(self, works: list[Work]) -> Outcome:
        """Take note of a batch."""
        self.threads.add(threading.get_ident())
        if self.gate is not None:
            self.gate.wait(30)
        self.sizes.append([w.parsed.size for w in works])
        began = time.perf_counter()
        time.sleep(self.seconds)  # the model's own work
        outcome = Outcome(began=began, ended=time.perf_counter())
        outcome.failed = [(w, InputError(f"batch {len(self.sizes)}")) for w in works]
        return outcome

    def complete(self, outcome: Outcome) -> None:
        """Answer with the number of the batch."""
        for each, error in outcome.failed:
            each.reply.set(Response(200, str(error).encode()))

    def refuse(self, each: Work, error: Exception) -> None:
        """Keep the refusal."""
        self.refused.append((each, error))
        each.reply.set(Response(500))

    def batcher(self, **settings: Any) -> Batcher:
        """A batcher in front of this model."""
        return Batcher(self.infer, self.complete, self.refuse, BatchSettings(**settings))


async def answered(works: list[Work]) -> None:
    """Wait until every request has its answer."""
    async with asyncio.timeout(30):
        while any(each.reply.response is None for each in works):  # noqa: ASYNC110 - turns count
            await asyncio.sleep(0)


def test_requests_of_one_turn_run_together_in_the_next() -> None:
    """And one that comes alone runs alone, at once."""

    async def scenario() -> list[list[int]]:
        model = Recorder()
        batcher = model.batcher()
        works = [work(n) for n in (1, 2, 3)]
        for each in works:
            batcher.submit(each)
        await answered(works)
        last = work()
        batcher.submit(last)
        await answered([last])
        return model.sizes

    assert asyncio.run(scenario()) == [[1, 2, 3], [1]]


def test_a_slow_model_runs_in_a_thread_and_a_batch_forms_meanwhile() -> None:
    """The loop goes on while the model is busy; what came by then is the next batch."""

    async def scenario() -> Recorder:
        model = Recorder()
        model.gate = threading.Event()
        batcher = model.batcher(inline_ms=1.0)
        batcher.learn(1, 0.5)
        first = work()
        batcher.submit(first)
        await asyncio.sleep(0)
        later = [work() for _ in range(5)]
        for each in later:
            batcher.submit(each)
            await asyncio.sleep(0)
        model.gate.set()
        await answered([first, *later])
        batcher.close()
        return model

    model = asyncio.run(scenario())
    assert model.sizes[0] == [1]
    assert sum(map(sum, model.sizes)) == 6
    assert threading.get_ident() not in model.threads


def test_a_batch_stays_within_the_cap_and_a_large_request_runs_alone() -> None:
    """The cap counts rows; one request is never split."""

    async def scenario() -> list[list[int]]:
        model = Recorder()
        batcher = model.batcher(cap=4)
        works = [work(n) for n in (2, 2, 3, 9, 1)]
        for each in works:
            batcher.submit(each)
        await answered(works)
        return model.sizes

    assert asyncio.run(scenario()) == [[2, 2], [3], [9], [1]]


def test_batching_is_off_where_it_was_measured_not_to_help() -> None:
    """Eight rows that take eight times as long as one: each request runs by itself."""

    async def scenario(times: dict[int, float]) -> list[list[int]]:
        model = Recorder()
        batcher = model.batcher()
        for _ in range(40):
            for rows, seconds in times.items():
                batcher.learn(rows, seconds)
        works = [work() for _ in range(4)]
        for each in works:
            batcher.submit(each)
        await answered(works)
        return model.sizes

    assert asyncio.run(scenario({1: 1e-4, 8: 8e-4, 64: 64e-4})) == [[1]] * 4
    assert asyncio.run(scenario({1: 1e-4, 8: 1.1e-4, 64: 1.8e-4})) == [[1, 1, 1, 1]]


def test_a_full_queue_refuses_at_once_and_tells_when_to_come_again() -> None:
    """429 with whole seconds; what waits is bounded whatever comes."""
    model = Recorder()

    async def scenario() -> int:
        batcher = model.batcher(queue_rows=10)
        batcher.learn(1, 0.4)
        taken = [work() for _ in range(10)]
        for each in taken:
            assert not batcher.turns_away()
            batcher.submit(each)
        assert batcher.turns_away()
        busy = batcher.busy()
        assert busy.status == 429
        await answered(taken)
        assert not batcher.turns_away()
        batcher.close()
        return int(dict(busy.headers)["retry-after"])

    assert asyncio.run(scenario()) >= 1


def test_after_a_refusal_several_batches_run_before_the_loop_reads_on() -> None:
    """So what comes meanwhile is read in larger pieces; without a refusal it is one a turn."""

    async def batches_in_one_turn(*, refused: bool) -> int:
        model = Recorder(seconds=0.01)  # more than may run on the loop otherwise
        room, inline_ms = (3, 0.001) if refused else (4, 1000.0)
        batcher = model.batcher(cap=1, queue_rows=room, inline_ms=inline_ms)
        batcher.learn(1, 0.01)
        taken = [work() for _ in range(3)]
        for each in taken:
            batcher.submit(each)
        assert batcher.turns_away() is refused
        await asyncio.sleep(0)
        ran = len(model.sizes)
        await answered(taken)
        batcher.close()
        assert model.threads == {threading.get_ident()}
        return ran

    assert asyncio.run(batches_in_one_turn(refused=True)) == 3
    assert asyncio.run(batches_in_one_turn(refused=False)) == 1


def test_what_is_too_late_or_wanted_by_nobody_is_dropped_before_it_runs() -> None:
    """The model's time goes to those who still wait."""

    async def scenario() -> Recorder:
        model = Recorder()
        batcher = model.batcher()
        late, gone, good = work(deadline=time.perf_counter() - 1), work(), work()
        for each in (late, gone, good):
            batcher.submit(each)
        gone.reply.abandon()
        await answered([late, gone, good])
        assert batcher.rows == 0
        assert [each for each, _ in model.refused] == [late, gone]
        return model

    model = asyncio.run(scenario())
    assert model.sizes == [[1]]
    assert all(isinstance(error, LateError) for _, error in model.refused)


@pytest.mark.parametrize("inline_ms", [1000.0, 0.0])
def test_a_defect_answers_everybody_and_the_queue_goes_on(inline_ms: float) -> None:
    """Whether the model runs on the loop or in a thread."""

    async def scenario() -> list[int]:
        model = Recorder()
        infer: Callable[[list[Work]], Outcome] = model.infer

        def broken(_: list[Work]) -> Outcome:
            raise ZeroDivisionError("a defect")

        batcher = model.batcher(inline_ms=inline_ms)
        batcher.learn(1, 1e-3)
        batcher._infer = broken
        works = [work(), work()]
        for each in works:
            batcher.submit(each)
        await answered(works)
        batcher._infer = infer
        after = work()
        batcher.submit(after)
        await answered([after])
        batcher.close()
        replies = [each.reply.response for each in (*works, after)]
        return [reply.status for reply in replies if reply is not None]

    assert asyncio.run(scenario()) == [500, 500, 200]


class Poisoned:
    """A model that raises for a batch in which somebody is older than 150, as models do."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.calls: list[int] = []

    def predict(self, frame: Frame) -> Predictions:
        """Predict, or fail for the batch as a whole."""
        self.calls.append(row_count(frame))
        if (frame["age"] > 150).any():
            raise RuntimeError("cannot take this batch")
        answer: Predictions = self.model.predict(frame)
        return answer


def test_a_bad_row_fails_alone(tmp_path: Path) -> None:
    """The others of its batch are answered as if it had not been there, in a few more calls."""
    people_bundle(tmp_path / "bundle")
    model = LiveModel("churn", 1, load_bundle(tmp_path / "bundle"))
    predictor = model.predictor
    assert isinstance(predictor, Predictor)
    expected = predictor.predict(people(16, 3)).main
    poisoned = Poisoned(predictor.model)
    predictor.model = poisoned
    frame = people(16, 3)
    frame["age"][5] = 200.0
    got: dict[int, np.ndarray] = {}

    def keep(place: int) -> Callable[[Answer], Response]:
        def finish(answer: Answer) -> Response:
            got[place] = answer.predictions.main
            return Response(200)

        return finish

    async def scenario() -> list[int]:
        service = Service(Metrics(), None)
        works = []
        for place in range(16):
            rows = take_rows(frame, slice(place, place + 1))
            request = Request("POST", "/predict", {}, b"")
            works.append(Work(Parsed(1, frame=rows), request, "predict", keep(place)))
        for each in works:
            service.submit(model, each)
        await answered(works)
        assert model.in_flight == 0
        return [each.reply.response.status for each in works if each.reply.response is not None]

    statuses = asyncio.run(scenario())
    assert [place for place, status in enumerate(statuses) if status != 200] == [5]
    assert len(poisoned.calls) < 16
    for place, answer in got.items():
        np.testing.assert_array_equal(answer[0], expected[place])


def test_a_request_that_comes_alone_again_and_again_does_not_wait_for_company() -> None:
    """After some of them the answer is there when submit returns; two at once end that."""

    async def scenario() -> tuple[list[bool], list[list[int]]]:
        model = Recorder()
        batcher = model.batcher()
        at_once = []
        for _ in range(12):
            each = work()
            at_once.append(batcher.submit(each).response is not None)
            await answered([each])
            await asyncio.sleep(0)
        model.sizes.clear()
        for _ in range(2):
            pair = [work(), work()]
            for each in pair:
                batcher.submit(each)
            await answered(pair)
            await asyncio.sleep(0)
        return at_once, model.sizes

    at_once, sizes = asyncio.run(scenario())
    assert at_once == [False] * 8 + [True] * 4
    assert sizes == [[1], [1], [1, 1]]


def test_beyond_the_admitted_rate_requests_are_turned_away_until_time_has_passed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ten requests/s with a burst of one: the second waits for its tenth of a second."""
    now = 100.0
    monkeypatch.setattr("afterfit.runtime.batch.time.perf_counter", lambda: now)

    async def scenario() -> list[bool]:
        nonlocal now
        batcher = Recorder().batcher(admission_rps=10.0)
        told = [batcher.turns_away()]
        batcher.submit(work())
        told.append(batcher.turns_away())
        now += 0.11
        return [*told, batcher.turns_away()]

    assert asyncio.run(scenario()) == [False, True, False]
