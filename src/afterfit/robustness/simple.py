"""The simplest value of a column with which something still fails."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from afterfit.core.signature import Column

__all__ = ["made_up", "simpler"]

Fails = Callable[[Any], bool]
LEAST_POWER, MOST_POWER = 1, 308
WHOLE_POWER = 18
"""The largest power of ten in 64 bits."""
WORDS = ("?", "")


def simpler(column: Column, value: Any, known: Sequence[Any], fails: Fails) -> Any:
    """Return the simplest value that fails, ``value`` itself where none of the simple ones does.

    Missing values, booleans and categories of the reference are simple already. Of numbers 0, 1
    and -1 are tried, then the least power of ten (found by halving, so the least of those that
    fail where larger ones fail too), then the values ``known`` of the fingerprint. Of words "?",
    "" and the shortest beginning are tried.
    """
    if value is None or isinstance(value, bool):
        return value
    if column.numeric:
        return _number(column, value, known, fails)
    return value if value in known else _word(str(value), fails)


def made_up(value: Any) -> bool:
    """Return whether a value is one that `simpler` makes up, so that it is nobody's."""
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, str):
        return value in WORDS
    return value in {0, 1, -1} or abs(value) in {_power(value, k) for k in _exponents(value)}


def _number(column: Column, value: Any, known: Sequence[Any], fails: Fails) -> Any:
    kind = int if column.kind == "integer" else float
    first = [kind(0), kind(1), kind(-1)]
    if any(_same(value, each) for each in first[:1]):
        return value
    for each in first:
        if _same(value, each) or fails(each):
            return each
    found = _least_power(value, fails) if abs(value) >= 10 else None
    if found is not None:
        return found
    ordered = sorted(known, key=lambda each: len(repr(each)))
    if any(_same(value, each) for each in known):
        return value
    return next((each for each in ordered if fails(each)), value)


def _least_power(value: Any, fails: Fails) -> Any:
    """Return the least failing power of ten up to ``value``, with its sign; None where none is."""
    low, high = LEAST_POWER, math.floor(math.log10(abs(value)))
    most = WHOLE_POWER if isinstance(value, int) else MOST_POWER
    high = min(high, most)
    if not fails(_signed(value, high)):
        return None
    while low < high:
        middle = (low + high) // 2
        if fails(_signed(value, middle)):
            high = middle
        else:
            low = middle + 1
    return _signed(value, high)


def _signed(value: Any, exponent: int) -> Any:
    return _power(value, exponent) * (1 if value > 0 else -1)


def _power(value: Any, exponent: int) -> Any:
    return 10**exponent if isinstance(value, int) else float(f"1e{exponent}")


def _exponents(value: Any) -> range:
    """Return the exponent of a number of 10 or more, as a range of one."""
    if not math.isfinite(value) or abs(value) < 10:
        return range(0)
    near = round(math.log10(abs(value)))
    return range(near, min(near, MOST_POWER) + 1)


def _same(one: Any, other: Any) -> bool:
    """Return whether two numbers are the same, the sign of zero included."""
    return bool(one == other and math.copysign(1, one) == math.copysign(1, other))


def _word(value: str, fails: Fails) -> str:
    for each in WORDS:
        if each == value or fails(each):
            return each
    low, high = 1, len(value)
    while low < high:
        middle = (low + high) // 2
        if fails(value[:middle]):
            high = middle
        else:
            low = middle + 1
    return value[:high]
