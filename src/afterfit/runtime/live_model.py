"""One model that serves: a loaded bundle under its name and number, and how its rows are run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np

from afterfit.core.frame import Frame, Predictions, join, row_count, take
from afterfit.errors import InputError
from afterfit.runtime.answers import Served
from afterfit.runtime.batch import Batcher, Outcome, Part, Work
from afterfit.runtime.columns import no_answer
from afterfit.runtime.decode import Decoder, Limits
from afterfit.runtime.predict import Predictor
from afterfit.runtime.problems import HttpError
from afterfit.runtime.rows import Parsed, RowReader
from afterfit.runtime.shadow import ShadowSender
from afterfit.runtime.slots import SlotRole
from afterfit.runtime.tally import ModelTally
from afterfit.runtime.traffic import CanaryRule, Constant

__all__ = ["LiveModel", "check_answers"]

add = np.add
WARM_ROWS = (1, 8, 64, 256)
WARM_REPEATS = 5
WARM_SECONDS = 0.3


class LiveModel(Served):
    """A loaded bundle under its name and number; ``in_flight`` counts the requests inside.

    A primary may have a ``canary``, a ``stand_in`` and ``shadows``, which a change of the endpoint
    document sets between two requests; ``marks`` are headers of each answer.
    """

    def __init__(
        self,
        name: str,
        version: int,
        predictor: Predictor | Constant,
        limits: Limits | None = None,
        *,
        role: SlotRole = "primary",
        tally: ModelTally | None = None,
    ) -> None:
        super().__init__(name, version, predictor.digest, predictor.signature)
        self.predictor = predictor
        self.decoder = Decoder(predictor.signature, limits)
        self.reader = RowReader(predictor.signature, self.decoder.limits)
        self.role = role
        self.tally = tally or ModelTally.alone()
        self.batcher: Batcher | None = None
        self.in_flight = 0
        self.canary: CanaryRule | None = None
        self.stand_in: LiveModel | None = None
        self.shadows: ShadowSender | None = None
        self.divided = False
        self.marks: tuple[tuple[str, str], ...] = ()

    @property
    def answering(self) -> list[LiveModel]:
        """This model, and those that may answer in its place."""
        others = [self.canary.model if self.canary else None, self.stand_in]
        return [self, *(other for other in others if other is not None)]

    @property
    def versions(self) -> list[LiveModel]:
        """Those of them that are versions; a constant is none."""
        return [model for model in self.answering if model.digest]

    def numbered(self, version: str) -> LiveModel:
        """Return the one that has this number and may answer; raises HttpError 404."""
        for model in self.versions:
            if str(model.version) == version:
                return model
        numbers = ", ".join(dict.fromkeys(str(model.version) for model in self.versions))
        raise HttpError(404, f"model {self.name!r} serves version {numbers}")

    def divide(
        self,
        canary: CanaryRule | None = None,
        stand_in: LiveModel | None = None,
        shadows: ShadowSender | None = None,
    ) -> None:
        """Set who else answers, or sees, the requests for this model."""
        self.canary, self.stand_in, self.shadows = canary, stand_in, shadows
        self.divided = canary is not None or stand_in is not None
        if canary is not None:
            canary.model.stand_in = stand_in

    def forget(self) -> None:
        """Let go of all that points back here, so that the memory is free without a collection."""
        self.divide()
        self.batcher = None
        self._parts.clear()

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
            raise InputError(
                "the rows do not fit the signature",
                fix="send what the signature takes; GET /openapi.json has it",
            )
        return frame

    def _run(self, works: list[Work], frame: Frame, outcome: Outcome) -> None:
        try:
            predictions = self.predictor.predict(frame)
            check_answers(predictions, row_count(frame))
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


def check_answers(predictions: Predictions, rows: int) -> None:
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
    raise no_answer(bad.tolist())
