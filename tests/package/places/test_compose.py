"""What is written for Compose, KServe and Cloud Run."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
from tests.package.places.place import CONFIG, SIZES, document, packaged, unreasoned

from afterfit.core.bundle import Bundle
from afterfit.package.places.cloudrun import rounded
from afterfit.package.sizes import Sized
from afterfit.runtime.options import parser
from afterfit.runtime.platform import EVERYWHERE, detect

TEXT = {"type": "string"}
WHOLE = {"type": "integer", "minimum": 0}
ANY = {"type": "object"}


def closed(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    """An object with these properties and no others."""
    return {"type": "object", "properties": properties, "additionalProperties": False,
            "required": list(required)}  # fmt: skip


METADATA = closed(("name",), name=TEXT, labels=ANY, annotations=ANY)
CONTAINERS = {"type": "array", "items": ANY, "minItems": 1, "maxItems": 1}
KSERVE = closed(
    ("apiVersion", "kind", "metadata", "spec"),
    apiVersion={"const": "serving.kserve.io/v1beta1"}, kind={"const": "InferenceService"},
    metadata=METADATA,
    spec=closed(("predictor",), predictor=closed(
        ("containers",), minReplicas=WHOLE, maxReplicas=WHOLE, scaleTarget=WHOLE, timeout=WHOLE,
        scaleMetric={"enum": ["cpu", "memory", "concurrency", "rps"]}, canaryTrafficPercent=WHOLE,
        containerConcurrency=WHOLE, containers=CONTAINERS, volumes={"type": "array"},
        automountServiceAccountToken={"type": "boolean"}, enableServiceLinks={"type": "boolean"},
        terminationGracePeriodSeconds=WHOLE, securityContext=ANY,
    )),
)  # fmt: skip
"""By hand, after config/crd/full/serving.kserve.io_inferenceservices.yaml of KServe 0.20."""
COMPOSE = closed(
    ("name", "services"), name=TEXT, secrets=closed(keys=closed(("file",), file=TEXT)),
    services=closed(("server",), server=closed(
        ("image",), image=TEXT, build=TEXT, command={"type": "array", "items": TEXT},
        environment={"type": "object", "additionalProperties": TEXT}, user=TEXT,
        ports={"type": "array", "items": TEXT}, read_only={"type": "boolean"},
        cap_drop={"type": "array", "items": TEXT}, security_opt={"type": "array", "items": TEXT},
        tmpfs={"type": "array", "items": TEXT}, init={"type": "boolean"}, restart=TEXT,
        stop_grace_period=TEXT, pids_limit=WHOLE, logging=ANY,
        healthcheck=closed(test={"type": "array"}, interval=TEXT, timeout=TEXT, retries=WHOLE,
                           start_period=TEXT),
        deploy=closed(resources=closed(limits=closed(cpus=TEXT, memory=TEXT),
                                       reservations=closed(cpus=TEXT, memory=TEXT))),
        secrets={"type": "array", "items": closed(source=TEXT, target=TEXT)},
    )),
)  # fmt: skip
"""By hand, after the schema of the Compose specification."""
CLOUD_RUN = closed(
    ("apiVersion", "kind", "metadata", "spec"),
    apiVersion={"const": "serving.knative.dev/v1"}, kind={"const": "Service"}, metadata=METADATA,
    spec=closed(("template",), traffic={"type": "array"}, template=closed(
        ("spec",), metadata=closed(annotations={"type": "object", "additionalProperties": TEXT}),
        spec=closed(
            ("containers",), containerConcurrency={**WHOLE, "maximum": 1000}, timeoutSeconds=WHOLE,
            serviceAccountName=TEXT,
            containers={"type": "array", "items": closed(
                ("image",), name=TEXT, image=TEXT, args={"type": "array", "items": TEXT},
                ports={"type": "array", "maxItems": 1}, startupProbe=ANY, livenessProbe=ANY,
                resources=closed(limits=closed(cpu=TEXT, memory=TEXT)),
            )},
        ),
    )),
)  # fmt: skip
"""By hand, after the schema of a Service in the discovery document of run.googleapis.com v1."""


def pod(predictor: dict[str, Any]) -> dict[str, Any]:
    """The parts of a predictor that are Kubernetes' own, as a Pod."""
    own = ("containers", "volumes", "automountServiceAccountToken", "enableServiceLinks",
           "terminationGracePeriodSeconds", "securityContext")  # fmt: skip
    spec = {name: predictor[name] for name in own if name in predictor}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec}


@pytest.fixture(scope="module")
def made(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages for the three places, each in a folder of its name."""
    folder = tmp_path_factory.mktemp("made")
    for place in ("compose", "kserve", "cloudrun"):
        packaged(place, bundle, folder / place)
    return folder


def compose_schemas() -> list[dict[str, Any]]:
    """Our own schema, and the specification's where check-jsonschema brings it."""
    found = importlib.util.find_spec("check_jsonschema")
    if found is None or found.origin is None:
        return [COMPOSE]
    vendored = Path(found.origin).parent / "builtin_schemas" / "vendor" / "compose-spec.json"
    return [COMPOSE, json.loads(vendored.read_text("utf-8"))]


def test_compose_takes_what_is_written(bundle: Bundle, made: Path, tmp_path: Path) -> None:
    """By the schemas; and a typing error would be seen."""
    packaged("compose", bundle, tmp_path / "open", allow_unauthenticated=True)
    for folder in (made / "compose", tmp_path / "open"):
        for schema in compose_schemas():
            found = document(folder / "compose.yaml")
            jsonschema.validate(found, schema)
            found["services"]["server"]["read_onyl"] = True
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate(found, schema)


def test_compose_is_hardened_and_on_this_machine_alone(made: Path) -> None:
    """A root that cannot be written, no rights, bounds, and a port on loopback."""
    folder = made / "compose"
    server = document(folder / "compose.yaml")["services"]["server"]
    assert server["ports"] == ["127.0.0.1:8080:8080"]
    assert (server["read_only"], server["cap_drop"]) == (True, ["ALL"])
    assert server["security_opt"] == ["no-new-privileges:true"]
    assert server["deploy"]["resources"]["limits"] == {"cpus": "3", "memory": "416M"}
    told = parser().parse_args(server["command"])
    assert (told.workers, told.keys) == (2, server["secrets"][0]["target"])
    assert server["image"] == "registry.example.com/team/churn:3"
    assert (folder / server["build"] / "Dockerfile").is_file()
    assert unreasoned(folder / "compose.yaml", "cpus|memory|--workers") == []


def test_kserve_has_the_shape_of_its_own(made: Path) -> None:
    """Its own fields by its definition, the pod's by Kubernetes'; a typing error would be seen."""
    found = document(made / "kserve" / "inferenceservice.yaml")
    predictor = found["spec"]["predictor"]
    jsonschema.validate(found, KSERVE)
    kubernetes_validate.validate(pod(predictor), "1.34", strict=True)
    assert (predictor["minReplicas"], predictor["scaleTarget"]) == (3, 55)
    predictor["scaleTaget"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(found, KSERVE)
    predictor["containers"][0]["arg"] = []
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(pod(predictor), "1.34", strict=True)


def test_kserve_starts_the_server_as_its_own(made: Path) -> None:
    """It listens where KServe asks, under the model's name, with keys where they were not left."""
    found = document(made / "kserve" / "inferenceservice.yaml")
    server = found["spec"]["predictor"]["containers"][0]
    told = parser().parse_args(server["args"])
    seen = detect(told, {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "PORT": "9"})
    assert (seen.name, seen.host, seen.port) == ("kserve", EVERYWHERE, 8080)
    assert (seen.model_name, told.keys) == ("churn", "/etc/afterfit/keys.json")
    assert (seen.ignored, server["name"]) == ((), "kserve-container")


def test_cloud_run_has_the_shape_of_its_own(made: Path) -> None:
    """By its definition; and a typing error would be seen."""
    found = document(made / "cloudrun" / "service.yaml")
    jsonschema.validate(found, CLOUD_RUN)
    template = found["spec"]["template"]
    notes = template["metadata"]["annotations"]
    scaled = notes["autoscaling.knative.dev/minScale"], notes["autoscaling.knative.dev/maxScale"]
    assert scaled == ("1", "9")
    assert template["spec"]["containerConcurrency"] == 40
    server = template["spec"]["containers"][0]
    told = parser().parse_args(server["args"])
    assert (told.keys, told.grace_seconds) == ("", 8), "IAM asks who calls, and 10 s are all"
    assert server["resources"]["limits"] == {"cpu": "4", "memory": "512Mi"}
    wanted = "cpu|memory|containerConcurrency|autoscaling.knative.dev/m..Scale|--workers"
    assert unreasoned(made / "cloudrun" / "service.yaml", wanted) == []
    template["spec"]["containrs"] = []
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(found, CLOUD_RUN)


@pytest.mark.parametrize(
    ("cpu", "memory", "given"),
    [(1, 256, (1, 512)), (3, 600, (4, 600)), (1, 5000, (2, 5000)), (40, 90_000, (8, 32_768)),
     (0.5, 512, (1, 512))],
)  # fmt: skip
def test_cloud_run_gets_what_it_has(cpu: float, memory: float, given: tuple[int, int]) -> None:
    """The next size that there is, at most the greatest; what was asked for is said."""
    from msgspec.structs import replace

    sizes = replace(SIZES, cpu_request=Sized(cpu, "w"), memory_limit=Sized(memory, "w"))
    found = rounded(sizes)
    assert tuple(each.value for each in found) == given
    assert found[0].why == (
        "w" if cpu == given[0] else f"{cpu:g} processors, as far as Cloud Run has it: w"
    )


@pytest.mark.parametrize("place", ["compose", "kserve", "cloudrun"])
def test_each_place_says_how_to_go_on(place: str, bundle: Bundle, made: Path) -> None:
    """Deploy, ask, go back; nothing of a template is left, and the digest is told."""
    text = (made / place / "README.md").read_text("utf-8")
    assert "{{" not in text
    assert "{%" not in text
    assert f"sha256:{bundle.digest}" in text
    assert "## Another version, and back" in text
    assert '\'{"rows": [{"age": ' in text
    assert CONFIG.image in text or place == "compose"
