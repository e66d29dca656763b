"""A drill of the way back: a rollback on a running server under load, timed and undone."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from afterfit.core.bundle import Bundle
from afterfit.core.shell import shell_word
from afterfit.errors import (
    AfterfitError,
    ConflictError,
    ForbiddenError,
    UnavailableError,
    UsageError,
)
from afterfit.records.codec import Stored
from afterfit.records.rollout import DrillRecord
from afterfit.registry.registry import Registry
from afterfit.runtime.client import Client
from afterfit.runtime.running import read_running
from afterfit.serve.rollout import find_server
from afterfit.store.environment import current_environment

if TYPE_CHECKING:
    from afterfit.workspace.space import Workspace

__all__ = ["drill"]

WAIT_S = 30.0
PACE_S = 0.002


@dataclass
class _Load:
    """Clients that send golden rows all the time; each answer is (sent, received, version).

    The version is 0 where there was no good answer. Times are those of the monotonic clock.
    """

    url: str
    path: str
    rows: list[dict[str, Any]]
    key: str = ""
    stop: threading.Event = field(default_factory=threading.Event)
    answers: list[tuple[float, float, int]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def send(self, place: int) -> None:
        """Send one row after the other until told to stop."""
        with Client(self.url, timeout=WAIT_S, key=self.key) as client:
            while not self.stop.is_set():
                sent, version = time.monotonic(), 0
                try:
                    told = client.predict([self.rows[place % len(self.rows)]], self.path)
                    version = int(told["version"])
                except AfterfitError as error:
                    self.errors.append(str(error))
                self.answers.append((sent, time.monotonic(), version))
                place += 1
                time.sleep(PACE_S)

    def since(self, moment: float, version: int) -> list[float]:
        """Return the seconds from ``moment`` to each answer of a version to a later request."""
        return [
            got - moment for sent, got, v in list(self.answers) if v == version and sent > moment
        ]


def drill(
    space: Workspace, name: str, *, seconds: float = 1.0, clients: int = 4, key: str = ""
) -> Stored:
    """Return the record of a rollback under load, which was undone again.

    ``seconds`` of load come before and after, with ``key`` where the server asks for one. Raises
    NotFoundError where nothing is to go back to or no server runs, ForbiddenError where the key is
    none that may ask, UnavailableError where the server does not follow.
    """
    started = time.monotonic()
    champion = space.registry.resolve(f"{name}@champion")
    state, admin = find_server(space.folder / "endpoints", name)
    running = read_running(state)
    route = admin.get().models[name]
    if running is None or route.primary != champion.digest or route.canary is not None:
        raise ConflictError(
            f"the server does not answer with {name}@{champion.number} alone",
            why="a drill goes from the champion to the version before, and back",
            fix=f"afterfit endpoint status {shell_word(name)}",
        )
    load = _Load(running.url, f"/predict/{name}", _golden_rows(space, champion.digest), key)
    _require_answer(load, name)
    threads = [threading.Thread(target=load.send, args=(place,)) for place in range(clients)]
    try:
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        if not load.answers or load.errors:
            raise UnavailableError(
                "the server did not answer the load before the drill",
                where=running.url,
                why=load.errors[0] if load.errors else "no answer came",
                fix="look at it: afterfit endpoint status",
            )
        record = _timed(space, load, name, champion.number, seconds)
    finally:
        load.stop.set()
        for thread in threads:
            thread.join()
    return space.keep(record, started=started)


def _require_answer(load: _Load, name: str) -> None:
    """Ask once before anything is moved; raises ForbiddenError for a key that may not ask."""
    try:
        with Client(load.url, timeout=WAIT_S, key=load.key) as client:
            client.predict(load.rows[:1], load.path)
    except ForbiddenError as error:
        raise ForbiddenError(
            f"the server does not answer the load of a drill: {error.message}",
            where=load.url,
            why="the key in AFTERFIT_KEY may not ask" if load.key else "AFTERFIT_KEY has no key",
            fix=f"AFTERFIT_KEY=… afterfit rollout drill {shell_word(name)}   # one of role predict",
        ) from None


def _timed(space: Workspace, load: _Load, name: str, source: int, seconds: float) -> DrillRecord:
    registry: Registry = space.registry
    why = "drill: timed, and undone"
    began = time.monotonic()
    back = registry.rollback(name, who=space.who, why=why)
    moved = time.monotonic() - began
    target = back.version.number
    try:
        _wait_for(load, began, target)
        time.sleep(seconds)
        first = min(load.since(began, target))
        late = load.since(began, source)
    finally:
        # Undone whatever happened: it was champion a moment ago, so no gate is asked again.
        registry.promote(name, source, who=space.who, why=why, expected=target)
    again = time.monotonic()
    _wait_for(load, again, source)
    time.sleep(seconds)
    answers = list(load.answers)
    return DrillRecord(
        subject=back.version.digest,
        env=current_environment(),
        inputs={"champion": registry.resolve(f"{name}@{source}").digest},
        resolved={"seconds": seconds},
        name=name,
        source=source,
        target=target,
        requests=len(answers),
        failed=sum(version == 0 for _, _, version in answers),
        moved_s=moved,
        first_s=first,
        last_s=max(late, default=0.0),
    )


def _wait_for(load: _Load, moment: float, version: int) -> None:
    while not load.since(moment, version):
        if time.monotonic() - moment > WAIT_S:
            raise UnavailableError(
                f"the server did not change to version {version} within {WAIT_S:g} s",
                where=load.url,
                why="it does not follow the champion, or it could not load that version",
                fix="serve it so that it follows: afterfit serve NAME@champion",
            )
        time.sleep(0.005)


def _golden_rows(space: Workspace, digest: str) -> list[dict[str, Any]]:
    version = next(each for each in space.registry.list() if each.digest == digest)
    columns = Bundle(space.registry.checkout(version)).golden.columns
    rows = [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
    if not rows:
        raise UsageError(
            "the bundle has no golden rows to send",
            fix="ship the model again, which makes some",
        )
    return rows
