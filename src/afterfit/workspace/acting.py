"""What an alarm may do in a workspace: roll back, pause a canary, ship a new model."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from afterfit.errors import AfterfitError, ConfigError, ConflictError, ModelError
from afterfit.monitor.actions import Action, PauseCanary, Retrain, Rollback
from afterfit.monitor.channels import Opened
from afterfit.monitor.channels.opening import secret_of
from afterfit.monitor.figures import open_database
from afterfit.monitor.gates import GateWatch
from afterfit.registry.history import rollback_target
from afterfit.registry.version import GateRefusal
from afterfit.runtime.client import AdminClient
from afterfit.runtime.endpoint import Canary
from afterfit.serve.rollout import Plan, divided, find_server
from afterfit.workspace.champion import champion_of

if TYPE_CHECKING:
    from afterfit.workspace.space import Workspace

__all__ = ["CHALLENGER", "WorkspaceHands", "actions_of", "gates_of"]

CHALLENGER = "challenger"
ASKS_CHANNEL = "channel:"


class WorkspaceHands:
    """The hands of actions in a workspace; see `afterfit.monitor.actions.Hands`."""

    def __init__(self, space: Workspace) -> None:
        self._space = space

    def champion(self, model: str) -> str:
        """Return the digest of the champion, empty where none is."""
        version = champion_of(self._space, model)
        return "" if version is None else version.digest

    def before(self, model: str) -> int:
        """Return the number of the version that a rollback goes back to, 0 where there is none."""
        return rollback_target(self._space.registry.moves(model)) or 0

    def canary(self, model: str) -> str:
        """Return the digest of the canary that gets requests here, empty for none."""
        _, canary = self._canary(model)
        return "" if canary is None or not canary.share_ppm else canary.digest

    def rollback(self, model: str, *, digest: str, why: str) -> str:
        """Go back to the version before; raises ConflictError where another is champion by now."""
        if self.champion(model) != digest:
            raise _moved(model)
        moved = self._space.rollback(model, why=why)
        return f"{model} is version {moved.version.number} again"

    def pause_canary(self, model: str, *, digest: str, why: str) -> str:
        """Set the canary's share to nothing; it stays loaded, to look at."""
        admin, canary = self._canary(model)
        if canary is None or canary.digest != digest:
            raise _moved(model)
        divided(admin, model, Plan(canary=(digest, 0, canary.key)))
        return f"the canary of {model} gets no more requests: {why}"

    def ship(self, model: str, path: Path, *, why: str) -> str:
        """Ship a file in a process of its own, and make it challenger if every gate passes."""
        seconds = self._space.config.alarms.retrain_seconds
        command = [sys.executable, "-m", "afterfit", "ship", str(path), "--name", model,
                   "--no-promote", "--workspace", str(self._space.folder), "--json"]  # fmt: skip
        try:
            done = subprocess.run(
                command, capture_output=True, check=False, timeout=seconds, stdin=subprocess.DEVNULL
            )
        except subprocess.TimeoutExpired:
            raise _unshipped(path, f"it took longer than {seconds:g} s") from None
        number = _number(done.stdout, path)
        moved = self._space.promote(model, number, alias=CHALLENGER, why=why)
        if isinstance(moved, GateRefusal):
            return f"{model}@{number} is registered, and no challenger: {moved.why}"
        return f"{model}@{number} is {CHALLENGER}"

    def _canary(self, model: str) -> tuple[AdminClient, Canary | None]:
        _, admin = find_server(self._space.folder / "endpoints", model)
        return admin, admin.get().models[model].canary


def actions_of(space: Workspace, channels: Mapping[str, Opened]) -> list[Action]:
    """Return the actions that the configuration asks for; raises ConfigError for what cannot be."""
    settings, hands = space.config.alarms, WorkspaceHands(space)
    audit = space.registry
    found: list[Action] = []
    for name in settings.actions:
        if name == "rollback":
            found.append(Rollback(settings, hands, audit))
        elif name == "pause_canary":
            found.append(PauseCanary(settings, hands, audit))
        else:
            folder = space.folder / "monitor" / "retrain"
            channel = _channel(settings.retrain, channels)
            found.append(Retrain(settings, hands, audit, folder=folder, channel=channel))
    return found


def gates_of(space: Workspace) -> GateWatch:
    """Return what looks at gates and figures in every window; raises ConfigError."""
    settings = space.config.alarms
    ask = None
    if settings.database:
        address = settings.database
        if not address.startswith(("env:", "file:", "sqlite://")):
            raise ConfigError(
                "the address of a database does not belong in a configuration",
                where="alarms.database",
                why="it may hold a password, and configurations are committed and shown",
                fix='write "env:NAME" or "file:PATH", and put the address there',
            )
        if not address.startswith("sqlite://"):
            address = secret_of(address, where="alarms.database")
        ask = open_database(address)
    return GateWatch(space.config.alarm_gates(), settings, ask, seed=space.config.line.seed)


def _channel(retrain: tuple[str, ...], channels: Mapping[str, Opened]) -> Opened | None:
    if not retrain or not retrain[0].startswith(ASKS_CHANNEL):
        return None
    name = retrain[0].removeprefix(ASKS_CHANNEL)
    if name in channels:
        return channels[name]
    raise ConfigError(
        f"there is no channel {name!r}",
        where="alarms.retrain",
        why=f"there are: {', '.join(channels) or 'none'}",
        fix="name one of alarms.channels, or a command",
    )


def _number(output: bytes, path: Path) -> int:
    """Return the number of the version that ``ship --json`` told; raises ModelError."""
    try:
        told = msgspec.json.decode(output)
        if told["ok"]:
            return int(told["result"]["version"])
        raise _unshipped(path, told["error"]["message"])
    except AfterfitError:
        raise
    except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
        raise _unshipped(path, f"its answer cannot be read: {type(error).__name__}") from None


def _moved(model: str) -> ConflictError:
    return ConflictError(
        f"{model} was changed meanwhile", fix=f"look at it: afterfit version list {model}"
    )


def _unshipped(path: Path, why: str) -> ModelError:
    return ModelError(
        "the new model did not ship", where=str(path), why=why, fix=f"try it: afterfit ship {path}"
    )
