"""The rows that monitoring stands on, kept in the workspace beside a version and never in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pyarrow as pa

from afterfit.core.bundle import Bundle
from afterfit.core.dataset import Dataset, encode_labels
from afterfit.core.digest import sha256_bytes
from afterfit.core.fingerprint import Fingerprint
from afterfit.core.frame import missing_mask
from afterfit.core.model import Model
from afterfit.core.signature import Signature
from afterfit.errors import AfterfitError, InputError, IntegrityError
from afterfit.models.hosted import HostedVariant
from afterfit.monitor.calibrate import Calibration
from afterfit.monitor.grounds import Answered, Grounds, KeptRows, kept_rows, stretches
from afterfit.monitor.held_out import MeasuredRate
from afterfit.monitor.sources.columns import numbers_of
from afterfit.monitor.sources.times import microseconds
from afterfit.monitor.watched import Watched, measured_of
from afterfit.runtime.predict import open_variant
from afterfit.store.files import read_bytes, write_bytes
from afterfit.store.tables import read_dataset

if TYPE_CHECKING:
    from afterfit.runtime.predict import Predictor
    from afterfit.workspace.line import Line
    from afterfit.workspace.space import Workspace

__all__ = ["Thresholds", "grounded", "keep_file", "keep_shipped", "known_truth", "thresholds_of"]

OWNER = 0o600
"""Only who shipped may read them: they are real rows."""


class Thresholds(msgspec.Struct, frozen=True, kw_only=True):
    """What was drawn from the rows of a version, which takes seconds: ``rows`` is their digest."""

    rows: str
    calibration: Calibration | None
    rates: tuple[MeasuredRate, ...]
    schema: int = 1


def keep_shipped(line: Line) -> None:
    """Keep rows of what a version was made of; where that cannot be, say so and go on."""
    most = line.config.monitor.reference_rows
    if not most:
        return
    bundle, signature = line.bundle, line.decided
    line.space.progress.step("keep rows for monitoring")
    try:
        with _answering(bundle) as model:
            made = _Made(model, signature, bundle.fingerprint, line.config.line.seed, most)
            known = line.data if line.train is None else line.train
            grounds = Grounds(
                subject=bundle.digest,
                source=known.source,
                known=made.rows(known),
                held=None if line.train is None else made.rows(line.data),
            )
        _write(line.space, grounds)
    except AfterfitError as error:
        line.space.progress.say(f"  ! no rows were kept for monitoring: {error.message}")


def keep_file(space: Workspace, predictor: Predictor, path: Path) -> Grounds:
    """Return the rows of a file, answered by a version and kept beside it in place of others.

    Its target, time and entity are the columns that ``[data]`` names, where it has them. Raises
    InputError for a file without a column that the version takes.
    """
    signature, roles = predictor.signature, space.config.data
    columns = read_dataset(path).frame.keys()
    wanted = {"time": roles.time, "entity": roles.entity}
    given = {role: name for role, name in wanted.items() if name in columns}
    target = roles.target or signature.target
    data = read_dataset(
        path, target=target if target in columns else None, features=signature.names, **given
    )
    gone = [name for name in signature.names if name not in data.frame]
    if gone:
        raise InputError(
            f"the reference has no column {gone[0]!r}",
            where=str(path),
            why=f"{len(gone)} of the version's {len(signature.names)} columns are not there",
            fix="give rows with all columns that the version takes, and the target",
        )
    most = space.config.monitor.reference_rows or len(data)
    made = _Made(predictor, signature, predictor.fingerprint, space.config.line.seed, most)
    grounds = Grounds(subject=predictor.digest, source=str(path), known=made.rows(data))
    _write(space, grounds)
    return grounds


def grounded(space: Workspace, watched: Watched) -> Watched:
    """Return a version with the rows that are kept beside it, and with thresholds from them.

    Raises IntegrityError for rows that cannot be read.
    """
    path = _place(space, watched.reference.subject)
    if path.is_file():
        with _sound(path):
            watched.grounds = Grounds.unpack(read_bytes(path))
        watched.kept = thresholds_of(space, watched).calibration
    return watched


def thresholds_of(space: Workspace, watched: Watched) -> Thresholds:
    """Return what is drawn from the rows of a version, once for all who ask."""
    subject = watched.reference.subject
    path = _place(space, subject).with_suffix(".thresholds.json")
    rows = sha256_bytes(read_bytes(_place(space, subject)))
    if path.is_file():
        try:
            found = msgspec.json.decode(path.read_bytes(), type=Thresholds)
        except msgspec.MsgspecError:
            found = None
        if found is not None and found.rows == rows:
            return found
    space.progress.step("draw thresholds from the reference's rows")
    made = Thresholds(rows=rows, calibration=watched.calibration, rates=tuple(measured_of(watched)))
    write_bytes(path, msgspec.json.encode(made), mode=OWNER)
    space.progress.say("  the thresholds are kept beside the version, and not drawn again")
    return made


def known_truth(values: np.ndarray | None, signature: Signature) -> np.ndarray | None:
    """Return labels as codes (-1 unknown) or values (NaN unknown); None where there are none."""
    if values is None:
        return None
    if signature.task == "regression":
        numbers = np.full(len(values), np.nan)
        known = ~missing_mask(values)
        numbers[known] = numbers_of(values[known])
        return numbers
    return encode_labels(values, signature.classes)


@contextmanager
def _answering(bundle: Bundle) -> Iterator[Model]:
    """Give what answers as a version does: a graph is run here, as a server runs it."""
    if bundle.variant.runtime == "onnx" and not bundle.variant.large:
        yield open_variant(bundle.folder, bundle.variant, bundle.signature)
        return
    with HostedVariant(bundle.folder, bundle.variant, bundle.signature) as model:
        yield model


class _Made:
    """Makes kept rows of tables, with the answers of one model."""

    def __init__(
        self, model: Model, signature: Signature, reference: Fingerprint, seed: int, most: int
    ) -> None:
        self._model, self._signature, self._reference = model, signature, reference
        self._seed, self._most = seed, most

    def rows(self, data: Dataset) -> KeptRows:
        """Return some rows of a table, in the order of time where it has one."""
        order, ordered = _order(data)
        data = data.take(order[stretches(len(data), self._most, self._seed)])
        answers = self._model.predict(data.select(self._signature.names).frame)
        n, signature = len(data), self._signature
        classes = signature.task != "regression"
        scores = answers.score(signature.positive_index).astype(np.float64)
        return kept_rows(
            Answered(
                frame=data.frame,
                scores=np.full(n, np.nan) if answers.labels_only else scores,
                codes=signature.codes(answers) if classes else np.full(n, -1, np.int64),
                truth=known_truth(data.target, signature),
                ts=_moments(data),
                entities=None if data.entity is None else data.entity.tolist(),
                ordered=ordered,
            ),
            self._reference,
        )


def _order(data: Dataset) -> tuple[np.ndarray, bool]:
    """Return the order of time, and whether there is one: a clock's, or any that can be sorted."""
    ts = _moments(data)
    if ts is not None:
        return np.argsort(ts, kind="stable"), True
    if data.time is not None and data.time.dtype.kind in "fiu":
        return np.argsort(data.time, kind="stable"), True
    return np.arange(len(data)), False


def _moments(data: Dataset) -> np.ndarray | None:
    """Return the times of rows, int64 µs; None where they have none, or one that is no clock's."""
    if data.time is None or not len(data):
        return None
    try:
        return microseconds(pa.array(data.time), where=data.source)
    except (InputError, pa.ArrowInvalid):
        return None


def _place(space: Workspace, digest: str) -> Path:
    return space.folder / "monitor" / "references" / f"{digest}.rows"


def _write(space: Workspace, grounds: Grounds) -> None:
    path = _place(space, grounds.subject)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, grounds.pack(), mode=OWNER)


@contextmanager
def _sound(path: Path) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise IntegrityError(
            "the rows that monitoring stands on cannot be read",
            where=str(path),
            why=str(error),
            fix="give them anew: --reference FILE, or move the file away",
        ) from None
