"""Ten thousand hostile bodies, each followed by a good request that is answered as before."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from tests.runtime.bundles import numbers_bundle, people_bundle
from tests.runtime.hostile.attacks import Attack, Attacker, Model
from tests.runtime.hostile.hosting import ROUTES, Hosted, hosted
from tests.runtime.hostile.odd import ODD_NAME, odd_bundle, odd_frame
from tests.runtime.hostile.pipes import Answer, Pipe

from afterfit.cli.app import run
from afterfit.runtime.decode import Limits
from afterfit.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

ATTACKS = 10_000
WARM_UP = 500
CONNECTIONS, TOGETHER = 4, 8
ROW = {"age": 41.5, "hours": 38, "job": "nurse"}
GOOD = json.dumps({"rows": [ROW]}).encode()
LEAKS = re.compile(rb"Traceback|site-packages|\.py\b|/home/|afterfit\.runtime|pytest-of")
NO_JSON = re.compile(rb"\b(NaN|Infinity)\b(?=\s*[,\]}])")
NO_NUMBER = re.compile(rb"(?i)(^|,)-?(nan|inf|infinity)(,|$)", re.MULTILINE)


def scalar(name: str, datatype: str, value: Any) -> dict[str, Any]:
    """A tensor of one row."""
    return {"name": name, "datatype": datatype, "shape": [1], "data": [value]}


def odd_model(version: int) -> Model:
    """What is known of the odd model."""
    row = {name: values.tolist()[0] for name, values in odd_frame(1).items()}
    kinds = ("BYTES", "BYTES", "BYTES", "BOOL", "INT64")
    tensors = [scalar(n, k, v) for (n, v), k in zip(row.items(), kinds, strict=True)]
    return Model(ODD_NAME, version, row, tensors)


CHURN = Model(
    "churn",
    1,
    ROW,
    [scalar("age", "FP64", 41.5), scalar("hours", "INT64", 38), scalar("job", "BYTES", "nurse")],
)
NUMBERS = Model(
    "numbers",
    2,
    {"a": 0.5, "b": -1.25},
    [{"name": "input", "datatype": "FP64", "shape": [1, 2], "data": [0.5, -1.25]}],
)
PRICE = Model("price", 3, ROW, CHURN.tensors)


def price_bundle(folder: Path) -> str:
    """A regression over people."""
    return people_bundle(folder, regression=True)


SERVERS: dict[str, tuple[dict[str, Callable[[Path], str]], list[Model], dict[str, str]]] = {
    "every format": ({"churn": people_bundle}, [CHURN], ROUTES),
    "several models": (
        {
            "churn": people_bundle,
            "numbers": numbers_bundle,
            "price": price_bundle,
            ODD_NAME: odd_bundle,
        },
        [CHURN, NUMBERS, PRICE, odd_model(4)],
        {},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("which", SERVERS)
def test_hostile_bodies_are_refused_or_answered_and_harm_nobody(
    which: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No 5xx, no NaN, no trace; the next request is answered as before; memory stays flat."""
    makers, models, routes = SERVERS[which]
    limits = Limits(rows=50, string_characters=10_000, body_bytes=100_000)
    space = Workspace(tmp_path / "workspace")
    with hosted(tmp_path, makers, limits=limits, events=str(space.events)) as server:
        attacks = list(Attacker(models, routes, seed=20261123).attacks(ATTACKS))
        asyncio.run(storm(server.port, attacks[:WARM_UP]))
        before = server.memory_mb()
        statuses = asyncio.run(storm(server.port, attacks[WARM_UP:]))
        grown = server.memory_mb() - before
        assert grown < 50, f"{grown:.1f} MB more after {ATTACKS} attacks"
        assert server.handle.admin.workers()["restarts"] == 0
        dropped = server.gauge("afterfit_events_dropped_total")
    assert {200, 400, 413, 415, 422} <= statuses
    assert dropped == 0
    _check_log(server)
    space.registry.register("churn", tmp_path / "m1", who="ana")
    _check_report(space, capsys)


def _check_report(space: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """What the monitor reads: every good request was served, and the greatest number is there."""
    arguments = ["monitor", "report", "churn@1", "--workspace", str(space.folder), "--json"]
    assert run(arguments) == 0
    answer = json.loads(capsys.readouterr().out)
    record = answer["result"]["body"]
    assert record["counts"]["served"] >= ATTACKS
    assert record["counts"]["refused"] > ATTACKS / 10
    age = next(column for column in record["live"]["columns"] if column["name"] == "age")
    assert age["max"] > 1e308
    assert sum(age["counts"]) + age["missing"] + age["nan"] == record["counts"]["served"]


def _check_log(server: Hosted) -> None:
    """Every line is JSON, none tells of a defect, and nothing was warned about beside."""
    told = {line.get("event") for line in server.lines()}
    assert told <= {"ready", "request"}, server.lines()[-3:]


async def storm(port: int, attacks: Sequence[Attack]) -> set[int]:
    """Send attacks over some connections at once; the statuses that came back."""
    good = request("/predict/churn", GOOD)
    async with Pipe(port) as pipe:
        (first,) = await pipe.ask([good])
    expected = chances(first)
    parts = [attacks[start::CONNECTIONS] for start in range(CONNECTIONS)]
    found = await asyncio.gather(*(_attack(port, part, good, expected) for part in parts))
    return set().union(*found)


async def _attack(port: int, attacks: Sequence[Attack], good: bytes, expected: Any) -> set[int]:
    statuses = set()
    async with Pipe(port) as pipe:
        for start in range(0, len(attacks), TOGETHER):
            group = attacks[start : start + TOGETHER]
            requests = [each for attack in group for each in (attack.request, good)]
            heads = {2 * place for place, attack in enumerate(group) if attack.head}
            answers = await pipe.ask(requests, heads)
            for attack, answer, after in zip(group, answers[::2], answers[1::2], strict=True):
                complaint = wrong(attack, answer)
                assert not complaint, f"{complaint}: {answer} to {attack.request[:2000]!r}"
                assert chances(after) == expected, f"{after} after {attack.request[:2000]!r}"
                statuses.add(answer.status)
    return statuses


def wrong(attack: Attack, answer: Answer) -> str:
    """What is wrong with an answer, or an empty string."""
    if answer.status >= 500 and not (attack.late and answer.status == 504):
        return "5xx"
    if LEAKS.search(answer.body):
        return "a path or a trace"
    if attack.head:
        return "" if not answer.body else "a body after HEAD"
    if b"content-encoding" in answer.headers:
        return ""  # the same bytes as without
    kind = answer.headers[b"content-type"].split(b";")[0]
    check = _KINDS.get(kind)
    return f"the type {kind!r}" if check is None else check(answer) or _shape(answer)


def _shape(answer: Answer) -> str:
    if answer.status == 200:
        return ""
    error = msgspec.json.decode(answer.body)
    return "" if isinstance(error["error"], str) and error["error"] else "no error text"


def _json(answer: Answer) -> str:
    try:
        msgspec.json.decode(answer.body)
    except msgspec.DecodeError as error:
        return f"no JSON ({error})"
    return ""


def _lines(answer: Answer) -> str:
    for line in answer.body.splitlines():
        msgspec.json.decode(line)
    return "NaN" if NO_JSON.search(answer.body) else ""


def _csv(answer: Answer) -> str:
    return "NaN" if NO_NUMBER.search(answer.body) else ""


def _arrow(answer: Answer) -> str:
    table = pa.ipc.open_stream(answer.body).read_all()
    numbers = [c for c in table.itercolumns() if pa.types.is_floating(c.type)]
    finite = all(np.isfinite(column.to_numpy()).all() for column in numbers)
    return "" if finite and not any(column.null_count for column in table.itercolumns()) else "NaN"


def _octets(answer: Answer) -> str:
    length = int(answer.headers[b"inference-header-content-length"])
    document, place = msgspec.json.decode(answer.body[:length]), length
    for output in document["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size", 0)
        raw, place = answer.body[place : place + size], place + size
        if output["datatype"] == "FP64" and not np.isfinite(np.frombuffer(raw)).all():
            return "NaN"
    return "" if place == len(answer.body) else "bytes that belong to no tensor"


_KINDS: dict[bytes, Callable[[Answer], str]] = {
    b"application/json": _json,
    b"application/jsonlines": _lines,
    b"application/x-ndjson": _lines,
    b"text/csv": _csv,
    b"application/csv": _csv,
    b"text/html": lambda _: "",
    b"text/plain": lambda _: "",
    b"application/vnd.apache.arrow.stream": _arrow,
    b"application/octet-stream": _octets,
}


def request(path: str, body: bytes) -> bytes:
    """A plain POST of JSON."""
    head = f"POST {path} HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def chances(answer: Answer) -> Any:
    """The label and probabilities of a good answer."""
    assert answer.status == 200, answer
    (row,) = msgspec.json.decode(answer.body)["predictions"]
    return row["label"], row["probabilities"]
