"""The record of ``optimize``: the variants that were tried, and the one that ships."""

from __future__ import annotations

from typing import Literal

import msgspec

from afterfit.core.bundle import Variant
from afterfit.core.metric import Metric
from afterfit.core.proof import Proven, Surroundings, libraries_of
from afterfit.core.signature import Signature
from afterfit.records.assess_calibration import Recalibration
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


class Guard(msgspec.Struct, frozen=True, kw_only=True):
    """One guard beside the main metric: what it measured, its limit, and whether it held.

    ``name`` is ``slice_drop``, ``calibration``, ``flips``, or ``edge_flips`` for rows with missing,
    unseen and extreme values; ``where`` is the slice.
    """

    name: str
    value: float | None
    limit: float
    held: bool
    where: str = ""
    n: int = 0


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """What the rows held out for it say of one lossy variant.

    ``artifact`` is the SHA-256 of the variant's bytes. ``drop`` is how much worse it is than the
    model by ``metric`` (of its value where ``relative``), ``high`` the bound that the true drop
    stays below with probability ``1 - alpha``, ``alpha`` already being its share for one of
    ``candidates``. ``verdict`` is ``certified``, ``rejected`` or ``insufficient`` (data), with
    about the number of rows that would be enough in ``needed_n``. It holds for the runtime and
    the CPU's features that it names.
    """

    artifact: str
    verdict: Literal["certified", "rejected", "insufficient"]
    metric: str
    native: float | None
    value: float | None
    drop: float | None
    low: float | None
    high: float | None
    margin: float
    alpha: float
    candidates: int
    n: int
    method: str
    relative: bool = False
    needed_n: int | None = None
    guards: tuple[Guard, ...] = ()
    runtime: str = ""
    cpu_features: tuple[str, ...] = ()


class Recalibrated(msgspec.Struct, frozen=True, kw_only=True):
    """A map behind a form's probabilities: what it is, and what it changes on rows that judge it.

    ``variant`` is the form with the map, ``base`` the one without. ``map.losses`` are log loss and
    Brier score on ``judged`` rows, which neither trained the model nor fitted the map; ``fitted``
    is the number of those that did. ``threshold`` of two classes decides as ``before`` does
    without the map. ``verdict`` is by the intervals of both.
    """

    variant: str
    base: str
    map: Recalibration
    verdict: Literal["helps", "cannot tell", "hurts", "too little"]
    fitted: int
    judged: int
    before: float | None = None
    threshold: float | None = None


class VariantReport(msgspec.Struct, frozen=True, kw_only=True):
    """One variant: what became of it, its parity, and what was measured.

    Metrics are ``latency_p50_us`` by batch (scope ``batch:1``), ``size_bytes``, ``load_ms``,
    ``memory_bytes``, and of lossy ones ``drop`` and ``flip_rate`` (scope ``selection``) and
    ``edge_flip_rate``, the share of rows at the edges that are decided otherwise.
    ``front`` says that no other variant is better in one of them and as good in the rest.
    """

    name: str
    status: VariantStatus
    why: str = ""
    repaired: str = ""
    parity: tuple[Parity, ...] = ()
    metrics: tuple[Metric, ...] = ()
    technique: str = ""
    told: str = ""
    front: bool = False
    certificate: Certificate | None = None


class OptimizeRecord(Record, frozen=True, kw_only=True, tag="optimize"):
    """``chosen`` is the name of the variant that ships; ``blobs`` holds its files by path.

    ``recalibrated`` is there where a map was fitted, whether it ships or not.
    """

    chosen: str
    variant: Variant
    variants: tuple[VariantReport, ...] = ()
    recalibrated: Recalibrated | None = None

    def decides(self, signature: Signature) -> Signature:
        """Return the signature of what ships: the model's, with the threshold that a map moved."""
        found = self.recalibrated
        if found is None or found.variant != self.chosen or found.threshold is None:
            return signature
        return msgspec.structs.replace(signature, threshold=found.threshold)

    @property
    def certificate(self) -> Certificate | None:
        """That of the variant that ships; None for an exact one."""
        return next((v.certificate for v in self.variants if v.name == self.chosen), None)

    def proven(self, bundle: str) -> Proven:
        """Return what the variant that ships was proven on, as evidence of a bundle's digest."""
        exact = any(v.name == self.chosen and v.status == "exact" for v in self.variants)
        return Proven(
            digest=bundle,
            by="certificate" if self.certificate else "comparison" if exact else "itself",
            on=Surroundings(
                libraries=libraries_of(self.variant, lambda name: self.env.packages.get(name, "")),
                machine=self.env.system.rpartition(" ")[2],
                cpu_features=self.env.cpu_features,
            ),
        )
