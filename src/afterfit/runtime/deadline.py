"""Until when an answer is of use to the client."""

from __future__ import annotations

import math

from afterfit.runtime.batch import NEVER, BatchSettings
from afterfit.runtime.messages import Request
from afterfit.runtime.problems import HttpError

__all__ = ["deadline_of"]

HEADERS = (b"x-request-timeout-ms", b"x-envoy-expected-rq-timeout-ms")


def deadline_of(request: Request, timeout: float, settings: BatchSettings) -> float:
    """Return the deadline in perf_counter seconds: from a header, ``timeout`` (s) or the settings.

    Raises HttpError 400 for a header that is no positive number of milliseconds.
    """
    for name in HEADERS:
        text = request.headers.get(name)
        if text is not None:
            try:
                milliseconds = float(text)
            except ValueError:
                milliseconds = -1.0
            if not 0 < milliseconds < math.inf:
                raise HttpError(400, f"{name.decode()}: expected milliseconds, a positive number")
            return request.received + milliseconds / 1000
    if timeout:
        return request.received + timeout
    if settings.deadline_ms:
        return request.received + settings.deadline_ms / 1000
    return NEVER
