"""One image on every platform: what it sees there, and a real server in each of them."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.bundles import numbers_bundle, people_bundle

from afterfit.errors import UsageError
from afterfit.runtime.__main__ import settings_of
from afterfit.runtime.client import Client
from afterfit.runtime.options import parser
from afterfit.runtime.platform import EVERYWHERE, Platform, detect, find_bundle
from afterfit.runtime.probe import address
from afterfit.runtime.settings import ServerSettings

ROW = {"age": 39.5, "hours": 40, "job": "nurse"}
VERTEX = {
    "AIP_MODE": "PREDICTION",
    "AIP_HTTP_PORT": "9001",
    "AIP_HEALTH_ROUTE": "/v1/endpoints/1/deployedModels/2",
    "AIP_PREDICT_ROUTE": "/v1/endpoints/1/deployedModels/2:predict",
    "AIP_STORAGE_URI": "",
}
OWN = ("AFTERFIT_PLATFORM", "PORT", "K_SERVICE", "AZUREML_MODEL_DIR", "KUBERNETES_SERVICE_HOST")


def seen(environ: dict[str, str], *arguments: str) -> Platform:
    """What is seen with an environment and arguments."""
    return detect(parser().parse_args(arguments), environ)


def told(environ: dict[str, str], *arguments: str) -> ServerSettings:
    """What the server is told then."""
    return settings_of(parser().parse_args(arguments), environ)


@pytest.fixture(scope="module")
def baked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of an image."""
    folder = tmp_path_factory.mktemp("image") / "bundle"
    people_bundle(folder)
    return folder


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    """A folder in which a platform put another bundle, below its own folder."""
    people_bundle(tmp_path / "mounted" / "churn", bias=-1.0)
    (tmp_path / "mounted" / ".cache").mkdir()
    return tmp_path / "mounted"


def test_a_plain_machine_is_no_platform() -> None:
    """Loopback, 8080 or PORT; nothing is opened, and the two common routes are there."""
    plain = seen({})
    assert (plain.name, plain.host, plain.port, plain.guarded) == ("", "127.0.0.1", 8080, False)
    assert plain.routes == {"/ping": "health", "/invocations": "invocations"}
    assert seen({"PORT": "5000"}).port == 5000
    assert seen({"PORT": "5000"}, "--port", "0").port == 0
    assert not seen({"PORT": "5000"}).guarded


def test_sagemaker_is_the_argument_serve(tmp_path: Path) -> None:
    """8080 whatever the image's PORT says, or the port of a pipeline of several containers."""
    environ = {"PORT": "9999", "SAGEMAKER_BASE_DIR": str(tmp_path)}
    found = seen(environ, "serve")
    assert (found.name, found.host, found.port) == ("sagemaker", EVERYWHERE, 8080)
    assert found.model_dir == str(tmp_path / "model")
    assert seen({**environ, "SAGEMAKER_BIND_TO_PORT": "8200"}, "serve").port == 8200
    assert seen({}, "serve").model_dir == "/opt/ml/model"


def test_vertex_names_port_and_routes() -> None:
    """The artifacts are told as not used; the common routes stay."""
    found = seen(VERTEX)
    assert (found.name, found.host, found.port) == ("vertex", EVERYWHERE, 9001)
    assert found.routes == {
        "/ping": "health",
        "/invocations": "invocations",
        "/v1/endpoints/1/deployedModels/2": "health",
        "/v1/endpoints/1/deployedModels/2:predict": "vertex",
    }
    assert found.ignored == ()
    assert seen({**VERTEX, "AIP_STORAGE_URI": "gs://b/m"}).ignored == ("AIP_STORAGE_URI",)
    assert seen({"AIP_MODE": "PREDICTION"}).port == 8080
    own = seen({**VERTEX, "AIP_PREDICT_ROUTE": "/predict", "AIP_HEALTH_ROUTE": "/"})
    assert (own.routes["/predict"], own.routes["/"]) == ("vertex", "health")


def test_azure_gives_a_folder_and_asks_at_score() -> None:
    """Its port is the image's: the deployment names it."""
    found = seen({"AZUREML_MODEL_DIR": "/var/azureml-app/azureml-models/churn/3"})
    assert (found.name, found.host, found.port) == ("azureml", EVERYWHERE, 8080)
    assert found.routes["/score"] == "azureml"
    assert found.model_dir == "/var/azureml-app/azureml-models/churn/3"


def test_kserve_gives_name_folder_and_port() -> None:
    """With what its own servers take besides, on Knative as well, and only so spelt."""
    runtime = ("--model_name=churn", "--model_dir=/mnt/models", "--http_port=8081")
    found = seen({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, *runtime, "--nthread=1")
    assert (found.name, found.host, found.port) == ("kserve", EVERYWHERE, 8081)
    assert (found.model_name, found.model_dir) == ("churn", "/mnt/models")
    serverless = seen({"K_SERVICE": "churn", "PORT": "8012"}, "--model_name=churn")
    assert (serverless.name, serverless.port) == ("kserve", 8012)
    assert serverless.model_dir == "/mnt/models"
    unused = seen({}, *runtime, "--enable_grpc=false", "--grpc_port=9000")
    assert unused.ignored == ("--grpc_port", "--enable_grpc")
    for wrong in ("--model", "--model_nam=x", "--http-port=1", "--nthreads=1"):
        with pytest.raises(SystemExit):
            seen({}, wrong)


def test_knative_and_cloud_run_are_k_service() -> None:
    """PORT alone is no platform."""
    found = seen({"K_SERVICE": "churn", "PORT": "8013"})
    assert (found.name, found.host, found.port) == ("knative", EVERYWHERE, 8013)
    assert found.model_dir == ""


def test_a_word_typed_on_ones_own_machine_opens_nothing() -> None:
    """Arguments alone, without the platform's own signs, leave the address on loopback."""
    assert seen({"SAGEMAKER_BASE_DIR": "/nonexistent"}, "serve").host == "127.0.0.1"
    assert seen({}, "--model_name=x").host == "127.0.0.1"
    assert seen({}, "serve", "--host", EVERYWHERE).host == EVERYWHERE


def test_an_option_wins_over_the_platform() -> None:
    """Host and port, each."""
    found = seen({"K_SERVICE": "churn", "PORT": "8013"}, "--host", "127.0.0.1", "--port", "0")
    assert (found.name, found.host, found.port) == ("knative", "127.0.0.1", 0)


def test_a_platform_can_be_named_or_denied() -> None:
    """For a container that its platform tells nothing, or too much."""
    assert seen({"AFTERFIT_PLATFORM": "azureml"}).routes["/score"] == "azureml"
    assert seen({"AFTERFIT_PLATFORM": "none", "K_SERVICE": "x"}).name == ""
    with pytest.raises(UsageError, match="azureml, knative, kserve") as caught:
        seen({"AFTERFIT_PLATFORM": "heroku"})
    assert caught.value.where == "AFTERFIT_PLATFORM"


@pytest.mark.parametrize(
    ("environ", "where"),
    [
        ({"PORT": "http"}, "PORT"),
        ({"PORT": "70000"}, "PORT"),
        ({"PORT": "-1"}, "PORT"),
        ({**VERTEX, "AIP_HTTP_PORT": "8080/tcp"}, "AIP_HTTP_PORT"),
        ({**VERTEX, "AIP_PREDICT_ROUTE": "predict"}, "AIP_PREDICT_ROUTE"),
        ({**VERTEX, "AIP_PREDICT_ROUTE": "/a?b=c"}, "AIP_PREDICT_ROUTE"),
        ({**VERTEX, "AIP_HEALTH_ROUTE": "/a b"}, "AIP_HEALTH_ROUTE"),
        ({**VERTEX, "AIP_HEALTH_ROUTE": "/x", "AIP_PREDICT_ROUTE": "/x"}, "AIP_PREDICT_ROUTE"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named(environ: dict[str, str], where: str) -> None:
    """It is an error of usage, not a server at another place than the platform asks."""
    with pytest.raises(UsageError) as caught:
        seen(environ)
    assert caught.value.where == where


def test_beyond_loopback_only_a_platform_needs_no_keys(baked: Path) -> None:
    """What the image passes is the same each time; the environment makes the difference."""
    image = ("--host", EVERYWHERE, "--bundle", f"churn@3={baked}")
    assert not told({"PORT": "8080"}, *image).allow_unauthenticated
    assert told({"K_SERVICE": "churn", "PORT": "8080"}, *image).allow_unauthenticated
    assert told(VERTEX, *image).allow_unauthenticated
    assert told({}, *image, "serve").allow_unauthenticated


def test_workers_and_threads_follow_the_processors_unless_given(
    baked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One worker for each, and what is given is kept."""
    monkeypatch.setattr("afterfit.runtime.__main__.usable_cpus", lambda: 6)
    one = ("--bundle", f"churn={baked}")
    divisions = [
        (settings.workers, settings.worker.threads)
        for settings in (
            told({}, *one),
            told({}, *one, "--workers", "2"),
            told({}, *one, "--workers", "2", "--threads", "1"),
            told({}, *one, "--nthread", "3"),
        )
    ]
    assert divisions == [(6, 1), (2, 3), (2, 1), (6, 3)]
    monkeypatch.setattr("afterfit.runtime.__main__.workers_in_memory", lambda _: 1.0)
    assert told({}, *one).workers == 1
    with pytest.raises(SystemExit):
        told({}, *one, "--workers", "0")


def test_keys_and_limits_of_load_are_options(baked: Path) -> None:
    """A worker of several has its part of what the whole server admits, and of what a key may."""
    words = ["--workers", "2", "--keys", "k.json", "--admission-rps", "90", "--queue-rows", "64"]
    worker = told({}, *words, "--bundle", f"churn={baked}").worker
    assert (worker.keys, worker.key_share) == ("k.json", 0.5)
    batching = worker.batching
    assert (batching.admission_rps, batching.queue_rows, batching.cap) == (45, 64, 0)


def test_a_mounted_model_is_served_in_place_of_the_images(baked: Path, mounted: Path) -> None:
    """Under the platform's name, else under the image's; the number stays with its digest."""
    image = ("--bundle", f"churn@3={baked}")
    azure = {"AZUREML_MODEL_DIR": str(mounted)}
    digest = people_digest(mounted / "churn")
    for settings, name in (
        (told(azure, *image), "churn"),
        (told(azure), "model"),
        (told({}, f"--model_dir={mounted}", "--model_name=x"), "x"),
        (told({}, *image, f"--model_dir={mounted}", "--model_name=x"), "x"),
    ):
        assert list(settings.endpoint.models) == [name]
        route = settings.endpoint.models[name]
        assert (route.primary, route.version) == (digest, 0)
        assert settings.folders == {digest: str(mounted / "churn")}
    same = told({"AZUREML_MODEL_DIR": str(baked)}, *image)
    assert same.endpoint.models["churn"].version == 3


def people_digest(folder: Path) -> str:
    """The digest of a bundle folder."""
    from afterfit.core.bundle import Bundle

    return Bundle(folder).digest


def test_an_empty_folder_leaves_the_images_model(baked: Path, tmp_path: Path) -> None:
    """As SageMaker's where no artifacts were given; KServe's name is the model's all the same."""
    (tmp_path / "lost+found").mkdir()
    (tmp_path / ".hidden").mkdir()
    image = ("--bundle", f"churn@3={baked}")
    for folder in (tmp_path, tmp_path / "none"):
        settings = told({}, *image, f"--model_dir={folder}", "--model_name=other")
        assert settings.endpoint.models["other"].version == 3
    with pytest.raises(UsageError, match="nothing to serve") as caught:
        told({}, f"--model_dir={tmp_path}")
    assert caught.value.where == str(tmp_path)


def test_a_folder_with_something_else_or_several_is_told(mounted: Path, baked: Path) -> None:
    """A file that is no bundle must not be left out in favour of the image's model."""
    numbers_bundle(mounted / "fraud")
    with pytest.raises(UsageError, match="2 bundles") as several:
        find_bundle(mounted)
    assert "churn, fraud" in several.value.why
    assert find_bundle(mounted / "fraud") == mounted / "fraud"
    shutil.rmtree(mounted)
    mounted.mkdir()
    (mounted / "model.pkl").write_bytes(b"x")
    with pytest.raises(UsageError, match="holds no bundle"):
        told({}, "--bundle", f"churn={baked}", f"--model_dir={mounted}")


def test_one_name_or_one_folder_does_not_fit_several_models(baked: Path, mounted: Path) -> None:
    """Which one is meant is not guessed."""
    several = ("--bundle", f"a={baked}", "--bundle", f"b={baked}")
    with pytest.raises(UsageError, match="one name for several"):
        told({}, *several, "--model_name=x", "--model_dir=/nonexistent")
    with pytest.raises(UsageError, match="one more"):
        told({}, *several, f"--model_dir={mounted}")


def test_the_health_check_of_an_image_asks_where_the_server_listens() -> None:
    """By the words of the first process, behind an init too, and by the environment."""
    server = b"/opt/afterfit/bin/python\0-m\0afterfit.runtime\0--host\x000.0.0.0\0"
    assert address(server, {"PORT": "8080"}) == ("127.0.0.1", 8080)
    assert address(server, {"PORT": "8080", **VERTEX}) == ("127.0.0.1", 9001)
    assert address(server + b"serve\0", {"PORT": "9000"}) == ("127.0.0.1", 8080)
    assert address(b"/sbin/docker-init\0--\0" + server, {"PORT": "9000"}) == ("127.0.0.1", 9000)
    assert address(server + b"--port\x007000\0", {"PORT": "9000"}) == ("127.0.0.1", 7000)
    assert address(b"sh\0-c\0x\0", {}) == ("127.0.0.1", 8080)
    assert address(b"x\0afterfit.runtime\0--host\0::\0", {}) == ("::1", 8080)


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        port: int = made.getsockname()[1]
        return port


@contextmanager
def running(environ: dict[str, str], *arguments: str) -> Iterator[list[dict[str, Any]]]:
    """The lines that a real server wrote until it was ready; it ends, with code 0, afterwards."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if name not in OWN and not name.startswith(("AIP_", "SAGEMAKER_"))
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "afterfit.runtime", "--host", "127.0.0.1", *arguments],
        env={**clean, **environ},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    lines: list[dict[str, Any]] = []
    try:
        while not lines or lines[-1]["event"] not in {"ready", "failed"}:
            lines.append(json.loads(process.stderr.readline()))
        yield lines
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode == 0


def modes(baked: Path, mounted: Path, port: int) -> dict[str, tuple[dict[str, str], list[str]]]:
    """Environment and arguments of each platform, as it starts a container of the image."""
    image = ["--name", "churn", "--bundle", f"churn@3={baked}", "--workers", "1"]
    text = str(port)
    return {
        "sagemaker": ({"SAGEMAKER_BIND_TO_PORT": text}, [*image, "serve"]),
        "vertex": ({**VERTEX, "AIP_HTTP_PORT": text}, image),
        "azureml": ({"AZUREML_MODEL_DIR": str(mounted), "PORT": text}, image),
        "kserve": (
            {},
            [*image, "--model_name=mine", f"--model_dir={mounted}", f"--http_port={text}"],
        ),
        "knative": ({"K_SERVICE": "churn", "PORT": text}, image),
    }


@pytest.mark.parametrize(
    ("name", "model", "version"),
    [
        ("sagemaker", "churn", 3),
        ("vertex", "churn", 3),
        ("azureml", "churn", 0),
        ("kserve", "mine", 0),
        ("knative", "churn", 3),
    ],
)
def test_a_server_starts_on_the_platform(
    name: str, model: str, version: int, baked: Path, mounted: Path
) -> None:
    """It says where it is, listens where the platform asks, is ready, and answers."""
    port = free_port()
    environ, arguments = modes(baked, mounted, port)[name]
    with running(environ, *arguments) as lines:
        assert (lines[0]["event"], lines[0]["name"]) == ("platform", name)
        assert lines[-1]["url"] == f"http://127.0.0.1:{port}"
        with Client(lines[-1]["url"]) as client:
            assert client.get("/v2/health/ready").status == 200
            assert client.get(f"/v2/models/{model}/ready").status == 200
            answer = client.predict([ROW])
    assert (answer["model"], answer["version"]) == (model, version)
    mounts = name in {"azureml", "kserve"}
    assert answer["digest"] == people_digest(mounted / "churn" if mounts else baked)


def test_the_health_check_sees_a_server_that_runs_and_one_that_does_not(
    baked: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Exit code 0 and 1, with a line that says which."""
    from afterfit.runtime import probe

    port = free_port()
    words = ["x", "-m", "afterfit.runtime", "--port", str(port)]
    (tmp_path / "cmdline").write_bytes("\0".join([*words, ""]).encode())
    monkeypatch.setattr(probe, "FIRST_PROCESS", tmp_path / "cmdline")
    with running({}, "--bundle", f"churn={baked}", "--workers", "1", *words[3:]):
        assert probe.main() == 0
    assert "answers 200" in capfd.readouterr().err
    assert probe.main() == 1
    assert "does not answer" in capfd.readouterr().err
