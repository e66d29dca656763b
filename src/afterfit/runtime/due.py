"""What a connection keeps of a request that it has taken, and what it makes of its target."""

from __future__ import annotations

import asyncio
import traceback

from afterfit.runtime.log import log_line
from afterfit.runtime.messages import Reply, Request, Response, json_response

__all__ = ["Due", "Promise", "failed", "target_of"]

Promise = Response | Reply | asyncio.Future[Response]


class Due:
    """A request and its response, which may still be on its way."""

    __slots__ = ("keep_alive", "request", "response")

    def __init__(self, request: Request, response: Promise, *, keep_alive: bool) -> None:
        self.request = request
        self.response = response
        self.keep_alive = keep_alive

    def ready(self) -> Response | None:
        """Return the response, or None while it is being made."""
        response = self.response
        if isinstance(response, Response):
            return response
        if isinstance(response, Reply):
            return response.response
        if not response.done():
            return None
        if response.cancelled():
            return json_response(503, {"error": "the request was cancelled"})
        if (error := response.exception()) is not None:
            return failed(self.request, error)
        return response.result()

    def abandon(self) -> None:
        """Tell whoever makes the response that nobody waits for it."""
        if isinstance(self.response, Reply):
            self.response.abandon()
        elif isinstance(self.response, asyncio.Future):
            self.response.cancel()


def failed(request: Request, error: BaseException | None = None) -> Response:
    """Return a 500 that tells nothing; the log has the trace under the same request id."""
    trace = traceback.format_exception(error) if error else [traceback.format_exc()]
    log_line({"event": "error", "request_id": request.id, "trace": "".join(trace)})
    return json_response(500, {"error": "internal error", "request_id": request.id})


def target_of(url: bytes) -> tuple[str, str]:
    """Return the path and the query of a request target, without scheme and host."""
    target, _, query = url.split(b"#", 1)[0].partition(b"?")
    if not target.startswith(b"/") and b"://" in target:
        target = b"/" + target.split(b"://", 1)[1].partition(b"/")[2]
    return target.decode("ascii", "replace"), query.decode("ascii", "replace")
