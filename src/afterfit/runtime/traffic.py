"""Who answers a request for a model: its primary, a canary, or a stand-in.

A canary gets a share of the requests, by a hash of the request's id or of a column's value: the
same id or value always goes the same way, on any worker and after a restart, and whoever is in a
share of 5 % is in one of 10 % as well.
"""

from __future__ import annotations

import hashlib
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from afterfit.core.bundle import Variant
from afterfit.core.fingerprint import Fingerprint
from afterfit.core.frame import Frame, Predictions, is_missing, row_count
from afterfit.core.model import Model
from afterfit.core.signature import Label, Signature
from afterfit.errors import InputError, UsageError
from afterfit.runtime.batch import NEVER, Outcome, Work
from afterfit.runtime.endpoint import ENTITY, MILLION, Canary
from afterfit.runtime.log import log_line
from afterfit.runtime.predict import GoldenReport
from afterfit.runtime.problems import BusyError, HttpError, LateError
from afterfit.runtime.rows import Parsed

if TYPE_CHECKING:
    from afterfit.runtime.live import Service
    from afterfit.runtime.live_model import LiveModel

__all__ = [
    "CanaryRule",
    "Choice",
    "Constant",
    "Share",
    "log_defect",
    "phases",
    "stand_in_reason",
    "watched",
]

HASHES = 1 << 64


class Share:
    """The request ids and keys that belong to a canary; another canary gets others."""

    def __init__(self, canary: Canary) -> None:
        self._below = canary.share_ppm * HASHES // MILLION
        self._hash = hashlib.blake2b(digest_size=8, key=bytes.fromhex(canary.digest))

    def holds(self, text: str) -> bool:
        """Return whether a request id, or the text of a key, is in it."""
        hashed = self._hash.copy()
        hashed.update(text.encode())
        return int.from_bytes(hashed.digest(), "big") < self._below


class CanaryRule:
    """Sends a share of a model's requests to ``model``; raises UsageError for an unknown key."""

    def __init__(self, canary: Canary, model: LiveModel) -> None:
        self.canary = canary
        self.model = model
        self._value = _reader_of(canary.key, model.signature)
        self._share = Share(canary)

    def takes(self, work: Work) -> bool:
        """Return whether the canary answers; a missing key leaves it to the request's id."""
        value = None if self._value is None else self._value(work.parsed)
        return self._share.holds(work.request.id if is_missing(value) else _text(value))


def _reader_of(key: str, signature: Signature) -> Callable[[Parsed], Any] | None:
    """Return what reads the key of a request's first row; None where the request's id decides."""
    if not key:
        return None
    if key in signature.names:
        index = signature.names.index(key)
        return lambda parsed: _first(parsed, index, key)
    if key == ENTITY:
        return lambda parsed: parsed.entities[0] if parsed.entities else None
    raise UsageError(
        f"the model has no column {key!r} to divide its traffic by",
        where="canary.key",
        why=f"its columns are {', '.join(signature.names)}"[:300],
        fix=f"name one of them, or {ENTITY!r} where clients send entities beside the rows",
    )


def _first(parsed: Parsed, index: int, key: str) -> Any:
    if parsed.rows is not None:
        return parsed.rows[0][index]
    return None if parsed.frame is None else parsed.frame[key][0]


def _text(value: Any) -> str:
    """Return a value as text, one for each number however it was written: 7, 7.0, "7"."""
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


class Choice:
    """Who of those that may answer does; ``service`` has their queues."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def choose(self, model: LiveModel, work: Work) -> LiveModel:
        """Return the model, its canary, or the stand-in of one that is full; raises BusyError."""
        chosen = model
        if not work.pinned:
            if model.canary is not None and model.canary.takes(work):
                chosen = model.canary.model
            chosen.tally.add("routed")
        batcher = self._service.batcher(chosen)
        if not batcher.full:
            return chosen
        stand_in = None if work.pinned else self.stand_in(chosen)
        if stand_in is None:
            error = batcher.busy()
            self._service.refused(chosen, error, work.request.id)
            raise error
        chosen.tally.add("busy")
        return stand_in

    def stand_in(self, model: LiveModel) -> LiveModel | None:
        """Return the model's stand-in where it has one that has room."""
        stand_in = model.stand_in
        return None if stand_in is None or self._service.batcher(stand_in).full else stand_in

    def divert(self, model: LiveModel, work: Work, error: Exception) -> bool:
        """Return whether the stand-in answers in place of an error."""
        reason = stand_in_reason(error)
        stand_in = self.stand_in(model)
        if stand_in is None or not reason or work.pinned or work.reply.abandoned:
            return False
        model.tally.add(reason)
        if reason == "defect":
            log_defect(error, work.request.id)
            self._service.refused(model, error, work.request.id)
        if not stand_in.digest:
            work.deadline = NEVER  # a constant takes no time
        model.in_flight -= 1
        stand_in.in_flight += 1
        self._service.batcher(stand_in).submit(work)
        return True


def watched(model: LiveModel, works: list[Work]) -> Outcome:
    """Run the requests; whoever watches sees since when the model has been at it."""
    model.tally.enter(time.monotonic())
    try:
        return model.infer(works)
    finally:
        model.tally.leave()


def phases(works: list[Work], outcome: Outcome, encode: float) -> tuple[float, ...]:
    """Return the seconds of queue, input, infer and output, each summed over the requests."""
    queue = sum([outcome.began - work.submitted for work in works])
    n, framing = len(works), outcome.framed - outcome.began
    parse = sum([work.submitted - work.request.received for work in works]) + n * framing
    return queue, parse, n * (outcome.ended - outcome.framed), n * encode


def log_defect(error: Exception, request_id: str) -> None:
    """Write the trace to the log, under the id that the client sees."""
    trace = "".join(traceback.format_exception(error))
    log_line({"event": "error", "request_id": request_id, "trace": trace})


class Constant:
    """A stand-in that says the same of every row; answers as a Predictor does.

    A class has the probability 1: the header of the answer tells that no model said so.
    """

    digest = ""

    def __init__(self, constant: Label, signature: Signature, fingerprint: Fingerprint) -> None:
        self.signature = signature
        self.fingerprint = fingerprint
        self.variant = Variant(name="constant", runtime="constant", framework="afterfit", file="")
        self.golden = GoldenReport(outcome="skipped", why="a constant has none")
        self.proof = None
        self.ood = None
        self.model: Model = self
        self._row = _constant_row(constant, signature)

    def predict(self, frame: Frame) -> Predictions:
        """Return the constant for each of n rows."""
        n = row_count(frame)
        if self.signature.task == "regression":
            return Predictions(values=np.full(n, self._row[0]))
        if not self.signature.probabilities:
            return Predictions(codes=np.full(n, self._row.argmax(), dtype=np.int64))
        return Predictions(probabilities=np.tile(self._row, (n, 1)))

    def golden_rows(self) -> Frame | None:
        """Return None: there is nothing to measure."""
        return None

    def close(self) -> None:
        """Do nothing."""


def _constant_row(constant: Label, signature: Signature) -> np.ndarray:
    if signature.task == "regression":
        try:
            value = float(constant)
        except ValueError:
            value = np.nan
        if not np.isfinite(value):
            raise UsageError(
                f"{constant!r} is no number to stand in",
                where="stand_in.constant",
                fix="give a number: 0.0",
            )
        return np.array([value])
    words = [_text(label) for label in signature.classes]
    if _text(constant) not in words:
        raise UsageError(
            f"the model has no class {constant!r}",
            where="stand_in.constant",
            why=f"its classes are {', '.join(words)}"[:300],
            fix="name one of those",
        )
    row: np.ndarray = np.eye(len(words))[words.index(_text(constant))]
    return row


def stand_in_reason(error: Exception) -> str:
    """Return why a stand-in may answer in place of this error; empty where the client is wrong."""
    if isinstance(error, BusyError):
        return "busy"
    if isinstance(error, LateError):
        return "late"
    if isinstance(error, InputError):
        return ""
    if isinstance(error, HttpError):
        return "defect" if error.status >= 500 else ""
    return "defect"
