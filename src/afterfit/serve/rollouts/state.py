"""A rollout as it is kept: written at every look, so that one that was killed goes on."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

import msgspec

from afterfit.core.digest import canonical_json
from afterfit.errors import ForbiddenError, IntegrityError, UnavailableError
from afterfit.records.rollout import Comparison, RolloutStep, RolloutVerdict
from afterfit.serve.rollouts.config import RolloutConfig
from afterfit.serve.rollouts.judge import Judge
from afterfit.store.files import file_lock, write_bytes

__all__ = [
    "LAPSED_S",
    "RARE",
    "SHADOW",
    "SILENT_S",
    "RolloutState",
    "lock_of",
    "path_of",
    "read_state",
    "unwatched",
    "write_state",
]

SHADOW = -1
"""The step before the first: the candidate gets copies, and answers nobody."""
SILENT_S = 3.0
"""After so long without a look it is asked whether the process that watches is there."""
LAPSED_S = 300.0
"""After so long without a look nobody watches, even if the process is there; a step may have to
wait for a model to load, and looks may be rare."""
RARE = 5
"""So many looks may be left out."""


class RolloutState(msgspec.Struct, kw_only=True):
    """Who takes over from whom, how far it is, and what was counted.

    ``server`` is the state folder or admin address of the endpoint. ``step`` is the place in the
    configuration's steps. Times are seconds since 1970; ``pid`` is the process that watches, and
    ``seen`` when it last looked. ``settled`` is what the last step with a control has shown, where
    a step of 100 % came after it.
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
    seen: float = 0.0
    settled: tuple[Comparison, ...] = ()
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


def lock_of(path: Path) -> Path:
    """Return the lock that whoever watches a rollout holds."""
    return path.with_suffix(".lock")


def unwatched(path: Path, state: RolloutState, now: float | None = None) -> str:
    """Return why nobody watches a rollout that is under way; empty where somebody does.

    The process that watches holds a lock, which the system drops when it dies, and writes down
    when it looked. One that holds the lock and no longer looks has five minutes, or five looks.
    """
    silent = (time.time() if now is None else now) - state.seen
    if state.status != "running" or silent <= SILENT_S:
        return ""
    ago = f"process {state.pid} last looked {silent:.0f} s ago"
    if silent > max(LAPSED_S, RARE * state.config.poll_s):
        return f"nobody watches it: {ago}"
    try:
        with file_lock(lock_of(path), timeout_s=0):
            return f"nobody watches it: {ago}, and has ended"
    except (UnavailableError, ForbiddenError):
        return ""


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
