"""How the answer moves with one column, all others as they are.

Friedman (2001), Ann. Stat. 29:1189: the mean answer over rows that all get the same value.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from afterfit.assess.evidence import Evidence
from afterfit.core.frame import Predictions, missing_mask
from afterfit.core.signature import Column, Signature
from afterfit.records.assess_explain import Dependence
from afterfit.stats.interval import t_interval

__all__ = ["dependences"]

ROWS = 200
POINTS, WORDS, OUTPUTS = 15, 12, 3
EDGE = 0.05
"""Numbers from the 5th to the 95th percentile: beyond, few rows say what the model learned."""


def dependences(evidence: Evidence, columns: Sequence[str], deadline: float) -> list[Dependence]:
    """Return how the mean answer depends on each column, for those reached before ``deadline``.

    The intervals are those of the mean over the rows. Columns that hold one value, tensors and
    free text have no curve, and neither has a model that gives labels alone.
    """
    rng = np.random.default_rng(evidence.config.seed)
    rows = np.sort(rng.permutation(len(evidence.data))[:ROWS])
    frame = {name: evidence.data.frame[name][rows] for name in evidence.signature.names}
    found: list[Dependence] = []
    for name in columns:
        column = evidence.signature.column(name)
        grid = _grid(column, evidence.data.frame[name])
        if time.monotonic() > deadline or len(grid) < 2 or evidence.predictions.labels_only:
            continue
        answers = [
            evidence.model.predict(frame | {name: np.repeat(grid[i : i + 1], len(rows))})
            for i in range(len(grid))
        ]
        for output, per_point in _outputs(evidence.signature, answers):
            found.append(_curve(name, output, grid, per_point, evidence.config.level))
    return found


def _grid(column: Column, values: np.ndarray) -> np.ndarray:
    """Return the values to ask for, in order; empty where there is nothing to draw."""
    present = values[~missing_mask(values)]
    if column.shape or column.kind == "text" or not len(present):
        return values[:0]
    if column.kind in {"number", "integer"}:
        share = np.linspace(EDGE, 1 - EDGE, POINTS)
        points = np.unique(np.quantile(present.astype(np.float64), share, method="nearest"))
        return points.astype(values.dtype)
    counts = Counter(present.tolist()).most_common(WORDS)
    return np.array(sorted(value for value, _ in counts), dtype=values.dtype)


def _outputs(
    signature: Signature, answers: Sequence[Predictions]
) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Yield what is drawn: the value, the positive class's probability, or the first classes'."""
    if signature.task == "regression":
        yield signature.target, [each.main for each in answers]
        return
    positive = signature.positive_index
    wanted = range(min(OUTPUTS, len(signature.classes))) if positive is None else [positive]
    for index in wanted:
        title = f"probability of {signature.classes[index]}"
        yield title, [each.main[:, index] for each in answers]


def _curve(
    column: str, output: str, grid: np.ndarray, per_point: Sequence[np.ndarray], level: float
) -> Dependence:
    means = [float(answers.mean()) for answers in per_point]
    bounds = [t_interval(answers, level) for answers in per_point]
    # Where all rows say the same there is no spread, and nothing to draw around the line.
    low = [b.low if np.isfinite(b.low) else m for b, m in zip(bounds, means, strict=True)]
    high = [b.high if np.isfinite(b.high) else m for b, m in zip(bounds, means, strict=True)]
    words = grid.dtype.kind in "OSUb"
    return Dependence(
        column=column,
        output=output,
        at=tuple(map(str, grid.tolist())) if words else tuple(map(float, grid.tolist())),
        mean=tuple(means),
        low=tuple(low),
        high=tuple(high),
        level=level,
        n=len(per_point[0]),
    )
