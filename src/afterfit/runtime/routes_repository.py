"""The routes of Triton's extensions: configuration, statistics, and the model repository.

Sources: https://github.com/triton-inference-server/server, docs/protocol/extension_statistics.md,
extension_model_configuration.md and extension_model_repository.md
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from afterfit.errors import AfterfitError, NotFoundError, ResourceError, UnavailableError
from afterfit.runtime.app import READ, WRITE, App, Result, Route
from afterfit.runtime.live import LiveModel
from afterfit.runtime.messages import Request, Response, json_response
from afterfit.runtime.oip import input_tensors
from afterfit.runtime.oip_answer import output_tensors
from afterfit.runtime.problems import HttpError
from afterfit.runtime.repository import Desk, index
from afterfit.runtime.slots import SlotKey
from afterfit.runtime.tally import ModelTotals

__all__ = ["add_repository"]

TYPES = {"BYTES": "TYPE_STRING"}
STATUSES: dict[type[AfterfitError], int] = {
    NotFoundError: 404,
    ResourceError: 503,
    UnavailableError: 503,
}


class _Body(msgspec.Struct):
    """What a request about the repository may hold."""

    ready: bool = False
    parameters: dict[str, Any] = {}


def add_repository(app: App, desk: Desk | None) -> None:
    """Add the routes; without a ``desk`` no model is loaded or unloaded."""
    app.fixed["/v2/repository/index"] = Route(
        "metadata", WRITE, lambda request: _index(app, request), role="predict"
    )
    app.fixed["/v2/models/stats"] = Route(
        "metadata", READ, lambda _: _stats(app, None), role="predict"
    )
    app.finders.append(lambda parts: _find_model(app, parts))
    app.finders.append(lambda parts: _find_repository(parts, desk))


def _find_model(app: App, parts: list[str]) -> Route | None:
    if parts[:2] != ["v2", "models"] or len(parts) not in {4, 6}:
        return None
    name, version = parts[2], ""
    if len(parts) == 6:
        if parts[3] != "versions":
            return None
        version = parts[4]
    handlers: dict[str, Callable[[Request], Result]] = {
        "config": lambda _: json_response(200, _config(app.model(name, version))),
        "stats": lambda _: _stats(app, app.model(name, version), version),
    }
    handler = handlers.get(parts[-1])
    return handler and Route("metadata", READ, handler, role="predict", model=name)


def _find_repository(parts: list[str], desk: Desk | None) -> Route | None:
    if parts[:3] != ["v2", "repository", "models"] or len(parts) != 5:
        return None
    actions: dict[str, Literal["load", "unload"]] = {"load": "load", "unload": "unload"}
    action = actions.get(parts[4])
    if action is None:
        return None
    return Route("metadata", WRITE, lambda r: _change(desk, action, parts[3], r), role="admin")


def _index(app: App, request: Request) -> Response:
    return json_response(200, index(app.service.document, ready=_body(request).ready))


async def _change(
    desk: Desk | None, action: Literal["load", "unload"], name: str, request: Request
) -> Response:
    if desk is None:
        raise HttpError(
            400,
            f"explicit model {action} is not allowed: start the server with --repository-control",
        )
    parameters = _body(request).parameters
    if action == "load" and parameters:
        raise HttpError(400, f"load takes no parameters here, got {sorted(parameters)}"[:200])
    try:
        await desk.ask(action, name)
    except AfterfitError as error:
        text = f"{error.message} ({error.why})" if error.why else error.message
        raise HttpError(STATUSES.get(type(error), 400), text) from None
    return Response(200)


def _body(request: Request) -> _Body:
    if not request.body.strip():
        return _Body()
    try:
        return msgspec.json.decode(request.body, type=_Body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise HttpError(400, f"not a request to the repository: {error}") from None


def _config(model: LiveModel) -> dict[str, Any]:
    """Return the configuration; the sizes of batches are in the shapes, so ``max_batch_size`` is 0.

    It has the fields that clients read. Those that mean nothing here have Triton's defaults.
    """
    variant = model.predictor.variant
    inputs = [
        {
            **_tensor(tensor),
            "format": "FORMAT_NONE",
            "is_shape_tensor": False,
            "allow_ragged_batch": False,
            "optional": False,
        }
        for tensor in input_tensors(model.signature)
    ]
    outputs = [
        {**_tensor(tensor), "label_filename": "", "is_shape_tensor": False}
        for tensor in output_tensors(model.signature)
    ]
    return {
        "name": model.name,
        "platform": f"{variant.framework}_{variant.runtime}",
        "backend": "afterfit",
        "version_policy": {"specific": {"versions": [each.version for each in model.versions]}},
        "max_batch_size": 0,
        "input": inputs,
        "output": outputs,
        "batch_input": [],
        "batch_output": [],
        "instance_group": [{"name": model.name, "kind": "KIND_CPU", "count": 1, "gpus": []}],
        "default_model_filename": variant.file,
        "parameters": {},
    }


def _tensor(tensor: dict[str, Any]) -> dict[str, Any]:
    datatype = tensor["datatype"]
    data_type = TYPES.get(datatype, f"TYPE_{datatype}")
    return {"name": tensor["name"], "data_type": data_type, "dims": tensor["shape"]}


def _stats(app: App, model: LiveModel | None, version: str = "") -> Response:
    """Return what was counted of all models, or of one, or of one version of it."""
    if model is None:
        wanted = [m for each in app.service.models.values() for m in each.versions]
    else:
        wanted = [model] if version else model.versions
    return json_response(200, {"model_stats": [_statistics(app, each) for each in wanted]})


def _statistics(app: App, model: LiveModel) -> dict[str, Any]:
    key = SlotKey(model=model.name, role=model.role, digest=model.digest)
    slot = next((slot for slot in app.service.slots if slot.key == key), None)
    total = app.service.metrics.model_totals(None if slot is None else slot.index)
    return {
        "name": model.name,
        "version": str(model.version),
        "last_inference": round(1000 * total.last),
        "inference_count": round(total.rows),
        "execution_count": round(total.calls),
        "inference_stats": _durations(total),
        "batch_stats": [],
    }


def _durations(total: ModelTotals) -> dict[str, Any]:
    """Return requests and nanoseconds, each summed over the requests, as Triton counts them."""
    n = total.requests
    return {
        "success": _duration(n, total.seconds),
        "fail": _duration(total.failed, total.failed_seconds),
        "queue": _duration(n, total.queue_seconds),
        "compute_input": _duration(n, total.input_seconds),
        "compute_infer": _duration(n, total.infer_seconds),
        "compute_output": _duration(n, total.output_seconds),
        "cache_hit": _duration(0, 0),
        "cache_miss": _duration(0, 0),
    }


def _duration(count: float, seconds: float) -> dict[str, int]:
    return {"count": round(count), "ns": round(1e9 * seconds)}
