"""Which load test a choice of platforms rests on, and who is told of the choice."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest
from tests.workspace.people import people_workspace

from afterfit.cli.app import run
from afterfit.core.metric import Metric
from afterfit.core.slo import slo_of
from afterfit.errors import UsageError
from afterfit.platforms.catalog import builtin
from afterfit.records.loadtest import Certificate, LoadtestRecord
from afterfit.records.platforms import PlatformsRecord
from afterfit.registry.version import Version
from afterfit.store.environment import current_environment
from afterfit.workspace import Workspace
from afterfit.workspace.autoscaling import load_test_of
from afterfit.workspace.placing import ToldReplica, measured_of

SLOW, FAST = "p99 <= 50 ms", "p95 <= 5 ms"


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    """A workspace with the version ``people@1``."""
    return people_workspace(tmp_path)


@pytest.fixture
def version(space: Workspace) -> Version:
    """The version."""
    return space.registry.resolve("people@1")


def found(version: Version, slo: str, rate: float | None, proof: float | None) -> LoadtestRecord:
    """A load test with this rate and this certificate."""
    env = msgspec.structs.replace(current_environment(), cpu_features=("avx2", "avx512_vnni"))
    sustained = Metric(name="sustained_rps", value=rate, low=380.0, high=420.0, n=9000)
    certificate = proof and Certificate(
        rate=proof, quantile=0.99, limit_ms=50.0, confidence=0.99, n=9000, misses=1,
        n_effective=8000.0, upper=0.009, looks=4, method="exact",
    )  # fmt: skip
    return LoadtestRecord(
        subject=version.digest, env=env, schedule="search", requests=9000, errors=0,
        duration_s=30.0, rate=300.0, slo=slo, quantiles=((0.5, 1.0), (0.99, 30.0)),
        settings={"workers": 1, "threads": 1}, sustained_rps=sustained if rate else None,
        certificate=certificate or None,
    )  # fmt: skip


def test_the_load_test_of_the_objective_counts_before_a_newer_one(
    space: Workspace, version: Version
) -> None:
    """Of those one that was searched before one that was not, then the newest."""
    assert load_test_of(space, version) is None
    for slo, rate in ((SLOW, 400.0), (SLOW, None), (FAST, 90.0)):
        space.keep(found(version, slo, rate, None), started=time.monotonic())
    asked = load_test_of(space, version, slo_of("p99<50ms"))
    assert asked is not None
    assert (asked.slo, asked.sustained_rps and asked.sustained_rps.value) == (SLOW, 400.0)
    newest = load_test_of(space, version)
    assert newest is not None
    assert newest.slo == FAST


def test_a_certificate_without_a_search_is_the_least_that_a_replica_holds(
    version: Version,
) -> None:
    """It has no interval; without either nothing is known, and that is told."""
    catalog, slo = builtin(), slo_of(SLOW)
    alone = measured_of(ToldReplica(), found(version, SLOW, None, 200.0), catalog, slo)
    assert (alone.low, alone.rate, alone.high) == (200.0, 200.0, 200.0)
    assert "certificate" in alone.source
    both = measured_of(ToldReplica(), found(version, SLOW, 400.0, 200.0), catalog, slo)
    assert (both.low, both.rate, both.high) == (200.0, 400.0, 420.0)
    for unknown in (found(version, SLOW, None, None), found(version, FAST, None, 200.0)):
        with pytest.raises(UsageError, match="how much one replica holds"):
            measured_of(ToldReplica(), unknown, catalog, slo)


def test_whoever_packs_a_version_is_told_where_it_was_decided_to_run(
    space: Workspace, version: Version, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the record of why; without a choice nothing is said."""
    words = ["package", "people@1", "--workspace", str(space.folder), "-o"]
    assert run([*words, str(tmp_path / "one")]) == 0
    assert "Where to run it" not in capsys.readouterr().out
    said = "Run people@1 on Cloud Run. It costs 3.8 USD a month."
    record = PlatformsRecord(
        subject=version.digest, env=current_environment(), slo=SLOW, choice="gcp-run/x", said=said
    )
    kept = space.keep(record, started=time.monotonic())
    assert run([*words, str(tmp_path / "two")]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert said.rstrip(".") in told
    assert f"afterfit record show {kept.digest[:12]}" in told
