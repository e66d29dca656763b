"""Finding out what a running server answers to: its protocol, its models, rows that one takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

from afterfit.core.wire.client import Address, Client, Exchange, NoAnswerError, Sent
from afterfit.core.wire.documents import ModelMetadata, UnreadableError, json_of, typed
from afterfit.core.wire.material import Material, candidates, given
from afterfit.errors import InputError, NotFoundError, UsageError

__all__ = [
    "JSON_TYPE",
    "LOOPBACK",
    "described_model",
    "listed_model",
    "permit",
    "rows_taken",
    "speaks_protocol",
    "taken_apart",
]

JSON_TYPE = (("Content-Type", "application/json"),)
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def permit(address: Address, allowed: Iterable[str], *, what: str, why: str, command: str) -> None:
    """Do nothing for this machine and the hosts that are ``allowed``; raises UsageError."""
    if address.host not in LOOPBACK | frozenset(allowed):
        fix = f"{command} --allow-remote {address.host}   # if it is yours"
        raise UsageError(f"{what} to this machine only", where=address.authority, why=why, fix=fix)


def speaks_protocol(client: Client, model: str = "") -> bool:
    """Return whether the server speaks the Open Inference Protocol; raises NoAnswerError."""
    paths = ["/v2", *([f"/v2/models/{quote(model, safe='')}"] if model else [])]
    for path in paths:
        exchange = client.request(Sent("GET", path), api="server")
        try:
            document = json_of(exchange.body)
        except UnreadableError:
            continue
        if exchange.status == 200 and isinstance(document, dict) and "name" in document:
            return True
    return False


def listed_model(client: Client) -> str:
    """Return the first model of the repository index that is ready; raises UsageError."""
    sent = Sent("POST", "/v2/repository/index", JSON_TYPE, b"{}")
    try:
        listed = json_of(client.request(sent, api="extension").body)
    except (NoAnswerError, UnreadableError):
        listed = None
    for each in listed if isinstance(listed, list) else ():
        if isinstance(each, dict) and each.get("state", "READY") == "READY" and each.get("name"):
            return str(each["name"])
    raise UsageError(
        "no model is named, and the server lists none",
        why="POST /v2/repository/index gave no model that is ready",
        fix="name the model with --model NAME",
    )


def described_model(
    client: Client, url: str, model: str = "", version: str = ""
) -> tuple[str, ModelMetadata]:
    """Return the path of a model (the first that is listed, without a name) and its metadata.

    Raises UsageError, NotFoundError for a model that the server does not have, NoAnswerError.
    """
    middle = f"/versions/{quote(version, safe='')}" if version else ""
    model = model or listed_model(client)
    path = f"/v2/models/{quote(model, safe='')}{middle}"
    exchange = client.request(Sent("GET", path), api="model")
    try:
        return path, typed(json_of(exchange.body), ModelMetadata)
    except UnreadableError as error:
        raise NotFoundError(
            f"the server describes no model {model!r}",
            where=f"{url.rstrip('/')}{path}",
            why=f"{exchange.status}: {error}",
            fix="name another with --model",
        ) from None


def rows_taken(
    client: Client,
    route: str,
    metadata: ModelMetadata,
    written: Callable[[Material, int], Sent],
    *,
    example: Any = None,
    seed: int = 0,
) -> Material:
    """Return rows that the model takes: those of the example, or the first made-up ones that fit.

    ``written`` makes a request of some rows. Raises InputError where none is taken.
    """
    last: Exchange | None = None
    for material, rows in _materials(metadata, example, seed):
        last = client.request(written(material, rows), api="infer")
        if last.status == 200:
            return material
    raise InputError(
        "the server takes none of the rows that fit its metadata",
        where=route,
        why="they are too large" if last is None else f"{last.status}: {last.body[:200]!r}",
        fix="--example request.json   # a right request of the protocol, as JSON",
    )


def _materials(metadata: ModelMetadata, example: Any, seed: int) -> Iterable[tuple[Material, int]]:
    if example is None:
        return candidates(metadata.inputs, seed)
    try:
        material = given(example, metadata.inputs)
    except InputError as error:
        raise InputError(error.message, where="--example", why=error.why, fix=error.fix) from None
    return [(material, material.rows)]


def taken_apart(example: Any) -> tuple[str, list[Any], bool]:
    """Return the name of what holds the rows in an example, the rows, and whether many may come.

    The example is one row (an object of values), an array of rows, or an object with one array of
    rows in it. Raises InputError for one of another form.
    """
    if isinstance(example, list):
        return "", _rows(example), True
    if not isinstance(example, dict) or not example:
        raise unusable_example("it is neither an object nor an array")
    held = [
        name
        for name, value in example.items()
        if isinstance(value, list) and value and isinstance(value[0], list | dict)
    ]
    if len(held) == 1 and not any(isinstance(v, int | float | str) for v in example.values()):
        return held[0], _rows(example[held[0]]), True
    return "", [example], False


def _rows(rows: list[Any]) -> list[Any]:
    if not rows or not all(isinstance(row, dict | list) and row for row in rows):
        raise unusable_example("its rows are neither objects nor arrays")
    return rows


def unusable_example(why: str) -> InputError:
    """Return the error that an example of no use is."""
    return InputError(
        "the example cannot be used",
        where="--example",
        why=why,
        fix='give the JSON of one right request, such as {"age": 41} or {"rows": [{"age": 41}]}',
    )
