"""The process that runs shadows: it takes copies of answered requests, and only idle time.

``python -m afterfit.runtime.shadow_process CONTROL METRICS CHANNEL`` with three inherited
descriptors: a socket of JSON lines to the supervisor, the file of counters, and the channel of
copies. Once its models are loaded it runs at the idle priority of the system, so that a worker
that wants a processor has it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Container
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from afterfit.core.event import new_ids
from afterfit.core.frame import Frame, Predictions
from afterfit.errors import AfterfitError, InternalError
from afterfit.runtime.answers import BatchAnswer
from afterfit.runtime.cpus import throttled_periods
from afterfit.runtime.journal import Block, Journal
from afterfit.runtime.live import LiveModel
from afterfit.runtime.log import log_line
from afterfit.runtime.memory import resident_bytes, trim
from afterfit.runtime.metrics import Metrics
from afterfit.runtime.predict import Predictor, load_bundle
from afterfit.runtime.proving import log_proof
from afterfit.runtime.settings import (
    Abort,
    Commit,
    Message,
    Prepare,
    Reply,
    Start,
    Stop,
    WorkerSettings,
)
from afterfit.runtime.shadow import Copy, decode_copy, frame_of, scores_of
from afterfit.runtime.slots import SlotKey
from afterfit.runtime.starter import starter
from afterfit.runtime.tally import PairTally
from afterfit.runtime.watchdog import Lifeline
from afterfit.runtime.worker import make_journal, run_loop

__all__ = ["ShadowProcess", "main"]

LOADING_NICENESS = 5
MESSAGE_BYTES = 1 << 20
PAUSE_SECONDS = 1.0
_decoder = msgspec.json.Decoder(Message)


class Pair(NamedTuple):
    """A shadow beside a primary, and where their differences are counted."""

    model: LiveModel
    tally: PairTally


class Loaded(NamedTuple):
    """What a document asks for: predictors by digest, and pairs by (model, primary's digest)."""

    predictors: dict[str, Predictor]
    pairs: dict[tuple[str, str], list[Pair]]


class ShadowMetrics(Metrics):
    """The counters of this process: what was unusual about a row was counted when it was served."""

    def add(self, name: str, amount: float = 1.0) -> None:
        """Add to a counter, those of flags excepted."""
        if not name.startswith("flag/"):
            super().add(name, amount)


class ShadowProcess:
    """The shadows of all models; ``run`` returns when it was told to stop."""

    def __init__(self, start: Start, metrics: Metrics, copies: socket.socket) -> None:
        self.settings: WorkerSettings = start.settings
        self.metrics = metrics
        self.copies = copies
        self.journal: Journal = make_journal(start.settings, f"s{start.worker_id}", metrics)
        self.now = Loaded({}, {})
        self.prepared: dict[int, Loaded] = {}
        self.stopped = asyncio.Event()
        # They are there before the others become idle, and so keep their priority: a model that is
        # loaded while the machine is busy would never be there otherwise.
        self.loader = ThreadPoolExecutor(1, thread_name_prefix="afterfit-load")
        self._keep = {self.loader.submit(threading.get_native_id).result(), starter.ready()}
        self._throttled = throttled_periods()
        self._looked = time.monotonic()

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Follow orders until one is to stop, a signal says so, or the supervisor is gone."""
        lifeline = Lifeline(self.settings.hang_seconds)
        orders = asyncio.ensure_future(self._orders(reader, writer))
        stop = asyncio.ensure_future(self.stopped.wait())
        await asyncio.wait({orders, stop}, return_when=asyncio.FIRST_COMPLETED)
        lifeline.last(self.settings.grace_seconds)
        asyncio.get_running_loop().remove_reader(self.copies.fileno())
        self.journal.close()
        orders.cancel()
        stop.cancel()

    async def _orders(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            message = _decoder.decode(line)
            if isinstance(message, Stop):
                return
            if isinstance(message, Prepare):
                loop = asyncio.get_running_loop()
                reply = await loop.run_in_executor(self.loader, self._prepare, message)
                writer.write(msgspec.json.encode(reply) + b"\n")
            elif isinstance(message, Commit):
                self._commit(self.prepared.pop(message.request))
                writer.write(msgspec.json.encode(Reply(request=message.request)) + b"\n")
            elif isinstance(message, Abort):
                self.prepared.pop(message.request, None)

    def _prepare(self, message: Prepare) -> Reply:
        before = resident_bytes()
        try:
            loaded = self._load(message)
        except AfterfitError as error:
            return Reply(request=message.request, error=error.as_dict())
        except Exception as error:  # noqa: BLE001 - a library's own: the supervisor must hear of it
            log_line({"event": "error", "during": "prepare", "error": repr(error)})
            wrapped = InternalError("the shadow cannot be loaded", why=repr(error)[:300])
            return Reply(request=message.request, error=wrapped.as_dict())
        self.prepared[message.request] = loaded
        fresh = [digest for digest in loaded.predictors if digest not in self.now.predictors]
        size = max(0, resident_bytes() - before)
        return Reply(request=message.request, sizes={fresh[0]: size} if len(fresh) == 1 else {})

    def _load(self, message: Prepare) -> Loaded:
        slots = {slot.key: slot for slot in message.slots}
        predictors: dict[str, Predictor] = {}
        pairs: dict[tuple[str, str], list[Pair]] = {}
        for name, route in message.endpoint.models.items():
            for digest in route.shadowing:
                if digest not in predictors:
                    predictors[digest] = self.now.predictors.get(digest) or _loaded(
                        Path(message.folders[digest]), digest
                    )
                key = SlotKey(model=name, role="shadow", digest=digest)
                model = LiveModel(
                    name,
                    route.number(digest),
                    predictors[digest],
                    role="shadow",
                    tally=self.metrics.model(slots.get(key)),
                )
                beside = SlotKey(model=name, role="pair", digest=digest, against=route.primary)
                pair = Pair(model, self.metrics.pair(slots.get(beside)))
                pairs.setdefault((name, route.primary), []).append(pair)
        return Loaded(predictors, pairs)

    def _commit(self, loaded: Loaded) -> None:
        old, self.now = self.now, loaded
        for digest, predictor in old.predictors.items():
            if digest not in loaded.predictors:
                predictor.close()
        del old
        trim()
        run_when_idle(self._keep)
        asyncio.get_running_loop().add_reader(self.copies.fileno(), self._one)

    def _one(self) -> None:
        try:
            message = self.copies.recv(MESSAGE_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        copy = decode_copy(message)
        for pair in self.now.pairs.get((copy.model, copy.primary), ()):
            self._run(pair, copy)
        self._spare_the_quota()

    def _run(self, pair: Pair, copy: Copy) -> None:
        model, tally = pair
        rows = len(copy.ids)
        model.tally.enter(time.monotonic())
        began = time.perf_counter()
        try:
            frame = frame_of(copy, model.signature)
            predictions = model.predictor.predict(frame)
            flips, differences = differences_of(copy, model, predictions)
        except Exception as error:  # noqa: BLE001 - whatever a shadow raises is counted as a failure
            tally.add("failed", rows)
            log_line({"event": "shadow_error", "model": model.name, "error": repr(error)[:300]})
            return
        finally:
            model.tally.leave()
        spent = time.perf_counter() - began
        tally.compared(flips, differences, rows)
        self._note(model, copy, frame, predictions, spent)

    def _note(
        self, model: LiveModel, copy: Copy, frame: Frame, predictions: Predictions, spent: float
    ) -> None:
        batch = BatchAnswer(model, predictions, new_ids(len(copy.ids)))
        n = len(copy.request_ids)
        model.tally.called(len(copy.ids), batch.codes, predictions.values)
        model.tally.answered([spent] * n, (0.0, 0.0, n * spent, 0.0), time.time())
        self.journal.put(
            Block(
                model=model.key,
                decoder=model.decoder,
                fingerprint=model.predictor.fingerprint,
                frame=frame,
                predictions=predictions,
                codes=batch.codes,
                ids=batch.ids,
                request_ids=copy.request_ids,
                counts=copy.counts,
                queue_us=[0] * n,
                infer_us=int(1e6 * spent),
                role="shadow",
                parents=copy.ids,
                ood=model.predictor.ood,
                tally=model.tally,
            )
        )

    def _spare_the_quota(self) -> None:
        """Pause where the cgroup was throttled: its quota is for the workers.

        The idle priority does not help there, since all processes of a group share its quota.
        """
        now = time.monotonic()
        if now - self._looked < PAUSE_SECONDS:
            return
        self._looked = now
        before, self._throttled = self._throttled, throttled_periods()
        if self._throttled > before:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self.copies.fileno())
            loop.call_later(PAUSE_SECONDS, loop.add_reader, self.copies.fileno(), self._one)


def differences_of(
    copy: Copy, model: LiveModel, predictions: Predictions
) -> tuple[int, np.ndarray]:
    """Return how many rows have another class, and the scores of the shadow less the primary's.

    Raises ValueError for answers that are not finite.
    """
    scores = scores_of(predictions, model.signature)
    differences = scores - np.frombuffer(copy.scores, np.float64)
    if not np.isfinite(differences).all():
        raise ValueError("the shadow has no finite answer for some row")
    if predictions.values is not None:
        return 0, differences
    codes = model.signature.codes(predictions)
    return int(np.count_nonzero(codes != np.array(copy.codes))), differences


def _loaded(folder: Path, digest: str) -> Predictor:
    predictor = load_bundle(folder, threads=1, expected=digest)
    log_proof(digest, predictor.proof)
    return predictor


def run_when_idle(keep: Container[int]) -> None:
    """Take only the time of the processors that nobody else wants; some threads ``keep`` theirs."""
    with suppress(OSError, AttributeError):  # not Linux, or not allowed there
        for task in os.listdir("/proc/self/task"):  # noqa: PTH208 - names are all there is to see
            if int(task) not in keep:
                os.sched_setscheduler(int(task), os.SCHED_IDLE, os.sched_param(0))


async def _serve(control: int, metrics: int, copies: int) -> None:
    loop = asyncio.get_running_loop()
    channel = socket.socket(fileno=control)
    reader, writer = await asyncio.open_connection(sock=channel, limit=1 << 24)
    start = _decoder.decode(await reader.readline())
    if not isinstance(start, Start):
        raise InternalError("the supervisor's first message is not start")
    receiving = socket.socket(fileno=copies)
    receiving.setblocking(False)
    process = ShadowProcess(start, ShadowMetrics(metrics, start.slot), receiving)
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    loop.add_signal_handler(signal.SIGTERM, process.stopped.set)
    await process.run(reader, writer)
    writer.close()


def main() -> int:
    """Run until told to stop; return the exit code."""
    with suppress(OSError, AttributeError):
        os.nice(LOADING_NICENESS)
    run_loop(_serve(*[int(text) for text in sys.argv[1:4]]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
