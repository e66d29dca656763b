"""The server as ``tritonclient`` sees it, by its blocking client and by its asyncio one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pytest
import tritonclient.http
import tritonclient.http.aio
from tests.runtime.bundles import (
    numbers_bundle,
    numbers_graph,
    people,
    people_bundle,
    write_bundle,
)
from tests.runtime.waiting import until
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from afterfit.core.bundle import GraphOutput, TensorInput, Variant
from afterfit.core.signature import Column, Signature
from afterfit.runtime.decode import Limits
from afterfit.serve.config import ServeConfig
from afterfit.serve.run import ServedBundle, start_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NAMES = {"churn": 3, "numbers": 1, "price": 12, "member": 2, "wide": 1}
WIDE = tuple(f"column_{number}" for number in range(39))


class Call(Protocol):
    """Calls a method of a client by name."""

    def __call__(self, method: str, *args: Any, **options: Any) -> Any:
        """What the method returns."""
        ...


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Host and port of a server of five models: one for each kind of output, and a wide one."""
    folder = tmp_path_factory.mktemp("triton")
    made: dict[str, Callable[[Path], str]] = {
        "churn": people_bundle,
        "numbers": numbers_bundle,
        "price": lambda path: people_bundle(path, regression=True),
        "member": _member_bundle,
        "wide": _wide_bundle,
    }
    bundles = {
        name: ServedBundle(NAMES[name], make(folder / name), folder / name)
        for name, make in made.items()
    }
    config = ServeConfig(port=0, limits=Limits(rows=500))
    with start_server(bundles, config, folder / "state") as handle:
        yield handle.url.removeprefix("http://")


def _member_bundle(folder: Path) -> str:
    """A model of a number and a boolean whose classes are False and True."""
    rng = np.random.default_rng(2)
    frame = {"a": rng.normal(size=200), "flag": rng.random(200) < 0.5}
    columns = (Column(name="a", kind="number"), Column(name="flag", kind="boolean"))
    return _sum_bundle(folder, columns, ("a", "flag"), frame)


def _wide_bundle(folder: Path) -> str:
    """A model of 39 numbers, and of a category that it does not look at."""
    rng = np.random.default_rng(3)
    frame: dict[str, Any] = {name: rng.normal(size=200) for name in WIDE}
    frame["job"] = people(200)["job"]
    columns = tuple(Column(name=name, kind="number") for name in WIDE)
    return _sum_bundle(folder, (*columns, Column(name="job", kind="category")), WIDE, frame)


def _sum_bundle(
    folder: Path, columns: tuple[Column, ...], summed: tuple[str, ...], frame: dict[str, Any]
) -> str:
    signature = Signature(task="binary", columns=columns, classes=(False, True), positive=True)
    variant = Variant(
        name="onnx",
        runtime="onnx",
        framework="onnx",
        file="model/model.onnx",
        inputs=(TensorInput(name="input", columns=summed, dtype="float32"),),
        output=GraphOutput(name="answer", form="positive"),
    )
    return write_bundle(folder, signature, variant, numbers_graph(len(summed)), frame)


@pytest.fixture(params=["sync", "aio"])
def call(request: pytest.FixtureRequest, address: str) -> Iterator[Call]:
    """What calls a method of a client, of the blocking one or of the asyncio one."""
    if request.param == "sync":
        with tritonclient.http.InferenceServerClient(address) as client:
            yield lambda method, *args, **options: getattr(client, method)(*args, **options)
        return
    with asyncio.Runner() as runner:
        made = runner.run(_aio(address))
        yield lambda method, *args, **options: runner.run(getattr(made, method)(*args, **options))
        runner.run(made.close())


async def _aio(address: str) -> Any:
    return tritonclient.http.aio.InferenceServerClient(address)


def tensor(name: str, values: np.ndarray, *, binary: bool = True) -> Any:
    """An input with its data."""
    made = tritonclient.http.InferInput(name, list(values.shape), np_to_triton_dtype(values.dtype))
    return made.set_data_from_numpy(values, binary_data=binary)


def wanted(*names: str, binary: bool = True) -> list[Any]:
    """Requested outputs."""
    return [tritonclient.http.InferRequestedOutput(name, binary_data=binary) for name in names]


def rows(count: int, *, binary: bool = True) -> list[Any]:
    """Inputs of the model ``churn``: FP64, INT64 and BYTES."""
    frame = people(count, seed=9)
    return [tensor(name, values, binary=binary) for name, values in _plain(frame).items()]


def _plain(frame: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {**frame, "age": np.nan_to_num(frame["age"], nan=33.5)}


def expected(count: int) -> np.ndarray:
    """The probability of yes of those rows, computed by hand."""
    frame = _plain(people(count, seed=9))
    job = np.array([{"clerk": 0.0, "nurse": 0.5, "smith": 1.0}[each] for each in frame["job"]])
    logit = 0.05 * frame["age"] + 0.01 * frame["hours"] + job - 3.0
    answer: np.ndarray = 1 / (1 + np.exp(-logit))
    return answer


def test_live_ready_and_the_readiness_of_each_model(call: Call) -> None:
    """With and without the version; a model or version that there is not is not ready."""
    assert call("is_server_live")
    assert call("is_server_ready")
    for name, version in NAMES.items():
        assert call("is_model_ready", name)
        assert call("is_model_ready", name, str(version))
        assert not call("is_model_ready", name, str(version + 1))
    assert not call("is_model_ready", "nobody")


def test_metadata_of_server_and_models(call: Call) -> None:
    """The binary extension is announced; tensors have name, datatype and shape."""
    server = call("get_server_metadata")
    assert server["name"] == "afterfit"
    assert "binary_tensor_data" in server["extensions"]
    churn = call("get_model_metadata", "churn")
    assert churn == call("get_model_metadata", "churn", "3")
    assert churn["versions"] == ["3"]
    assert [(t["name"], t["datatype"], t["shape"]) for t in churn["inputs"]] == [
        ("age", "FP64", [-1]),
        ("hours", "INT64", [-1]),
        ("job", "BYTES", [-1]),
    ]
    outputs = {
        name: [(t["name"], t["datatype"]) for t in call("get_model_metadata", name)["outputs"]]
        for name in NAMES
    }
    assert outputs == {
        "churn": [("label", "BYTES"), ("probabilities", "FP64")],
        "numbers": [("label", "INT64"), ("probabilities", "FP64")],
        "price": [("value", "FP64")],
        "member": [("label", "BOOL"), ("probabilities", "FP64")],
        "wide": [("label", "BOOL"), ("probabilities", "FP64")],
    }


@pytest.mark.parametrize("inputs", ["binary", "json"])
@pytest.mark.parametrize("outputs", ["binary", "json", "all"])
@pytest.mark.parametrize("count", [1, 7])
def test_tensors_go_in_and_out_raw_and_as_json(
    call: Call, inputs: str, outputs: str, count: int
) -> None:
    """FP64, INT64 and BYTES in; BYTES and FP64 out; all four ways say the same."""
    asked = None if outputs == "all" else wanted("probabilities", "label", binary=outputs != "json")
    answer = call("infer", "churn", rows(count, binary=inputs == "binary"), outputs=asked)
    chances = answer.as_numpy("probabilities")
    assert chances.shape == (count, 2)
    assert chances.dtype == np.float64
    np.testing.assert_allclose(chances[:, 1], expected(count), atol=1e-9)
    labels = [_text(each) for each in answer.as_numpy("label")]
    assert labels == ["yes" if chance >= 0.5 else "no" for chance in expected(count)]
    raw = answer.get_output("label").get("parameters", {}).get("binary_data_size")
    assert (raw is None) == (outputs == "json")


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i8", "i1", "u2"])
@pytest.mark.parametrize("binary", [True, False])
def test_numbers_of_every_width_are_one_tensor(call: Call, dtype: str, *, binary: bool) -> None:
    """The same whole numbers in any datatype give the same answers."""
    values: np.ndarray = np.array([[1, 2], [0, 3], [2, 0]], dtype=dtype)
    answer = call("infer", "numbers", [tensor("input", values, binary=binary)])
    chances = 1 / (1 + np.exp(-values.astype(float).sum(axis=1)))
    np.testing.assert_allclose(answer.as_numpy("probabilities")[:, 1], chances, atol=1e-6)
    labels = answer.as_numpy("label")
    assert labels.dtype == np.int64
    assert labels.tolist() == [1, 1, 1]


@pytest.mark.parametrize("binary", [True, False])
def test_booleans_go_in_and_out(call: Call, *, binary: bool) -> None:
    """BOOL is one byte where it is raw, and true or false in JSON."""
    inputs = [
        tensor("a", np.array([-0.5, -0.5, 2.0]), binary=binary),
        tensor("flag", np.array([True, False, False]), binary=binary),
    ]
    answer = call("infer", "member", inputs, outputs=wanted("label", binary=binary))
    labels = answer.as_numpy("label")
    assert labels.dtype == bool
    assert labels.tolist() == [True, False, True]
    assert answer.as_numpy("probabilities") is None


@pytest.mark.parametrize("binary", [True, False])
def test_a_regression_answers_one_value_a_row(call: Call, *, binary: bool) -> None:
    """FP64 of [rows]."""
    answer = call("infer", "price", rows(4), outputs=wanted("value", binary=binary))
    values = answer.as_numpy("value")
    assert values.shape == (4,)
    np.testing.assert_allclose(values, np.log(1 / (1 / expected(4) - 1)), atol=1e-9)


def test_a_missing_value_is_a_nan_where_the_data_are_raw(call: Call) -> None:
    """The model takes it as missing; a column that is never missing refuses it by name."""
    age, hours, job = np.array([np.nan]), np.array([30]), np.array(["clerk"], dtype=object)
    inputs = [tensor("age", age), tensor("hours", hours), tensor("job", job)]
    chance = call("infer", "churn", inputs).as_numpy("probabilities")[0, 1]
    assert chance == pytest.approx(1 / (1 + np.exp(-(0.05 * 40 + 0.3 - 3.0))))
    with pytest.raises(InferenceServerException, match=r"\bb\b.*nullable") as caught:
        call("infer", "numbers", [tensor("input", np.array([[1.0, np.nan]]))])
    assert caught.value.status() == "422"


def test_only_the_outputs_asked_for_come_in_their_order_with_the_id(call: Call) -> None:
    """The id of the request is in the answer, and only when there was one."""
    answer = call("infer", "churn", rows(2), outputs=wanted("probabilities"), request_id="r-7 é")
    response = answer.get_response()
    assert response["id"] == "r-7 é"
    assert (response["model_name"], response["model_version"]) == ("churn", "3")
    assert [each["name"] for each in response["outputs"]] == ["probabilities"]
    assert "id" not in call("infer", "churn", rows(2)).get_response()
    both = [*wanted("probabilities", binary=False), *wanted("label")]
    mixed = call("infer", "churn", rows(2), model_version="3", outputs=both).get_response()
    assert [each["name"] for each in mixed["outputs"]] == ["probabilities", "label"]
    assert "data" in mixed["outputs"][0]
    assert "data" not in mixed["outputs"][1]


@pytest.mark.parametrize("request_coding", [None, "gzip", "deflate"])
@pytest.mark.parametrize("response_coding", [None, "gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False])
def test_bodies_are_compressed_both_ways(
    call: Call, request_coding: str | None, response_coding: str | None, *, binary: bool
) -> None:
    """The length in the header is that of the JSON before compression."""
    answer = call(
        "infer",
        "churn",
        rows(300, binary=binary),
        outputs=wanted("label", "probabilities", binary=binary),
        request_compression_algorithm=request_coding,
        response_compression_algorithm=response_coding,
    )
    np.testing.assert_allclose(answer.as_numpy("probabilities")[:, 1], expected(300), atol=1e-9)


def test_a_large_answer_comes_compressed_and_large_metadata_do_not(address: str) -> None:
    """The asyncio client asks for gzip of everything, and unpacks nothing but answers."""

    async def encodings() -> tuple[str | None, str | None, dict[str, Any]]:
        async with tritonclient.http.aio.InferenceServerClient(address) as aio:
            body, _ = aio.generate_request_body(
                rows(300, binary=False), wanted("label", binary=False)
            )
            large = await aio._post("v2/models/churn/infer", body, None, None)
            other = await aio._get("v2/models/wide", None, None)
            found = (each.headers.get("content-encoding") for each in (large, other))
            return *found, await aio.get_model_metadata("wide")

    large, other, metadata = asyncio.run(encodings())
    assert (large, other) == ("gzip", None)
    assert len(metadata["inputs"]) == 40


@pytest.mark.parametrize(
    ("model", "version", "make", "status", "text"),
    [
        ("nobody", "", lambda: rows(1), "404", "no model 'nobody'"),
        ("churn", "4", lambda: rows(1), "404", "'churn' serves version 3"),
        ("churn", "", lambda: rows(1)[:2], "422", "job"),
        ("churn", "", lambda: [*rows(1), tensor("x", np.zeros(1))], "400", "no input 'x'"),
        (
            "numbers",
            "",
            lambda: [tensor("input", np.zeros((1, 2))), tensor("x", np.zeros(1))],
            "400",
            "no input 'x'",
        ),
        ("churn", "", lambda: rows(501), "413", "501 rows"),
        ("numbers", "", lambda: [tensor("input", np.zeros((1, 3)))], "400", r"\[rows, 2\]"),
        (
            "numbers",
            "",
            lambda: [tensor("input", np.full((1, 2), np.inf))],
            "422",
            "finite|float64",
        ),
        ("numbers", "", lambda: [tensor("input", np.array([["a", "b"]], object))], "400", "BYTES"),
    ],
)
def test_what_is_refused_is_an_exception_with_the_reason(
    call: Call, model: str, version: str, make: Callable[[], list[Any]], status: str, text: str
) -> None:
    """An ``InferenceServerException`` with the status, which names what is wrong."""
    with pytest.raises(InferenceServerException, match=text) as caught:
        call("infer", model, make(), model_version=version)
    assert caught.value.status() == status


def test_what_the_server_does_not_do_is_refused_and_not_ignored(call: Call) -> None:
    """A sequence, shared memory and an output that there is not."""
    with pytest.raises(InferenceServerException, match="sequence_id"):
        call("infer", "churn", rows(1), sequence_id=5, sequence_start=True)
    with pytest.raises(InferenceServerException, match="no output 'chance'"):
        call("infer", "churn", rows(1), outputs=wanted("chance"))
    shared = tritonclient.http.InferInput("input", [1, 2], "FP64")
    shared.set_shared_memory("region", 16)
    with pytest.raises(InferenceServerException, match="shared_memory"):
        call("infer", "numbers", [shared])
    top = [tritonclient.http.InferRequestedOutput("label", class_count=2)]
    with pytest.raises(InferenceServerException, match="classification"):
        call("infer", "churn", rows(1), outputs=top)


def test_priority_timeout_and_unknown_parameters_are_taken(call: Call) -> None:
    """A time-out is a deadline: one that has passed already is a 504."""
    answer = call("infer", "churn", rows(1), priority=2, timeout=10_000_000, parameters={"k": "v"})
    assert answer.as_numpy("label").shape == (1,)
    with pytest.raises(InferenceServerException, match="deadline") as caught:
        call("infer", "churn", rows(1), timeout=1)
    assert caught.value.status() == "504"


def test_many_requests_at_once_get_their_own_answers(address: str) -> None:
    """By the blocking client's ``async_infer`` and by 32 tasks of the asyncio one."""
    with tritonclient.http.InferenceServerClient(address, concurrency=8) as client:
        calls = [client.async_infer("churn", rows(n), request_id=f"{n}") for n in range(1, 33)]
        for n, one in enumerate(calls, 1):
            answer = one.get_result()
            assert answer.get_response()["id"] == f"{n}"
            np.testing.assert_allclose(answer.as_numpy("probabilities")[:, 1], expected(n))

    async def tasks() -> list[Any]:
        async with tritonclient.http.aio.InferenceServerClient(address) as aio:
            return await asyncio.gather(*(aio.infer("churn", rows(n)) for n in range(1, 33)))

    for n, answer in enumerate(asyncio.run(tasks()), 1):
        np.testing.assert_allclose(answer.as_numpy("probabilities")[:, 1], expected(n))


def test_configuration_statistics_and_index_are_read_by_both_clients(call: Call) -> None:
    """Those of a wide model are large, and still come as the asyncio client can read them."""
    config = call("get_model_config", "wide")
    assert len(config["input"]) == len(WIDE) + 1
    assert config == call("get_model_config", "wide", "1")
    before = call("get_inference_statistics", "churn")["model_stats"][0]
    call("infer", "churn", rows(7))

    def counted() -> bool:
        after = call("get_inference_statistics", "churn", "3")["model_stats"][0]
        return bool(after["inference_count"] == before["inference_count"] + 7)

    # An answer is on its way before it is counted.
    until(counted, 5)
    assert {each["name"] for each in call("get_inference_statistics")["model_stats"]} == set(NAMES)
    index = call("get_model_repository_index")
    assert {(each["name"], each["version"]) for each in index} == {
        (name, str(version)) for name, version in NAMES.items()
    }
    with pytest.raises(InferenceServerException, match="repository-control"):
        call("unload_model", "churn")
    with pytest.raises(InferenceServerException, match="nobody"):
        call("get_model_config", "nobody")
