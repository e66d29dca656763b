"""Where a version is best run, from its load test or from numbers that were told."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import msgspec

from afterfit.core.digest import digest_of, sha256_file
from afterfit.core.slo import Slo, slo_of
from afterfit.core.trace import Trace, event_of, with_event
from afterfit.errors import AfterfitError, UsageError
from afterfit.loadtest.autoscale.recorded import recorded
from afterfit.loadtest.recording import read_recording
from afterfit.platforms.catalog import Catalog
from afterfit.platforms.config import PlatformsConfig
from afterfit.platforms.constraints import conflicts
from afterfit.platforms.evaluate import evaluate
from afterfit.platforms.question import Question
from afterfit.platforms.run import Basis, platforms
from afterfit.platforms.shapes import LIMITS, MOST_AT_ONCE, Measured, Tier
from afterfit.platforms.traffic import LEAST_MS, TrafficFile, read_traffic
from afterfit.records.codec import Stored
from afterfit.records.loadtest import LoadtestRecord
from afterfit.records.optimize import OptimizeRecord
from afterfit.records.platforms import PlatformsRecord
from afterfit.workspace import autoscaling
from afterfit.workspace.autoscaling import cold_start_of, load_test_of, service_of
from afterfit.workspace.placing_names import check_names, near, regions_of
from afterfit.workspace.prices import imported
from afterfit.workspace.probes import probes_of

if TYPE_CHECKING:
    from afterfit.registry.version import Version
    from afterfit.workspace.space import Workspace

__all__ = ["ToldReplica", "Traffic", "measured_of", "place_version", "tier_of_features"]

GIB = 2**30
USUAL_MEMORY_GIB = 0.5
"""What a replica takes where nobody measured it: about that of a server with a small model."""
COUNTED = ("trace", "rates")
"""What files of rates are called among the inputs; without one the traffic is a shape."""
SEEN_MEMORY = "server_memory_bytes"


class ToldReplica(msgspec.Struct, frozen=True, kw_only=True):
    """What was told of one replica; None is left to its load test.

    ``rate`` in requests/s within the objective, ``low`` and ``high`` its bounds, ``cores`` the
    vCPUs that it had, ``memory_gib`` what it takes, ``tier`` what its processor multiplies with.
    ``machine`` is where it was measured (``aws/us-east-1/m7i.large``), ``gpu`` its GPU.
    """

    rate: float | None = None
    low: float | None = None
    high: float | None = None
    cores: float | None = None
    memory_gib: float | None = None
    tier: str = ""
    service_ms: float | None = None
    cold_start_s: float | None = None
    machine: str = ""
    gpu: str = ""

    def check(self) -> None:
        """Do nothing for numbers that can be; raises UsageError naming the option."""
        options = {"rate": "--replica-rps", "low": "--replica-low", "high": "--replica-high",
                   "cores": "--cores", "memory_gib": "--memory", "service_ms": "--service-ms",
                   "cold_start_s": "--cold-start"}  # fmt: skip
        for name, option in options.items():
            value = getattr(self, name)
            least, most = LIMITS[name]
            if value is not None and not (value > 0 and least <= value <= most):
                raise UsageError(
                    f"{option} is {value:g}", where=option,
                    why=f"it is above 0, and between {least:g} and {most:g}",
                    fix=f"{option} 1, or what was measured",
                )  # fmt: skip
        if (self.rate or 0) * (self.service_ms or 0) / 1e3 > MOST_AT_ONCE:
            raise UsageError(
                f"{self.rate:g} requests/s of {self.service_ms:g} ms each are not one replica",
                where="--replica-rps, --service-ms",
                why=f"it would have more than {MOST_AT_ONCE:,} of them in work at once",
                fix="--service-ms 4, the mean of a quiet server in milliseconds",
            )
        tiers = [each for each in get_args(Tier) if each]
        if self.tier and self.tier not in tiers:
            raise UsageError(
                f"no tier is called {self.tier!r}", where="--tier",
                why=f"there are {', '.join(tiers)}", fix=near(self.tier, tiers, "--tier vnni"),
            )  # fmt: skip
        if not (self.low or 0) <= (self.rate or math.inf) <= (self.high or math.inf):
            raise UsageError(
                "the rate of a replica is not between its bounds",
                where=f"--replica-low {self.low}, --replica-rps {self.rate}, "
                f"--replica-high {self.high}",
                fix="give a low bound that is at most the rate, and a high one that is at least it",
            )


class Traffic(autoscaling.Traffic, frozen=True, kw_only=True):
    """The traffic that was asked about: a file, or a shape with its peak."""

    def traced(self, regions: Collection[str]) -> tuple[Trace, dict[str, str]]:
        """Return the trace and the digests of its files; raises UsageError or InputError.

        ``regions`` are those that a ``traffic.toml`` may name.
        """
        told = self.file(regions)
        if told is None:
            return self._other()
        self.check()
        path = Path(self.trace)
        digests, rates = {"traffic": sha256_file(path)}, None
        if told.file:
            rates = recorded(read_recording(path.parent / told.file))
            digests["rates"] = sha256_file(path.parent / told.file)
        trace = told.traced(rates)
        trace = trace if self.peak is None else trace.with_peak(self.peak)
        for text in self.events:
            trace = with_event(trace, event_of(text))
        return trace.times(self.scale), digests

    def _other(self) -> tuple[Trace, dict[str, str]]:
        """Return what is no ``traffic.toml``; its option has another name in `autoscale`."""
        try:
            return self.read()
        except AfterfitError as error:
            error.where = error.where.replace("--trace", "--traffic")
            error.fix = error.fix.replace("--trace", "--traffic")
            raise

    def file(self, regions: Collection[str]) -> TrafficFile | None:
        """Return what a ``traffic.toml`` says, checked by ``regions``; None without one."""
        path = Path(self.trace)
        return read_traffic(path, regions=regions) if path.suffix == ".toml" else None


def place_version(
    space: Workspace,
    ref: str,
    traffic: Traffic,
    told: ToldReplica,
    config: PlatformsConfig,
    probes: Sequence[Path] = (),
) -> tuple[Stored, PlatformsRecord]:
    """Return the record of where a version, or a replica of which numbers were told, is best run.

    ``probes`` are results of probes of the version, beside those that were read before.
    ``ref`` may be empty where rate, cores, tier and objective are told. Raises UsageError where
    something is missing, unknown or contradicts itself, NotFoundError for a version that is not
    there.
    """
    started = time.monotonic()
    told.check()
    version = space.registry.resolve(ref) if ref else None
    asked = slo_of(config.slo) if config.slo else None
    test = load_test_of(space, version, asked) if version else None
    slo = _objective(config, test)
    _check_together(config, slo)
    merged = imported(space)
    space.warnings.extend(merged.warnings)
    catalog = merged.catalog
    trace, digests = traffic.traced(regions_of(catalog))
    check_names(config, catalog)
    measured = measured_of(told, test, catalog, slo)
    config = msgspec.structs.replace(config, slo=config.slo or _as_asked(slo))
    probed = _probes(space, version, probes, slo)
    question = Question(
        offers=catalog.offers(), config=config, measured=measured, trace=trace, slo=slo,
        evaluate=evaluate, probes=probed,
    )  # fmt: skip
    if probed:
        digests["probes"] = digest_of(probed)
    if test is not None:
        digests["loadtest"] = test.digest
    basis = _basis(space, version, test, catalog, digests)
    record = platforms(question, basis, progress=space.progress)
    args = {"traffic": msgspec.to_builtins(traffic), "told": msgspec.to_builtins(told)}
    record = msgspec.structs.replace(record, args=args)
    return space.keep(record, started=started), record


def _basis(
    space: Workspace,
    version: Version | None,
    test: LoadtestRecord | None,
    catalog: Catalog,
    digests: dict[str, str],
) -> Basis:
    return Basis(
        name=version.name if version else "",
        number=version.number if version else 0,
        digest=version.digest if version else "",
        inputs=digests,
        sources=catalog.sources,
        dated=catalog.date,
        today=datetime.now(UTC).date(),
        cpu=test.env.cpu if test else "",
        quantized=_quantized(space, version),
        counted=not digests.keys().isdisjoint(COUNTED),
    )


def _objective(config: PlatformsConfig, test: LoadtestRecord | None) -> Slo:
    if config.slo:
        return slo_of(config.slo)
    if test is not None and test.slo:
        return slo_of(test.slo)
    raise UsageError(
        "there is no objective to hold",
        why="neither --slo nor a load test with an objective says what is slow",
        fix='--slo "p99<50ms"',
    )


def _check_together(config: PlatformsConfig, slo: Slo) -> None:
    """Do nothing for what can be had together; raises UsageError, of the finding P001."""
    found = conflicts(config.requirements)
    if slo.limit_ms < LEAST_MS:
        found.append(f"{slo.limit_ms:g} ms cannot be held by anything")
    if config.survive == "zone" and config.zones < 2:
        found.append("a zone can be lost only of two or more")
    if found:
        raise UsageError(
            "the requirements cannot be met together", where="--require, --slo, --survive",
            code="P001", why="; ".join(found),
            fix="drop or change one of them: afterfit explain P001",
        )  # fmt: skip


def _as_asked(slo: Slo) -> str:
    return f"p{slo.quantile * 100:g}<{slo.limit_ms:g}ms"


def measured_of(
    told: ToldReplica, test: LoadtestRecord | None, catalog: Catalog, slo: Slo
) -> Measured:
    """Return the replica as the step takes it; what is told wins over what was measured.

    Raises UsageError for what neither says.
    """
    rate, low, high, source = _rate(told, test, slo)
    cores = told.cores or _cores(test)
    if cores is None:
        raise UsageError(
            "it is not known how many vCPUs the replica had", fix="--cores 1, where it ran on one"
        )
    here = catalog.machine(told.machine) if told.machine else None
    tier: Tier = msgspec.convert(told.tier, Tier) if told.tier else (
        here.tier if here else tier_of_features(test.env.cpu_features if test else ())
    )  # fmt: skip
    if not tier and not told.gpu:
        raise UsageError(
            "it is not known what the processor of the replica multiplies with",
            why="a rate says something of other machines of the same tier only",
            fix="--tier vnni, or avx2, avx512, amx, neon, i8mm: see the flags of /proc/cpuinfo",
        )
    service, cv = _service(told, test, rate, cores)
    thread = here.coremark / here.vcpu if here and here.coremark and here.vcpu else None
    threads = test.env.cores if test else here.vcpu if here else None
    return Measured(
        rate=rate, low=low, high=high, cores=cores, tier=tier, service_ms=service, cv=cv,
        memory_gib=told.memory_gib or _memory(test) or USUAL_MEMORY_GIB,
        arch=here.arch if here else "arm64" if tier in ("neon", "i8mm") else "x86_64",
        p99_ms=_p99(test), cold_start_s=_cold_start(told, test), coremark_per_core=thread,
        siblings="busy" if threads and cores >= threads else "",
        gpu=told.gpu, machine=told.machine, source=source,
    )  # fmt: skip


def _rate(
    told: ToldReplica, test: LoadtestRecord | None, slo: Slo
) -> tuple[float, float, float, str]:
    """Return rate, bounds and where they are from: the certificate is the lower one, if any."""
    if told.rate is not None:
        low, high = told.low or told.rate, told.high or told.rate
        return told.rate, low, high, "told, not measured"
    found = None if test is None else test.sustained_rps
    proof = None if test is None else test.certificate
    alike = test is not None and bool(test.slo) and slo_of(test.slo) == slo
    if alike and proof is not None and (found is None or found.value is None):
        # It holds that much at the least; nobody looked how much more.
        return proof.rate, proof.rate, proof.rate, "the certificate of its load test"
    if found is None or found.value is None or not alike:
        raise UsageError(
            "it is not known how much one replica holds", where=str(slo),
            why="no load test of this version searched for the greatest rate with this objective",
            fix=f'afterfit loadtest NAME@champion --slo "{_as_asked(slo)}"   '
            "# or --replica-rps 120 --cores 1 --tier vnni",
        )  # fmt: skip
    low = proof.rate if proof is not None else found.low or found.value
    return found.value, min(low, found.value), found.high or found.value, "its load test"


def _service(
    told: ToldReplica, test: LoadtestRecord | None, rate: float, cores: float
) -> tuple[float, float]:
    """Return mean (ms) and coefficient of variation of the service time.

    Where nobody measured it, it is the longest that it can be: all cores busy at the rate.
    """
    longest = 1e3 * cores / rate
    if told.service_ms is not None or test is None:
        return told.service_ms or longest, 1.0
    asked = autoscaling.Told(service_ms=told.service_ms)
    try:
        mean, cv = service_of(asked, test)
    except UsageError:
        return longest, 1.0
    return mean, cv


def _cores(test: LoadtestRecord | None) -> float | None:
    if test is None or not test.settings.get("workers"):
        return None
    threads = test.settings.get("threads") or test.settings.get("intra_op") or 1
    return float(min(test.settings["workers"] * threads, test.env.cores or math.inf))


def _memory(test: LoadtestRecord | None) -> float | None:
    seen = [step.seen.get(SEEN_MEMORY, 0.0) for step in test.steps] if test else []
    most = max(seen, default=0.0)
    return most / GIB if most > 0 else None


def _p99(test: LoadtestRecord | None) -> float | None:
    return dict(test.quantiles).get(0.99) if test else None


def _cold_start(told: ToldReplica, test: LoadtestRecord | None) -> float | None:
    return cold_start_of(autoscaling.Told(cold_start_s=told.cold_start_s), test)


def tier_of_features(features: Iterable[str]) -> Tier:
    """Return the tier of a processor by its instruction sets; empty where none of them tells."""
    known = set(features)
    tiers: tuple[tuple[Tier, set[str]], ...] = (
        ("amx", {"amx_int8"}), ("vnni", {"avx512_vnni", "avx_vnni"}), ("avx512", {"avx512f"}),
        ("avx2", {"avx2"}), ("i8mm", {"i8mm"}), ("neon", {"asimddp"}),
    )  # fmt: skip
    return next((tier for tier, flags in tiers if flags & known), "")


def _quantized(space: Workspace, version: Version | None) -> bool | None:
    """Return whether the form that ships is of 8-bit whole numbers; None where nobody knows."""
    digest = version.evidence.get("optimize") if version else None
    if digest is None:
        return None
    body = space.records.get(digest).body
    return "int8" in body.chosen if isinstance(body, OptimizeRecord) else None


def _probes(
    space: Workspace, version: Version | None, paths: Sequence[Path], slo: Slo
) -> tuple[Measured, ...]:
    """Return what probes measured of the version on other machines, at the objective."""
    if version is None and paths:
        raise UsageError(
            "results of probes are of a version", where="--probes",
            why="each has the digest of the bundle that it measured",
            fix="afterfit platforms NAME@champion --probes FOLDER",
        )  # fmt: skip
    return () if version is None else probes_of(space, version, paths, str(slo))
