"""What ``assess`` found of the tables: repeated rows, telling columns, doubted labels, drift."""

from __future__ import annotations

import msgspec


class Repeats(msgspec.Struct, frozen=True, kw_only=True):
    """Held-out rows that stand in ``among`` already: ``training`` or (earlier) ``held-out`` rows.

    ``exact`` and ``near`` (these not counted among the former) are rows of ``n``; ``low`` and
    ``high`` are Wilson's bounds of the share of both at ``level``. ``by_chance`` is the share that
    the table's own values lead to expect. ``other_label`` are rows whose columns are equal and
    whose label is not. ``rows`` are numbers of some of them in the table, from 0.
    """

    among: str
    n: int
    exact: int
    near: int
    low: float
    high: float
    by_chance: float
    level: float = 0.95
    other_label: int = 0
    rows: tuple[int, ...] = ()


class Alone(msgspec.Struct, frozen=True, kw_only=True):
    """How well one column by itself tells the target, on ``n`` rows that it was not fitted on.

    ``measure`` is ``roc_auc`` (mean over classes against the rest) or ``r2`` (of ranks).
    """

    column: str
    measure: str
    value: float
    n: int


class Shift(msgspec.Struct, frozen=True, kw_only=True):
    """How far a column of the held-out rows is from that of the training rows.

    ``p_value`` is adjusted for the number of columns; ``by_chance`` is the total variation that
    two samples of these sizes have on average where nothing moved.
    """

    column: str
    total_variation: float
    by_chance: float
    p_value: float
    n: int
    n_ref: int


class Suspects(msgspec.Struct, frozen=True, kw_only=True):
    """Labels that are likelier wrong than right, the most doubtful first.

    ``share`` with ``low`` and ``high`` is the share of wrong labels at ``level``; ``rows`` are
    numbers of rows in the table from 0, at most 100; ``n`` are labelled. ``p_value`` is that of
    "no label is wrong" by the model, and ``second_p_value`` by a linear one, None where none was
    asked.
    """

    n: int
    count: int
    share: float
    low: float
    high: float
    p_value: float
    second_p_value: float | None = None
    level: float = 0.95
    rows: tuple[int, ...] = ()
