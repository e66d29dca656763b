"""``afterfit key``: the API keys of a server, in a file that it reads again when it changes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from afterfit.cli.common import Common
from afterfit.cli.output import Answer, table
from afterfit.cli.progress import TerminalProgress
from afterfit.errors import UsageError
from afterfit.runtime.key_file import (
    Key,
    KeyFile,
    KeyLimits,
    Role,
    add_key,
    encode_key_file,
    new_key_file,
    read_key_file,
    revoke_key,
)
from afterfit.store.files import file_lock, replacing

NONE = Common()
KEYS = Path("keys.json")
UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION = re.compile(r"(\d{1,6})([mhdw])")


def create(
    name: str,
    *,
    role: Annotated[
        tuple[Role, ...], Parameter(negative="", help="What it may do; one for each --role.")
    ],
    model: Annotated[
        tuple[str, ...], Parameter(negative="", help="Only this model; all without it.")
    ] = (),
    rate: Annotated[float | None, Parameter(help="Requests/s, over all workers.")] = None,
    burst: Annotated[float | None, Parameter(help="Requests at once; 1 s of the rate.")] = None,
    rows_rate: Annotated[float | None, Parameter(help="Rows/s, over all workers.")] = None,
    rows_burst: Annotated[float | None, Parameter(help="Rows at once; 1 s of the rate.")] = None,
    expires: Annotated[str, Parameter(help="After 90d, 12h …, or on 2027-01-31.")] = "",
    file: Annotated[Path, Parameter(help="The file of keys; made where it is not there.")] = KEYS,
    common: Common = NONE,
) -> Answer:
    """Make an API key and print it: this once, because the file keeps only a keyed hash of it.

    Parameters
    ----------
    name
        What people call it, such as billing-job.

    """
    limits = _limits(rate=rate, burst=burst, rows_rate=rows_rate, rows_burst=rows_burst)
    until = _until(expires)
    with _changing(file, create=True) as change:
        made = add_key(change.file, name, role, models=model, limits=limits, expires=until)
        change.file = made.file
    with TerminalProgress(quiet=common.quiet) as progress:
        progress.say(f"key {made.key.id} ({name}) is in {file}; its text is shown this once")
    return Answer({**_shown(made.key), "key": made.text, "file": str(file)}, made.text)


def list_(*, file: Path = KEYS, common: Common = NONE) -> Answer:
    """List the keys: what each may do, and whether it still holds.

    Parameters
    ----------
    file
        The file of keys.

    """
    found, warnings = read_key_file(file)
    rows = [_row(key) for key in found.keys]
    headings = ("id", "name", "roles", "models", "limits", "created", "expires", "state")
    text = table(rows, headings) if rows else "no keys yet"
    return Answer([_shown(key) for key in found.keys], text, warnings=list(warnings))


def revoke(ref: str, *, file: Path = KEYS, common: Common = NONE) -> Answer:
    """Let a key in no more; running servers see it within about a second.

    Parameters
    ----------
    ref
        The key's id, its name, or a key that leaked.
    file
        The file of keys.

    """
    with _changing(file) as change:
        change.file, key = revoke_key(change.file, ref)
    return Answer(_shown(key), f"key {key.id} ({key.name}) is revoked since {key.revoked}")


class _Change:
    """The file before and after."""

    def __init__(self, file: KeyFile) -> None:
        self.file = file


@contextmanager
def _changing(path: Path, *, create: bool = False) -> Iterator[_Change]:
    """Yield the file to change; it is written whole if the block ends well, one command at a time.

    It keeps its owner where that may be, so that a server of another user goes on reading it.
    """
    # A link stays a link: what it points to is replaced.
    target = path.resolve()
    with file_lock(target.with_name(f".{target.name}.lock")):
        fresh = create and not target.exists()
        change = _Change(new_key_file() if fresh else read_key_file(target)[0])
        yield change
        with replacing(target, mode=0o600) as stream:
            stream.write(encode_key_file(change.file))
            if not fresh and os.name == "posix":
                _keep_owner(stream.fileno(), target)


def _keep_owner(descriptor: int, path: Path) -> None:
    status = path.stat()
    if status.st_uid != os.geteuid():
        with suppress(PermissionError):
            os.fchown(descriptor, status.st_uid, status.st_gid)


def _limits(**asked: float | None) -> KeyLimits:
    for name, value in asked.items():
        # Also not a number: it compares with nothing.
        if value is not None and not 0 < value < float("inf"):
            raise UsageError(f"{value:g} is no limit", where=_option(name), fix="more than 0")
    return KeyLimits(**asked)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _until(text: str) -> datetime | None:
    """Return the moment that ``90d`` or a date means; raises UsageError."""
    if not text:
        return None
    now = datetime.now(UTC).replace(microsecond=0)
    try:
        until = _moment(text, now)
    except (ValueError, OverflowError):
        raise UsageError(
            f"{text!r} is no time",
            where="--expires",
            fix="a number with m, h, d or w, such as 90d, or a date, such as 2027-01-31",
        ) from None
    if until <= now:
        raise UsageError(f"{text} is over already", where="--expires", fix="give a later time")
    return until


def _moment(text: str, now: datetime) -> datetime:
    if match := _DURATION.fullmatch(text):
        return now + timedelta(**{UNITS[match[2]]: int(match[1])})
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _shown(key: Key) -> dict[str, Any]:
    """Return a key for machines: all but its hash."""
    shown: dict[str, Any] = msgspec.to_builtins(key)
    del shown["hash"]
    limits = msgspec.structs.asdict(key.limits)
    return {
        "models": [],
        "expires": None,
        "revoked": None,
        **shown,
        "limits": limits,
        "state": key.state(datetime.now(UTC)),
    }


def _row(key: Key) -> tuple[str, ...]:
    limits = key.limits
    parts = [(limits.rate, "requests/s"), (limits.rows_rate, "rows/s")]
    told = ", ".join(f"{value:g} {unit}" for value, unit in parts if value)
    return (
        key.id,
        key.name,
        ", ".join(key.roles),
        ", ".join(key.models) or "all",
        told or "none",
        f"{key.created:%Y-%m-%d}",
        f"{key.expires:%Y-%m-%d %H:%M}" if key.expires else "never",
        key.state(datetime.now(UTC)),
    )
