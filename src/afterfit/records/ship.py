"""The record of ``ship``: the whole line, by the digests of its steps."""

from __future__ import annotations

from typing import Literal

from afterfit.core.gate import GateResult
from afterfit.records.lineage import DataSource, ModelSource
from afterfit.records.record import Record

Verdict = Literal["promoted", "registered", "stopped"]


class ShipRecord(Record, frozen=True, kw_only=True, tag="ship"):
    """``records`` maps step to record digest; ``reused`` lists the steps that were not run again.

    ``verdict`` is ``promoted`` (serves now), ``registered`` (a version, not promoted) or
    ``stopped`` (a gate failed, so it was not promoted); ``skipped`` says why steps did not run.
    ``data`` says where the tables came from, ``origin`` where a model of MLflow did.
    """

    name: str
    version: int
    bundle: str
    verdict: Verdict
    why: str = ""
    records: dict[str, str] = {}
    reused: tuple[str, ...] = ()
    skipped: dict[str, str] = {}
    gates: tuple[GateResult, ...] = ()
    previous: str = ""
    data: tuple[DataSource, ...] = ()
    origin: ModelSource | None = None
