"""From an address to a target: which protocol it speaks, requests it takes, answers to expect."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from afterfit.core.dataset import Dataset
from afterfit.core.signature import Signature
from afterfit.core.wire.client import (
    Address,
    Client,
    Headers,
    NoAnswerError,
    OutOfBudgetError,
    Sent,
    address_of,
    message,
)
from afterfit.core.wire.model import (
    JSON_TYPE,
    described_model,
    permit,
    rows_taken,
    speaks_protocol,
)
from afterfit.errors import ResourceError, UnavailableError, UsageError
from afterfit.loadtest.aim import Target
from afterfit.loadtest.bodies import (
    drawn,
    json_bodies,
    material_request,
    request_bodies,
    tensor_request,
    tensors_of_rows,
)
from afterfit.loadtest.quiet import ask_quietly, must_agree

__all__ = ["Ask", "checked_address", "target_of", "target_of_bodies"]

AGENT = "afterfit-loadtest"
PREDICT = "/predict"
MOST_ROWS = 10_000


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """Which model or route is asked, and with what.

    ``route`` and ``example`` (the JSON of one right request) are of a plain JSON endpoint;
    ``model`` and ``version`` of one of the Open Inference Protocol, where ``binary`` sends raw
    tensors. Each request has ``rows`` rows; up to ``distinct`` different ones are drawn with
    ``seed`` and sent in turn. The quiet pass before the load ends within ``quiet_s``.
    """

    model: str = ""
    version: str = ""
    route: str = ""
    example: Any = None
    rows: int = 1
    binary: bool = False
    distinct: int = 200
    seed: int = 0
    timeout_s: float = 10.0
    quiet_s: float = 10.0


def checked_address(url: str, allow_remote: Iterable[str] = ()) -> Address:
    """Return the address in a URL; raises UsageError for a host that was not allowed."""
    address = address_of(url)
    permit(
        address,
        allow_remote,
        what="a load test goes",
        why="it could harm others",
        command=f"afterfit loadtest {url}",
    )
    return address


def target_of(
    url: str,
    ask: Ask | None = None,
    *,
    data: Dataset | None = None,
    signature: Signature | None = None,
    golden: Sequence[bytes] = (),
    headers: Iterable[tuple[str, str]] = (),
    allow_remote: Iterable[str] = (),
) -> Target:
    """Return a target whose requests the server takes, with its answers while it is quiet.

    With a ``signature`` it is our own ``/predict``; with a route, a JSON endpoint; otherwise a
    server of the Open Inference Protocol. ``golden`` has the bodies of the right answers to its
    distinct requests, where they are known. ``headers`` go with every request and are not kept.
    Raises UsageError for what cannot be asked or a host beyond this machine, UnavailableError
    where nothing answers, InputError for data without rows or a request that is refused,
    NotFoundError for a model that there is not.
    """
    ask = ask or Ask()
    address = checked_address(url, allow_remote)
    _check(ask)
    client = Client(
        address,
        headers=headers,
        timeout=ask.timeout_s,
        limit=ask.quiet_s,
        requests=2 * ask.distinct + 100,
        agent=AGENT,
    )
    try:
        protocol, sent = _requests(client, url, ask, data, signature)
    except NoAnswerError as error:
        raise UnavailableError(
            "the server does not answer", where=url, why=error.reason, fix=f"curl -i {url}"
        ) from None
    except OutOfBudgetError as error:
        raise ResourceError(str(error), where=url, fix="give the quiet pass more time") from None
    found = ask_quietly(client, sent, f"{url.rstrip('/')}{sent[0].path}")
    if golden:
        must_agree(found, sent, golden)
    return Target(
        address=address,
        route=sent[0].path,
        requests=tuple(message(client, each) for each in found.sent),
        protocol=protocol,
        rows=ask.rows,
        expected=found.expected,
        volatile=found.volatile,
        wrong=found.judge if found.expected else None,
        notes=found.notes,
    )


def target_of_bodies(
    url: str,
    route: str,
    bodies: Sequence[bytes],
    *,
    headers: Headers = (),
    allow_remote: Iterable[str] = (),
) -> Target:
    """Return a target of JSON bodies whose answers are not compared; nothing is sent."""
    client = Client(checked_address(url, allow_remote), headers=headers, agent=AGENT)
    sent = [Sent("POST", route, JSON_TYPE, body) for body in bodies]
    requests = tuple(message(client, each) for each in sent)
    return Target(address=client.address, route=route, requests=requests)


def _check(ask: Ask) -> None:
    if not 1 <= ask.rows <= MOST_ROWS or not 1 <= ask.distinct <= 100_000 or ask.seed < 0:
        raise UsageError(
            "no such requests",
            why=f"rows = {ask.rows}, distinct = {ask.distinct}, seed = {ask.seed}",
            fix=f"1 to {MOST_ROWS} rows in a request, 1 to 100000 requests, a seed of at least 0",
        )
    if ask.route and not ask.route.startswith("/"):
        raise UsageError(f"not a route: {ask.route!r}", fix=f"--route /{ask.route}")
    if not ask.timeout_s > 0 or not ask.quiet_s > 0:
        raise UsageError("a load test needs some time for an answer", fix="--timeout 10")


def _requests(
    client: Client, url: str, ask: Ask, data: Dataset | None, signature: Signature | None
) -> tuple[str, list[Sent]]:
    """Return the name of the protocol and the distinct requests."""
    if signature is not None and data is not None:
        bodies = request_bodies(data, signature, ask.seed, rows=ask.rows, most=ask.distinct)
        return "afterfit", _posts(ask.route or PREDICT, bodies)
    if ask.route:
        if ask.example is None:
            raise UsageError(
                "a route needs a request as an example",
                where=f"--route {ask.route}",
                fix=f"--route {ask.route} --example example.json   # the JSON of a right request",
            )
        made = json_bodies(ask.example, data, ask.seed, rows=ask.rows, most=ask.distinct)
        return "JSON", _posts(ask.route, list(made))
    if not speaks_protocol(client, ask.model):
        raise UsageError(
            "the server does not say what it takes",
            where=url,
            why="GET /v2 is not answered as the Open Inference Protocol says",
            fix=f"afterfit loadtest {url} --route /predict --example example.json",
        )
    return "Open Inference Protocol v2", _of_model(client, url, ask, data)


def _posts(route: str, bodies: Sequence[bytes]) -> list[Sent]:
    return [Sent("POST", route, JSON_TYPE, body) for body in bodies]


def _of_model(client: Client, url: str, ask: Ask, data: Dataset | None) -> list[Sent]:
    path, metadata = described_model(client, url, ask.model, ask.version)
    route = f"{path}/infer"
    if data is not None:
        return [
            tensor_request(route, tensors_of_rows(metadata, data, part), {}, binary=ask.binary)
            for part in drawn(data, ask.seed, ask.rows, ask.distinct)
        ]
    material = rows_taken(
        client,
        route,
        metadata,
        lambda made, rows: material_request(route, made, rows, 0, binary=ask.binary),
        example=ask.example,
        seed=ask.seed,
    )
    if ask.rows > 1 and not material.batched:
        raise UsageError("the model takes one row at a time", where=route, fix="ask for one row")
    starts = range(0, ask.distinct * ask.rows, ask.rows)
    return [material_request(route, material, ask.rows, s, binary=ask.binary) for s in starts]
