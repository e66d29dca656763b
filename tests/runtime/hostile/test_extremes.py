"""Single requests that once broke something, and numbers at the ends of what a float holds."""

from __future__ import annotations

import asyncio
import json
import math
import warnings

import numpy as np
import pytest
from tests.runtime.test_heads import Wire

from afterfit.runtime.columns import FieldError
from afterfit.runtime.decode import parse_json
from afterfit.runtime.http import Request, Response, Server
from afterfit.runtime.tally import ModelTally, PairTally


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
