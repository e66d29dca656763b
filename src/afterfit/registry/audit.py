"""The audit log: who changed what, when and why, in lines that each hold the hash of the last.

``audit.jsonl`` has one JSON object a line. Its ``hash`` is the SHA-256 of the line's canonical
JSON without that field, and its ``prev`` is the hash of the line before, so a line that was
edited, removed or put in between breaks the chain. ``registry/head`` holds the number and the
hash of the last line, so that cutting lines from the end is noticed too. The chain shows damage
and careless edits; somebody who may write every file can rebuild all of it, so keep the head hash
(``afterfit version verify`` prints it) where they cannot.

A line reaches the disk before anything that it announces is done. What a crash left half-written
at the end of the file was therefore never acted upon, and is cut off with a note.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from afterfit.core.digest import canonical_json, sha256_bytes
from afterfit.errors import IntegrityError
from afterfit.store.files import os_errors, sync_folder, write_bytes

GENESIS = "0" * 64
_TAIL_BYTES = 1 << 16
_RESTORE = "restore audit.jsonl and registry/ from a copy of the workspace"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line: ``seq`` counts from 1, ``time`` is ISO 8601 in UTC, ``details`` plain JSON.

    ``source`` and ``to`` (``from`` and ``to`` in the file) are what it was and what it became.
    """

    seq: int
    time: str
    who: str
    action: str
    name: str = ""
    source: str = msgspec.field(name="from", default="")
    to: str = ""
    why: str = ""
    details: dict[str, Any] = {}
    prev: str = GENESIS
    hash: str = ""

    def computed_hash(self) -> str:
        """Return the SHA-256 of the line without its hash."""
        body = msgspec.to_builtins(self)
        del body["hash"]
        return sha256_bytes(canonical_json(body))


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The number and the hash of the last line that is known to be on the disk."""

    seq: int = 0
    hash: str = GENESIS


class LogCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What reading the whole log said: its lines and the hash of the last one."""

    lines: int
    head: str
    set_back: tuple[int, ...] = ()
    """Lines dated before the line that they follow: the clock of a machine was set back."""


def utc_now() -> datetime:
    """Return the time now, in UTC."""
    return datetime.now(UTC)


def following(last: Head, when: datetime, action: str, **words: Any) -> Entry:
    """Return the line after ``last``; ``words`` are its other fields, ``None`` for nothing."""
    told = {name: value for name, value in words.items() if value is not None}
    entry = Entry(
        seq=last.seq + 1,
        time=when.isoformat(timespec="microseconds"),
        action=action,
        prev=last.hash,
        **told,
    )
    return msgspec.structs.replace(entry, hash=entry.computed_hash())


def decoded(line: bytes, number: int, place: str) -> Entry:
    """Return a line of the log; raises IntegrityError naming its number."""
    try:
        return msgspec.json.decode(line, type=Entry)
    except msgspec.MsgspecError as error:
        raise broken(place, number, str(error)) from None


def check_link(entry: Entry, previous: Head, place: str) -> Head:
    """Return the head after ``entry``, which must follow ``previous``; raises IntegrityError."""
    number = previous.seq + 1
    if entry.seq != number:
        raise broken(place, number, f"it says that it is line {entry.seq}")
    if entry.prev != previous.hash:
        raise broken(place, number, "it does not follow the line before")
    if entry.computed_hash() != entry.hash:
        raise broken(place, number, "its own hash does not fit its words")
    return Head(seq=entry.seq, hash=entry.hash)


def broken(place: str, number: int, why: str) -> IntegrityError:
    """Return the error for a line that is not what it was."""
    return IntegrityError(
        f"the audit log was changed at line {number}",
        where=f"{place}:{number}",
        why=why,
        fix=_RESTORE,
    )


def cut(place: str, lines: int, expected: int) -> IntegrityError:
    """Return the error for a log that is shorter than it was."""
    return IntegrityError(
        f"the audit log ends after line {lines}, but it had {expected}",
        where=f"{place}:{lines + 1}",
        why="lines were cut from its end",
        fix=_RESTORE,
    )


def checked(entries: Iterable[Entry], head: Head, place: str, *, ahead: int = 1) -> LogCheck:
    """Return what a whole log says, held against its head; raises IntegrityError.

    The log may be ``ahead`` lines longer than the head knows.
    """
    last, hashes, before, set_back = Head(), {0: GENESIS}, "", []
    for entry in entries:
        last = Head(seq=entry.seq, hash=entry.hash)
        if entry.seq == head.seq:
            hashes[entry.seq] = entry.hash
        if entry.time < before:
            set_back.append(entry.seq)
        before = entry.time
    if last.seq < head.seq:
        raise cut(place, last.seq, head.seq)
    if hashes[head.seq] != head.hash:
        raise broken(place, head.seq, "head holds another hash for it")
    if last.seq > head.seq + ahead:
        raise broken(place, head.seq + ahead + 1, f"head knows {head.seq} lines only")
    return LogCheck(lines=last.seq, head=last.hash, set_back=tuple(set_back))


class AuditLog:
    """The audit log of a workspace; what changes it wants the registry's lock held."""

    def __init__(self, folder: Path, *, clock: Callable[[], datetime] = utc_now) -> None:
        self.path = folder / "audit.jsonl"
        self.head_path = folder / "registry" / "head"
        self._clock = clock

    def append(
        self,
        action: str,
        *,
        who: str,
        name: str = "",
        source: str = "",
        to: str = "",
        why: str = "",
        details: dict[str, Any] | None = None,
    ) -> Entry:
        """Return the new last line, which is on the disk by then."""
        entry = following(
            self.last(), self._clock(), action,
            who=who, name=name, source=source, to=to, why=why, details=details,
        )  # fmt: skip
        self._write(canonical_json(entry) + b"\n")
        self._write_head(entry)
        return entry

    def entries(self) -> Iterator[Entry]:
        """Yield every line in order, each checked against the one before; raises IntegrityError."""
        previous = Head()
        if not self.path.exists():
            return
        with os_errors(self.path, "read"), self.path.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                entry = self._decode(line, number)
                previous = check_link(entry, previous, str(self.path))
                yield entry

    def since(self, offset: int, previous: Head) -> Iterator[tuple[Entry, int]]:
        """Yield the whole lines from the byte ``offset`` on, each with the byte where it ends.

        ``previous`` is the line before; raises IntegrityError where they do not follow it. A torn
        last line is left out.
        """
        if not self.path.exists():
            return
        with os_errors(self.path, "read"), self.path.open("rb") as stream:
            stream.seek(offset)
            for line in stream:
                if not line.endswith(b"\n"):
                    return
                entry = decoded(line, previous.seq + 1, str(self.path))
                previous = check_link(entry, previous, str(self.path))
                offset += len(line)
                yield entry, offset

    def verify(self) -> LogCheck:
        """Return the number of lines and the head hash; raises IntegrityError naming the line."""
        return checked(self.entries(), self.head(), str(self.path))

    def last(self) -> Head:
        """Return number and hash of the last whole line; raises IntegrityError."""
        entry = self.last_entry()
        return Head() if entry is None else Head(seq=entry.seq, hash=entry.hash)

    def last_entry(self) -> Entry | None:
        """Return the last whole line, None for an empty log; reads only the end of the file."""
        lines = self._tail()[0]
        if not lines:
            return None
        entry = self._decode(lines[-1], None)
        if entry.computed_hash() != entry.hash:
            raise self._broken(entry.seq, "its own hash does not fit its words")
        return entry

    def head(self) -> Head:
        """Return what ``registry/head`` says; raises IntegrityError where it cannot be read."""
        if not self.head_path.exists():
            return Head()
        try:
            return msgspec.json.decode(self.head_path.read_bytes(), type=Head)
        except (msgspec.MsgspecError, OSError) as error:
            raise IntegrityError(
                "the head of the audit log cannot be read",
                where=str(self.head_path),
                why=str(error),
                fix="restore it from a copy of the workspace",
            ) from None

    def size(self) -> int:
        """Return the bytes of the log, 0 where there is none."""
        with suppress(OSError):
            return self.path.stat().st_size
        return 0

    def agrees(self) -> bool:
        """Return whether the file ends with the line that the head names."""
        return not self._tail()[1] and self.last() == self.head()

    def mend_head(self) -> int:
        """Return the bytes of a torn last line, after bringing up a head that is a line behind.

        Both are what a crash can leave. Raises IntegrityError for anything else, which none does.
        """
        torn = self._tail()[1]
        head, entry = self.head(), self.last_entry()
        last = self.last()
        if last.seq < head.seq:
            raise self._cut(last.seq, head.seq)
        if last.seq == head.seq and last.hash != head.hash:
            raise self._broken(last.seq, f"{self.head_path.name} holds another hash for it")
        if last.seq > head.seq + 1:
            raise self._broken(head.seq + 2, f"{self.head_path.name} knows {head.seq} lines only")
        if entry is not None and last.seq == head.seq + 1:
            if entry.prev != head.hash:
                raise self._broken(last.seq, "it does not follow the line before")
            self._write_head(entry)
        return len(torn)

    def cut_torn(self, torn: int) -> None:
        """Cut ``torn`` bytes off the end, and add a line that says so."""
        with os_errors(self.path, "repair"):
            os.truncate(self.path, self.path.stat().st_size - torn)
        self.append(
            "repair",
            who="afterfit",
            why="a crash left half a line at the end; what it announced was not done",
            details={"removed_bytes": torn},
        )

    def _tail(self) -> tuple[list[bytes], bytes]:
        """Return the last whole lines (at least one where there is any), and what follows them."""
        if not self.path.exists():
            return [], b""
        with os_errors(self.path, "read"), self.path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            length = _TAIL_BYTES
            while True:
                start = max(0, size - length)
                stream.seek(start)
                data = stream.read(size - start)
                whole, newline, torn = data.rpartition(b"\n")
                lines = whole.split(b"\n") if newline else []
                if start == 0 or len(lines) > 1:
                    return lines[1:] if start else lines, torn
                length *= 4

    def _write(self, line: bytes) -> None:
        with os_errors(self.path, "write"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            is_new = not self.path.exists()
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            size = os.fstat(descriptor).st_size
            try:
                # One call where the system takes it whole; a crash in between leaves a torn line.
                while line:
                    line = line[os.write(descriptor, line) :]
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, size)
                raise
            finally:
                os.close(descriptor)
            if is_new:
                sync_folder(self.path.parent)

    def _write_head(self, entry: Entry) -> None:
        write_bytes(self.head_path, canonical_json(Head(seq=entry.seq, hash=entry.hash)))

    def _decode(self, line: bytes, number: int | None) -> Entry:
        if number is not None and not line.endswith(b"\n"):
            raise self._broken(number, "the file ends in the middle of it")
        return decoded(line, self.head().seq if number is None else number, str(self.path))

    def _broken(self, number: int, why: str) -> IntegrityError:
        return broken(str(self.path), number, why)

    def _cut(self, lines: int, expected: int) -> IntegrityError:
        return cut(str(self.path), lines, expected)
