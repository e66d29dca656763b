"""The client: what an answer that is not 200 becomes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from afterfit.errors import InputError, NotFoundError
from afterfit.runtime.client import Client

if TYPE_CHECKING:
    from afterfit.serve.run import ServerHandle


def test_wrong_rows_are_the_callers_error(server: ServerHandle) -> None:
    """A 422 is an input error with the path of each wrong field, and no defect of Afterfit."""
    with Client(server.url) as client, pytest.raises(InputError) as caught:
        client.predict([{"age": "old"}], "/predict/churn")
    assert caught.value.kind == "input"
    assert "422" in caught.value.why
    assert "age" in caught.value.why
    assert caught.value.fix


def test_an_unknown_model_is_not_found(server: ServerHandle) -> None:
    """A 404 is told as such, and says how to see what is served."""
    with Client(server.url) as client:
        with pytest.raises(NotFoundError) as caught:
            client.predict([{"age": 1}], "/predict/nobody")
        assert {"churn", "numbers"} <= set(client.get("/version").json()["models"])
    assert "GET /version" in caught.value.fix
