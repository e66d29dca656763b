"""The record of ``predict``: a batch that was scored."""

from __future__ import annotations

from afterfit.records.record import Record


class PredictRecord(Record, frozen=True, kw_only=True, tag="predict"):
    """``rows`` scored from ``source`` into ``output``, ``flagged`` of them by some flag.

    Both are names of files without their folders, which say nothing elsewhere.
    """

    source: str
    output: str
    rows: int
    flagged: dict[str, int] = {}
