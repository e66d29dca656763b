"""Records as append-only files, ``records/<digest>.json``, found again through an index."""

from __future__ import annotations

import getpass
import math
import re
import socket
import time
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import msgspec

from afterfit.core.shell import shell_word
from afterfit.errors import IntegrityError, InternalError, NotFoundError, UsageError
from afterfit.records.codec import AnyRecord, Stored, decode, encode
from afterfit.records.record import Envelope
from afterfit.store.files import read_bytes, sweep_temporary, write_bytes, write_new
from afterfit.store.index import Index, Row

__all__ = ["RecordStore", "in_envelope", "make_envelope"]

_NAME = re.compile(r"([0-9a-f]{64})\.json")
_PREFIX = re.compile(r"[0-9a-f]{4,64}")
_REUSABLE = ("complete", "partial")
_UNREADABLE = "unreadable"
_MORE = 1.1
"""How much more time a step must have for a partial record of it to be made anew."""


class RecordStore:
    """The records below ``folder`` (a workspace's ``.afterfit``), which processes may share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "records"
        self.index = Index(folder / "index.sqlite")

    def put(
        self,
        record: AnyRecord,
        *,
        key: str = "",
        started: float | None = None,
        seconds: float | None = None,
    ) -> Stored:
        """Return the record as it is kept, on the disk when this returns.

        ``key`` is its reuse key, ``started`` the ``time.monotonic()`` at which the step began,
        ``seconds`` what it might take.
        Use the result's digest: numbers are kept as JSON has them (an int in a float field
        becomes a float). A record that is there already keeps its first envelope.
        Raises ForbiddenError or ResourceError, with nothing half-written left.
        """
        return self.add(in_envelope(record, key, started, seconds))

    def add(self, stored: Stored) -> Stored:
        """Return a record made elsewhere, with its envelope, as it is kept here."""
        path = self.folder / f"{stored.digest}.json"
        data = encode(stored)
        decode(data, where=str(path))
        if not write_new(path, data):
            try:
                return self._read(stored.digest)
            except IntegrityError:
                # The file was spoilt; the same record has just been made again.
                write_bytes(path, data)
        self.index.add(_row(stored))
        return stored

    def get(self, digest: str) -> Stored:
        """Return a record by its digest or the first digits of it (4 or more).

        Raises NotFoundError, UsageError for digits that several records begin with, and
        IntegrityError for a file that was changed.
        """
        prefix = digest.lower()
        if not _PREFIX.fullmatch(prefix):
            raise UsageError(
                f"not a record's digest: {digest[:80]!r}",
                why="it takes 4 to 64 hexadecimal digits",
                fix=f"see the digests: ls {shell_word(self.folder)}",
            )
        found = sorted(name for name in self._names() if name.startswith(prefix))
        if not found:
            raise NotFoundError(
                f"no record {digest}",
                where=str(self.folder),
                fix=f"see the digests: ls {shell_word(self.folder)}",
            )
        if len(found) > 1:
            raise UsageError(
                f"{len(found)} records begin with {digest}",
                where=str(self.folder),
                why=", ".join(name[:16] for name in found[:5]),
                fix="give more digits",
            )
        return self._read(found[0])

    def find(
        self,
        key: str,
        *,
        statuses: tuple[str, ...] = _REUSABLE,
        max_age: timedelta | None = None,
        seconds: float | None = None,
    ) -> Stored | None:
        """Return the most recent record of that reuse key, or None.

        A failed one is not reused, and none that is older than ``max_age``; a partial one only
        where the step had as much time as the ``seconds`` that it has now, None for no limit.
        """
        if not key:
            return None
        oldest = "" if max_age is None else _moment(datetime.now(UTC) - max_age)
        for row in self._rows(key=key):
            fits = row.status in statuses and row.created >= oldest
            stored = self._readable(row.digest) if fits else None
            if stored and (row.status != "partial" or not _sooner(stored.envelope, seconds)):
                return stored
        return None

    def rows(self, step: str | None = None, subject: str | None = None) -> tuple[Row, ...]:
        """Return what is known of the records without reading their files, newest first."""
        return self._rows(step=step, subject=subject)

    def list(self, step: str | None = None, subject: str | None = None) -> tuple[Stored, ...]:
        """Return the records of a step and a subject (None is any), newest first.

        Files that cannot be read are left out; ``verify`` names them.
        """
        rows = self._rows(step=step, subject=subject)
        return tuple(found for row in rows if (found := self._readable(row.digest)))

    def latest(self, step: str, subject: str | None = None) -> Stored | None:
        """Return the newest readable record of a step and a subject, or None."""
        rows = self._rows(step=step, subject=subject)
        return next((found for row in rows if (found := self._readable(row.digest))), None)

    def verify(self) -> tuple[tuple[Path, IntegrityError], ...]:
        """Return (file, error) for every record that cannot be believed, after reading all."""
        broken = []
        for digest in sorted(self._names()):
            try:
                self._read(digest)
            except IntegrityError as error:
                broken.append((self.folder / f"{digest}.json", error))
        return tuple(broken)

    def _names(self) -> set[str]:
        if not self.folder.is_dir():
            return set()
        matches = (_NAME.fullmatch(path.name) for path in self.folder.iterdir())
        return {match[1] for match in matches if match}

    def _rows(self, **equal: str | None) -> tuple[Row, ...]:
        sweep_temporary(self.folder)
        return tuple(self.index.rows(self._names(), self._row_of_file, **equal))

    def _row_of_file(self, digest: str) -> Row:
        stored = self._readable(digest)
        return _row(stored) if stored else Row(digest, "", "", "", "", _UNREADABLE)

    def _readable(self, digest: str) -> Stored | None:
        try:
            return self._read(digest)
        except (IntegrityError, NotFoundError):
            return None

    def _read(self, digest: str) -> Stored:
        path = self.folder / f"{digest}.json"
        stored = decode(read_bytes(path), where=str(path))
        if stored.digest != digest:
            raise IntegrityError(
                "the file holds another record than its name says",
                where=str(path),
                why=f"it holds {stored.digest[:16]}…",
                fix="delete the file and run the step again",
            )
        return stored


def in_envelope(
    record: AnyRecord,
    key: str = "",
    started: float | None = None,
    seconds: float | None = None,
) -> Stored:
    """Return the record as ``RecordStore.put`` would keep it, on no disk."""
    body = _as_kept(record)
    return Stored(envelope=make_envelope(body, key, started, seconds), body=body)


def _sooner(envelope: Envelope, seconds: float | None) -> bool:
    """Return whether a record was made in clearly less time than there is now."""
    if envelope.allowed_s is None:
        return False
    return seconds is None or seconds > _MORE * envelope.allowed_s


def make_envelope(
    record: AnyRecord,
    key: str = "",
    started: float | None = None,
    seconds: float | None = None,
) -> Envelope:
    """Return the envelope of a record made now, on this host, by this user.

    ``started`` is the ``time.monotonic()`` at which the step began; without it the duration is 0.
    ``seconds`` is what it might take, None or infinite where nothing limited it.
    """
    return Envelope(
        digest=record.digest,
        key=key,
        created=_moment(datetime.now(UTC)),
        host=socket.gethostname(),
        user=_user(),
        duration_s=0.0 if started is None else round(time.monotonic() - started, 6),
        allowed_s=None if seconds is None or math.isinf(seconds) else round(seconds, 3),
    )


def _moment(when: datetime) -> str:
    """Return a moment as envelopes hold it: texts in the order of time."""
    return when.isoformat(timespec="microseconds")


@cache
def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        # A container's user may have no name.
        return ""


def _as_kept(record: AnyRecord) -> AnyRecord:
    """Return the record after one journey through JSON, so that its digest is that of its file."""
    try:
        kept: AnyRecord = msgspec.json.decode(record.encode(), type=type(record))
    except (msgspec.MsgspecError, TypeError) as error:
        raise InternalError(
            f"the {record.step} record cannot be written", where=record.step, why=str(error)
        ) from error
    return kept


def _row(stored: Stored) -> Row:
    body, envelope = stored.body, stored.envelope
    return Row(
        envelope.digest, body.step, body.subject, envelope.key, envelope.created, body.status
    )
