"""What a load test chose is what the server uses, on such hardware and while it counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from afterfit.core.serving_settings import ServingSettings
from afterfit.records.loadtest import LoadtestRecord
from afterfit.store.environment import current_environment
from afterfit.store.records import in_envelope
from afterfit.workspace.space import Workspace
from afterfit.workspace.tuned import tuned_settings

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

CHOSEN = ServingSettings(workers=2, intra_op=1, batch_cap=64, admission_rps=800.0)


def kept(space: Workspace, *, days: float = 0.0, cores: int | None = None) -> str:
    """Keep a record of a load test that chose settings, made so many days ago; its digest."""
    env = current_environment()
    record = LoadtestRecord(
        subject="d" * 64,
        env=env if cores is None else msgspec.structs.replace(env, cores=cores),
        schedule="closed:2",
        requests=1,
        errors=0,
        duration_s=1.0,
        rate=1.0,
        chosen=CHOSEN,
    )
    stored = in_envelope(record)
    made = (datetime.now(UTC) - timedelta(days=days)).isoformat()
    envelope = msgspec.structs.replace(stored.envelope, created=made)
    return space.records.add(msgspec.structs.replace(stored, envelope=envelope)).digest


def test_the_newest_that_counts_is_used_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And said so, since settings that nobody typed would surprise."""
    said: list[str] = []
    space = Workspace(tmp_path)
    monkeypatch.setattr(type(space.progress), "say", lambda _, text: said.append(text))
    digest = kept(space)
    assert tuned_settings(space, ["d" * 64]) == msgspec.structs.replace(CHOSEN, source=digest)
    assert "workers 2, threads 1, batch cap 64, admission requests/s 800" in said[0]


def test_other_hardware_an_old_record_and_several_models_give_nothing(tmp_path: Path) -> None:
    """A number of another machine, or of last quarter, says nothing of this one."""
    space = Workspace(tmp_path)
    kept(space, cores=96)
    kept(space, days=31)
    assert tuned_settings(space, ["d" * 64]) == ServingSettings()
    kept(space)
    assert tuned_settings(space, ["d" * 64, "e" * 64]) == ServingSettings()
    assert tuned_settings(space, ["e" * 64]) == ServingSettings()
