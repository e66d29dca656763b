"""Columns that name rows, and columns that never vary."""

from __future__ import annotations

import re

import numpy as np

from afterfit.assess import findings
from afterfit.assess.data.coding import whole_codes
from afterfit.assess.data.tables import (
    LEAST_ROWS,
    MOST_ROWS,
    columns_of,
    names_of,
    no_time_left,
    percent,
    sample,
    told,
    too_few,
)
from afterfit.assess.evidence import Evidence, Part
from afterfit.core.finding import Finding
from afterfit.core.frame import Frame, missing_mask
from afterfit.core.signature import Column

UNIQUE = 0.95
COLLISIONS, LEFT = 20.0, 0.1
"""Random integers of that range would collide at least so often; ids collide in less than a tenth
of that. No collision where 20 are expected has a chance below 1e-8."""
SPACED = 0.05
NAME = re.compile(
    r"(^|[_\W])(id|uuid|guid|key|number|no|nr|index|row)$|(?<=[a-z])I[dD]$|^unnamed", re.IGNORECASE
)


def uninformative(evidence: Evidence) -> Part:
    """Return the columns that are different in every row without chance, and the constant ones.

    Integers: distinct in 95 % of the rows, where integers drawn evenly from their range would
    repeat far more often (birthday problem), or where the name says so. Words: distinct in 95 % of
    the rows, and without spaces. Looks at the training rows where there are any.
    """
    check = findings.Uninformative
    data = evidence.data if evidence.train is None else evidence.train
    if not evidence.left:
        return told(no_time_left(check, evidence))
    if len(data) < LEAST_ROWS:
        return told(too_few(check, len(data)))
    frame = data.take(sample(len(data), evidence.config.seed, MOST_ROWS)).frame
    columns = columns_of(evidence, data)
    constant = [column.name for column in columns if _constant(frame, column)]
    named = [finding for column in columns if (finding := _naming(frame, column))]
    shown = list(named)
    if constant:
        text = f"{len(constant)} of {len(columns)} columns never vary: {names_of(constant)}"
        fix = "leave them out and train again: each request has to carry them"
        shown.append(check.tip(text, fix=fix, columns=constant[:100], n=len(data)))
    if not shown:
        shown.append(
            check.passed(f"none of {len(columns)} columns names rows or never varies", n=len(data))
        )
    return told(*shown)


def _constant(frame: Frame, column: Column) -> bool:
    codes = whole_codes(frame[column.name])
    return bool((codes == codes[0]).all())


def _naming(frame: Frame, column: Column) -> Finding | None:
    values = frame[column.name]
    values = values[~missing_mask(values)]
    n = len(values)
    if n < LEAST_ROWS or values.dtype.kind == "b":
        return None
    # An integer column with gaps is one of floats.
    if values.dtype.kind == "f" and not (values == np.rint(values)).all():
        return None
    distinct = int(whole_codes(values).max()) + 1
    if distinct < UNIQUE * n:
        return None
    look = _word if values.dtype.kind == "O" else _integer
    return look(values, column, distinct)


def _integer(values: np.ndarray, column: Column, distinct: int) -> Finding | None:
    n = len(values)
    width = float(values.max()) - float(values.min()) + 1.0
    expected = n * (n - 1) / 2 / width
    dense = expected >= COLLISIONS and (n - distinct) < LEFT * min(expected, n)
    if not dense and not NAME.search(column.name):
        return None
    why = f"integers drawn from their range would repeat about {min(expected, n):.0f} times"
    if not dense:
        why = "and its name is that of an id"
    return _named(column, f"{distinct} distinct integers in {n} rows; {why}", distinct, n)


def _word(values: np.ndarray, column: Column, distinct: int) -> Finding | None:
    spaced = float(np.mean([" " in str(value).strip() for value in values.tolist()]))
    if spaced > SPACED:
        return None
    text = f"{distinct} distinct words in {len(values)} rows ({percent(distinct / len(values))})"
    return _named(column, text, distinct, len(values))


def _named(column: Column, text: str, distinct: int, n: int) -> Finding:
    return findings.Uninformative.issue(
        f"{column.name} names rows: {text}",
        where=column.name,
        fix=f"leave {column.name} out and train again; --entity {column.name} keeps it as an id",
        distinct=distinct,
        n=n,
    )
