"""What a load test and simulated autoscalers make of the size of a replica and of a fleet."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.loadtest.autoscale.samples import compared, trace
from tests.runtime.bundles import people_bundle

from afterfit.core.bundle import Bundle
from afterfit.core.metric import Metric
from afterfit.core.serving_settings import ServingSettings
from afterfit.loadtest.findings import RateCertified
from afterfit.package.sizes import Sizes
from afterfit.records.autoscale import AutoscaleRecord
from afterfit.records.loadtest import Certificate, LoadStep, LoadtestRecord
from afterfit.registry.version import Version
from afterfit.store.environment import current_environment
from afterfit.store.records import in_envelope
from afterfit.workspace.sizing import sizes_of
from afterfit.workspace.space import Workspace

MIB = 1 << 20
CERTIFICATE = Certificate(
    rate=800.0, quantile=0.99, limit_ms=50.0, confidence=0.95, n=9000, misses=40,
    n_effective=8000.0, upper=0.009, looks=1, method="binomial",
)  # fmt: skip
CHOSEN = ServingSettings(workers=2, intra_op=1, admission_rps=800.0)
Make = Callable[..., Sizes]


@pytest.fixture
def sized(tmp_path: Path) -> Make:
    """A function that keeps records of a version and returns its sizes."""
    folder = tmp_path / "bundle"
    people_bundle(folder)
    digest = Bundle(folder).digest
    space = Workspace(tmp_path / "space")
    version = Version(name="churn", number=1, digest=digest, created="", who="")

    def make(*records: LoadtestRecord | AutoscaleRecord, days: float = 0.0) -> Sizes:
        for record in records:
            of = msgspec.structs.replace(record, subject=version.digest)
            stored = in_envelope(of)
            made = (datetime.now(UTC) - timedelta(days=days)).isoformat()
            envelope = msgspec.structs.replace(stored.envelope, created=made)
            space.records.add(msgspec.structs.replace(stored, envelope=envelope))
        return sizes_of(space, version, folder)

    return make


def measured(**changed: Any) -> LoadtestRecord:
    """A load test that certified 800 requests/s with 1.2 of 2 processors and 290 MiB."""
    seen = {"server_cpu": 1.2, "server_memory_bytes": 290.0 * MIB}
    step = LoadStep(kind="certify", schedule="poisson:800", rate=800.0, seconds=10.0,
                    requests=8000, achieved_rps=800.0, seen=seen)  # fmt: skip
    given = {"certificate": CERTIFICATE, "slo": "p99<50ms", "steps": (step,), "chosen": CHOSEN,
             "quantiles": ((0.5, 5.0), (0.99, 30.0)), **changed}  # fmt: skip
    return LoadtestRecord(
        subject="", env=current_environment(), schedule="poisson:800", requests=8000, errors=0,
        duration_s=10.0, rate=800.0, settings={"workers": 2, "threads": 1}, **given,
    )  # fmt: skip


def test_without_a_record_each_number_says_that_it_was_not_measured(sized: Make) -> None:
    """A closed loop without an objective says nothing of what a replica holds."""
    closed = measured(certificate=None, slo="", chosen=None, steps=())
    found = sized(closed)
    assert found == Sizes()
    assert not found.measured
    assert found.cpu_request.why.startswith("not measured")


def test_a_load_test_sizes_the_replica(sized: Make) -> None:
    """The measured memory and a third, the measured processors, and what they held."""
    found = sized(measured())
    assert found.measured
    assert (found.workers.value, found.cpu_request.value, found.cpu_limit.value) == (2, 2, 2)
    assert found.memory_request.value == 384, "290 MiB times 1.3, in steps of 32"
    assert (found.rate.value, found.admission.value) == (800, 800)
    assert found.by_cpu.target.value == 42, "70 % of 1.2 of 2 processors"
    assert found.by_concurrency.target.value == 3, "70 % of 800/s times 5 ms"
    assert found.concurrency.value == 40, "800/s times 50 ms"
    assert "not measured" not in found.rate.why
    assert "40 of 9000" in found.rate.why


def test_what_was_not_certified_says_why(sized: Make) -> None:
    """The low bound of the search counts, with what kept it from being certified."""
    found = Metric(name="sustained_rps", value=900.0, low=700.0, high=1000.0, level=0.95, n=9000)
    late = RateCertified.skipped("nothing is certified: the generator was late")
    sizes = sized(measured(certificate=None, sustained_rps=found, findings=(late,)))
    assert sizes.rate.value == 700
    assert "nothing is certified: the generator was late" in sizes.rate.why
    assert "holds" not in sizes.rate.why


def test_a_gate_at_a_low_rate_sizes_no_fleet(sized: Make) -> None:
    """A rate that was searched counts, though one that was asked for was certified later."""
    gate = measured(certificate=msgspec.structs.replace(CERTIFICATE, rate=50.0))
    alone = sized(gate)
    assert alone.rate.value == 50
    assert "no more was tried" in alone.rate.why
    found = sized(msgspec.structs.replace(measured(), schedule="search"), gate)
    assert found.rate.value == 800
    assert "no more was tried" not in found.rate.why


def test_an_old_load_test_counts_no_more(sized: Make) -> None:
    """As it counts for no gate."""
    assert not sized(measured(), days=31).measured


def test_simulated_autoscalers_say_how_many(sized: Make) -> None:
    """Their numbers and reasons, where they hold; the replica is still the load test's."""
    record = compared(trace(), policies=("hpa-cpu", "knative"))
    found = sized(measured(), record)
    policy = record.policy("hpa-cpu")
    assert policy is not None
    assert policy.holds
    assert found.by_cpu.least.value == policy.settings["min"]
    assert found.by_cpu.target.why == policy.reasons["cpu_percent"]
    assert found.cpu_request.value == 2
    assert len(found.autoscale) == 64
