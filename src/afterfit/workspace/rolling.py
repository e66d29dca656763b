"""Rollouts in a workspace: begun, resumed and ended, each with a record and lines of the log."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from afterfit.core.shell import shell_word
from afterfit.errors import (
    AfterfitError,
    ConflictError,
    NotFoundError,
    UnavailableError,
    UsageError,
)
from afterfit.records.codec import Stored
from afterfit.records.rollout import RolloutRecord
from afterfit.registry.version import GateRefusal, Version
from afterfit.runtime.client import AdminClient
from afterfit.runtime.endpoint import MILLION
from afterfit.runtime.ledger import ModelStatus
from afterfit.serve.rollout import find_server, primary_changed, servers
from afterfit.serve.rollouts.config import RolloutConfig
from afterfit.serve.rollouts.judge import compare, require_classes
from afterfit.serve.rollouts.run import Rollout
from afterfit.serve.rollouts.state import (
    RolloutState,
    lock_of,
    path_of,
    read_state,
    unwatched,
    write_state,
)
from afterfit.serve.run import link_bundle
from afterfit.store.environment import current_environment
from afterfit.store.files import file_lock, write_bytes
from afterfit.workspace.approving import with_approvals

if TYPE_CHECKING:
    from afterfit.workspace.space import Workspace

__all__ = [
    "ROLLOUT",
    "abort_rollout",
    "known_rollout",
    "resume_rollout",
    "start_rollout",
    "step_back",
    "stepping_back",
]

ROLLOUT = "rollout"
"""What a step of a rollout is called in the audit log."""
FOLLOW_S = 3.0
"""So long a server that follows the alias may take before it is changed from here."""
ABORT_S = 30.0
WATCH_S = 1.0
"""So often a server looks whether somebody watches the rollouts of its models."""


class WorkspaceHands:
    """The hands of a rollout; see `afterfit.serve.rollouts.run.Hands`."""

    def __init__(self, space: Workspace, state: RolloutState, admin: AdminClient) -> None:
        self._space, self._state, self._admin = space, state, admin
        self._path = path_of(space.folder, state.name)

    def save(self, state: RolloutState) -> None:
        """Keep the state."""
        write_state(self._path, state)

    def note(self, why: str, details: dict[str, Any]) -> None:
        """Write a line of the audit log."""
        state = self._state
        self._space.registry.note(
            ROLLOUT,
            who=self._space.who,
            name=state.name,
            source=str(state.primary_number),
            to=str(state.candidate_number),
            why=why,
            details=details,
        )

    def promote(self, why: str) -> str:
        """Move the alias, then see that the server has the candidate as its primary."""
        state = self._state
        moved = self._space.promote(
            state.name, state.candidate_number, alias=state.config.alias, why=f"rollout: {why}"
        )
        if isinstance(moved, GateRefusal):
            return moved.why
        for attempt in range(3):
            if self._serves(FOLLOW_S if attempt == 0 else 0.5):
                break
            with suppress(ConflictError):
                primary_changed(self._admin, state.name, state.candidate, state.candidate_number)
        return ""

    def asked_to_abort(self) -> str | None:
        """Return why somebody asked for the end, None where nobody did."""
        try:
            return _request_of(self._path).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def _serves(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self._admin.get().models[self._state.name].primary != self._state.candidate:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True


def start_rollout(
    space: Workspace,
    name: str,
    to: str,
    config: RolloutConfig,
    *,
    admin: str = "",
    stop: threading.Event | None = None,
) -> Stored | RolloutState | GateRefusal:
    """Return the record of a rollout that ended, or its state where ``stop`` paused it.

    A gate that does not pass, which would stop the promotion, stops it here already. Raises
    ConflictError where a rollout of the model is under way.
    """
    _require_control(config)
    version = space.registry.resolve(f"{name}@{to}")
    with _alone(space, name) as path:
        known = read_state(path)
        if known is not None and known.status == "running":
            # Whoever watched it would hold the lock that is ours now.
            known = _lapsed(space, known, f"process {known.pid} watched it and has ended")
        if known is not None and known.status != "ended":
            raise _under_way(known)
        refusal = _refusal(space, version, config.alias)
        if refusal is not None:
            return refusal
        folder, client = _server(space, name, admin)
        status = client.status().models[name]
        _require_other(status, version)
        if "disagreement" in config.watch:
            require_classes(status)
        bundle = space.version(f"{name}@{version.number}")
        if folder is not None:
            link_bundle(folder / "bundles", bundle.digest, bundle.folder, bundle.proven)
        state = RolloutState(
            name=name,
            candidate=version.digest,
            candidate_number=version.number,
            primary=status.route.primary,
            primary_number=status.route.version,
            config=config,
            admin=admin,
            pid=os.getpid(),
        )
        _request_of(path).unlink(missing_ok=True)
        rollout = Rollout(
            state, client, WorkspaceHands(space, state, client), say=space.progress.say
        )
        rollout.begin()
        return _driven(space, rollout, stop)


def resume_rollout(
    space: Workspace, name: str, *, stop: threading.Event | None = None
) -> Stored | RolloutState:
    """Return the record of a rollout that was paused or killed, and went on to its end.

    Raises NotFoundError where there is none.
    """
    with _alone(space, name) as path:
        state = _unfinished(path, name)
        state.pid = os.getpid()
        rollout = _rollout(space, state)
        rollout.resume()
        return _driven(space, rollout, stop)


def abort_rollout(space: Workspace, name: str, *, why: str = "") -> Stored | None:
    """Return the record after the primary answers alone; None where its own process wrote it."""
    path = path_of(space.folder, name)
    state = _unfinished(path, name)
    reason = why or f"called off by {space.who}"
    try:
        with _alone(space, name, timeout_s=0.2):
            rollout = _rollout(space, state)
            rollout.abort(reason)
            return _record(space, rollout)
    except ConflictError:
        write_bytes(_request_of(path), reason.encode())
    deadline = time.monotonic() + ABORT_S + state.config.poll_s
    while (now := read_state(path)) is not None and now.status != "ended":
        if time.monotonic() > deadline:
            raise UnavailableError(
                "the process that watches the rollout does not end it",
                where=f"process {now.pid}",
                fix=f"end that process, then: afterfit rollout abort {shell_word(name)}",
            )
        time.sleep(0.1)
    return None


def known_rollout(space: Workspace, name: str) -> tuple[RolloutState, str]:
    """Return the last rollout of a model, and why nobody watches it where it is under way.

    Raises NotFoundError where there was none.
    """
    path = path_of(space.folder, name)
    state = read_state(path)
    if state is None:
        raise NotFoundError(
            f"there was no rollout of {name}",
            where=str(path),
            fix=f"afterfit rollout start {shell_word(name)} --to NUMBER",
        )
    return state, unwatched(path, state)


def step_back(space: Workspace, name: str) -> str:
    """Return why a rollout was paused that nobody watched; empty where there is no such thing.

    The canary gets no more requests, and all that was counted is kept. Raises UnavailableError or
    NotFoundError where its server cannot be reached.
    """
    path = path_of(space.folder, name)
    found = read_state(path)
    why = "" if found is None else unwatched(path, found)
    if found is None or not why:
        return ""
    with ExitStack() as held:
        # Whoever holds the lock and no longer looks finds the canary changed when it goes on.
        with suppress(ConflictError):
            held.enter_context(_alone(space, name, timeout_s=0))
        state = read_state(path)
        if state is None or (state.status, state.seen) != (found.status, found.seen):
            return ""  # somebody was quicker
        return _lapsed(space, state, why).why


def stepping_back(space: Workspace, names: Iterable[str], stop: threading.Event) -> None:
    """Until ``stop`` is set, step back from each rollout of a model that nobody watches."""
    told: dict[str, str] = {}
    while not stop.wait(WATCH_S):
        for name in names:
            why = ""
            try:
                step_back(space, name)
            except AfterfitError as error:
                why = f"{name}: cannot step back from a rollout that nobody watches: {error}"
            if why and told.get(name) != why:
                space.progress.say(why)
            told[name] = why


def _lapsed(space: Workspace, state: RolloutState, why: str) -> RolloutState:
    """Return the state after the canary of a rollout that nobody watches got no more requests."""
    rollout = _rollout(space, state)
    rollout.lapse(why)
    if state.status == "ended":
        _record(space, rollout)
    return state


def _driven(
    space: Workspace, rollout: Rollout, stop: threading.Event | None
) -> Stored | RolloutState:
    rollout.run(stop or threading.Event())
    if rollout.state.status != "ended":
        return rollout.state
    return _record(space, rollout)


def _record(space: Workspace, rollout: Rollout) -> Stored:
    """Return the record of a rollout that has ended, kept; its state names it."""
    state = rollout.state
    promoted = state.verdict == "promoted"
    found = (state.settled if promoted else ()) or compare(state.judge, state.config)
    metrics = [
        msgspec.structs.replace(metric, name=each.watch, scope=metric.name)
        for each in found
        for metric in (each.canary, each.primary, each.excess)
        if metric is not None
    ]
    seconds = max(0.0, time.time() - state.began)
    record = RolloutRecord(
        subject=state.candidate,
        env=current_environment(),
        inputs={"primary": state.primary},
        resolved=msgspec.to_builtins(state.config),
        metrics=tuple(metrics),
        name=state.name,
        candidate=state.candidate_number,
        primary=state.primary_number,
        verdict=state.verdict or "aborted",
        why=state.why,
        steps=tuple(state.steps),
        comparisons=found,
        seconds=seconds,
        back_s=state.back_s,
    )
    stored = space.keep(record, started=time.monotonic() - seconds)
    state.record = stored.digest
    write_state(path_of(space.folder, state.name), state)
    return stored


def _rollout(space: Workspace, state: RolloutState) -> Rollout:
    _, client = _server(space, state.name, state.admin)
    return Rollout(state, client, WorkspaceHands(space, state, client), say=space.progress.say)


def _server(space: Workspace, name: str, admin: str) -> tuple[Path | None, AdminClient]:
    if admin:
        # One of this machine gets the bytes from here, and its token is known.
        known = {each.admin: (folder, AdminClient(admin, each.token))
                 for folder, each in servers(space.folder / "endpoints")}  # fmt: skip
        return known.get(admin, (None, AdminClient(admin)))
    return find_server(space.folder / "endpoints", name)


def _refusal(space: Workspace, version: Version, alias: str) -> GateRefusal | None:
    judged = space.judge(f"{version.name}@{version.number}")
    gates = with_approvals(space, version, alias, judged)
    refusal = GateRefusal(version=version, alias=alias, gates=gates)
    return refusal if refusal.blocking else None


def _require_control(config: RolloutConfig) -> None:
    if config.steps[0] == MILLION and not config.shadow_first_s:
        raise UsageError(
            "a rollout that begins with 100% has nobody to compare with",
            where="--steps",
            fix="--steps 5%,25%,100%   # or: --shadow-first 1h",
        )


def _require_other(status: ModelStatus, version: Version) -> None:
    if status.route.primary == version.digest:
        raise UsageError(
            f"{version.name}@{version.number} is what the server has already",
            fix=f"afterfit endpoint status {shell_word(version.name)}",
        )


@contextmanager
def _alone(space: Workspace, name: str, *, timeout_s: float = 1.0) -> Iterator[Path]:
    """Hold the rollout of a model against other processes; raises ConflictError."""
    path = path_of(space.folder, name)
    try:
        with file_lock(lock_of(path), timeout_s=timeout_s):
            yield path
    except UnavailableError as error:
        if error.where != str(lock_of(path)):
            raise
        raise ConflictError(
            f"another process watches a rollout of {name}",
            where=str(path),
            fix=f"afterfit rollout status {shell_word(name)}",
        ) from None


def _unfinished(path: Path, name: str) -> RolloutState:
    state = read_state(path)
    if state is None or state.status == "ended":
        raise NotFoundError(
            f"no rollout of {name} is under way",
            where=str(path),
            fix=f"afterfit rollout start {shell_word(name)} --to NUMBER",
        )
    return state


def _under_way(state: RolloutState) -> ConflictError:
    name = shell_word(state.name)
    return ConflictError(
        f"a rollout of {state.name} to version {state.candidate_number} is not finished",
        why=f"it is {state.verdict or state.status}: {state.why}",
        fix=f"afterfit rollout resume {name}   # or: afterfit rollout abort {name}",
    )


def _request_of(path: Path) -> Path:
    return path.with_suffix(".abort")
