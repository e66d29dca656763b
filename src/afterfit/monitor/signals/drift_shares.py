"""Shares of a column's rows that may have changed: missing, new categories, infinite values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from afterfit.core.fingerprint import ColumnCounts

__all__ = ["Share", "shares_of"]


@dataclass(frozen=True)
class Share:
    """Rows that count and all rows, of the reference and of a window; fewer count with ``both``."""

    signal: str
    subject: str
    before: tuple[int, int]
    after: tuple[int, int]
    both: bool = False
    note: str = ""


def shares_of(old: ColumnCounts, new: ColumnCounts) -> Iterator[Share]:
    """Yield the shares of rows of a column that may have changed."""
    counts = {"missing": (old.missing + old.nan, new.missing + new.nan)}
    if old.kind == "category":
        counts["new_category"] = old.other + old.new, new.other + new.new
    elif old.kind not in ("text", "boolean"):
        counts["range"] = old.pinf + old.ninf, new.pinf + new.ninf
    for signal, (r, k) in counts.items():
        note = _beyond(old, new) if signal == "range" else ""
        both = signal == "missing"
        yield Share(signal, old.name, (r, old.total), (k, new.total), both=both, note=note)


def _beyond(old: ColumnCounts, new: ColumnCounts) -> str:
    """Return in words by how much the least or greatest value left the reference's range."""
    said = []
    if old.min is not None and new.min is not None and new.min < old.min:
        said.append(f"the least value is {new.min:.6g}, the reference begins at {old.min:.6g}")
    if old.max is not None and new.max is not None and new.max > old.max:
        said.append(f"the greatest value is {new.max:.6g}, the reference ends at {old.max:.6g}")
    return "; ".join(said)
