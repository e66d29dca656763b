"""``POST /labels``: what turned out to be true, for predictions or entities, written as events.

A label is answered for when the sink has taken it, so that a client may forget it. Sending the same
labels again is safe.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec

from afterfit.runtime.app import WRITE, App, Route
from afterfit.runtime.journal import Journal
from afterfit.runtime.labels import RecentLabels, check_labels, parse_labels, take
from afterfit.runtime.live import LiveModel
from afterfit.runtime.messages import Request, Response, json_response
from afterfit.runtime.problems import BusyError, HttpError

__all__ = ["add"]

KEPT_SECONDS = 10.0
LARGE_BODY = 32 << 10
"""Larger bodies are read in a thread, so that predictions go on meanwhile."""
_AGAIN = (("retry-after", "5"),)
_JSON = "application/json"
_TYPES = {
    **dict.fromkeys((_JSON, "text/json", ""), "json"),
    # What a client sends that says nothing about the body.
    **dict.fromkeys(("application/x-www-form-urlencoded", "application/octet-stream"), "json"),
    **dict.fromkeys(("text/csv", "application/csv"), "csv"),
    **dict.fromkeys(("application/jsonlines", "application/x-jsonlines"), "lines"),
    **dict.fromkeys(("application/jsonl", "application/x-ndjson", "application/ndjson"), "lines"),
}


def add(app: App) -> None:
    """Add ``/labels`` and ``/labels/NAME``."""
    recent = RecentLabels()
    app.fixed["/labels"] = _route(app, "", recent)
    app.finders.append(lambda parts: _find(app, parts, recent))


def _find(app: App, parts: list[str], recent: RecentLabels) -> Route | None:
    if len(parts) != 2 or parts[0] != "labels":
        return None
    return _route(app, parts[1], recent)


def _route(app: App, name: str, recent: RecentLabels) -> Route:
    async def handle(request: Request) -> Response:
        model = app.model(name) if name else _only(app)
        return await _labels(app.service.journal, request, model, recent)

    return Route("labels", WRITE, handle, role="label", model=name)


def _only(app: App) -> LiveModel:
    try:
        return app.only()
    except HttpError as error:
        if error.status != 404:
            raise
        names = ", ".join(f"/labels/{name}" for name in app.service.models)
        raise HttpError(404, f"there are several models; use one of: {names}") from None


async def _labels(
    journal: Journal | None, request: Request, model: LiveModel, recent: RecentLabels
) -> Response:
    if journal is None or journal.outlet is None:
        raise HttpError(501, "this server keeps no events, so labels have no place to go")
    read = partial(parse_labels, request.body, _content(request), model.decoder.limits)
    now_us = time.time_ns() // 1000
    loop = asyncio.get_running_loop()
    large = len(request.body) > LARGE_BODY
    given = await loop.run_in_executor(None, read) if large else read()
    check = partial(check_labels, given, model.signature, model.name, now_us=now_us)
    rows = await loop.run_in_executor(None, check) if large else check()
    fresh = take(rows, recent.new(rows))
    if len(fresh):
        await _keep(journal, fresh, loop)
        recent.add(fresh)
    answer = {"accepted": len(fresh), "duplicates": len(given.items) - len(fresh)}
    return json_response(200, answer)


async def _keep(journal: Journal, rows: Any, loop: asyncio.AbstractEventLoop) -> None:
    """Return when the sink has taken the labels; raises HttpError where it does not."""
    kept: asyncio.Future[bool] = loop.create_future()

    def tell(well: bool) -> None:  # noqa: FBT001 - what came of it is all there is to tell
        if not kept.done():
            kept.set_result(well)

    def done(well: bool) -> None:  # noqa: FBT001 - as above
        with suppress(RuntimeError):  # the loop has ended, and nobody waits any more
            loop.call_soon_threadsafe(tell, well)

    if not journal.put(msgspec.structs.replace(rows, done=done)):
        raise BusyError("more events wait than may; send the labels again", 1)
    try:
        well = await asyncio.wait_for(kept, KEPT_SECONDS)
    except TimeoutError:
        raise HttpError(
            503, "it takes long to keep the labels; sending them again is safe", _AGAIN
        ) from None
    if not well:
        raise HttpError(503, "the labels could not be kept; send them again", _AGAIN)


def _content(request: Request) -> str:
    kind = request.headers.get(b"content-type", b"").decode("latin-1")
    found = _TYPES.get(kind.partition(";")[0].strip().lower())
    if found is None:
        known = "application/json, text/csv, application/jsonlines"
        raise HttpError(415, f"bodies of {kind[:80]!r} are not read; there are {known}")
    return found
