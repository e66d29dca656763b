"""Long runs: what faults cost, and whether memory grows."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest

from afterfit.errors import UnavailableError
from afterfit.loadtest.arrivals import Constant
from afterfit.loadtest.gathered import Live
from afterfit.loadtest.shot import Arrivals, Shot
from afterfit.loadtest.slo import Slo
from afterfit.loadtest.soak import (
    Fault,
    Soaked,
    fault_moments,
    memory_slope,
    soak,
    soak_findings,
)
from afterfit.loadtest.virtual import Service, VirtualServer
from afterfit.records.loadtest import FaultOutcome

SLO = Slo(quantile=0.99, limit_ms=50.0)


class Failing:
    """A quick server in virtual time that fails between two moments, and takes a real 0.3 s."""

    def __init__(self, start: float, end: float, *, wrong: bool = False) -> None:
        self.start, self.end, self.wrong = start, end, wrong

    def fire(self, arrivals: Arrivals, seconds: float, seed: int) -> Shot:
        """Fire, and fail what is due meanwhile."""
        time.sleep(0.3)
        shot = VirtualServer(Service(1.0, "deterministic")).fire(arrivals, seconds, seed)
        bad = (shot.due >= self.start) & (shot.due < self.end)
        if self.wrong:
            return dataclasses.replace(shot, wrong=bad)
        return dataclasses.replace(shot, status=np.where(bad, 503, 200).astype(np.int16))


def test_a_fault_is_counted_until_the_calm_after_it() -> None:
    """A worker that is killed costs the half second until another serves."""
    done = []
    fault = Fault("kill", 0.0, lambda: done.append(True))
    soaked = soak(Failing(0.0, 0.5), Constant(100.0), 10.0, 0, slo=SLO, faults=(fault,))
    (outcome,) = soaked.faults
    assert done == [True]
    assert (outcome.errors, outcome.misses, outcome.wrong) == (50, 50, 0)
    assert outcome.recovery_s == pytest.approx(0.49, abs=0.02)
    (_, finding) = soak_findings(soaked, None)
    assert finding.outcome == "passed"
    assert "calm again" in finding.message


def test_one_that_never_ends_or_answers_wrongly_is_an_issue() -> None:
    """Wrong answers are worse than none, however short."""
    fault = Fault("swap", 0.0, lambda: None)
    for server, text in (
        (Failing(0.0, 99.0), "did not recover"),
        (Failing(0.0, 0.1, wrong=True), "10 were answered wrongly"),
    ):
        soaked = soak(server, Constant(100.0), 5.0, 0, slo=SLO, faults=(fault,))
        (_, finding) = soak_findings(soaked, None)
        assert finding.outcome == "issue"
        assert text in finding.message


def test_what_cannot_be_done_says_so_and_the_run_goes_on() -> None:
    """One that fails, and one that the run was too short for."""

    def fail() -> None:
        raise UnavailableError("there is no version to swap to")

    faults = (Fault("swap", 0.0, fail), Fault("kill", 60.0, lambda: None))
    soaked = soak(Failing(9.0, 9.0), Constant(100.0), 5.0, 0, faults=faults)
    assert [o.why for o in soaked.faults] == [
        "there is no version to swap to",
        "the run was over before",
    ]
    assert [f.outcome for f in soak_findings(soaked, None)] == ["skipped"] * 3


def test_faults_are_spread_over_the_run() -> None:
    """With calm before, between and after."""
    assert fault_moments(("kill", "swap", "slow"), 60.0) == (
        ("kill", 15.0),
        ("swap", 30.0),
        ("slow", 45.0),
    )


def lives(growth: float, seconds: int = 240) -> tuple[Live, ...]:
    """A look at the memory each second: it fills in the first minute, then grows, with noise."""
    random = np.random.default_rng(0)
    second = np.arange(1, seconds + 1)
    memory = 100e6 + 30e6 * np.minimum(second / 60, 1) + growth * 1e6 * second / 60
    memory += 2e5 * random.standard_normal(seconds)
    return tuple(
        Live(int(at), 100.0, 100.0, 0, 1.0, 2.0, 0.0, {"server_memory_bytes": float(each)})
        for at, each in zip(second, memory, strict=True)
    )


def test_growth_of_memory_has_an_interval_and_filling_caches_are_none() -> None:
    """Half a megabyte a minute is found; a server that has filled up is well."""
    growing, steady = (memory_slope(lives(growth)) for growth in (0.5, 0.0))
    assert growing is not None
    assert steady is not None
    assert growing.low is not None
    assert growing.high is not None
    assert growing.low < 0.5 < growing.high
    assert growing.high - growing.low < 0.3
    assert (steady.low or 0.0) < 0 < (steady.high or 0.0)
    shot = Failing(0.0, 0.0).fire(Constant(10.0), 1.0, 0)
    found = [
        soak_findings(Soaked(shot, lives(growth), ()), memory_slope(lives(growth)))[0]
        for growth in (0.5, 0.0)
    ]
    assert [each.outcome for each in found] == ["issue", "passed"]
    short = lives(0.0, 30)
    assert memory_slope(short) is None
    assert soak_findings(Soaked(shot, short, ()), None)[0].evidence == {"needed_n": 40}


def test_outcomes_say_what_they_are_of() -> None:
    """The moment stands beside the name."""
    outcome = FaultOutcome(name="kill", at_s=15.0, requests=10, recovery_s=0.5)
    shot = Failing(0.0, 0.0).fire(Constant(10.0), 1.0, 0)
    (_, finding) = soak_findings(Soaked(shot, (), (outcome,)), None)
    assert finding.where == "kill at 15 s"
