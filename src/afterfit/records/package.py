"""The record of ``package``: the bundle that was drafted, or what was written for a place."""

from __future__ import annotations

from afterfit.records.record import Record


class PackageRecord(Record, frozen=True, kw_only=True, tag="package"):
    """``bundle`` is the version digest, ``files`` its paths with sizes in bytes.

    ``destination`` is empty for a draft; otherwise ``written`` lists the files that were made.
    """

    bundle: str
    files: dict[str, int] = {}
    destination: str = ""
    written: tuple[str, ...] = ()
