"""A variant in a process of its own, so that the code it brings meets no other code."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from afterfit.core import frame as frames
from afterfit.core.bundle import Variant
from afterfit.core.frame import Frame, Predictions
from afterfit.core.signature import Signature
from afterfit.models.host import Host

__all__ = ["BATCH_ROWS", "HostedVariant"]

BATCH_ROWS = 20_000
"""Rows that are sent to the process at once, to bound the memory of both."""


class HostedVariant:
    """A loaded variant of the files in ``folder``; use it in a ``with`` block, or ``close`` it.

    To be examined it has no network and few environment variables; with ``serving`` it has those of
    this process, because the user's code may ask other services. ``threads`` are those inside of
    one call. Raises what loading the variant raises.
    """

    def __init__(
        self,
        folder: Path,
        variant: Variant,
        signature: Signature,
        *,
        threads: int = 1,
        serving: bool = False,
    ) -> None:
        load = {
            "op": "open",
            "folder": str(folder.resolve()),
            "variant": variant,
            "signature": signature,
            "threads": threads,
        }
        self._host = Host(load, serving=serving, threads=threads)
        self._host.start()

    @property
    def pid(self) -> int | None:
        """The process id of the child; None where none runs."""
        return self._host.pid

    def predict(self, frame: Frame) -> Predictions:
        """Return the predictions of n rows; raises InputError, or ModelError where it dies."""
        if frames.row_count(frame) <= BATCH_ROWS:
            parts = [self._ask(frame)]
        else:
            parts = [self._ask(batch) for batch in frames.batches(frame, BATCH_ROWS)]
        return parts[0] if len(parts) == 1 else frames.concatenate(parts)

    def close(self) -> None:
        """End the process; a second close does nothing."""
        self._host.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _ask(self, frame: Frame) -> Predictions:
        answer: Predictions = self._host.ask({"op": "predict", "frame": dict(frame)})
        return answer
