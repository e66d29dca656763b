"""A real image, built and run without a daemon: small rights, right answers, a clean end."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.package.containers.tools import Containers, Traffic, ask, base_tar, free_port, wait_for

from afterfit.core.bundle import Bundle
from afterfit.package.config import PackageConfig
from afterfit.package.draft import draft_bundle
from afterfit.package.run import package_for

TOOLS = ("buildah", "podman", "runc", "ldd", "unshare")
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]
USABLE = sys.platform == "linux" and platform.machine() == "x86_64" and not MISSING
pytestmark = [
    pytest.mark.container,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        not USABLE or os.geteuid() != 0,
        reason=f"NOT RUN: the image is not built without root on Linux and {', '.join(TOOLS)}"
        f" (missing: {', '.join(MISSING) or 'none'})",
    ),
]
# What works as root inside of a virtual machine or container that grants few rights itself.
RUN = ["--no-healthcheck", "--ulimit", "nofile=20000:20000"]
RUN += ["--ulimit", "nproc=1000:1000", "--memory", "256m", "--read-only", "--read-only-tmpfs=false"]
RUN += ["--cap-drop", "all", "--security-opt", "no-new-privileges"]
PREDICT = """
import urllib.request as r
body = b'{"rows": [{"age": 40, "income": 50000.0}]}'
request = r.Request("http://127.0.0.1:8080/predict", body, {"content-type": "application/json"})
print(r.urlopen(request, timeout=10).read().decode())
"""
STATE = """
import os, pathlib
def refused(path):
    try:
        pathlib.Path(path).write_text("x")
    except OSError:
        return True
status = pathlib.Path("/proc/1/status").read_text()
powerless = "CapEff:\\t0000000000000000" in status
print(os.getuid(), [refused(p) for p in ("/x", "/bundle/x", "/tmp/x")], powerless)
"""


@pytest.fixture(scope="module")
def containers() -> Iterator[Containers]:
    """The tools, with a base image; all of it is removed in the end."""
    with tempfile.TemporaryDirectory(prefix="afterfit-image-") as folder:
        made = Containers(Path(folder))
        base_tar(Path(folder) / "base.tar")
        made.run("podman", "import", "--quiet", str(Path(folder) / "base.tar"), "localhost/base:1")
        yield made
        made.run("podman", "rm", "--all", "--force", check=False)
        made.run("podman", "rmi", "--all", "--force", check=False)


def test_the_image_is_safe_answers_and_ends(
    containers: Containers, draft: Callable[..., Bundle], tmp_path: Path
) -> None:
    """Built twice alike with no network; runs read-only, without root; SIGTERM ends it."""
    bundle = draft(tmp_path / "bundle")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    config = PackageConfig(
        name="churn", number=3, base="localhost/base:1", python=python, vendor=True
    )
    package_for("dockerfile", bundle, tmp_path / "context", config)
    layers = {containers.build(tmp_path / "context", tag) for tag in ("churn:1", "churn:2")}
    assert len(layers) == 1
    closed = containers.run(
        "podman", "run", "--rm", *RUN, "--network", "none", "churn:1", check=False
    )
    assert closed.returncode == 2, closed
    assert "--allow-unauthenticated" in closed.stdout + closed.stderr

    started = ["podman", "run", "--detach", "--name", "one", *RUN, "--network", "none", "churn:1"]
    containers.run(*started, "--allow-unauthenticated")
    wait_until_ready(containers, "one")
    answer = json.loads(containers.execute("one", PREDICT))
    assert (answer["version"], answer["digest"]) == (3, bundle.digest)
    assert answer["predictions"][0]["probabilities"]["yes"] == pytest.approx(0.7109495, abs=1e-6)
    assert containers.execute("one", STATE) == "10001 [True, True, True] True"

    before = time.monotonic()
    containers.run("podman", "stop", "--time", "20", "one")
    assert time.monotonic() - before < 5
    code = containers.run("podman", "inspect", "--format", "{{.State.ExitCode}}", "one").stdout
    assert code.strip() == "0"


def wait_until_ready(containers: Containers, name: str) -> None:
    """Ask as the HEALTHCHECK of the image does, until it says yes."""
    told = containers.run(
        "podman", "inspect", "--type", "image", "--format", "{{json .HealthCheck}}", "churn:1"
    ).stdout
    command = json.loads(told)["Test"]
    assert command[0] == "CMD"
    until = time.monotonic() + 60
    while containers.run("podman", "exec", name, *command[1:], check=False).returncode:
        logs = containers.run("podman", "logs", name, check=False)
        assert time.monotonic() < until, logs.stdout + logs.stderr
        time.sleep(0.2)


@pytest.fixture(scope="module")
def native(
    containers: Containers, parts: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Bundle:
    """The bundle of the image churn:native, which was made here, without any builder."""
    folder = tmp_path_factory.mktemp("native")
    bundle = draft_bundle(folder / "bundle", **parts)
    base = containers.folder / "base"
    containers.run("podman", "save", "--quiet", "--format", "oci-dir", "--output", str(base),
                   "localhost/base:1")  # fmt: skip
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    config = PackageConfig(name="churn", number=3, base=f"oci:{base}", python=python)
    package_for("oci", bundle, folder / "out", config)
    pulled = containers.run("podman", "pull", "--quiet", f"oci:{folder / 'out' / 'image'}:3")
    containers.run("podman", "tag", pulled.stdout.split()[-1], "churn:native")
    return bundle


def start(containers: Containers, name: str, *words: str, environ: dict[str, str]) -> None:
    """A container of the image that was made here, with its ports those of this machine."""
    given = [word for each in environ.items() for word in ("--env", "=".join(each))]
    image = [*given, "churn:native"]
    cut = words.index("--") if "--" in words else len(words)
    options, command = words[:cut], words[cut + 1 :]
    containers.run(
        "podman", "run", "--detach", "--name", name, *RUN, "--network", "host", *options, *image,
        *command,
    )  # fmt: skip


def test_the_native_image_answers_as_the_model_and_drains(
    containers: Containers, native: Bundle
) -> None:
    """The model's own numbers; no right, no root; stopping it loses no accepted request."""
    port = free_port()
    began = time.monotonic()
    start(containers, "native", "--", "--allow-unauthenticated", environ={"PORT": str(port)})
    wait_for(port, "/v2/health/ready")
    print(f"ready {time.monotonic() - began:.2f} s after podman run was typed")  # noqa: T201
    assert ask(port, "/version")["digest"] == native.digest
    rng = np.random.default_rng(5)
    age, income = rng.integers(17, 90, 500), np.exp(rng.normal(10, 1, 500))
    rows = [{"age": int(a), "income": float(i)} for a, i in zip(age, income, strict=True)]
    answer = ask(port, "/predict", {"rows": rows})["predictions"]
    expected = 1 / (1 + np.exp(-(0.01 * age + 0.00001 * income)))
    found = [each["probabilities"]["yes"] for each in answer]
    assert found == pytest.approx(expected.tolist(), abs=1e-6)
    python = ["podman", "exec", "native", "python3", "-c", STATE]
    assert containers.run(*python).stdout.strip() == "10001 [True, True, True] True"

    traffic = Traffic(port, {"rows": rows[:50]})
    time.sleep(1)
    containers.run("podman", "stop", "--time", "30", "native")
    seen = traffic.end()
    code = containers.run("podman", "inspect", "--format", "{{.State.ExitCode}}", "native").stdout
    assert code.strip() == "0"
    assert seen.pop("refused") == len(traffic.threads)
    assert seen.pop("200") > 0
    # A slow machine turns some away, in words; what it took it answers.
    seen.pop("429", None)
    assert not seen


def test_one_image_speaks_every_platforms_contract(containers: Containers, native: Bundle) -> None:
    """Started as each platform starts it, with its variables, words, ports, routes and bodies."""
    row = {"age": 40, "income": 50000.0}
    names = ("sagemaker", "vertex", "azureml", "knative", "kserve")
    ports = {name: free_port() for name in names}
    at = {name: str(port) for name, port in ports.items()}
    mounted = f"{native.folder}:/mnt/models/churn:ro"
    begin = partial(start, containers)
    begin("sagemaker", "--", "serve", environ={"SAGEMAKER_BIND_TO_PORT": at["sagemaker"]})
    begin("vertex", environ={
        "AIP_MODE": "PREDICTION", "AIP_HTTP_PORT": at["vertex"], "AIP_HEALTH_ROUTE": "/alive",
        "AIP_PREDICT_ROUTE": "/v1/ask", "AIP_STORAGE_URI": "gs://bucket/model",
    })  # fmt: skip
    begin("azureml", environ={"AFTERFIT_PLATFORM": "azureml", "PORT": at["azureml"]})
    begin("knative", environ={"K_SERVICE": "churn", "PORT": at["knative"]})
    begin("kserve", "--volume", mounted, "--", "--model_name=x", "--model_dir=/mnt/models",
          f"--http_port={at['kserve']}", environ={})  # fmt: skip

    wait_for(ports["sagemaker"], "/ping")
    said = ask(ports["sagemaker"], "/invocations", {"instances": [row]})
    assert said == {"predictions": ["yes"]}
    wait_for(ports["vertex"], "/alive")
    said = ask(ports["vertex"], "/v1/ask", {"instances": [row]})
    assert said["predictions"][0]["probabilities"]["yes"] == pytest.approx(0.7109495, abs=1e-6)
    wait_for(ports["azureml"], "/v2/health/ready")
    split = {"columns": ["age", "income"], "index": [0], "data": [[40, 50000.0]]}
    assert ask(ports["azureml"], "/score", {"input_data": split}) == ["yes"]
    wait_for(ports["knative"], "/v2/health/ready")
    assert ask(ports["knative"], "/predict/churn", {"rows": [row]})["digest"] == native.digest
    wait_for(ports["kserve"], "/v2/models/x/ready")
    inputs = [
        {"name": name, "shape": [1], "datatype": kind, "data": [row[name]]}
        for name, kind in (("age", "INT64"), ("income", "FP64"))
    ]
    outputs = ask(ports["kserve"], "/v2/models/x/infer", {"inputs": inputs})["outputs"]
    assert "yes" in [value for each in outputs for value in each["data"]]
    for name in names:
        logs = containers.run("podman", "logs", name)
        lines = [json.loads(line) for line in (logs.stdout + logs.stderr).splitlines()]
        assert [line["name"] for line in lines if line.get("event") == "platform"] == [name]
