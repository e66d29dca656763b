"""A rollout as it is kept: written at every look, so that one that was killed goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from afterfit.core.digest import canonical_json
from afterfit.errors import IntegrityError
from afterfit.records.rollout import RolloutStep, RolloutVerdict
from afterfit.serve.rollouts.config import RolloutConfig
from afterfit.serve.rollouts.judge import Judge
from afterfit.store.files import write_bytes

__all__ = ["SHADOW", "RolloutState", "path_of", "read_state", "write_state"]

SHADOW = -1
"""The step before the first: the candidate gets copies, and answers nobody."""


class RolloutState(msgspec.Struct, kw_only=True):
    """Who takes over from whom, how far it is, and what was counted.

    ``server`` is the state folder or admin address of the endpoint. ``step`` is the place in the
    configuration's steps. Times are seconds since 1970; ``pid`` is the process that watches.
    """

    name: str
    candidate: str
    candidate_number: int
    primary: str
    primary_number: int
    config: RolloutConfig
    admin: str = ""
    status: Literal["running", "paused", "ended"] = "running"
    verdict: RolloutVerdict | None = None
    why: str = ""
    step: int = SHADOW
    began: float = 0.0
    step_began: float = 0.0
    judge: Judge = msgspec.field(default_factory=Judge)
    steps: list[RolloutStep] = []
    back_s: float | None = None
    pid: int = 0
    record: str = ""

    @property
    def share_ppm(self) -> int:
        """The share of this step in parts per million."""
        return 0 if self.step == SHADOW else self.config.steps[self.step]

    @property
    def is_last(self) -> bool:
        """Whether no step comes after this one."""
        return self.step == len(self.config.steps) - 1


def path_of(workspace: Path, name: str) -> Path:
    """Return where the rollout of a model is kept."""
    return workspace / "rollouts" / f"{name}.json"


def read_state(path: Path) -> RolloutState | None:
    """Return the last rollout of a model, None where there was none; raises IntegrityError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=RolloutState)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise IntegrityError(
            "what is known of the rollout cannot be read",
            where=str(path),
            why=str(error),
            fix=f"take the canary away by hand (afterfit endpoint set NAME --clear), "
            f"then delete {path}",
        ) from None


def write_state(path: Path, state: RolloutState) -> None:
    """Keep a rollout; a crash leaves the state before or this one."""
    write_bytes(path, canonical_json(state))
