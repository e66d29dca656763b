"""The access log: a JSON line on standard error for an answer, of all of them or of failures."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

from afterfit.runtime.log import log_line
from afterfit.runtime.messages import Request, Response

__all__ = ["observer"]

FAILURE = 500


def observer(
    which: Literal["none", "errors", "all"],
) -> Callable[[Request, Response], None] | None:
    """Return what logs an answer, or None where none is logged.

    A line has the request id, method, path (200 characters), status, bytes in and out,
    milliseconds from the last byte of the request, and the id and name of the key. It never has a
    query, a header, an input or a secret.
    """
    if which == "none":
        return None
    least = 0 if which == "all" else FAILURE

    def observe(request: Request, response: Response) -> None:
        if response.status < least:
            return
        spent = 1000 * (time.perf_counter() - request.received)
        line = {
            "event": "request",
            "ts": round(time.time(), 6),
            "request_id": request.id,
            "method": request.method,
            "path": request.path[:200],
            "status": response.status,
            "bytes_in": len(request.body),
            "bytes_out": len(response.body),
            "ms": round(spent, 3),
        }
        if request.grant is not None:
            line |= {"key": request.grant.id, "key_name": request.grant.name}
        log_line(line)

    return observe
