"""What a supervisor knows of the counters: whose they are, and what came since the last change."""

from __future__ import annotations

import time
from collections.abc import Mapping

import msgspec

from afterfit.core.signature import Label
from afterfit.runtime.endpoint import Endpoint, ModelRoute
from afterfit.runtime.metrics import Metrics
from afterfit.runtime.slots import CONSTANT, Slot, SlotBook, SlotKey, SlotRole
from afterfit.runtime.tally import ModelTotals, PairTotals

__all__ = ["Ledger", "ModelStatus", "PairStatus", "RoleStatus", "Status", "WorkerStatus"]


class RoleStatus(msgspec.Struct, kw_only=True):
    """One version in one role: what it did since the document changed, and since the start."""

    role: SlotRole
    digest: str
    number: int
    since: ModelTotals
    total: ModelTotals


class PairStatus(msgspec.Struct, kw_only=True):
    """How a shadow differs from a primary, since the start."""

    digest: str
    number: int
    against: str
    against_number: int
    total: PairTotals


class ModelStatus(msgspec.Struct, kw_only=True):
    """One model of the document; ``classes`` are empty for a regression."""

    route: ModelRoute
    classes: tuple[Label, ...] = ()
    roles: list[RoleStatus] = []
    pairs: list[PairStatus] = []


class WorkerStatus(msgspec.Struct, kw_only=True):
    """One process; ``busy_seconds`` is how long it has been in one call of a model."""

    slot: int
    pid: int
    ready: bool
    kind: str = "worker"
    busy_seconds: float = 0.0


class Status(msgspec.Struct, kw_only=True):
    """What a running server tells of itself; ``changed`` is seconds since 1970."""

    name: str
    generation: int
    url: str
    changed: float
    models: dict[str, ModelStatus]
    workers: list[WorkerStatus]
    restarts: int = 0
    hangs: int = 0


class Ledger:
    """The slots of all models, and where each count stood when the document last changed."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self.book = SlotBook(metrics.wipe)
        self.changed = time.time()
        self._before: dict[SlotKey, ModelTotals] = {}

    def assign(self, endpoint: Endpoint) -> tuple[Slot, ...]:
        """Return all slots after each part of the document got one."""
        return self.book.assign(endpoint)

    def commit(self) -> None:
        """Take note that a document begins to serve: shares and rates are counted from here on."""
        self.changed = time.time()
        self._before = {
            slot.key: self.metrics.model_totals(slot.index)
            for slot in self.book.slots
            if slot.key.role != "pair"
        }

    def models(
        self, endpoint: Endpoint, classes: Mapping[str, tuple[Label, ...]]
    ) -> dict[str, ModelStatus]:
        """Return the counts of each model of the document; ``classes`` are by digest."""
        return {
            name: ModelStatus(
                route=route,
                classes=classes.get(route.primary, ()),
                roles=[self._role(name, route, *part) for part in _parts(route)],
                pairs=[self._pair(name, route, digest) for digest in route.shadow],
            )
            for name, route in endpoint.models.items()
        }

    def _role(self, name: str, route: ModelRoute, role: SlotRole, digest: str) -> RoleStatus:
        key = SlotKey(model=name, role=role, digest=digest)
        slot = self.book.find(key)
        total = self.metrics.model_totals(slot.index) if slot else ModelTotals()
        before = self._before.get(key)
        since = total.less(before) if before else total
        return RoleStatus(
            role=role, digest=digest, number=route.number(digest), since=since, total=total
        )

    def _pair(self, name: str, route: ModelRoute, digest: str) -> PairStatus:
        key = SlotKey(model=name, role="pair", digest=digest, against=route.primary)
        slot = self.book.find(key)
        return PairStatus(
            digest=digest,
            number=route.number(digest),
            against=route.primary,
            against_number=route.version,
            total=self.metrics.pair_totals(slot.index) if slot else PairTotals(),
        )


def _parts(route: ModelRoute) -> list[tuple[SlotRole, str]]:
    parts: list[tuple[SlotRole, str]] = [("primary", route.primary)]
    if route.canary is not None:
        parts.append(("canary", route.canary.digest))
    if route.stand_in is not None:
        parts.append(("stand_in", route.stand_in.digest or CONSTANT))
    return [*parts, *(("shadow", digest) for digest in route.shadow)]
