"""What is kept from people for a while: silences with who and why, and maintenance windows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, time, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Protocol

import msgspec

from afterfit.core.digest import digest_of
from afterfit.errors import AfterfitError, ConfigError, NotFoundError, UsageError
from afterfit.records.signals import Alarm
from afterfit.store.files import file_lock, os_errors, read_bytes, write_bytes

__all__ = ["Audit", "Maintenance", "Quiet", "Silence", "SilenceBook", "parse_maintenance"]

MINUTE = 60_000_000
"""µs."""
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WEEKLY = re.compile(r"\s*([a-z]{3}(?:,[a-z]{3})*|daily)\s+(\d\d:\d\d)\s*-\s*(\d\d:\d\d)\s*")


class Audit(Protocol):
    """The audit log: a line with who did what, and more words."""

    def note(self, action: str, *, who: str, **words: Any) -> Any:
        """Write a line."""
        ...


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """Alarms of this pattern are told to nobody until a time (µs since 1970).

    ``pattern`` is an alarm's id, or ``signal`` or ``signal/subject`` with ``*`` and ``?``;
    ``model`` is a name, or empty for all.
    """

    pattern: str
    model: str = ""
    since: int
    until: int
    who: str
    why: str

    @property
    def id(self) -> str:
        """Return its name, which stays when it is ended early."""
        return digest_of([self.pattern, self.model, self.since, self.who])[:8]

    def covers(self, alarm: Alarm, now: int) -> bool:
        """Return whether it holds now (µs) for the alarm."""
        if not self.since <= now < self.until or self.model not in ("", alarm.scope.model):
            return False
        names = (alarm.id, alarm.signal, f"{alarm.signal}/{alarm.subject}")
        return any(fnmatchcase(name, self.pattern) for name in names)


class Maintenance(msgspec.Struct, frozen=True):
    """A time when nobody is told: once from ``start`` to ``end`` (µs), or weekly.

    ``days`` are 0 (Monday) to 6; the weekly hours are minutes of the day in UTC, over midnight
    where the end comes first.
    """

    text: str
    start: int = 0
    end: int = 0
    days: tuple[int, ...] = ()

    def holds(self, now: int) -> bool:
        """Return whether it holds now (µs since 1970)."""
        if not self.days:
            return self.start <= now < self.end
        moment = datetime.fromtimestamp(now / 1e6, UTC)
        minute = moment.hour * 60 + moment.minute
        if self.start < self.end:
            return moment.weekday() in self.days and self.start <= minute < self.end
        before = (moment - timedelta(days=1)).weekday()
        return (moment.weekday() in self.days and minute >= self.start) or (
            before in self.days and minute < self.end
        )


def parse_maintenance(text: str) -> Maintenance:
    """Return ``sun,mon 02:00-04:00``, ``daily 01:00-01:30`` or ``FROM/TO`` in ISO 8601, all UTC."""
    if weekly := _WEEKLY.fullmatch(text.lower()):
        names = _DAYS if weekly[1] == "daily" else weekly[1].split(",")
        try:
            days = tuple(_DAYS.index(name) for name in names)
            hours = [time.fromisoformat(each) for each in weekly.group(2, 3)]
        except ValueError as error:
            raise _no_maintenance(text, str(error)) from None
        start, end = (each.hour * 60 + each.minute for each in hours)
        if start != end:
            return Maintenance(text, start, end, days)
        raise _no_maintenance(text, "it ends when it begins")
    try:
        first, last = (datetime.fromisoformat(part.strip()) for part in text.split("/"))
    except ValueError as error:
        raise _no_maintenance(text, str(error)) from None
    start, end = _micros(first), _micros(last)
    if start >= end:
        raise _no_maintenance(text, "it ends before it begins")
    return Maintenance(text, start, end)


def _micros(moment: datetime) -> int:
    """Return µs since 1970; a time without a zone is UTC."""
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1e6)


class Quiet:
    """What is kept from people now: silences, or what gives those of now, and maintenance."""

    def __init__(
        self,
        silences: Sequence[Silence] | Callable[[], Sequence[Silence]] = (),
        maintenance: Iterable[str | Maintenance] = (),
    ) -> None:
        self._silences = silences
        self.maintenance = tuple(
            parse_maintenance(each) if isinstance(each, str) else each for each in maintenance
        )

    def of(self, alarm: Alarm, now: int) -> str:
        """Return by what an alarm is kept quiet now (µs); empty where people are told."""
        for silence in self._silences() if callable(self._silences) else self._silences:
            if silence.covers(alarm, now):
                return f"silence {silence.id} by {silence.who}: {silence.why}"
        for window in self.maintenance:
            if window.holds(now):
                return f"maintenance {window.text}"
        return ""


class SilenceBook:
    """The silences in a file, each change with its line in the audit log."""

    def __init__(self, path: Path, audit: Audit) -> None:
        self.path = path
        self.audit = audit
        self._seen: tuple[int, int] = (0, 0)
        self._known: tuple[Silence, ...] = ()

    def now(self) -> tuple[Silence, ...]:
        """Return what `read` does, and the file is only read again when it has changed.

        A file that cannot be read keeps no monitor from its work: what it held last goes on.
        """
        with suppress(OSError, AfterfitError):
            told = self.path.stat()
            if (seen := (told.st_mtime_ns, told.st_size)) != self._seen:
                self._known, self._seen = self.read(), seen
        return self._known

    def read(self) -> tuple[Silence, ...]:
        """Return all that are kept, those that are over included; raises ConfigError."""
        if not self.path.is_file():
            return ()
        try:
            return msgspec.json.decode(read_bytes(self.path), type=tuple[Silence, ...])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ConfigError(
                "the silences cannot be read", where=str(self.path), why=str(error),
                fix=f"put {self.path} aside, and silence again what should be silent",
            ) from None  # fmt: skip

    def add(self, silence: Silence) -> Silence:
        """Return the silence after it was written; raises UsageError for one without reason."""
        if not silence.why.strip():
            raise UsageError(
                "a silence needs a reason", why="whoever meets it next week asks for it",
                fix='afterfit monitor silence PATTERN --for 4h --why "…"',
            )  # fmt: skip
        if silence.until <= silence.since:
            raise UsageError(
                "the silence is over before it begins",
                fix="give a time to come with --until, or --for 4h",
            )
        with self._change() as kept:
            kept.append(silence)
        self._note("monitor_silence", silence)
        return silence

    def end(self, name: str, *, who: str, now: int) -> Silence:
        """Return the silence that ends now (µs); raises NotFoundError where none of it holds."""
        with self._change() as kept:
            for place, silence in enumerate(kept):
                if silence.id == name and silence.until > now:
                    kept[place] = msgspec.structs.replace(silence, until=now)
                    break
            else:
                names = ", ".join(s.id for s in kept if s.until > now)
                raise NotFoundError(
                    f"no silence {name!r} holds", why=f"those that do: {names or 'none'}",
                    fix="afterfit monitor silence   # lists them",
                )  # fmt: skip
        self._note("monitor_silence_end", msgspec.structs.replace(silence, who=who))
        return silence

    def _note(self, action: str, silence: Silence) -> None:
        details = {"silence": silence.id, "pattern": silence.pattern, "until": silence.until}
        self.audit.note(action, who=silence.who, name=silence.model, why=silence.why,
                        details=details)  # fmt: skip

    @contextmanager
    def _change(self) -> Iterator[list[Silence]]:
        """Yield the silences under the lock of their file; they are written when the block ends."""
        with os_errors(self.path, "keep a silence"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(self.path.with_name(f"{self.path.name}.lock")):
            kept = list(self.read())
            yield kept
            write_bytes(self.path, msgspec.json.encode(kept))


def _no_maintenance(text: str, why: str) -> ConfigError:
    return ConfigError(
        f"no maintenance window: {text!r}", where="alarms.maintenance", why=why,
        fix='write "sun 02:00-04:00", "daily 01:00-01:30" or "2026-12-01T22:00/2026-12-02T02:00"',
    )  # fmt: skip
