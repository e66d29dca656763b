"""What one machine carries: replicas beside each other, hyperthreads, objectives and GPUs."""

from __future__ import annotations

from typing import Any

import pytest
from tests.platforms.stand import machine, measured

from afterfit.core.slo import Slo
from afterfit.platforms.capacity import (
    BASELINE,
    GPU_FACTOR,
    ONE_PROCESS,
    SIBLINGS,
    SYSTEM_GIB,
    capacity_of,
)
from afterfit.platforms.latency import NETWORK_MS, Pace

SLO = Slo(0.99, 50.0)


def test_pinned_replicas_multiply_by_one() -> None:
    """A machine carries as many as its vCPUs hold, each as fast as the one that was measured."""
    there = measured(machine="aws/us-east-1/m7i.large")
    one = capacity_of(there, machine("m7i.large", vcpu=1.0, coremark=22_000.0))
    eight = capacity_of(there, machine("m7i.large", vcpu=8.0, coremark=8 * 22_000.0))
    assert (one.replicas, eight.replicas) == (1, 8)
    assert eight.rate == pytest.approx(8 * one.rate) == pytest.approx(800.0)
    assert one.basis == "measured"
    assert (one.low, one.high) == pytest.approx((95, 105), 0.01)
    assert "measured on m7i.large" in one.why


@pytest.mark.parametrize(("memory", "replicas"), [(16.0, 4), (2.0, 3), (1.0, 1)])
def test_memory_permits_replicas(memory: float, replicas: int) -> None:
    """Beside what the system takes, every replica needs its own."""
    found = capacity_of(measured(), machine(vcpu=4.0, memory_gib=memory))
    assert found.replicas == replicas == min(4, int((memory - SYSTEM_GIB) / 0.5))


@pytest.mark.parametrize(
    ("known", "why"),
    [
        ({"memory_gib": 0.6}, "a replica needs 0.5 GiB, the machine has 0.6"),
        ({"vcpu": None}, "how many vCPUs it has is not known"),
        ({"memory_gib": None}, "how much memory it has is not known"),
        ({"gpu": "l4", "gpu_count": 1.0}, "nothing was measured on l4"),
    ],
)
def test_what_is_not_known_is_no_capacity(known: dict[str, Any], why: str) -> None:
    """Without vCPUs, memory or a measurement on its GPU nothing is said."""
    found = capacity_of(measured(), machine(**known))
    assert (found.basis, found.rate, found.replicas) == ("unknown", 0.0, 0)
    assert why in found.why


def test_hyperthreads_that_were_idle_halve_a_full_x86_machine() -> None:
    """Measured beside idle ones it is 0.51 of it; where nobody knows, the low end allows that."""
    busy, idle, nobody = (
        capacity_of(measured(siblings=told), machine()) for told in ("busy", "idle", "")
    )
    assert idle.rate == pytest.approx(SIBLINGS * busy.rate)
    assert idle.high < busy.low
    assert nobody.rate == busy.rate
    assert nobody.low == pytest.approx(SIBLINGS * busy.low)
    assert "hyperthreads" in nobody.why


def test_arm_has_no_hyperthreads() -> None:
    """Whatever was beside the replica, a full machine carries as much for each."""
    arm = machine("m7g.large", tier="i8mm", arch="arm64", coremark=50_000.0)
    told = {"tier": "i8mm", "arch": "arm64", "coremark_per_core": 25_000.0}
    rates = {capacity_of(measured(**told, siblings=each), arm).low for each in ("busy", "idle", "")}
    assert len(rates) == 1


def test_a_shared_processor_lasts_at_its_baseline() -> None:
    """The low end of a burst is what the processor does without it."""
    own, shared = capacity_of(measured(), machine()), capacity_of(measured(), machine(shared=True))
    assert shared.rate == own.rate
    assert shared.low == pytest.approx(BASELINE * own.low)


def test_fewer_vcpus_than_the_replica_had_are_slower() -> None:
    """At worst in proportion, at best as one process scales."""
    small = capacity_of(measured(cores=4.0), machine(coremark=44_000.0))
    whole = capacity_of(measured(cores=4.0), machine(vcpu=4.0, coremark=88_000.0))
    assert small.replicas == 1
    assert small.low == pytest.approx(whole.low / 2)
    assert small.high == pytest.approx(whole.high * 0.5**ONE_PROCESS)


def test_a_gpu_says_nothing_of_another_one() -> None:
    """The same GPU elsewhere is within a factor, another one is unknown, a probe ends that."""
    own = measured(gpu="a10g", tier="", machine="aws/us-east-1/g5.xlarge")
    there = machine("g5.xlarge", gpu="a10g", gpu_count=1.0)
    four = machine("g5.12xlarge", gpu="a10g", gpu_count=4.0)
    other = machine("g6.xlarge", gpu="l4", gpu_count=1.0)
    assert capacity_of(own, there).basis == "measured"
    alike = capacity_of(own, four)
    assert (alike.basis, alike.replicas) == ("same tier", 4)
    assert alike.rate == pytest.approx(400)
    assert alike.low == pytest.approx(4 * 95 / GPU_FACTOR)
    assert capacity_of(own, other).basis == "unknown"
    assert capacity_of(own, machine()).basis == "unknown"
    probe = measured(gpu="l4", rate=60.0, low=58.0, high=62.0, machine="aws/us-east-1/g6.xlarge")
    assert capacity_of(own, other, [probe]).rate == pytest.approx(60.0)
    third = machine("nv12", provider="azure", gpu="a10g", gpu_count=1 / 3)
    assert "0.33 of a a10g" in capacity_of(own, third).why


def test_probes_of_more_cores_count_by_their_number_and_less_surely() -> None:
    """A probe with two cores says half of it for one, and its width grows."""
    alone = measured(machine="aws/us-east-1/c6i.large", tier="vnni", rate=200.0, low=199.0,
                     high=201.0, cores=2.0)  # fmt: skip
    where = machine("c6i.large", tier="vnni", coremark=34_000.0)
    found = capacity_of(measured(), where, [alone])
    assert found.basis == "measured"
    assert found.low < found.rate < found.high
    assert 1.5 < found.high / found.low < 2.2


def test_half_the_speed_is_less_than_half_the_rate() -> None:
    """Within an objective a slow machine has less time left for waiting; a fast one has more."""
    slow, fast = 0.5, 2.0
    pace = Pace(measured(rate=90.0, service_ms=8.0), SLO)
    assert pace.rate(slow) < 0.6 * slow * 90
    assert pace.rate(fast) > 1.05 * fast * 90
    assert pace.rate(1.0) == pytest.approx(90.0, rel=0.03)
    assert pace.rate(0.1) == 0.0
    assert pace.speed(90.0) == pytest.approx(1.0, rel=0.01)


def test_latency_at_the_limit_is_that_of_the_objective() -> None:
    """At the greatest rate the quantile is the limit; alone it is that of the service."""
    pace = Pace(measured(rate=90.0, service_ms=8.0), SLO)
    for speed in (0.7, 1.0, 3.0):
        at_limit = pace.quantile_ms(speed, pace.rate(speed))
        assert at_limit == pytest.approx(SLO.limit_ms, rel=0.05)
        assert NETWORK_MS < pace.quantile_ms(speed, 0.0) < at_limit


def test_an_objective_that_a_machine_cannot_hold_leaves_no_rate() -> None:
    """The low end is 0 where a request alone may take too long there."""
    tight = Slo(0.99, 40.0)
    found = capacity_of(
        measured(rate=60.0, low=59.0, high=61.0, service_ms=8.0),
        machine("m5.large", tier="avx512", coremark=29_000.0),
        slo=tight,
    )
    assert found.basis == "cross tier"
    assert found.low == 0.0 < found.high
