"""A certificate of load beside what would be served here: it holds, or says what was different."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.loadtest.test_compare import BASE
from tests.report.test_load import CERTIFICATE
from tests.runtime.bundles import people_bundle

from afterfit.config import Config
from afterfit.core.metric import Metric
from afterfit.core.serving_settings import ServingSettings
from afterfit.registry.version import GateRefusal, Promotion
from afterfit.serve.run import ServedBundle
from afterfit.store.environment import current_environment
from afterfit.workspace import Workspace, certified

DIGEST = BASE.subject
SETTINGS = {"workers": 2, "threads": 1, "batch_cap": 0}


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace whose server would run with two workers of a thread each."""
    usual = ServingSettings(workers=2, intra_op=1)
    monkeypatch.setattr(certified, "usual_settings", lambda *_: usual)
    return Workspace(tmp_path)


def bundle() -> ServedBundle:
    """What would be served."""
    return ServedBundle(1, DIGEST, Path("nowhere"))


def test_without_a_certificate_nothing_is_opened(space: Workspace) -> None:
    """A record that has none is passed over."""
    space.records.put(BASE, started=0.0)
    assert certified.certified(space, DIGEST, pytest.fail) is None


def test_it_holds_for_what_it_was_measured_with(space: Workspace) -> None:
    """The same machine, packages and settings."""
    kept = replace(BASE, certificate=CERTIFICATE, settings=SETTINGS, env=current_environment())
    digest = space.records.put(kept, started=0.0).digest
    found = certified.certified(space, DIGEST, bundle)
    assert found is not None
    assert (found.lapsed, found.record) == ((), digest)
    assert found.finding().outcome == "passed"


def test_it_lapses_with_another_processor_and_other_settings(space: Workspace) -> None:
    """Each difference is told, in a finding with the command that measures again."""
    env = replace(current_environment(), cpu="Xeon 1999")
    settings = SETTINGS | {"workers": 8}
    kept = replace(BASE, certificate=CERTIFICATE, settings=settings, env=env)
    space.records.put(kept, started=0.0)
    found = certified.certified(space, DIGEST, bundle)
    assert found is not None
    finding = found.finding()
    assert (finding.code, finding.outcome) == ("L020", "issue")
    assert "cpu was Xeon 1999" in finding.message
    assert "setting workers was 8, is 2" in finding.message
    assert finding.fix.startswith("afterfit loadtest ")


@pytest.mark.parametrize(
    ("machine", "workers", "why"),
    [
        ({}, 2, ""),
        ({"cpu": "Xeon 1999"}, 2, "cpu was Xeon 1999"),
        (
            {"packages": current_environment().packages | {"onnxruntime": "0.1"}},
            2,
            "package onnxruntime was 0.1",
        ),
        ({}, 8, "setting workers was 8, is 2"),
    ],
)
def test_a_gate_on_a_certificate_that_lapsed_is_missing(
    space: Workspace, tmp_path: Path, machine: dict[str, Any], workers: int, why: str
) -> None:
    """A rate of another machine, other packages or settings promotes nothing here, and says so."""
    gates = ("loadtest.certified_rps >= 200", "latency_p99_ms < 20")
    space.config = Config(gates=gates)
    people_bundle(tmp_path / "draft")
    version = space.registry.register("m", tmp_path / "draft", who="ada")
    record = replace(
        BASE,
        subject=version.digest,
        certificate=CERTIFICATE,
        settings=SETTINGS | {"workers": workers},
        env=replace(current_environment(), **machine),
        metrics=(
            Metric(name="certified_rps", value=400.0, n=900, unit="requests/s"),
            Metric(name="latency_p99_ms", value=9.0, n=900, unit="ms"),
        ),
    )
    space.attach("m@1", space.records.put(record, started=0.0).digest)
    certified_rate, latency = space.judge("m@1")
    assert certified_rate.outcome == ("missing" if why else "pass")
    assert why in certified_rate.why
    assert ("afterfit loadtest m@1" in certified_rate.why) is bool(why)
    assert latency.outcome == "pass"
    assert isinstance(space.promote("m", 1), GateRefusal if why else Promotion)
