"""Errors as answers: the status and the body that a client may see."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from afterfit.errors import AfterfitError, InputError
from afterfit.runtime.columns import FieldError
from afterfit.runtime.decode import MalformedError, TooLargeError
from afterfit.runtime.messages import Response, json_response

__all__ = [
    "BUSY",
    "BusyError",
    "HttpError",
    "LateError",
    "ProtocolError",
    "busy_response",
    "error_response",
]


BUSY = "the model has more work than it gets through"


class HttpError(Exception):
    """An answer that is not 200; ``headers`` are beside the usual ones."""

    def __init__(
        self, status: int, message: str, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers


class BusyError(HttpError):
    """More work than the model gets through: 429, and when to try again (whole seconds)."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(429, message, (("retry-after", str(retry_after)),))


class LateError(HttpError):
    """A request whose deadline passed before it ran: 504."""

    def __init__(self) -> None:
        super().__init__(504, "the deadline passed before the model could run")


class ProtocolError(InputError):
    """A request that is not of the protocol: 400."""


def error_response(error: Exception, request_id: str) -> Response | None:
    """Return what the client may know of an error; None for a defect, of which nothing is told."""
    if isinstance(error, HttpError):
        return json_response(error.status, {"error": error.message}, error.headers)
    if isinstance(error, MalformedError | ProtocolError):
        return json_response(400, _body(error))
    if isinstance(error, TooLargeError):
        return json_response(413, {"error": error.message})
    if isinstance(error, InputError):
        return json_response(422, _body(error))
    if isinstance(error, AfterfitError):
        return json_response(500, {"error": error.message, "request_id": request_id})
    return None


@lru_cache(maxsize=64)
def busy_response(retry_after: int) -> Response:
    """Return the 429 of a model; under overload there are as many as answers, so it is kept."""
    return json_response(429, {"error": BUSY}, (("retry-after", str(retry_after)),))


def defect_response(request_id: str) -> Response:
    """Return the 500 of a defect: the log has the trace under the same request id."""
    return json_response(500, {"error": "internal error", "request_id": request_id})


def _body(error: InputError) -> dict[str, Any]:
    """Return ``error`` and, where known, the path and message of each field."""
    text = f"{error.message} ({error.why})" if error.why else error.message
    body: dict[str, Any] = {"error": text}
    if isinstance(error, FieldError):
        body["fields"] = [{"path": p.path, "message": p.message} for p in error.problems]
    return body
