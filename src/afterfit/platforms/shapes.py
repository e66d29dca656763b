"""The nouns of the choice: machines and services as the catalog has them, offers as made of both.

A number that nobody knows is None, everywhere: it is never 0, and never a guess. Prices are USD
before tax. Memory is GiB (2**30 bytes), traffic GB (10**9 bytes), a month 730 hours.
"""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = [
    "HOURS_PER_MONTH", "LIMITS", "MOST_AT_ONCE", "Basis", "Capacity", "Check", "Fact", "Kind",
    "Machine", "Measured", "Offer", "Outcome", "Price", "Rate", "Service", "Source", "Status",
    "Term", "Tier",
]  # fmt: skip

HOURS_PER_MONTH = 730.0

Tier = Literal["avx2", "avx512", "vnni", "amx", "neon", "i8mm", ""]
"""What a processor multiplies with: ``vnni`` is AVX-512 with VNNI, ``neon`` an ARM without
``i8mm``. A scalar benchmark says something of inference only inside of one tier."""

Term = Literal[
    "on_demand", "spot", "reserved_1y", "reserved_3y", "savings_1y", "savings_3y", "monthly"
]
"""How a machine is paid. ``monthly`` is a fixed price that is due whether it runs or not."""

Kind = Literal["vm", "kubernetes", "containers", "endpoint", "function", "host"]
"""``containers`` run an image without machines of one's own, an ``endpoint`` is a managed place for
models, a ``function`` is called and billed by request, a ``host`` has a fixed price."""

Status = Literal["open", "closed", "sustained"]
"""``closed`` takes no new customers, ``sustained`` is kept alive without new features."""

Outcome = Literal["pass", "fail", "unknown"]
Basis = Literal["measured", "same tier", "cross tier", "unknown"]


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where a number is from: ``date`` as precisely as known (``2026-07-30``, ``2026``, or empty).

    ``confidence`` is ``high`` for a price list or a measurement, ``medium`` for a second-hand
    statement, ``low`` for one of a single unofficial page.
    """

    text: str
    date: str = ""
    licence: str = ""
    confidence: Literal["high", "medium", "low"] = "high"
    link: str = ""


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is known of a service, or known to be unknown (``value`` None)."""

    value: bool | float | str | None
    unit: str = ""
    source: str = ""
    note: str = ""


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """USD per hour on one term; ``source`` is the name of a `Source` of the catalog."""

    usd_per_hour: float
    source: str


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """One size in one region, as a provider sells it.

    ``shared`` says that its processor is shared or bursts. ``coremark`` is in iterations/s with all
    threads. ``gpu_count`` may be a fraction; ``gpu_memory_gib`` is that of each GPU, or of the
    fraction. ``source`` is that of the sizes.
    """

    provider: str
    region: str
    name: str
    arch: Literal["x86_64", "arm64", ""] = ""
    tier: Tier = ""
    vcpu: float | None = None
    memory_gib: float | None = None
    shared: bool = False
    gpu: str = ""
    gpu_count: float = 0.0
    gpu_memory_gib: float | None = None
    coremark: float | None = None
    prices: dict[Term, Price] = {}
    source: str = ""

    @property
    def id(self) -> str:
        """Its name for programs: ``aws/us-east-1/m7i.large``."""
        return f"{self.provider}/{self.region}/{self.name}"

    @property
    def family(self) -> str:
        """The sizes that differ in nothing but size: ``m7i``, ``n2-standard``, ``Ds v5``."""
        from afterfit.platforms.families import family_of

        return family_of(self.provider, self.name)


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """A price per unit from ``start`` units a month on, up to the next rate of the same item."""

    usd: float
    unit: str
    source: str
    start: float = 0.0


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """A way to run a container or a model that a provider sells.

    ``regions`` are those where it is sold (all of the provider, where none is named). ``sized``
    says how it is bought: ``machines`` (those of the provider in its regions whose name begins with
    one of ``families``; all where none is named), ``shares`` (vCPU and memory in the pairs of
    ``sizes``, by ``rates``), or ``plans`` (machines of its own, named by ``families``).
    ``premium`` is the share on top of a machine's price, by the beginning of the machine's name
    (the longest that fits counts): None is unknown, and no entry at all is no premium. ``prefix``
    is what the service puts before the machine's name, ``terms`` what it can be paid by (all that
    the machine has, where none is named). ``arch`` and ``tier`` are those of ``shares``.
    ``status_source`` is where ``status`` is from.
    ``billed`` is ``hours`` while it stands, or ``busy`` while it answers, which allows zero.
    ``rates`` has lists by item: ``vcpu_s``, ``gib_s``, ``requests`` (per one), ``cluster_h``,
    ``balancer_h``, ``balancer_gb``, ``egress_gb``, ``zone_gb``, ``storage_gb``, ``cdn_gb``. An item
    that is not there is not charged for; those in ``unpriced`` are, at prices that nobody knows
    here, so a cost without them is a lower bound.
    ``facts`` are its limits and properties by the names of `afterfit.platforms.facts`, all of them:
    what is not known is there with None. ``paths`` say how data and customers are reached.
    """

    id: str
    provider: str
    title: str
    kind: Kind
    status: Status = "open"
    status_note: str = ""
    status_source: str = ""
    regions: tuple[str, ...] = ()
    sized: Literal["machines", "shares", "plans"] = "machines"
    families: tuple[str, ...] = ()
    sizes: tuple[tuple[float, float], ...] = ()
    arch: Literal["x86_64", "arm64", ""] = ""
    tier: Tier = ""
    premium: dict[str, float | None] = {}
    premium_source: str = ""
    prefix: str = ""
    terms: tuple[Term, ...] = ()
    billed: Literal["hours", "busy"] = "hours"
    rates: dict[str, tuple[Rate, ...]] = {}
    unpriced: tuple[str, ...] = ()
    facts: dict[str, Fact] = {}
    compliance: dict[str, Fact] = {}
    paths: dict[str, Fact] = {}


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A service on one size in one region: what is compared.

    ``prices`` are USD per hour of one machine on each term, the managed premium included;
    ``premium_per_hour`` is that premium on demand, where it is known.
    """

    service: Service
    machine: Machine
    prices: dict[Term, Price] = {}
    premium_per_hour: float | None = None

    @property
    def id(self) -> str:
        """Its name for programs: ``aws-sagemaker/us-east-1/ml.m5.large``."""
        return f"{self.service.id}/{self.machine.region}/{self.machine.name}"

    @property
    def title(self) -> str:
        """Its name for people."""
        return f"{self.service.title}, {self.machine.name} ({self.machine.region})"


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One pinned replica as it was load-tested, on the machine where that was.

    ``rate`` is the greatest within the objective in requests/s, between ``low`` and ``high``;
    ``cores`` are the vCPUs that it was pinned to. ``service_ms`` and ``cv`` are of a quiet server,
    ``p99_ms`` is at ``rate``. ``coremark_per_core`` is what the machine's CoreMark has per thread
    with all threads (None where it is not known). ``siblings`` says what the other hyperthreads of
    its cores did: ``busy`` (it had whole cores, or the machine was full), ``idle``, or unknown,
    which on x86 leaves open whether a full machine carries half as much. ``machine`` names an
    offer's machine where it was measured on one.
    """

    rate: float
    low: float
    high: float
    cores: float
    memory_gib: float
    tier: Tier
    arch: Literal["x86_64", "arm64", ""] = ""
    service_ms: float | None = None
    cv: float = 1.0
    p99_ms: float | None = None
    cold_start_s: float | None = None
    coremark_per_core: float | None = None
    siblings: Literal["busy", "idle", ""] = ""
    gpu: str = ""
    machine: str = ""
    source: str = ""


LIMITS: dict[str, tuple[float, float]] = {
    "rate": (1e-4, 1e7), "low": (1e-4, 1e7), "high": (1e-4, 1e7), "cores": (0.01, 1024.0),
    "memory_gib": (1e-3, 1e5), "service_ms": (1e-3, 1e6), "cv": (0.0, 100.0),
    "p99_ms": (0.0, 1e7), "cold_start_s": (0.0, 86_400.0), "coremark_per_core": (1.0, 1e7),
}  # fmt: skip
"""Between what each number of a `Measured` lies: nothing real is beyond, and slips of units are."""
MOST_AT_ONCE = 1000
"""A replica that has more requests in work at once is none: rate times service time is wrong."""


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """What one machine of an offer carries within the objective, in requests/s.

    Decisions are made by ``low``. ``replicas`` are pinned ones beside each other on the machine.
    """

    rate: float
    low: float
    high: float
    basis: Basis
    replicas: int = 1
    why: str = ""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One constraint on one offer: ``unknown`` passes once ``confirm`` has been confirmed."""

    name: str
    outcome: Outcome
    why: str
    confirm: str = ""
    source: str = ""
