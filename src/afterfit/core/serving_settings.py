"""Serving settings: how a version is best served on one class of hardware."""

from __future__ import annotations

import msgspec

__all__ = ["ServingSettings"]


class ServingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a load test found for a digest on a class of hardware; 0 leaves it to the server.

    ``workers`` are processes, ``intra_op`` threads inside of one call of the model, ``batch_cap``
    the most rows in one call, ``queue_rows`` the most rows that wait in a worker. Beyond
    ``admission_rps`` requests/s of the whole endpoint the server turns away; ``deadline_ms`` is
    for requests that bring none. ``source`` is the digest of the record that found them.
    """

    workers: int = 0
    intra_op: int = 0
    batch_cap: int = 0
    queue_rows: int = 0
    admission_rps: float = 0.0
    deadline_ms: float = 0.0
    source: str = ""

    def __str__(self) -> str:
        """Return what is set, for a person: ``workers 2, threads 1, batch cap 64``."""
        words = {
            "workers": "workers",
            "intra_op": "threads",
            "batch_cap": "batch cap",
            "queue_rows": "queue rows",
            "admission_rps": "admission requests/s",
            "deadline_ms": "deadline ms",
        }
        told = {text: getattr(self, name) for name, text in words.items()}
        return ", ".join(f"{text} {value:g}" for text, value in told.items() if value)
