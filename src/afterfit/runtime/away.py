"""Requests that are turned away: under overload there are as many of them as answers.

What a refusal costs is lost to the requests that are answered, so those that came together are
refused together: looked at once, counted once, and written as one piece of bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from afterfit.runtime.heads import Head, HeadMemo
from afterfit.runtime.messages import Response, request_id

__all__ = ["Away", "Ready", "Written", "following", "written"]

REQUEST_ID = b"x-request-id"


class Away(NamedTuple):
    """Why requests are refused, and who takes note of them, by their ids."""

    response: Response
    note: Callable[[list[str]], None]


class Ready:
    """Answers whose bytes are made already; together they have one place in the order."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    def abandon(self) -> None:
        """Do nothing: nobody works for them any more."""


class Written(NamedTuple):
    """The bytes of refusals, and the ids that they carry."""

    data: bytes
    ids: list[str]


def following(heads: HeadMemo, head: Head, data: bytes, at: int) -> tuple[int, int]:
    """Return how many requests that are refused like this one follow at ``at``, and their end."""
    count = 0
    while at < len(data):
        known = heads.find(data, at)
        if known is None or not (known[0] is head or _alike(known[0], head)):
            break
        count, at = count + 1, known[2]
    return count, at


def _alike(one: Head, other: Head) -> bool:
    """Whether two heads differ in nothing that a refusal knows of, such as the body's length."""
    same = one.path == other.path and one.method == other.method
    return same and one.headers.get(REQUEST_ID) == other.headers.get(REQUEST_ID)


def written(away: Away, head: Head, count: int, reason: str, date: str) -> Written:
    """Return ``count`` refusals of requests with this head, for a connection that is kept."""
    status, body, content_type, headers = away.response
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
    before = f"HTTP/1.1 {status} {reason}\r\ncontent-type: {content_type}\r\n{lines}x-request-id: "
    after = f"\r\ncontent-length: {len(body)}\r\n{date}\r\n"
    given = head.headers.get(REQUEST_ID, b"")
    ids = [request_id(given) for _ in range(count)]
    between = after + body.decode("latin-1") + before
    data = before + between.join(ids) + after
    return Written(data.encode("latin-1") + body, ids)
