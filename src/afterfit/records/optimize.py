"""The record of ``optimize``: the variants that were tried, and the one that ships."""

from __future__ import annotations

from typing import Literal

import msgspec

from afterfit.core.bundle import Variant
from afterfit.core.metric import Metric
from afterfit.records.record import Record

VariantStatus = Literal["as_is", "exact", "certified", "rejected", "not_available", "skipped"]


class Parity(msgspec.Struct, frozen=True, kw_only=True):
    """How a variant's answers differ from the native model's on one set of rows.

    ``max_difference`` is the largest absolute difference of a probability or value (relative to
    the scale of the answers for a regression); ``beyond`` counts the rows above ``tolerance``;
    ``flips`` the rows whose label changed.
    """

    rows: str
    n: int
    max_difference: float | None
    beyond: int
    flips: int
    tolerance: float
    message: str = ""


class VariantReport(msgspec.Struct, frozen=True, kw_only=True):
    """One variant: what became of it, its parity, and what was measured.

    Metrics are ``latency_p50_us`` by batch (scope ``batch:1``), ``size_bytes``, ``load_ms``.
    """

    name: str
    status: VariantStatus
    why: str = ""
    repaired: str = ""
    parity: tuple[Parity, ...] = ()
    metrics: tuple[Metric, ...] = ()


class OptimizeRecord(Record, frozen=True, kw_only=True, tag="optimize"):
    """``chosen`` is the name of the variant that ships; ``blobs`` holds its files by path."""

    chosen: str
    variant: Variant
    variants: tuple[VariantReport, ...] = ()
