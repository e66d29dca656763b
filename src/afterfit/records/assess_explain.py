"""What ``assess`` tells of how a model uses its columns."""

from __future__ import annotations

import msgspec


class Importance(msgspec.Struct, frozen=True, kw_only=True):
    """How much worse ``metric`` gets where a column's values are dealt out anew.

    In the metric's own unit, above 0 for worse; ``n`` rows, each answered ``repeats`` times.
    """

    column: str
    metric: str
    value: float
    low: float | None
    high: float | None
    level: float
    n: int
    repeats: int
    method: str = ""


class Dependence(msgspec.Struct, frozen=True, kw_only=True):
    """The mean answer where every row has the same value of a column; ``n`` rows.

    ``at`` are numbers, or the words of a category; ``mean``, ``low`` and ``high`` have as many.
    """

    column: str
    output: str
    at: tuple[float | str, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    level: float
    n: int
