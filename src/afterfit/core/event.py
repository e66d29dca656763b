"""An event: one prediction (served, refused or failed), or one label that came later."""

from __future__ import annotations

import os
import random
import time
from typing import Any, Literal

import msgspec

from afterfit.core.signature import Label

_random = random.Random(os.urandom(32))  # noqa: S311 - ids are names and no secrets
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _random.seed(os.urandom(32)))

EventKind = Literal["served", "refused", "failed", "label"]
Role = Literal["primary", "canary", "shadow"]

FLAG_RANGE = "range"
FLAG_NEW_CATEGORY = "new_category"
FLAG_MISSING = "missing"
FLAG_OOD = "ood"
FLAG_TRUNCATED = "truncated"
FLAG_STAND_IN = "stand_in"
"""A stand-in answered, because the model was too busy, too late or broken."""


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Schema 1 of an event.

    ``ts`` is microseconds since 1970 in UTC; ``queue_us`` and ``infer_us`` are microseconds.
    ``inputs`` stays None unless capture is declared. Labels join by ``event_id`` or ``entity``;
    the greatest ``ts`` wins; unknown ids are kept.
    """

    event_id: str
    kind: EventKind
    ts: int
    endpoint: str = ""
    model: str = ""
    version: int = 0
    digest: str = ""
    role: Role = "primary"
    parent: str = ""
    request_id: str = ""
    row: int = 0
    entity: str = ""
    subject: str = ""
    label: Label | None = None
    value: float | None = None
    probabilities: tuple[float, ...] = ()
    true_label: Label | None = None
    true_value: float | None = None
    queue_us: int = 0
    infer_us: int = 0
    flags: tuple[str, ...] = ()
    error: str = ""
    inputs: dict[str, Any] | None = None
    schema: int = 1


def new_id(now_ns: int | None = None) -> str:
    """Return a version 7 UUID (RFC 9562): 48 bits of Unix milliseconds, then random bits."""
    milliseconds = (time.time_ns() if now_ns is None else now_ns) // 1_000_000
    tail = int.from_bytes(os.urandom(10), "big")
    return format_id(milliseconds, tail)


def new_ids(count: int) -> list[str]:
    """Return ``count`` distinct version 7 UUIDs of this moment, in ascending order."""
    milliseconds = time.time_ns() // 1_000_000
    # Where random bits end and counting begins is the last of five groups; its top bit stays 0,
    # so that counting up cannot overflow it.
    stamp, bits = f"{milliseconds:012x}", _random.getrandbits(74)
    head = f"{stamp[:8]}-{stamp[8:]}-7{bits >> 62:03x}-{0x8000 | bits >> 48 & 0x3FFF:04x}-"
    tail = bits & ((1 << 47) - 1)
    if count == 1:
        return [f"{head}{tail:012x}"]
    return [f"{head}{number:012x}" for number in range(tail, tail + count)]


def format_id(milliseconds: int, tail: int) -> str:
    """Return the UUID text of a millisecond stamp and 74 of the low 80 bits of ``tail``."""
    rand_a = (tail >> 62) & 0xFFF
    rand_b = tail & 0x3FFF_FFFF_FFFF_FFFF
    number = (milliseconds & 0xFFFF_FFFF_FFFF) << 80 | 0x7 << 76 | rand_a << 64 | 0x2 << 62 | rand_b
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
