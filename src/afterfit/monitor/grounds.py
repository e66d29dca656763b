"""What monitoring stands on beside a fingerprint: some real rows of the reference, with answers.

They are kept where the version was shipped, and are in no bundle. From them come thresholds that
know how columns hang together, estimates without labels, concept drift, seasons and more.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from afterfit.core.fingerprint import Fingerprint
from afterfit.core.frame import Frame, is_missing, row_count
from afterfit.core.signature import Signature
from afterfit.monitor.density import Rows
from afterfit.monitor.sample import decode_frame, encode_frame
from afterfit.monitor.score_table import ScoreTable
from afterfit.monitor.signals.skew import Keyed

__all__ = ["Answered", "Grounds", "KeptRows", "kept_rows", "key_of", "stretches"]

STRETCH = 1_000
"""Of more rows than are kept, stretches of so many neighbours are: they hang together in time."""


@dataclass(frozen=True)
class Answered:
    """Rows of a table with the answers of a version, before they are kept.

    ``truth`` is as `ScoreTable.update` takes it, None without labels; ``ts`` int64 µs, None where
    rows have no time; ``entities`` says whom each row is of, None where nothing does. ``ordered``
    says that the rows stand in the order of time, also where that is no clock's.
    """

    frame: Frame
    scores: npt.NDArray[np.float64]
    codes: npt.NDArray[np.int64]
    truth: npt.NDArray[np.generic] | None = None
    ts: npt.NDArray[np.int64] | None = None
    entities: Sequence[object] | None = None
    ordered: bool = False

    def __len__(self) -> int:
        """Return the number of rows."""
        return row_count(self.frame)


class KeptRows(msgspec.Struct, frozen=True, kw_only=True):
    """Some rows, in the order of time where they are ``ordered``, else in that of their table.

    ``rows`` are float32 of [n, columns] as ``sample.encode_column`` gives them; ``scores`` float64,
    ``codes`` int64, ``truth`` int64 codes or float64 values, ``ts`` int64 µs, all of [n] or empty.
    ``keys`` tells whom a row is of, or is empty.
    """

    n: int
    names: tuple[str, ...]
    rows: bytes
    scores: bytes
    codes: bytes
    truth: bytes = b""
    ts: bytes = b""
    keys: tuple[str, ...] = ()
    ordered: bool = False

    def frame(self, reference: Fingerprint) -> Frame:
        """Return the inputs as columns; what was rare is one category, and all texts are one."""
        flat: np.ndarray = np.frombuffer(self.rows, np.float32)
        return decode_frame(flat.reshape(self.n, len(self.names)), self.names, reference)

    def answers(self) -> npt.NDArray[np.float64]:
        """Return the scores, float64 of [n]."""
        return np.frombuffer(self.scores, np.float64)

    def decided(self) -> npt.NDArray[np.int64]:
        """Return the decided codes, int64 of [n]."""
        return np.frombuffer(self.codes, np.int64)

    def times(self) -> npt.NDArray[np.int64] | None:
        """Return the times, int64 µs of [n]; None where rows have none."""
        return np.frombuffer(self.ts, np.int64) if self.ts else None

    def known_truth(self, signature: Signature) -> npt.NDArray[np.generic] | None:
        """Return the truth as `ScoreTable.update` takes it; None where none is known."""
        if not self.truth:
            return None
        return np.frombuffer(self.truth, np.float64 if signature.task == "regression" else np.int64)


class Grounds(msgspec.Struct, frozen=True, kw_only=True):
    """Real rows beside a version (``subject`` is its digest); ``source`` says where they are from.

    ``known`` are rows of the reference, ``held`` rows with labels that the model was not trained
    on; either may be None, and both may be the same table, of which ``held`` is then None.
    """

    subject: str
    source: str
    known: KeptRows
    held: KeptRows | None = None
    schema: int = 1

    @property
    def labelled(self) -> KeptRows | None:
        """The rows that quality is told from; None where no label is known."""
        rows = self.known if self.held is None else self.held
        return rows if rows.truth else None

    def table(self, signature: Signature) -> ScoreTable | None:
        """Return the scores of the labelled rows; None where there are none."""
        rows = self.labelled
        if rows is None:
            return None
        found = ScoreTable.of(signature)
        found.update(rows.answers(), rows.decided(), rows.known_truth(signature))
        return found

    def quality_rows(self, signature: Signature, reference: Fingerprint) -> Rows | None:
        """Return the labelled rows that have an answer and a usable label, in their order."""
        rows = self.labelled
        if rows is None:
            return None
        truth = rows.known_truth(signature)
        found = Rows(rows.frame(reference), rows.answers(), rows.decided(), truth)
        usable = np.isfinite(found.scores)
        if truth is not None:
            usable &= np.isfinite(truth.astype(np.float64)) & (
                (signature.task == "regression") | (truth.astype(np.float64) >= 0)
            )
        return found.take(np.flatnonzero(usable))

    def keyed(self, reference: Fingerprint) -> Keyed | None:
        """Return the rows of the reference by whom they are of; None where nobody is named."""
        if not self.known.keys:
            return None
        return Keyed(self.known.keys, self.known.frame(reference))

    def pack(self) -> bytes:
        """Return it as bytes."""
        return zlib.compress(msgspec.msgpack.encode(self), 1)

    @classmethod
    def unpack(cls, body: bytes) -> Grounds:
        """Return it from its bytes; raises ValueError for what is none."""
        try:
            return msgspec.msgpack.decode(zlib.decompress(body), type=cls)
        except (zlib.error, msgspec.MsgspecError) as error:
            raise ValueError(str(error)) from None


def kept_rows(answered: Answered, reference: Fingerprint) -> KeptRows:
    """Return the rows to keep.

    Only columns of the fingerprint are kept; a category that is rare in it loses its name.
    """
    names = tuple(c.name for c in reference.columns if c.name in answered.frame)
    truth, ts = answered.truth, answered.ts
    return KeptRows(
        n=len(answered),
        names=names,
        rows=encode_frame(answered.frame, names, reference).tobytes(),
        scores=np.asarray(answered.scores, np.float64).tobytes(),
        codes=np.asarray(answered.codes, np.int64).tobytes(),
        truth=b"" if truth is None else np.ascontiguousarray(truth).tobytes(),
        ts=b"" if ts is None else ts.astype(np.int64).tobytes(),
        keys=_keys(answered),
        ordered=answered.ordered,
    )


def key_of(entity: object, ts: int | None) -> str:
    """Return what tells whose row one is: the entity, and the second where rows have a time."""
    if is_missing(entity) or entity == "":
        return ""
    return str(entity) if ts is None else f"{entity} at {ts // 1_000_000}"


def stretches(n: int, most: int, seed: int) -> npt.NDArray[np.int64]:
    """Return the places of at most so many of n rows: all, or stretches of 1,000 neighbours."""
    if n <= most:
        return np.arange(n)
    blocks = n // STRETCH
    chosen = np.random.default_rng(seed).permutation(blocks)[: max(1, most // STRETCH)]
    return (np.sort(chosen)[:, None] * STRETCH + np.arange(STRETCH)).ravel()


def _keys(answered: Answered) -> tuple[str, ...]:
    if answered.entities is None:
        return ()
    moments = [None] * len(answered) if answered.ts is None else answered.ts.tolist()
    return tuple(key_of(e, ts) for e, ts in zip(answered.entities, moments, strict=True))
