"""What may be asked of ``loadtest``."""

from __future__ import annotations

import msgspec


class LoadtestConfig(msgspec.Struct, frozen=True, kw_only=True):
    """``users`` send one-row requests back to back for ``seconds``, after ``warmup`` requests.

    Rows are drawn from the data with ``seed``; at most ``requests`` are sent in all.
    """

    users: int = 2
    seconds: float = 5.0
    requests: int = 20_000
    warmup: int = 50
    seed: int = 0
    timeout_s: float = 10.0
