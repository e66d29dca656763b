"""What may be asked of an examination of an endpoint."""

from __future__ import annotations

from typing import Any

import msgspec


class EndpointConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Which model or route, with which rows, and the bounds of the run.

    ``route`` and ``example`` are of a plain JSON endpoint (``example`` is the JSON of one right
    request), ``model`` and ``version`` of one of the Open Inference Protocol, where ``example`` is
    a request of that protocol. ``seconds`` bounds the run, ``timeout`` one answer; ``clients``
    send at once; ``growth_mb`` is what the server's memory may grow by during one check.
    ``only`` names the checks to make, such as ``payload`` or ``rows.order``; empty for all.
    """

    model: str = ""
    version: str = ""
    route: str = ""
    example: Any = None
    seed: int = 0
    seconds: float = 60.0
    timeout: float = 5.0
    clients: int = 8
    growth_mb: int = 384
    only: tuple[str, ...] = ()
