"""How unlike the reference a row is as a whole, by the scorer that a bundle carries.

``ood.json`` holds numbers of many rows alone: scales of columns, centres of ten rows or more, cuts
of trees. A row becomes features, these a distance or a length of path, and what lies above the
threshold is flagged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec
import numpy as np

from afterfit.core.bundle import Bundle
from afterfit.core.event import FLAG_OOD
from afterfit.core.frame import Frame, MatrixFrame, Predictions, missing_mask, row_count, take
from afterfit.core.signature import Signature
from afterfit.errors import RESTORE, IntegrityError
from afterfit.runtime.decode import Decoder, Flags

__all__ = [
    "FARTHEST",
    "FILE",
    "Distance",
    "Features",
    "Forest",
    "Method",
    "OodDocument",
    "OodScorer",
    "ScoredColumn",
    "Space",
    "open_scorer",
    "unusual",
]

FILE = "ood.json"
CHUNK = 1024
"""Rows that are scored at once: what is computed of them stays in the processor's cache."""
FARTHEST = 1e6
"""In scales of its column, a number farther out counts as this one."""

Method = Literal["distance", "mahalanobis", "forest", "softmax"]
Measure = Callable[[np.ndarray], np.ndarray]
Table = tuple[tuple[float, ...], ...]


class ScoredColumn(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The features of one column.

    ``number``: asinh((x - centre) / scale). ``text``: the same of log(1 + characters). Both are 0
    where the value is missing; with ``gap`` a second feature is ``gap`` then, and 0 else.
    ``words``: the row of ``table`` that belongs to the word; its last two rows are those of any
    other word and of none.
    """

    name: str
    kind: Literal["number", "text", "words"]
    centre: float = 0.0
    scale: float = 1.0
    gap: float = 0.0
    words: tuple[str, ...] = ()
    table: Table = ()

    @property
    def width(self) -> int:
        """The number of features."""
        return len(self.table[0]) if self.kind == "words" else 1 + (self.gap > 0)


class Space(msgspec.Struct, frozen=True, kw_only=True):
    """Coordinates without correlation, and the centres of rows in them.

    A row's coordinates are (features - ``mean``) times ``axes``, [features, axes], which are
    divided by their ``spread``. What they leave out is one coordinate more, in units of ``rest``,
    where that is not 0. ``centres`` is [centres, coordinates].
    """

    mean: tuple[float, ...]
    axes: Table
    spread: tuple[float, ...]
    rest: float
    centres: Table


class Forest(msgspec.Struct, frozen=True, kw_only=True):
    """Complete binary trees of one depth, one row a tree: node i leads to 2 i + 1 and 2 i + 2.

    A row goes on to the second where ``features[i]`` is above ``cuts[i]`` (null: no row is).
    ``lengths`` are those of the paths to the leaves, by the mean length of a path.
    """

    features: tuple[tuple[int, ...], ...]
    cuts: tuple[tuple[float | None, ...], ...]
    lengths: Table


class OodDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What ``ood.json`` holds: rows that score above ``threshold`` are flagged.

    ``rate`` is the share of usual rows that the threshold was set for.
    """

    method: Method
    threshold: float
    rate: float
    columns: tuple[ScoredColumn, ...] = ()
    space: Space | None = None
    forest: Forest | None = None
    schema: int = 1


class OodScorer:
    """Scores rows by a document: the higher, the less they are like the reference.

    Raises ValueError for a document that lacks what its method needs.
    """

    def __init__(self, document: OodDocument) -> None:
        self.document = document
        self.threshold = document.threshold
        self._features = Features(document.columns)
        self._measure = _measure(document)

    def scores(self, frame: Frame, predictions: Predictions) -> np.ndarray:
        """Return the score of each row, float64 of [n]."""
        if self._measure is None:
            return _doubt(predictions)
        n = row_count(frame)
        starts = range(0, n, CHUNK)
        parts = [frame] if n <= CHUNK else [take(frame, slice(s, s + CHUNK)) for s in starts]
        scores = [self._measure(self._features(part)) for part in parts]
        return scores[0] if len(scores) == 1 else np.concatenate(scores)

    def flags(self, frame: Frame, predictions: Predictions) -> np.ndarray:
        """Return which rows are unlike the reference, bool of [n]."""
        found: np.ndarray = self.scores(frame, predictions) > self.threshold
        return found


class Features:
    """Turns frames into features, float32 of [n, features]."""

    def __init__(self, columns: Sequence[ScoredColumn]) -> None:
        self.names = [column.name for column in columns]
        starts = np.cumsum([0, *(column.width for column in columns)]).tolist()
        self.width = starts[-1]
        places = list(zip(columns, starts, strict=False))
        numbers = [(column, at) for column, at in places if column.kind == "number"]
        self._numbers = [column.name for column, _ in numbers]
        self._centre = np.array([column.centre for column, _ in numbers])
        self._scale = np.array([column.scale for column, _ in numbers])
        self._at = np.array([at for _, at in numbers], dtype=np.intp)
        gaps = [(i, at + 1, c.gap) for i, (c, at) in enumerate(numbers) if c.gap]
        self._gaps = np.array([i for i, _, _ in gaps], dtype=np.intp)
        self._gaps_at = np.array([at for _, at, _ in gaps], dtype=np.intp)
        self._gap = np.array([gap for _, _, gap in gaps])
        self._dense = len(self._at) == self.width
        self._words = [_Words(column, at) for column, at in places if column.kind == "words"]
        self._texts = [(column, at) for column, at in places if column.kind == "text"]

    def __call__(self, frame: Frame) -> np.ndarray:
        """Return the features of the rows of a frame of the signature."""
        found = np.zeros((row_count(frame), self.width), dtype=np.float32)
        if self._numbers:
            self._fill_numbers(frame, found)
        for words in self._words:
            words.fill(frame[words.name].tolist(), found)
        for column, at in self._texts:
            _fill_text(column, frame[column.name], found[:, at : at + column.width])
        return found

    def _fill_numbers(self, frame: Frame, found: np.ndarray) -> None:
        scaled = self._matrix(frame)
        # What lies beyond every float is as far out as what is far out.
        with np.errstate(over="ignore", invalid="ignore"):
            scaled -= self._centre
            scaled /= self._scale
            np.clip(scaled, -FARTHEST, FARTHEST, out=scaled)
        gone = np.isnan(scaled)
        scaled[gone] = 0.0
        np.arcsinh(scaled, out=scaled)
        if self._dense:
            found[:] = scaled
            return
        found[:, self._at] = scaled
        if len(self._gaps):
            found[:, self._gaps_at] = gone[:, self._gaps] * self._gap

    def _matrix(self, frame: Frame) -> np.ndarray:
        """Return the numbers of the frame, float64 of [n, numbers] that may be changed."""
        if isinstance(frame, MatrixFrame) and list(frame.names) == self._numbers:
            return frame.matrix.copy()
        matrix = np.empty((row_count(frame), len(self._numbers)))
        for index, name in enumerate(self._numbers):
            values = frame[name]
            if values.dtype.kind == "O":
                values = np.array([math.nan if v is None else float(v) for v in values.tolist()])
            matrix[:, index] = values
        return matrix


class _Words:
    """Looks up the features of one column of words."""

    def __init__(self, column: ScoredColumn, at: int) -> None:
        self.name = column.name
        self._part = slice(at, at + column.width)
        self._table = np.array(column.table, dtype=np.float32)
        self._known = {word: index for index, word in enumerate(column.words)}
        self._other = len(column.words)
        self._none = self._other + 1

    def fill(self, values: list[str | None], found: np.ndarray) -> None:
        """Write the features of each value."""
        known, other, none = self._known, self._other, self._none
        rows = [
            none if value is None or value != value else known.get(value, other)  # noqa: PLR0124 - NaN
            for value in values
        ]
        found[:, self._part] = self._table[rows]


def _fill_text(column: ScoredColumn, values: np.ndarray, found: np.ndarray) -> None:
    gone = missing_mask(values)
    sizes = np.array([0.0 if miss else len(v) for v, miss in zip(values, gone, strict=True)])
    scaled = np.arcsinh((np.log1p(sizes) - column.centre) / column.scale)
    found[:, 0] = np.where(gone, 0.0, scaled)
    if column.gap:
        found[:, 1] = gone * column.gap


def _measure(document: OodDocument) -> Measure | None:
    """Return what makes scores of features; None for a method that looks at answers alone."""
    if document.method == "softmax":
        return None
    width = sum(column.width for column in document.columns)
    if document.method == "forest" and document.forest is not None:
        return _Paths(document.forest, width)
    if document.method != "forest" and document.space is not None:
        return Distance(document.space, width)
    raise ValueError(f"nothing to score by {document.method}")


class Distance:
    """The distance to the nearest centre, in coordinates without correlation."""

    def __init__(self, space: Space, width: int) -> None:
        self._mean = np.array(space.mean, dtype=np.float32)
        self._axes = np.array(space.axes, dtype=np.float32).reshape(width, len(space.spread))
        self._spread = np.array(space.spread, dtype=np.float32)
        self._rest = space.rest
        size = len(space.spread) + (space.rest > 0)
        centres = np.array(space.centres, dtype=np.float32).reshape(-1, size)
        self._towards = np.ascontiguousarray(-2 * centres.T)
        self._squares = np.square(centres).sum(axis=1)
        if len(self._mean) != width or not len(centres):
            raise ValueError("the space is not that of the columns")

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Return the distance of each row, float64 of [n]."""
        places = self.coordinates(features)
        distances = places @ self._towards
        distances += self._squares
        squares = distances.min(axis=1).astype(np.float64) + _squares(places)
        found: np.ndarray = np.sqrt(np.maximum(squares, 0.0))
        return found

    def coordinates(self, features: np.ndarray) -> np.ndarray:
        """Return the coordinates, float32 of [n, coordinates]."""
        moved = features - self._mean
        places = moved @ self._axes
        if not self._rest:
            return places
        left = _squares(moved) - _squares(places * self._spread)
        out = np.sqrt(np.maximum(left, 0.0)) / self._rest
        return np.concatenate([places, out[:, None].astype(np.float32)], axis=1)


def _squares(rows: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.einsum("ij,ij->i", rows, rows)
    return found


class _Paths:
    """How short the paths of rows through the trees are."""

    def __init__(self, forest: Forest, width: int) -> None:
        cuts = [[math.inf if cut is None else cut for cut in tree] for tree in forest.cuts]
        self._features = np.array(forest.features, dtype=np.intp)
        self._cuts = np.array(cuts, dtype=np.float32)
        self._lengths = np.array(forest.lengths, dtype=np.float32)
        trees, nodes = self._cuts.shape
        self._depth = (nodes + 1).bit_length() - 1
        fits = self._features.shape == (trees, nodes) and self._lengths.shape == (trees, nodes + 1)
        if not fits or 1 << self._depth != nodes + 1 or not self._features.max() < width:
            raise ValueError("the trees are not complete, or not of the columns")
        self._nodes = nodes
        self._first = np.arange(trees) * nodes
        self._leaves = np.arange(trees) * (nodes + 1) - nodes

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Return minus the mean length of each row's paths, float64 of [n]."""
        n, width = features.shape
        values, begins = features.reshape(-1), (np.arange(n) * width)[:, None]
        which, cuts = self._features.reshape(-1), self._cuts.reshape(-1)
        node = np.zeros((n, len(self._first)), dtype=np.intp)
        for _ in range(self._depth):
            at = node + self._first
            right = values.take(begins + which.take(at)) > cuts.take(at)
            node += node
            node += 1
            node += right
        lengths = self._lengths.reshape(-1).take(node + self._leaves)
        found: np.ndarray = -lengths.mean(axis=1, dtype=np.float64)
        return found


def _doubt(predictions: Predictions) -> np.ndarray:
    """Return 1 less the probability of the likeliest class, float64 of [n]."""
    if predictions.probabilities is None:
        return np.zeros(len(predictions))
    found: np.ndarray = 1.0 - predictions.probabilities.max(axis=1)
    return found


def open_scorer(bundle: Bundle) -> OodScorer | None:
    """Return the scorer of a bundle, None where it has none; raises IntegrityError."""
    if FILE not in bundle.manifest.files:
        return None
    path = bundle.folder / FILE
    try:
        return _checked(msgspec.json.decode(path.read_bytes(), type=OodDocument), bundle.signature)
    except (msgspec.MsgspecError, ValueError, IndexError) as error:
        raise IntegrityError(
            f"{FILE} cannot be used", where=str(path), why=str(error), fix=RESTORE
        ) from None


def _checked(document: OodDocument, signature: Signature) -> OodScorer:
    unknown = {column.name for column in document.columns} - set(signature.names)
    if unknown:
        raise ValueError(f"the signature has no column {min(unknown)!r}")
    return OodScorer(document)


def unusual(
    decoder: Decoder, scorer: OodScorer | None, frame: Frame, predictions: Predictions
) -> Flags:
    """Return what is unusual about rows: by their columns and, with a scorer, as a whole."""
    flags = decoder.flags(frame)
    if scorer is None:
        return flags
    return Flags({**flags.masks, FLAG_OOD: scorer.flags(frame, predictions)})
