"""Which model has which counters in the shared file: a bounded number of numbered slots.

A slot of a model holds what one digest did in one role. A slot of a pair holds how a shadow's
answers differ from those of the primary. The supervisor gives the slots away; whoever comes when
all are taken shares the last one, ``other``, of its kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import msgspec

from afterfit.runtime.endpoint import Endpoint, ModelRoute

__all__ = [
    "CONSTANT",
    "MODELS",
    "OTHER",
    "PAIRS",
    "Slot",
    "SlotBook",
    "SlotKey",
    "SlotRole",
    "keys_of",
]

MODELS, PAIRS = 64, 16
"""Slots of each kind; one more of each is for all others."""
CONSTANT = "constant"
"""Stands for the digest of a stand-in that is no model."""
OTHER = "other"

SlotRole = Literal["primary", "canary", "stand_in", "shadow", "pair"]


class SlotKey(msgspec.Struct, frozen=True, kw_only=True):
    """What a slot counts: a digest in a role, or a shadow ``digest`` beside a primary."""

    model: str
    role: SlotRole
    digest: str
    against: str = ""


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """A slot that is taken; numbers are those of the versions, for people."""

    index: int
    key: SlotKey
    number: int = 0
    against: int = 0


class SlotBook:
    """Who has which slot; ``wipe`` is called with (role, index) when a slot gets another owner."""

    def __init__(self, wipe: Callable[[str, int], None] = lambda *_: None) -> None:
        self._wipe = wipe
        self._taken: dict[SlotKey, Slot] = {}

    @property
    def slots(self) -> tuple[Slot, ...]:
        """Every slot that is taken, those of models that serve no longer included."""
        return tuple(self._taken.values())

    def find(self, key: SlotKey) -> Slot | None:
        """Return a key's slot; None where it has none or shares the last one."""
        return self._taken.get(key)

    def assign(self, endpoint: Endpoint) -> tuple[Slot, ...]:
        """Return all slots after each part of the document got one, while there are any.

        Where none is free, the one that has been out of use for longest is taken.
        """
        wanted = dict(keys_of(endpoint))
        for key, (number, against) in wanted.items():
            known = self._taken.pop(key, None)
            index = known.index if known else self._free(key.role == "pair", wanted)
            if index is not None:
                # Put back at the end: what stands first has been out of use for longest.
                self._taken[key] = Slot(index=index, key=key, number=number, against=against)
        return self.slots

    def _free(self, pair: bool, wanted: Iterable[SlotKey]) -> int | None:  # noqa: FBT001 - private
        same = {slot.index for key, slot in self._taken.items() if (key.role == "pair") == pair}
        for index in range(PAIRS if pair else MODELS):
            if index not in same:
                return index
        keep = set(wanted)
        for key, slot in self._taken.items():
            if (key.role == "pair") == pair and key not in keep:
                del self._taken[key]
                self._wipe(key.role, slot.index)
                return slot.index
        return None


def keys_of(endpoint: Endpoint) -> Iterator[tuple[SlotKey, tuple[int, int]]]:
    """Yield what a document counts, with the number of the digest and of the one beside it."""
    for name, route in endpoint.models.items():
        if route.loaded:
            yield from _keys_of(name, route)


def _keys_of(name: str, route: ModelRoute) -> Iterator[tuple[SlotKey, tuple[int, int]]]:
    def key(role: SlotRole, digest: str, against: str = "") -> tuple[SlotKey, tuple[int, int]]:
        numbers = (route.number(digest), route.number(against))
        return SlotKey(model=name, role=role, digest=digest, against=against), numbers

    yield key("primary", route.primary)
    if route.canary is not None:
        yield key("canary", route.canary.digest)
    if route.stand_in is not None:
        yield key("stand_in", route.stand_in.digest or CONSTANT)
    for digest in route.shadow:
        yield key("shadow", digest)
        yield key("pair", digest, route.primary)
