"""What clients may do to the models of a server, as Triton's repository extension has it.

A worker has no say over its fellows: it asks the supervisor, which changes the document for all.

Source: https://github.com/triton-inference-server/server,
docs/protocol/extension_model_repository.md
"""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any, Literal

import msgspec

from afterfit.errors import NotFoundError, UnavailableError, error_from
from afterfit.runtime.endpoint import MILLION, Endpoint, ModelRoute
from afterfit.runtime.settings import Answer, Ask

__all__ = ["Desk", "changed_document", "divided", "index"]

ASK_SECONDS = 150.0


class Desk:
    """Where a worker asks its supervisor; ``writer`` is the channel to it."""

    def __init__(self) -> None:
        self.writer: asyncio.StreamWriter | None = None
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[Answer]] = {}

    async def ask(self, action: Literal["load", "unload"], model: str) -> None:
        """Return when it is done in every worker; raises what kept it from being done."""
        if self.writer is None:
            raise UnavailableError("the server is starting", fix="ask again in a moment")
        number = next(self._numbers)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        message = Ask(request=number, action=action, model=model)
        self.writer.write(msgspec.json.encode(message) + b"\n")
        try:
            answer = await asyncio.wait_for(future, ASK_SECONDS)
        except TimeoutError:
            raise UnavailableError(
                f"the supervisor did not {action} the model in time",
                fix="look at the server's own log, and ask again",
            ) from None
        finally:
            self._waiting.pop(number, None)
        if answer.error:
            raise error_from(answer.error, UnavailableError)

    def answered(self, answer: Answer) -> None:
        """Take the supervisor's answer."""
        future = self._waiting.get(answer.request)
        if future is not None and not future.done():
            future.set_result(answer)


def changed_document(endpoint: Endpoint, action: str, model: str) -> Endpoint | None:
    """Return the document after a model was loaded or unloaded; None where it is so already.

    Raises NotFoundError for a model that is not in the document.
    """
    route = endpoint.models.get(model)
    if route is None:
        raise NotFoundError(
            f"failed to {action} {model!r}: no model of that name",
            fix="see what is served: GET /version",
        )
    loaded = action == "load"
    if route.loaded == loaded:
        return None
    models = {**endpoint.models, model: msgspec.structs.replace(route, loaded=loaded)}
    return msgspec.structs.replace(endpoint, models=models)


def index(endpoint: Endpoint, *, ready: bool = False) -> list[dict[str, Any]]:
    """Return name, version, state and reason of each version; ``ready`` leaves out the others."""
    rows = []
    for name, route in endpoint.models.items():
        for digest in route.answering or (route.primary,):
            row = {"name": name, "version": str(route.number(digest))}
            if route.loaded:
                rows.append({**row, "state": "READY", "reason": ""})
            elif not ready:
                rows.append({**row, "state": "UNAVAILABLE", "reason": "unloaded"})
    return rows


def divided(route: ModelRoute) -> dict[str, Any]:
    """Return who else answers or sees the requests of a route, for people to read."""

    def version(digest: str) -> dict[str, Any]:
        return {"version": route.number(digest), "digest": digest}

    found: dict[str, Any] = {}
    if route.canary is not None:
        share = route.canary.share_ppm / MILLION
        found["canary"] = {
            **version(route.canary.digest),
            "share": share,
            "key": route.canary.key,
        }
    if route.shadow:
        found["shadow"] = [version(digest) for digest in route.shadow]
    if route.stand_in is not None:
        constant = {"constant": route.stand_in.constant}
        found["stand_in"] = version(route.stand_in.digest) if route.stand_in.digest else constant
    return found
