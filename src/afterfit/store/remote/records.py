"""Records of a shared workspace: in an object store, with a copy and the index on this machine.

A record is kept here first and then sent. What could not be sent stands in ``outbox/`` until the
next command sends it, so a measurement of an hour is not lost with the network.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from afterfit.errors import AfterfitError, IntegrityError, NotFoundError, UnavailableError
from afterfit.records.codec import Stored, decode
from afterfit.store.files import os_errors, write_bytes
from afterfit.store.records import RecordStore
from afterfit.store.remote.objects import Objects

__all__ = ["SharedRecords"]

_WHOLE = re.compile(r"[0-9a-f]{64}")


class SharedRecords(RecordStore):
    """The records of ``objects``; copies, the index and the outbox are below ``folder``."""

    def __init__(self, folder: Path, objects: Objects) -> None:
        super().__init__(folder)
        self.objects = objects
        self.outbox = folder / "outbox"

    def add(self, stored: Stored) -> Stored:
        """Return a record as it is kept, here and in the store.

        Raises UnavailableError or ForbiddenError where the store did not take it: it is kept here
        then, and sent by the next command that can.
        """
        with os_errors(self.outbox, "write"):
            self.outbox.mkdir(parents=True, exist_ok=True)
            (self.outbox / stored.digest).touch()
        kept = super().add(stored)
        self._send(kept.digest)
        return kept

    def get(self, digest: str) -> Stored:
        """Return a record by its digest or the first digits of it; errors as `RecordStore.get`."""
        if _WHOLE.fullmatch(digest):
            with suppress(NotFoundError):
                return self._read(digest)
        try:
            return super().get(digest)
        except NotFoundError as error:
            raise NotFoundError(
                error.message,
                where=f"{self.objects.where}/records",
                why="it is neither in the shared store nor among the copies on this machine",
                fix="afterfit record list   # and look whether blobs of the workspace is right",
            ) from None

    def _names(self) -> set[str]:
        self._empty_outbox()
        there = (name.removesuffix(".json") for name in self.objects.names("records"))
        waiting = {path.name for path in self.outbox.glob("*")} & super()._names()
        return {name for name in there if _WHOLE.fullmatch(name)} | waiting

    def _read(self, digest: str) -> Stored:
        path = self.folder / f"{digest}.json"
        with suppress(IntegrityError):
            if path.exists():
                return super()._read(digest)
        key = f"records/{digest}.json"
        data = b"".join(self.objects.chunks(key))
        stored = decode(data, where=f"{self.objects.where}/{key}")
        if stored.digest != digest:
            raise IntegrityError(
                "the shared store holds another record than its name says",
                where=f"{self.objects.where}/{key}",
                why=f"it holds {stored.digest[:16]}…",
                fix="delete it there and run the step again",
            )
        write_bytes(path, data)
        return stored

    def _send(self, digest: str) -> None:
        key = f"records/{digest}.json"
        path = self.folder / f"{digest}.json"
        try:
            # Equal bodies have equal digests, and the first envelope stays.
            if self.objects.size(key) is None:
                self.objects.put(key, path)
        except AfterfitError as error:
            error.why += f"; the record is kept in {path} and will be sent by the next command"
            raise
        (self.outbox / digest).unlink(missing_ok=True)

    def _empty_outbox(self) -> None:
        for marker in sorted(self.outbox.glob("*")):
            if not (self.folder / f"{marker.name}.json").exists():
                marker.unlink(missing_ok=True)
                continue
            with suppress(UnavailableError):
                self._send(marker.name)
