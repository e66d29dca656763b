"""Which answers are compressed, for whom, and how."""

from __future__ import annotations

import gzip
import zlib

import pytest

from afterfit.runtime.compress import LEAST_BYTES, MOST_BYTES, compressed
from afterfit.runtime.messages import Request, Response

TEXT = b'{"text":"' + b"abc," * 1000 + b'"}'
INFER = "/v2/models/churn/infer"


def answered(accept: str, response: Response | None = None, path: str = INFER) -> Response:
    """The answer to a client that accepts those codings."""
    request = Request("POST", path, {b"accept-encoding": accept.encode()}, b"")
    return compressed(request, response or Response(200, TEXT))


def coding(response: Response) -> str:
    """The coding that an answer says it has, or an empty string."""
    return dict(response.headers).get("content-encoding", "")


def unpacked(response: Response) -> bytes:
    """The body as it was before."""
    if coding(response) == "gzip":
        return gzip.decompress(response.body)
    return zlib.decompress(response.body) if coding(response) else response.body


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("gzip, deflate, br", "gzip"),
        ("br;q=1.0, DEFLATE;q=0.8, gzip;q=0.2", "deflate"),
        ("*", "gzip"),
        ("*;q=0.5, gzip;q=0", "deflate"),
        ("gzip;q=0", ""),
        ("gzip;q=x", ""),
        ("gzip;q=0.4, identity;q=0.9", ""),
        ("identity", ""),
        ("br, zstd", ""),
        ("", ""),
    ],
)
def test_the_coding_that_the_client_likes_best_is_taken(accept: str, chosen: str) -> None:
    """What it does not take is not sent, and caches are told that the answer varies."""
    response = answered(accept)
    assert coding(response) == chosen
    assert ("vary", "accept-encoding") in response.headers
    assert unpacked(response) == TEXT
    assert (len(response.body) < len(TEXT) / 10) == bool(chosen)


@pytest.mark.parametrize(
    "response",
    [
        Response(200, b"x" * (LEAST_BYTES - 1)),
        Response(200, b"x" * (MOST_BYTES + 1)),
        Response(200, TEXT, "application/octet-stream"),
        Response(200, TEXT, "application/vnd.apache.arrow.stream"),
        Response(400, TEXT),
    ],
)
def test_what_gains_too_little_or_cannot_be_read_stays(response: Response) -> None:
    """Small and huge answers, raw tensors, and errors, which clients read as they come."""
    assert answered("gzip", response) == response


def test_of_the_protocol_only_infer_is_compressed() -> None:
    """The asyncio client of Triton asks for gzip of everything and unpacks only that."""
    assert coding(answered("gzip", path="/v2/models/churn")) == ""
    assert coding(answered("gzip", path="/v2/repository/index")) == ""
    assert coding(answered("gzip", path="/v2/models/churn/versions/3/infer")) == "gzip"
    assert coding(answered("gzip", path="/predict")) == "gzip"
    assert coding(answered("gzip", Response(404, TEXT), path="/predict")) == "gzip"
