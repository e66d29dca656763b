"""Single requests that once broke something, and numbers at the ends of what a float holds."""

from __future__ import annotations

import asyncio
import gc
import json
import math
import warnings
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.runtime.bundles import people_bundle
from tests.runtime.hostile.test_bodies import GOOD, request
from tests.runtime.test_heads import Wire

from afterfit.runtime.app import App
from afterfit.runtime.columns import FieldError
from afterfit.runtime.connection import Connection
from afterfit.runtime.decode import parse_json
from afterfit.runtime.http import Request, Response, Server
from afterfit.runtime.live import LiveModel, Service
from afterfit.runtime.metrics import Metrics
from afterfit.runtime.predict import load_bundle
from afterfit.runtime.tally import ModelTally, PairTally

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("body", [b'{"\\ud800": NaN}', b'{"a\xed\xa0\x80b": NaN}'])
def test_half_of_a_surrogate_pair_in_a_name_is_told_as_text(body: bytes) -> None:
    """The lenient parser takes it, and the path of the error can be written all the same."""
    with pytest.raises(FieldError) as caught:
        parse_json(body)
    assert "?" in caught.value.problems[0].path
    assert json.dumps(caught.value.message, ensure_ascii=False).encode()


def test_sums_over_answers_stay_finite() -> None:
    """A regression may answer 1.7e308; its square has no float64, and no warning is needed."""
    room = memoryview(bytearray(8 * 1000)).cast("d")
    tally, pair = ModelTally(room, 0), PairTally(room, 200)
    extremes = np.array([1.7e308, -1.7e308, 1.7e308, 5e-324])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tally.called(4, [], extremes)
        pair.compared(0, extremes, 4)
    assert all(math.isfinite(value) for value in room)
    assert max(room) == pytest.approx(3e300)


def test_requests_that_are_put_off_are_not_mixed_up_with_later_ones() -> None:
    """What is remembered of a head is what that head said."""
    paths: list[str] = []

    def handler(request: Request) -> Response:
        paths.append(request.path)
        return Response(200, b"ok")

    async def scenario() -> None:
        server = Server(handler)
        connection = server.connection()
        connection.connection_made(Wire())
        first, second = (b"GET /%b HTTP/1.1\r\nhost: h\r\n\r\n" % name for name in (b"a", b"b"))
        connection.pause_writing()
        connection.data_received(first)
        connection.data_received(second)
        connection.resume_writing()
        for data in (first, second, second + first + second, first):
            connection.data_received(data)
        server._sweeper.cancel()

    asyncio.run(scenario())
    assert paths == ["/a", "/b", "/a", "/b", "/b", "/a", "/b", "/a"]


@pytest.mark.parametrize(
    "body", [GOOD, b"{", GOOD.replace(b"38", b"9223372036854775808"), GOOD.replace(b"41.5", b"NaN")]
)
def test_nothing_of_a_request_waits_for_the_collector(body: bytes, tmp_path: Path) -> None:
    """Not its body, not its error, not its connection: bodies are large, and collections rare."""
    predictor = load_bundle(tmp_path / "m", expected=people_bundle(tmp_path / "m"))
    service = Service(Metrics(), None)
    service.models = {"churn": LiveModel("churn", 1, predictor)}
    app = App(service)
    app.ready = True

    async def scenario() -> list[object]:
        server = Server(app)
        for turn in range(6):
            if turn == 1:  # what is made once, for the first one, does not count
                gc.collect()
                gc.disable()
            connection, wire = server.connection(), Wire()
            connection.connection_made(wire)
            connection.data_received(request("/predict", body))
            while not wire.written:  # noqa: ASYNC110 - the answer comes in a turn of the loop
                await asyncio.sleep(0)
            await asyncio.sleep(0.01)
            connection.connection_lost(None)
        server._sweeper.cancel()
        del connection
        return left_over()

    try:
        kinds = {type(each) for each in asyncio.run(scenario())}
    finally:
        gc.enable()
    assert not kinds & {Request, Connection, FieldError}


def left_over() -> list[object]:
    """What only the collector would free."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        return list(gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
