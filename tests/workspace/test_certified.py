"""A certificate of load beside what would be served here: it holds, or says what was different."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.loadtest.test_compare import BASE
from tests.report.test_load import CERTIFICATE

from afterfit.core.serving_settings import ServingSettings
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
