"""The record of ``package``: the bundle that was drafted, or what was written for a place."""

from __future__ import annotations

import msgspec

from afterfit.records.record import Record


class ScorerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How the scorer of unlike rows was made; its quality is among the metrics.

    Rows that score above ``threshold`` are flagged, which ``rate`` of usual rows should be.
    ``rows`` counts those of each part, ``centres`` those of distances. ``kinds`` says in words what
    rows were made up, by the name in the scopes of the metrics. ``image`` is (channels, height,
    width) where the columns were taken for pixels; ``left_out`` is why a method was not tried.
    """

    method: str
    rate: float
    threshold: float
    features: int
    centres: int = 0
    rows: dict[str, int] = {}
    kinds: dict[str, str] = {}
    image: tuple[int, ...] = ()
    left_out: dict[str, str] = {}


class PackageRecord(Record, frozen=True, kw_only=True, tag="package"):
    """``bundle`` is the version digest, ``files`` its paths with sizes in bytes.

    ``destination`` is empty for a draft; otherwise ``written`` lists the files that were made.
    ``scorer`` is None for a bundle without one. ``image`` is the digest of the image that was made,
    empty where somebody else makes it.
    """

    bundle: str
    files: dict[str, int] = {}
    destination: str = ""
    written: tuple[str, ...] = ()
    scorer: ScorerRecord | None = None
    image: str = ""
