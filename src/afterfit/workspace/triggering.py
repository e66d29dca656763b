"""Tells others of changes: an outbox in the workspace, emptied by a process of its own.

A change writes a file for each event and starts ``python -m afterfit.workspace.triggering``, which
outlives the command; nothing waits for it. What a crash left in the outbox goes with the next
change, so something may be told twice: its id says so. Each attempt is a line of
``triggers/log.jsonl``.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from afterfit.core.digest import canonical_json
from afterfit.core.sections import TriggersSection
from afterfit.errors import AfterfitError, ConfigError, UnavailableError
from afterfit.registry.audit import Entry
from afterfit.registry.triggers import events_of, told_of
from afterfit.store.files import file_lock, write_bytes

if TYPE_CHECKING:
    from afterfit.workspace.folder import WorkspaceFolder

__all__ = ["COMMAND_S", "WAITS_S", "deliver_all", "listen", "main"]

WAITS_S = (0.0, 1.0, 5.0, 25.0)
"""Seconds before each attempt."""
COMMAND_S = 60.0
_COMMAND = "command:"


class _Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """One file of the outbox: what is told, and where."""

    id: str
    event: str
    body: dict[str, Any]
    addresses: tuple[str, ...]


def listen(space: WorkspaceFolder) -> None:
    """Have the changes of a workspace told, where ``[triggers]`` names somebody."""
    asked = space.config.triggers
    if any(getattr(asked, name) for name in asked.__struct_fields__):
        space.registry.listener = _Listener(space.folder, asked, space.warnings).heard


class _Listener:
    def __init__(self, folder: Path, asked: TriggersSection, warnings: list[str]) -> None:
        self._folder, self._asked, self._warnings = folder, asked, warnings

    def heard(self, entry: Entry) -> None:
        """Put a line's events into the outbox and start what empties it; never raises."""
        try:
            if _put(self._folder, self._asked, entry):
                _start(self._folder)
        except (AfterfitError, OSError) as error:
            self._warnings.append(f"nobody is told of line {entry.seq} of the log: {error}")


def _put(folder: Path, asked: TriggersSection, entry: Entry) -> bool:
    found = False
    for event in events_of(entry):
        addresses = getattr(asked, event)
        if not addresses:
            continue
        waiting = _Waiting(
            id=f"{entry.hash[:16]}-{event}",
            event=event,
            body=told_of(entry, event),
            addresses=addresses,
        )
        path = _outbox(folder) / f"{entry.seq:012d}-{event}.json"
        write_bytes(path, canonical_json(waiting))
        found = True
    return found


def _start(folder: Path) -> None:
    subprocess.Popen(
        [sys.executable, "-m", "afterfit.workspace.triggering", str(folder.resolve())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def deliver_all(folder: Path, *, sleep: Callable[[float], None] = time.sleep) -> int:
    """Return how many were told, after emptying the outbox of a workspace; one process at a time.

    What nobody takes after the last attempt is dropped, and its line in the log says ``dropped``.
    """
    told = 0
    while sorted(_outbox(folder).glob("*.json")):
        try:
            with file_lock(folder / "triggers" / "lock", timeout_s=0.1):
                for path in sorted(_outbox(folder).glob("*.json")):
                    waiting = msgspec.json.decode(path.read_bytes(), type=_Waiting)
                    told += sum(
                        _told(folder, waiting, address, sleep) for address in waiting.addresses
                    )
                    path.unlink()
        except UnavailableError:
            return told  # another process empties it, and looks again before it ends
    return told


def _told(folder: Path, waiting: _Waiting, address: str, sleep: Callable[[float], None]) -> bool:
    for attempt, seconds in enumerate(WAITS_S, 1):
        sleep(seconds)
        try:
            _send(waiting, address)
        except (AfterfitError, OSError, subprocess.SubprocessError) as error:
            last = attempt == len(WAITS_S) or isinstance(error, ConfigError)
            _log(folder, waiting, address, attempt, "dropped" if last else "failed", error)
            if last:
                return False
        else:
            _log(folder, waiting, address, attempt, "told", None)
            return True
    return False


def _send(waiting: _Waiting, address: str) -> None:
    body = canonical_json(waiting.body)
    if address.startswith(_COMMAND):
        words = shlex.split(address.removeprefix(_COMMAND))
        environment = {**os.environ, "AFTERFIT_EVENT": waiting.event}
        subprocess.run(
            words, input=body, check=True, timeout=COMMAND_S, env=environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        return
    # Here, because nearly every command opens a workspace and tells nobody.
    from afterfit.monitor.channels.opening import open_channel
    from afterfit.monitor.channels.webhook import Webhook

    channel = open_channel("trigger", address).channel
    if not isinstance(channel, Webhook):
        raise ConfigError(
            "a trigger is a webhook or a command",
            where=f"triggers.{waiting.event}",
            fix='write "webhooks://host/path?secret=env:NAME", or "command:python notify.py"',
        )
    channel.deliver(body, waiting.id)


def _log(
    folder: Path, waiting: _Waiting, address: str, attempt: int, outcome: str,
    error: Exception | None,
) -> None:  # fmt: skip
    # Of an address with a reference only the reference is known here, and no secret.
    line = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "id": waiting.id,
        "event": waiting.event,
        "to": address,
        "attempt": attempt,
        "outcome": outcome,
        "why": "" if error is None else str(error).splitlines()[0],
    }
    with (folder / "triggers" / "log.jsonl").open("ab") as stream:
        stream.write(canonical_json(line) + b"\n")


def _outbox(folder: Path) -> Path:
    return folder / "triggers" / "outbox"


def main() -> None:
    """Empty the outbox of the workspace that the command line names."""
    deliver_all(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
