"""What may be asked of a choice of platforms."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

__all__ = ["CRITERIA", "Commitment", "PlatformsConfig", "Requirements"]

CRITERIA = ("cost", "latency", "scalability", "integration", "security")
"""What the value of an offer is made of: the five factors, each from 0 (worst) to 1 (best)."""

Positive = Annotated[float, msgspec.Meta(gt=0, le=1e12)]
Amount = Annotated[float, msgspec.Meta(ge=0, le=1e12)]
"""Bytes or GB: a million million are more than anybody sends in a request."""
Commitment = Literal["none", "1y", "3y"]


class Requirements(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an offer must have; nothing buys back what it lacks.

    ``regions`` are names of regions, or ``us`` and ``eu``; ``residency`` is where data must stay
    (``eu`` also asks that the provider says so). ``compliance`` are programmes such as ``hipaa``,
    ``soc2``, ``iso27001``, ``pci``, ``fedramp``, ``gdpr``. ``payload_mb`` is the greatest body
    (MB), ``timeout_s`` the longest request, ``concurrency`` the most requests at once.
    ``availability`` is a share (0.999). ``commitment`` is the longest that may be bound;
    ``interruptible`` allows machines that are taken away. ``air_gapped`` asks for a place without
    any outside.
    """

    providers: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    residency: str = ""
    compliance: tuple[str, ...] = ()
    private_network: bool = False
    own_keys: bool = False
    gpu_memory_gib: Positive | None = None
    payload_mb: Positive | None = None
    timeout_s: Positive | None = None
    concurrency: Positive | None = None
    availability: Annotated[float, msgspec.Meta(gt=0, lt=1)] | None = None
    budget_usd_per_month: Positive | None = None
    scale_to_zero: bool = False
    integrations: tuple[str, ...] = ()
    commitment: Commitment = "1y"
    interruptible: bool = False
    air_gapped: bool = False
    exclude: tuple[str, ...] = ()


class PlatformsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of a choice.

    ``weights`` are swing weights of `CRITERIA`: what the way from the worst anchor to the best is
    worth. ``best_usd`` and ``worst_usd`` anchor cost (USD per month; None: from the budget, or from
    the traffic by a fixed rule, never from the offers at hand). ``survive`` is the loss that must
    do no harm, ``zones`` what machines are spread over. ``draws`` are of weights, for how often an
    offer wins. ``confirmed`` names what the user has confirmed of what was unknown.
    """

    requirements: Requirements = Requirements()
    weights: dict[str, Annotated[float, msgspec.Meta(ge=0)]] = {}
    best_usd: Positive | None = None
    worst_usd: Positive | None = None
    slo: str = ""
    survive: Literal["none", "replica", "zone"] = "replica"
    zones: Annotated[int, msgspec.Meta(ge=1, le=6)] = 2
    request_bytes: Amount = 2_000.0
    response_bytes: Amount = 500.0
    storage_gb: Amount = 5.0
    cdn: bool = False
    confirmed: tuple[str, ...] = ()
    draws: Annotated[int, msgspec.Meta(ge=100, le=100_000)] = 10_000
    level: float = 0.9
    seed: int = 0
