"""The serving settings that a load test found for a version on such hardware."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from afterfit.core.serving_settings import ServingSettings
from afterfit.records.loadtest import LoadtestRecord
from afterfit.store.environment import current_environment
from afterfit.workspace.age import max_age

if TYPE_CHECKING:
    from collections.abc import Sequence

    from afterfit.records.codec import Stored
    from afterfit.records.record import Environment
    from afterfit.workspace.space import Workspace

__all__ = ["hardware_of", "tuned_settings"]


def hardware_of(env: Environment) -> tuple[str, int]:
    """Return the class of hardware that settings belong to: the processor and its usable cores."""
    return env.cpu, env.cores


def tuned_settings(space: Workspace, digests: Sequence[str]) -> ServingSettings:
    """Return what the newest load test chose for the one version that is served; else nothing set.

    It counts on the same class of hardware and while the record is not too old; several models
    share a machine that each was measured on alone, so then nothing is taken over.
    """
    if len(digests) != 1:
        return ServingSettings()
    here = hardware_of(current_environment())
    for stored in space.records.list("loadtest", digests[0]):
        body = stored.body
        if not isinstance(body, LoadtestRecord) or body.chosen is None:
            continue
        if hardware_of(body.env) == here and not _too_old(stored):
            space.progress.say(
                f"  settings of the load test of {stored.envelope.created[:10]}: {body.chosen}"
            )
            return msgspec.structs.replace(body.chosen, source=stored.digest)
    return ServingSettings()


def _too_old(stored: Stored) -> bool:
    most = max_age("loadtest")
    made = datetime.fromisoformat(stored.envelope.created)
    return most is not None and datetime.now(UTC) - made > most
