"""Thresholds from the user's own reference: how surprising a window is by chance.

Windows are drawn from the reference, and so is a reference beside each, since its own noise is part
of what differs: a window alone gave 12 % false alarms for 1 %. Of each pair the most surprising
column counts. Rows in the order of time are drawn in blocks. How often surprises are exceeded falls
exponentially, since a surprise is -ln p: the slope is fitted, and it reaches thresholds that are
rarer than the windows drawn. Columns that are drawn each by itself need fewer windows, as what each
exceeds alone adds up to what any of them exceeds.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from afterfit.core.digest import digest_of
from afterfit.core.fingerprint import OUTPUT, ColumnCounts, Fingerprint
from afterfit.core.frame import Frame
from afterfit.errors import InputError
from afterfit.monitor.bins import Group, Side, codes_of, families, groups_of, line_of
from afterfit.monitor.running import RunningCounts
from afterfit.monitor.tails import Tail, beyond_of_columns, beyond_of_windows, fitted
from afterfit.stats.units import block_length

__all__ = [
    "LEAST_ROWS",
    "Calibration",
    "Tail",
    "calibrate",
    "calibrate_codes",
    "calibrate_counts",
    "coded",
]

FloatArray = npt.NDArray[np.float64]
Family = Literal["inputs", "output"]
SIZES = (50, 300, 2000)
"""Rows of the windows that are drawn; a surprise hardly depends on it, so few are enough."""
MOST_PARTS = 10
"""Larger windows, of so many of the largest: up to 20,000 rows."""
LEAST_ROWS = 50
LEAST_REFERENCE = 200
REPLICATES = 1000
COLUMN_WINDOWS, LEAST_WINDOWS = 4000, 100
"""How often columns are drawn that are drawn each by itself: all together, and one at least."""
LEAST_CHANCE = 1e-300
_CELLS = 1 << 17


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """What is usual of windows of one reference, in about a kilobyte.

    ``reference`` is the digest of the fingerprint that it belongs to, of ``n_ref`` rows. ``method``
    says what was drawn: ``rows``, ``blocks`` of ``block`` neighbouring rows, or ``counts``, which
    knows nothing of how columns hang together and takes them as independent: rows that hang
    together make it too strict. It stands beside a version, not in its bundle: the last digits
    of logarithms differ between processors, and a bundle's digest must not.
    """

    reference: str
    n_ref: int
    method: Literal["rows", "blocks", "counts"]
    block: int = 1
    replicates: int = REPLICATES
    seed: int = 0
    tails: dict[str, tuple[Tail, ...]] = {}
    schema: int = 1

    def threshold(self, family: str, n: int, chance: float) -> float:
        """Return the surprise (nats) of windows of ``n`` rows that by chance is exceeded so often.

        ``family`` is ``inputs`` or ``output``. Between the sizes that were drawn it is
        interpolated in ln n. Raises InputError for a chance that is none.
        """
        if not 0 < chance < 1:
            raise InputError("the chance of a false alarm is out of range", fix="take 0.01")
        tails = self._tails(family)
        return _between(tails, n, [tail.threshold(chance) for tail in tails])

    def chance(self, family: str, n: int, surprise: float) -> float:
        """Return how often windows of ``n`` rows are by chance at least as surprising."""
        tails = self._tails(family)
        return math.exp(
            _between(tails, n, [math.log(max(LEAST_CHANCE, t.chance(surprise))) for t in tails])
        )

    def of(self, reference: Fingerprint) -> Calibration:
        """Return the same thresholds for another reference with these columns, as for an hour's.

        A surprise is measured on the shares of its own reference, so thresholds hang on how many
        columns there are and how they hang together, and hardly on the shares.
        """
        return msgspec.structs.replace(self, reference=digest_of(reference), n_ref=reference.n_ref)

    def _tails(self, family: str) -> tuple[Tail, ...]:
        if family not in self.tails:
            raise InputError(
                "a signal was not calibrated", where=family, fix="calibrate the whole reference"
            )
        return self.tails[family]


def calibrate(
    reference: Fingerprint,
    frame: Frame,
    scores: npt.NDArray[np.float64] | None = None,
    *,
    in_time_order: bool = False,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Calibration:
    """Return the calibration from the rows of the reference and the model's scores of them.

    Rows ``in_time_order`` are drawn in blocks, as long as the column needs that depends longest.
    ``replicates`` is how many windows are drawn of each size.
    Without scores the output is calibrated from its counts. Raises InputError for fewer than 200
    rows or for other rows than the fingerprint's.
    """
    return calibrate_codes(
        reference,
        coded(reference, frame, scores),
        in_time_order=in_time_order,
        replicates=replicates,
        seed=seed,
    )


def coded(
    reference: Fingerprint, frame: Frame, scores: npt.NDArray[np.float64] | None = None
) -> dict[str, npt.NDArray[np.int32]]:
    """Return where rows fall in the bins, by family; without scores the inputs alone."""
    return {
        family: codes_of(columns, frame, scores)
        for family, columns in families(reference)
        if columns[0].name != OUTPUT or scores is not None
    }


def calibrate_codes(
    reference: Fingerprint,
    codes: Mapping[str, npt.NDArray[np.int32]],
    *,
    in_time_order: bool = False,
    replicates: int = REPLICATES,
    seed: int = 0,
    most: int = 0,
) -> Calibration:
    """Return the calibration from the rows of the reference as `coded` gives them.

    It may be for windows of at most ``most`` rows, as blocks of larger ones tell nothing of these.
    """
    _check(reference)
    method: Literal["rows", "blocks"] = "blocks" if in_time_order else "rows"
    block, tails = 1, {}
    for family, columns in families(reference):
        generator = np.random.default_rng([seed, family == "output"])
        if family not in codes:
            drawn: _Drawn = _Counts(columns, generator)
        else:
            rows = _Rows(columns, codes[family], generator, in_time_order=in_time_order)
            if not np.array_equal(rows.line, line_of(columns)):
                raise InputError(
                    "these rows are not the fingerprint's",
                    where=family,
                    why="their counts differ",
                    fix="give the rows that the fingerprint was built from, or: calibrate_counts",
                )
            block, drawn = max(block, rows.block), rows
        tails[family] = _tails(groups_of(columns), drawn, replicates, most)
    return _made(reference, method, tails, block, replicates, seed)


def calibrate_counts(
    reference: Fingerprint, *, replicates: int | None = None, seed: int = 0
) -> Calibration:
    """Return the calibration from a fingerprint alone; columns and rows count as independent.

    Where columns hang together, alarms are fewer than asked, never more (Šidák 1967, J. Am. Stat.
    Assoc. 62:626). ``replicates`` is how many windows are drawn of each column and size; by default
    as many as make 4,000 of all columns, and 100 at least. Raises InputError for fewer than 200
    rows.
    """
    _check(reference)
    tails, least = {}, 0
    for family, columns in families(reference):
        generator = np.random.default_rng([seed, family == "output"])
        count = replicates or max(LEAST_WINDOWS, COLUMN_WINDOWS // len(columns))
        tails[family] = _tails(groups_of(columns), _Counts(columns, generator), count)
        least = min(least or count, count)
    return _made(reference, "counts", tails, 1, least, seed)


def _made(
    reference: Fingerprint,
    method: Literal["rows", "blocks", "counts"],
    tails: dict[str, tuple[Tail, ...]],
    block: int,
    replicates: int,
    seed: int,
) -> Calibration:
    return Calibration(
        reference=digest_of(reference),
        n_ref=reference.n_ref,
        method=method,
        block=block,
        replicates=replicates,
        seed=seed,
        tails=tails,
    )


def _check(reference: Fingerprint) -> None:
    if reference.n_ref < LEAST_REFERENCE:
        raise InputError(
            "the reference is too small for alarms",
            where=f"{reference.n_ref} rows",
            why="its own noise would be most of what is seen",
            fix=f"take {LEAST_REFERENCE} rows or more; 20,000 see small changes",
        )


class _Counts:
    """Draws the columns' counts, each column by itself."""

    def __init__(self, columns: Sequence[ColumnCounts], generator: np.random.Generator) -> None:
        self.line = line_of(columns)
        self._generator = generator
        self._parts = [line_of([column]).astype(np.int64) for column in columns]

    @property
    def n_ref(self) -> int:
        """The number of rows."""
        return int(max(part.sum() for part in self._parts))

    def windows(self, n: int, count: int) -> FloatArray:
        """Return the counts of ``count`` samples of ``n`` rows, float64 of (count, length)."""
        parts = [
            self._generator.multinomial(n, part / max(1, part.sum()), size=count)
            for part in self._parts
        ]
        return np.concatenate(parts, axis=1).astype(np.float64)

    def nested(self, sizes: Sequence[int], count: int) -> Iterator[FloatArray]:
        """Yield samples of each size."""
        for size in sizes:
            yield self.windows(size, count)

    def units(self) -> float:
        """Return of how many independent parts the rows consist."""
        return float(self.n_ref)


class _Rows:
    """Draws whole rows, so that columns hang together as they do; neighbours in time as well."""

    def __init__(
        self,
        columns: Sequence[ColumnCounts],
        codes: npt.NDArray[np.int32],
        generator: np.random.Generator,
        *,
        in_time_order: bool,
    ) -> None:
        self._length = len(line_of(columns))
        # Rows are picked at random: the smaller, the sooner.
        self._codes = codes.astype(np.uint16) if self._length <= 1 << 16 else codes
        self._generator = generator
        self.block = max(map(block_length, codes.T.astype(np.float64))) if in_time_order else 1
        self.line = self._count(np.arange(len(codes))).astype(np.float64)
        self._running = (
            RunningCounts(self._codes, self._length, self.block) if self.block > 1 else None
        )

    @property
    def n_ref(self) -> int:
        """The number of rows."""
        return len(self._codes)

    def windows(self, n: int, count: int) -> FloatArray:
        """Return the counts of ``count`` samples of ``n`` rows, float64 of (count, length)."""
        return self._between(self._starts(n, count), 0, n)

    def nested(self, sizes: Sequence[int], count: int) -> Iterator[FloatArray]:
        """Yield samples of each size, of which the larger go on from the smaller.

        Beyond 2,000 rows they are sums of samples, each of which is in several: that costs no
        draw, and each sum is a sample like any other.
        """
        drawn = [size for size in sizes if size <= SIZES[-1]]
        starts = self._starts(drawn[-1], count)
        total = np.zeros((count, self._length))
        for begin, size in zip((0, *drawn), drawn, strict=False):
            total = total + self._between(starts, begin, size)
            yield total
        for size in sizes[len(drawn) :]:
            parts = size // drawn[-1]
            more = max(0, parts - count)
            pool = np.concatenate([total, self.windows(drawn[-1], more)]) if more else total
            whole = np.zeros_like(pool)
            for place in range(parts):
                whole += np.roll(pool, place, axis=0)
            yield whole[:count]

    def units(self) -> float:
        """Return of how many independent parts the rows consist."""
        return self.n_ref / self.block

    def _starts(self, n: int, count: int) -> npt.NDArray[np.int64]:
        """Return where the blocks of ``count`` samples of ``n`` rows begin, (count, blocks)."""
        return self._generator.integers(0, self.n_ref, (count, -(-n // self.block)))

    def _between(self, starts: npt.NDArray[np.int64], begin: int, end: int) -> FloatArray:
        """Return the counts of each sample's rows ``begin`` to ``end``, (count, length)."""
        if self._running is None:
            return np.stack([self._count(each[begin:end]) for each in starts]).astype(np.float64)
        found = np.zeros((len(starts), self._length))
        for place in range(begin // self.block, -(-end // self.block)):
            first = place * self.block
            low, high = max(begin - first, 0), min(end - first, self.block)
            found += self._running.before(starts[:, place] + high)
            found -= self._running.before(starts[:, place] + low)
        return found

    def _count(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
        return np.bincount(self._codes.take(rows, axis=0).ravel(), minlength=self._length)


_Drawn = _Counts | _Rows


def _tails(
    groups: Sequence[Group], drawn: _Drawn, replicates: int, at_most: int = 0
) -> tuple[Tail, ...]:
    """Return the tails for all window sizes up to the reference's, or those that are needed."""
    most = min(MOST_PARTS, drawn.n_ref // SIZES[-1])
    sizes = [size for size in SIZES if size <= drawn.n_ref]
    sizes += [SIZES[-1] * most] if most > 1 else []
    # Larger windows tell of smaller ones only where all have one slope.
    alike = isinstance(drawn, _Counts) or drawn.block == 1
    needed = len(sizes) if alike or not at_most else bisect_left(sizes, at_most) + 1
    found: list[list[FloatArray]] = [[] for _ in sizes[:needed]]
    chunk = max(1, _CELLS // len(drawn.line))
    for begin in range(0, replicates, chunk):
        count = min(chunk, replicates - begin)
        line = _references(drawn, count)
        before = [Side(group, line) for group in groups]
        for into, n, after in zip(found, sizes, drawn.nested(sizes, count), strict=False):
            pairs = zip(groups, before, strict=True)
            parts = [group.surprises(side, after, n).of_columns() for group, side in pairs]
            into.append(np.concatenate(parts, axis=1))
    beyond_of = beyond_of_columns if isinstance(drawn, _Counts) else beyond_of_windows
    beyond = [beyond_of(n, np.concatenate(each)) for n, each in zip(sizes, found, strict=False)]
    alone = sum(len(group.columns) for group in groups) == 1
    return tuple(fitted(beyond, drawn.units(), alike=alike, alone=alone))


def _references(drawn: _Drawn, count: int) -> FloatArray:
    """Return the counts of references as they might have come out, (count, length).

    Of a large reference fewer rows are drawn, and their noise made as small as that of all.
    """
    block = drawn.block if isinstance(drawn, _Rows) else 1
    rows = min(drawn.n_ref, max(SIZES[-1], 20 * block))
    shares = drawn.line / drawn.n_ref
    noise = drawn.windows(rows, count) / rows - shares
    return np.asarray(drawn.n_ref * (shares + noise * math.sqrt(rows / drawn.n_ref)))


def _between(tails: Sequence[Tail], n: int, values: Sequence[float]) -> float:
    sizes = np.log([tail.n for tail in tails])
    return float(np.interp(math.log(max(n, 1)), sizes, values))
