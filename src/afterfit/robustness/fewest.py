"""Delta debugging: the fewest parts of something that still fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

__all__ = ["fewest"]

T = TypeVar("T")


def fewest(parts: Sequence[T], fails: Callable[[list[T]], bool]) -> list[T]:
    """Return a subset that fails and of which no single part can be left out.

    ``fails(parts)`` is taken for granted, and nothing is asked of the empty subset. Ever smaller
    blocks are left out, which takes at most about twice as many questions as there are parts where
    what fails fails with more parts too. Where ``fails`` answers False because its time is over,
    the smallest subset so far is given. Source: the complements of ddmin, Zeller and Hildebrandt
    (2002), IEEE Trans. Softw. Eng. 28(2):183.
    """
    kept = list(parts)
    size = (len(kept) + 1) // 2
    while size and len(kept) > 1:
        before, start = len(kept), 0
        while start < len(kept):
            rest = kept[:start] + kept[start + size :]
            if rest and fails(rest):
                kept = rest
            else:
                start += size
        if size == 1 and len(kept) == before:
            break
        size = max(1, size // 2)
    return kept
