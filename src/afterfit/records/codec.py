"""Reads and writes records of every known step and schema."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import Any, get_args

import msgspec

from afterfit.core.digest import canonical_json, digest_of
from afterfit.errors import IntegrityError
from afterfit.records.assess import AssessRecord
from afterfit.records.autoscale import AutoscaleRecord
from afterfit.records.inspect import InspectRecord
from afterfit.records.loadtest import LoadtestRecord
from afterfit.records.monitor import MonitorRecord
from afterfit.records.optimize import OptimizeRecord
from afterfit.records.package import PackageRecord
from afterfit.records.platforms import PlatformsRecord
from afterfit.records.predict import PredictRecord
from afterfit.records.record import Envelope, Record
from afterfit.records.rehearsal import RehearsalRecord
from afterfit.records.robustness import RobustnessRecord
from afterfit.records.robustness_endpoint import RobustnessEndpointRecord
from afterfit.records.rollout import DrillRecord, ReplayRecord, RolloutRecord
from afterfit.records.ship import ShipRecord

AnyRecord = (
    InspectRecord
    | AssessRecord
    | OptimizeRecord
    | RobustnessRecord
    | RobustnessEndpointRecord
    | LoadtestRecord
    | AutoscaleRecord
    | PlatformsRecord
    | PackageRecord
    | PredictRecord
    | MonitorRecord
    | RehearsalRecord
    | RolloutRecord
    | DrillRecord
    | ReplayRecord
    | ShipRecord
)
SCHEMA = 1


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A record with its envelope, as one file holds them."""

    envelope: Envelope
    body: AnyRecord

    @property
    def digest(self) -> str:
        """The digest that the envelope states (and that reading has checked)."""
        return self.envelope.digest


@cache
def steps() -> dict[str, type[Record]]:
    """Return the record type of each step by the step's name."""
    return {str(kind.__struct_config__.tag): kind for kind in get_args(AnyRecord)}


def encode(stored: Stored) -> bytes:
    """Return the canonical bytes of a record's file."""
    return canonical_json(stored)


def decode(data: bytes, *, where: str) -> Stored:
    """Return the record in ``data``; raises IntegrityError naming the file and the path."""
    try:
        stored = msgspec.json.decode(data, type=Stored)
    except msgspec.MsgspecError as error:
        raise _unreadable(data, where, error) from None
    # Of the body as written: a field that this version has and the writer had not is no change.
    found = digest_of(msgspec.json.decode(data)["body"])
    if found != stored.envelope.digest:
        raise IntegrityError(
            "the record was changed after it was written",
            where=where,
            why=f"its body's SHA-256 is {found[:16]}…, "
            f"its name says {stored.envelope.digest[:16]}…",
            fix="delete the file and run the step again",
        )
    return stored


def _unreadable(data: bytes, where: str, error: Exception) -> IntegrityError:
    schema: Any = None
    with suppress(msgspec.MsgspecError, KeyError, TypeError):
        schema = msgspec.json.decode(data)["body"]["schema"]
    why = str(error)
    if isinstance(schema, int) and schema > SCHEMA:
        why = f"it has schema {schema}, this Afterfit reads up to {SCHEMA}: {error}"
    return IntegrityError(
        "the record cannot be read",
        where=where,
        why=why,
        fix="delete the file and run the step again",
    )
