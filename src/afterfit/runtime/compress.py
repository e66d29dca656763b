"""Answers compressed for the clients that ask for it (RFC 9110, 12.5.3), and bodies inflated."""

from __future__ import annotations

import zlib
from functools import lru_cache

from afterfit.runtime.messages import Request, Response

__all__ = ["LEAST_BYTES", "compressed", "inflate"]

LEAST_BYTES = 1400
"""What fits into one packet gains nothing."""
MOST_BYTES = 2 << 20
"""About 30 ms of work, for which everybody else waits; it is what 10,000 rows come to."""
_LEVEL = 1
_LONGEST_HEADER = 256
_TEXT = ("application/json", "text/", "application/jsonlines", "application/x-ndjson")
"""Raw tensors and Arrow streams of floats shrink by 5 % and cost more than text: they stay."""
_WINDOW = {"gzip": 31, "deflate": 15}


def compressed(request: Request, response: Response) -> Response:
    """Return the answer compressed where it can be and the client takes that, else as it is.

    Of the Open Inference Protocol only ``infer`` is: aiohttp asks for gzip of its own accord, and
    ``tritonclient.http.aio`` then reads everything else as if it had not.
    """
    status, body, content_type, headers = response
    if not LEAST_BYTES <= len(body) <= MOST_BYTES or not content_type.startswith(_TEXT):
        return response
    if request.path.startswith("/v2") and (status != 200 or not request.path.endswith("/infer")):
        return response
    varies = (*headers, ("vary", "accept-encoding"))
    coding = _chosen(request.headers.get(b"accept-encoding", b"")[:_LONGEST_HEADER])
    if not coding:
        return Response(status, body, content_type, varies)
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW[coding])
    packed = packer.compress(body) + packer.flush()
    return Response(status, packed, content_type, (*varies, ("content-encoding", coding)))


def inflate(request: Request, limit: int) -> tuple[int, str] | None:
    """Decompress a body in bounded memory; return status and reason for one that cannot be."""
    coding = request.headers.get(b"content-encoding", b"identity").strip().lower()
    if coding == b"identity":
        return None
    if coding not in {b"gzip", b"deflate"}:
        return 415, "content-encoding: gzip, deflate or identity"
    inflater = zlib.decompressobj(wbits=47)
    try:
        request.body = inflater.decompress(request.body, limit + 1)
    except zlib.error:
        return 400, f"the body is not {coding.decode()}"
    if len(request.body) > limit:
        return 413, f"the body is larger than {limit} bytes"
    return None if inflater.eof else (400, "the compressed body ends too early")


@lru_cache(maxsize=64)
def _chosen(accept: bytes) -> str:
    """Return gzip or deflate, the one liked better, or an empty string for neither."""
    weights = {}
    for part in accept.decode("latin-1").lower().split(","):
        name, *parameters = (word.strip() for word in part.split(";"))
        weights[name] = _weight(parameters)
    found = {coding: weights.get(coding, weights.get("*", 0.0)) for coding in _WINDOW}
    best = max(found, key=found.__getitem__)
    return best if found[best] > 0 and found[best] >= weights.get("identity", 0.0) else ""


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0
