"""Configuration, statistics and the model repository, as Triton's own client calls them."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import tritonclient.http as triton
from tests.runtime.bundles import numbers_bundle
from tests.runtime.traffic import ROW, divide, infer_body, versions
from tests.runtime.waiting import until
from tritonclient.utils import InferenceServerException

from afterfit.errors import NotFoundError
from afterfit.runtime.endpoint import Canary, Endpoint, ModelRoute
from afterfit.runtime.repository import changed_document, index
from afterfit.runtime.slots import MODELS, PAIRS, SlotBook
from afterfit.serve.config import ServeConfig
from afterfit.serve.run import ServedBundle, ServerHandle, start_server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[ServedBundle]:
    """Versions of churn."""
    return versions(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def server(tmp_path: Path, bundles: list[ServedBundle]) -> Iterator[ServerHandle]:
    """Churn and numbers on two workers; clients may load and unload."""
    digest = numbers_bundle(tmp_path / "numbers")
    models = {"churn": bundles[0], "numbers": ServedBundle(7, digest, tmp_path / "numbers")}
    config = ServeConfig(port=0, workers=2, repository_control=True, grace_seconds=5)
    with start_server(models, config, tmp_path / "state") as handle:
        yield handle


@pytest.fixture
def client(server: ServerHandle) -> Iterator[triton.InferenceServerClient]:
    """Triton's client."""
    with triton.InferenceServerClient(urlsplit(server.url).netloc) as made:
        yield made


def numbers(rows: int = 1) -> list[Any]:
    """The input of the model of numbers."""
    tensor = triton.InferInput("input", [rows, 2], "FP64")
    tensor.set_data_from_numpy(np.ones((rows, 2)), binary_data=False)
    return [tensor]


def test_a_model_is_unloaded_and_loaded_again_in_every_worker(
    client: triton.InferenceServerClient, server: ServerHandle
) -> None:
    """Others serve on; the index tells the state; loading twice is no change."""
    assert client.is_model_ready("numbers")
    client.unload_model("numbers")
    states = {row["name"]: row["state"] for row in client.get_model_repository_index()}
    assert states == {"churn": "READY", "numbers": "UNAVAILABLE"}
    for _ in range(8):  # new connections, so that both workers are asked
        with server.client() as raw:
            assert raw.get("/v2/models/numbers/ready").status == 404
            assert raw.post("/v2/models/churn/infer", infer_body(ROW)).status == 200
    with pytest.raises(InferenceServerException, match="numbers"):
        client.infer("numbers", numbers())
    client.load_model("numbers")
    generation = server.admin.get().generation
    client.load_model("numbers")
    assert server.admin.get().generation == generation == 3
    assert client.infer("numbers", numbers()).as_numpy("label").tolist() == [1]
    index_ = client.get_model_repository_index()
    assert index_ == [
        {"name": "churn", "version": "1", "state": "READY", "reason": ""},
        {"name": "numbers", "version": "7", "state": "READY", "reason": ""},
    ]


def test_all_models_may_be_unloaded_and_come_back(
    client: triton.InferenceServerClient, server: ServerHandle
) -> None:
    """A server without models is alive and ready, and says what it can load."""
    for name in ("churn", "numbers"):
        client.unload_model(name)
    assert client.is_server_live()
    assert client.is_server_ready()
    with server.client() as raw:
        ready = raw.post("/v2/repository/index", {"ready": True})
        assert (ready.status, ready.json()) == (200, [])
        assert raw.post("/predict", {"rows": [ROW]}).status == 404
    client.load_model("churn")
    assert client.is_model_ready("churn")
    assert not client.is_model_ready("numbers")


def test_what_cannot_be_loaded_is_an_error_in_words(
    client: triton.InferenceServerClient, server: ServerHandle
) -> None:
    """An unknown model, a configuration in place of ours, a body that is none."""
    with pytest.raises(InferenceServerException, match="failed to load 'absent'"):
        client.load_model("absent")
    with pytest.raises(InferenceServerException, match="failed to unload 'absent'"):
        client.unload_model("absent")
    with pytest.raises(InferenceServerException, match="no parameters"):
        client.load_model("churn", config="{}")
    with server.client() as raw:
        broken = raw.request("POST", "/v2/repository/models/churn/load", b"{")
        assert broken.status == 400
        assert raw.get("/v2/repository/models/churn/load").status == 405
        assert raw.post("/v2/repository/models/churn/reload", {}).status == 404
    assert server.admin.get().generation == 1


def test_without_permission_nothing_is_loaded_or_unloaded(
    tmp_path: Path, bundles: list[ServedBundle]
) -> None:
    """400 with an error, and the way to allow it; the index is for everyone."""
    with start_server({"churn": bundles[0]}, ServeConfig(port=0), tmp_path / "state") as server:
        with triton.InferenceServerClient(urlsplit(server.url).netloc) as client:
            for change in (client.load_model, client.unload_model):
                with pytest.raises(InferenceServerException, match="--repository-control"):
                    change("churn")
            assert [row["state"] for row in client.get_model_repository_index()] == ["READY"]
        with server.client() as raw:
            assert raw.post("/v2/repository/models/churn/load", {}).status == 400


def test_statistics_are_real_counts_of_all_workers(
    client: triton.InferenceServerClient, server: ServerHandle, bundles: list[ServedBundle]
) -> None:
    """Rows, calls, requests and nanoseconds by model and version."""
    route = server.admin.get().models
    divide(server, bundles, canary=Canary(digest=bundles[1].digest, share_ppm=0))
    assert set(server.admin.get().models) == set(route)
    for _ in range(6):
        with server.client() as raw:
            raw.post("/v2/models/numbers/infer", {"inputs": [
                {"name": "input", "datatype": "FP64", "shape": [3, 2], "data": [1.0] * 6}
            ]})  # fmt: skip
            raw.post("/v2/models/churn/versions/2/infer", infer_body(ROW))

    def counted() -> int:
        told = client.get_inference_statistics()["model_stats"]
        return sum(int(each["inference_count"]) for each in told)

    until(lambda: counted() == 24)
    (found,) = client.get_inference_statistics("numbers")["model_stats"]
    assert (found["name"], found["version"]) == ("numbers", "7")
    assert (found["inference_count"], found["execution_count"]) == (18, 6)
    assert found["last_inference"] > 1.7e12
    spent = found["inference_stats"]
    assert {part["count"] for name, part in spent.items() if name in WORKED} == {6}
    parts = ("queue", "compute_input", "compute_infer", "compute_output")
    assert 0 < sum(spent[name]["ns"] for name in parts) <= spent["success"]["ns"] * 1.01
    assert spent["fail"] == {"count": 0, "ns": 0}
    both = client.get_inference_statistics("churn")["model_stats"]
    assert [(each["version"], each["inference_count"]) for each in both] == [("1", 0), ("2", 6)]
    (second,) = client.get_inference_statistics("churn", "2")["model_stats"]
    assert second["inference_count"] == 6
    everything = client.get_inference_statistics()["model_stats"]
    assert {each["name"] for each in everything} == {"churn", "numbers"}
    with pytest.raises(InferenceServerException, match="absent"):
        client.get_inference_statistics("absent")


WORKED = frozenset({"success", "queue", "compute_input", "compute_infer", "compute_output"})


def test_the_configuration_has_what_the_metadata_have(client: triton.InferenceServerClient) -> None:
    """Names, types and shapes in the words of Triton's configuration."""
    config = client.get_model_config("churn")
    metadata = client.get_model_metadata("churn")
    assert [tensor["name"] for tensor in config["input"]] == ["age", "hours", "job"]
    assert [tensor["data_type"] for tensor in config["input"]] == [
        *("TYPE_FP64", "TYPE_INT64", "TYPE_STRING")
    ]
    assert [tensor["dims"] for tensor in config["output"]] == [
        tensor["shape"] for tensor in metadata["outputs"]
    ]
    assert client.get_model_config("churn", "1")["max_batch_size"] == 0
    with pytest.raises(InferenceServerException, match="serves version 1"):
        client.get_model_config("churn", "4")


def test_models_are_loaded_and_unloaded_under_load_without_an_error_for_others(
    client: triton.InferenceServerClient, server: ServerHandle
) -> None:
    """Whoever asks for churn never notices numbers come and go."""
    stop, failures, count = threading.Event(), [], [0]

    def ask() -> None:
        with server.client() as raw:
            while not stop.is_set():
                reply = raw.post("/v2/models/churn/infer", infer_body(ROW))
                failures.extend([reply] if reply.status != 200 else [])
                count[0] += 1

    thread = threading.Thread(target=ask)
    thread.start()
    for _ in range(4):
        client.unload_model("numbers")
        client.load_model("numbers")
    stop.set()
    thread.join()
    assert count[0] > 20
    assert failures == []


def document(count: int, shadows: int = 0) -> Endpoint:
    """A document of many models."""
    models = {
        f"m{n}": ModelRoute(
            primary=f"{n:064x}", shadow=tuple(f"{n:032x}{s:032x}" for s in range(1, shadows + 1))
        )
        for n in range(1, count + 1)
    }
    return Endpoint(name="e", models=models)


def test_slots_are_bounded_and_the_last_one_is_shared() -> None:
    """A model beyond the bound has none of its own; one that is gone gives its slot away."""
    wiped: list[tuple[str, int]] = []
    book = SlotBook(lambda role, number: wiped.append((role, number)))
    slots = book.assign(document(MODELS + 5))
    assert sorted(slot.index for slot in slots) == list(range(MODELS))
    assert book.assign(document(MODELS + 5)) == slots
    later = Endpoint(name="e", models={"new": ModelRoute(primary="ab" * 32)})
    (new,) = [slot for slot in book.assign(later) if slot.key.model == "new"]
    assert wiped == [("primary", new.index)]
    pairs = [s for s in SlotBook().assign(document(MODELS, 2)) if s.key.role == "pair"]
    assert len(pairs) == PAIRS


def test_the_document_of_a_load_and_an_unload() -> None:
    """None where it is so already; the index has each version that may answer."""
    route = ModelRoute(
        primary="ab" * 32,
        canary=Canary(digest="cd" * 32, share_ppm=1),
        versions={"ab" * 32: 1, "cd" * 32: 2},
    )
    endpoint = Endpoint(name="e", models={"churn": route})
    assert changed_document(endpoint, "load", "churn") is None
    unloaded = changed_document(endpoint, "unload", "churn")
    assert unloaded is not None
    assert changed_document(unloaded, "load", "churn") == endpoint
    with pytest.raises(NotFoundError, match="absent"):
        changed_document(endpoint, "load", "absent")
    assert [row["version"] for row in index(endpoint)] == ["1", "2"]
    assert [row["state"] for row in index(unloaded)] == ["UNAVAILABLE"]
    assert index(unloaded, ready=True) == []
