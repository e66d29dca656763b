"""Answers of any shape: their plain values row by row, compared and judged."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

from afterfit.core.wire.documents import UnreadableError
from afterfit.core.wire.tensors import alike

Path = tuple[str | int, ...]
Leaves = tuple[tuple[Path, Any], ...]
# What differs from one answer to the next without being a prediction.
VOLATILE_WORDS = (
    "id|uuid|guid|time|times|timestamp|ts|date|latency|duration|elapsed|ms|seconds|trace"
)
VOLATILE = re.compile(rf"(^|_)({VOLATILE_WORDS})$", re.IGNORECASE)
PROBABLE = re.compile(r"prob|confidence", re.IGNORECASE)
NOT_FINITE = re.compile(r"[-+]?(nan|inf|infinity)", re.IGNORECASE)
TOKEN = re.compile(rb"(?<![\w\"'])-?(?:NaN|Infinity)(?![\w\"'])")
_SLACK, _SUM_SLACK = 1e-6, 1e-3


def leaves(item: Any, volatile: re.Pattern[str] | None = VOLATILE) -> Leaves:
    """Return the plain values of an answer with their paths, without ids and times.

    ``volatile`` finds the names of what is left out; None leaves out nothing.
    """
    return tuple(_leaves(item, (), volatile))


def _leaves(item: Any, path: Path, volatile: re.Pattern[str] | None) -> Iterator[tuple[Path, Any]]:
    if isinstance(item, dict):
        for name in sorted(item):
            if volatile is None or not volatile.search(name):
                yield from _leaves(item[name], (*path, name), volatile)
    elif isinstance(item, list | tuple):
        for index, each in enumerate(item):
            yield from _leaves(each, (*path, index), volatile)
    else:
        yield path, item


class Layout:
    """Where the answers of several rows stand in a document, learnt from a right one."""

    def __init__(self, document: Any, rows: int) -> None:
        self.path: tuple[str, ...] = ()
        self.names: tuple[str, ...] = ()
        found = _find(document, rows, ())
        if found is None:
            raise UnreadableError(f"no array of {rows} answers for {rows} rows")
        self.path, self.names = found

    def read(self, document: Any, rows: int) -> list[Any]:
        """Return one answer a row; raises UnreadableError where there are more or fewer."""
        for step in self.path:
            document = document.get(step) if isinstance(document, dict) else None
        if not self.names:
            return _counted(document, rows)
        known = document if isinstance(document, dict) else {}
        columns = {name: _counted(known.get(name), rows) for name in self.names}
        return [{name: columns[name][row] for name in self.names} for row in range(rows)]


def _counted(found: Any, rows: int) -> list[Any]:
    if not isinstance(found, list):
        raise UnreadableError("the answer has another shape than that of a right request")
    if len(found) != rows:
        raise UnreadableError(f"{len(found)} answers for {rows} rows")
    return found


def _find(
    document: Any, rows: int, path: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    if isinstance(document, list):
        return (path, ()) if len(document) == rows else None
    if not isinstance(document, dict):
        return None
    names = tuple(n for n, each in document.items() if isinstance(each, list) and len(each) == rows)
    if names:
        return (path, names)
    found = (_find(each, rows, (*path, name)) for name, each in document.items())
    return next((each for each in found if each is not None), None)


def difference(one: Any, other: Any, volatile: re.Pattern[str] | None = VOLATILE) -> str:
    """Return how the answers to one row differ, floats beyond rounding; "" where they do not."""
    mine, theirs = leaves(one, volatile), leaves(other, volatile)
    if [path for path, _ in mine] != [path for path, _ in theirs]:
        return "the answers have different fields"
    for (path, value), (_, found) in zip(mine, theirs, strict=True):
        if not alike([value], [found]):
            return f"{dotted(path)} is {value!r} and {found!r}"
    return ""


def differences(expected: Sequence[Any], found: Sequence[Any]) -> str:
    """Return the first row that was answered differently, and how; "" where there is none."""
    for row, (one, other) in enumerate(zip(expected, found, strict=True)):
        told = difference(one, other)
        if told:
            return f"row {row}: {told}"
    return ""


def not_finite(item: Any, like: Any) -> str:
    """Return the value that is no number where the answer ``like`` has one; "" without one."""
    numbers = {path for path, value in leaves(like) if _number(value)}
    for path, value in leaves(item):
        if isinstance(value, float) and not math.isfinite(value):
            return f"{dotted(path)} is {value}"
        if path in numbers and (value is None or _spelled(value)):
            return f"{dotted(path)} is {value!r} where a number belongs"
    return ""


def improbable(item: Any, like: Any) -> str:
    """Return what is no probability among the values that are named so; "" where all are."""
    sums = _sums(like)
    for path, value in leaves(item):
        if named(path) and _number(value) and not -_SLACK <= value <= 1 + _SLACK:
            return f"{dotted(path)} is {value!r}"
    for path, total in _sums(item).items():
        whole = abs(sums.get(path, 0.0) - 1) < _SUM_SLACK
        if whole and not abs(total - 1) < _SUM_SLACK:
            return f"the probabilities in {dotted(path)} add up to {total:g}"
    return ""


def named(path: Path) -> bool:
    """Return whether a path says that a probability stands there."""
    return any(isinstance(step, str) and PROBABLE.search(step) for step in path)


def dotted(path: Path) -> str:
    """Return a path as a person writes it."""
    return ".".join(map(str, path)) or "the answer"


def _sums(item: Any) -> dict[Path, float]:
    """Return the sums of several probabilities that stand side by side."""
    groups: dict[Path, list[float]] = {}
    for path, value in leaves(item):
        if named(path[:-1]) and _number(value):
            groups.setdefault(path[:-1], []).append(float(value))
    return {path: math.fsum(values) for path, values in groups.items() if len(values) > 1}


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _spelled(value: Any) -> bool:
    return isinstance(value, str) and NOT_FINITE.fullmatch(value.strip()) is not None
