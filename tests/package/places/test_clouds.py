"""What is written for SageMaker, Vertex AI and Azure ML: read as the clouds read it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from afterfit.core.bundle import Bundle
from afterfit.errors import UsageError
from afterfit.package.config import PackageConfig
from afterfit.package.draft import draft_bundle
from afterfit.package.places import azureml, sagemaker, vertex
from afterfit.package.run import package_for
from afterfit.package.sizes import Sized, Sizes
from afterfit.runtime.options import parser

IMAGES = {
    "sagemaker": "111122223333.dkr.ecr.eu-west-1.amazonaws.com/team/churn",
    "vertex": "europe-west1-docker.pkg.dev/my-project/models/churn",
    "azureml": "myregistry.azurecr.io/churn",
}
MEASURED = Sizes(
    workers=Sized(3, "as measured"),
    threads=Sized(1, "as measured"),
    cpu_request=Sized(3, "three | workers"),
    cpu_limit=Sized(3, "three workers"),
    memory_limit=Sized(9000, "a large model"),
    rate=Sized(200, "certified"),
    admission=Sized(180.5, "shown to hold"),
    measured=True,
    source="0" * 64,
)
SHAPES = {
    "repository.json": ("ecr", "CreateRepository"),
    "model.json": ("sagemaker", "CreateModel"),
    "endpoint-config.json": ("sagemaker", "CreateEndpointConfig"),
    "endpoint.json": ("sagemaker", "CreateEndpoint"),
    "update-endpoint.json": ("sagemaker", "UpdateEndpoint"),
    "alarm.json": ("cloudwatch", "PutMetricAlarm"),
    "scalable-target.json": ("application-autoscaling", "RegisterScalableTarget"),
    "scaling-policy.json": ("application-autoscaling", "PutScalingPolicy"),
}
VALIDATORS = Path(__file__).parents[1] / "validators"
LIBRARIES = {"azureml": "azure.ai.ml", "vertex": "google.cloud.aiplatform_v1"}


@pytest.fixture(scope="module")
def bundle(parts: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle for the whole file: nothing here changes it."""
    return draft_bundle(tmp_path_factory.mktemp("bundle") / "bundle", **parts)


@pytest.fixture(scope="module")
def folder(
    bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, Sizes], Path]:
    """A function that packages for a place once for each of the sizes."""
    made: dict[tuple[str, Sizes], Path] = {}

    def package(place: str, sizes: Sizes = MEASURED) -> Path:
        if (place, sizes) not in made:
            target = tmp_path_factory.mktemp(place) / "out"
            config = PackageConfig(name="churn", number=3, image=IMAGES[place], sizes=sizes)
            package_for(place, bundle, target, config)
            made[place, sizes] = target
        return made[place, sizes]

    return package


def body(folder: Path, name: str) -> dict[str, Any]:
    """A JSON file."""
    found: dict[str, Any] = json.loads((folder / name).read_text())
    return found


def shape_problems(name: str, told: dict[str, Any]) -> str:
    """What the AWS API itself has against a request body, enumerations and patterns included."""
    from botocore.loaders import Loader
    from botocore.model import ServiceModel
    from botocore.validate import ParamValidator

    service, operation = SHAPES[name]
    model = ServiceModel(Loader().load_service_model(service, "service-2"), service)
    shape = model.operation_model(operation).input_shape
    problems = [ParamValidator().validate(told, shape).generate_report()]

    def walk(value: Any, shape: Any, path: str) -> None:
        """Look at what botocore leaves to the service."""
        if shape.type_name == "structure":
            for key in set(value) & set(shape.members):
                walk(value[key], shape.members[key], f"{path}.{key}")
        elif shape.type_name == "list":
            for each in value:
                walk(each, shape.member, f"{path}[]")
        elif shape.type_name == "string":
            pattern = shape.metadata.get("pattern")
            if shape.enum and value not in shape.enum:
                problems.append(f"{path}: {value} is none of {shape.enum[:3]}…")
            ours = pattern and not {"\\p", "\\u"} & set(re.findall(r"\\[a-z]", pattern))
            if ours and not re.fullmatch(pattern, value):
                problems.append(f"{path}: {value} does not match {pattern}")

    walk(told, shape, operation)
    return "\n".join(filter(None, problems))


@pytest.mark.parametrize("sizes", [MEASURED, Sizes()], ids=["measured", "usual"])
def test_the_aws_api_takes_every_body(folder: Callable[..., Path], sizes: Sizes) -> None:
    """Names, types, limits, enumerations and patterns of the API's own shapes."""
    out = folder("sagemaker", sizes)
    assert {name: shape_problems(name, body(out, name)) for name in SHAPES} == dict.fromkeys(
        SHAPES, ""
    )


def test_a_typo_in_a_body_is_caught(folder: Callable[..., Path]) -> None:
    """The check above can fail: a wrong name, type, machine or character."""
    out = folder("sagemaker")
    model, config = body(out, "model.json"), body(out, "endpoint-config.json")
    assert "ExecutionRole" in shape_problems("model.json", {**model, "ExecutionRole": "x"})
    assert "match" in shape_problems("model.json", {**model, "ModelName": "churn_3"})
    variant = config["ProductionVariants"][0]
    for wrong in ({"InstanceType": "ml.c5.huge"}, {"InitialInstanceCount": "2"}):
        told = {**config, "ProductionVariants": [{**variant, **wrong}]}
        assert shape_problems("endpoint-config.json", told)


def test_sagemaker_runs_what_was_measured(folder: Callable[..., Path]) -> None:
    """The machine fits the replica; the server gets its settings; half the rate is aimed at."""
    out = folder("sagemaker")
    assert body(out, "endpoint-config.json")["ProductionVariants"][0]["InstanceType"] == (
        "ml.m5.xlarge"
    )
    environment = body(out, "model.json")["PrimaryContainer"]["Environment"]
    assert environment == {
        "AFTERFIT_PLATFORM": "sagemaker",
        "AFTERFIT_WORKERS": "3",
        "AFTERFIT_THREADS": "1",
        "AFTERFIT_ADMISSION_RPS": "180",
    }
    options = parser(environment).parse_args(["serve"])
    assert (options.workers, options.threads, options.admission_rps) == (3, 1, 180)
    policy = body(out, "scaling-policy.json")["TargetTrackingScalingPolicyConfiguration"]
    assert policy["TargetValue"] == 200 * 60 / 2
    assert (
        "InvocationsPerInstance" in policy["PredefinedMetricSpecification"]["PredefinedMetricType"]
    )
    # Nobody measured: the server fills its machine, and calls under way are counted.
    usual = folder("sagemaker", Sizes())
    assert body(usual, "model.json")["PrimaryContainer"]["Environment"] == {
        "AFTERFIT_PLATFORM": "sagemaker"
    }
    policy = body(usual, "scaling-policy.json")["TargetTrackingScalingPolicyConfiguration"]
    assert "Concurrent" in policy["PredefinedMetricSpecification"]["PredefinedMetricType"]


def test_rights_are_those_that_are_needed(folder: Callable[..., Path]) -> None:
    """No wildcard action; a wildcard resource only where AWS knows no other."""
    out = folder("sagemaker")
    for name in ("execution-role", "invoke"):
        for statement in body(out, f"iam/{name}.json")["Statement"]:
            actions = statement["Action"]
            actions = [actions] if isinstance(actions, str) else actions
            assert not [each for each in actions if "*" in each]
            if statement["Resource"] == "*":
                assert set(actions) <= {"ecr:GetAuthorizationToken", "cloudwatch:PutMetricData"}
    model = body(out, "model.json")
    assert model["EnableNetworkIsolation"] is True
    assert model["ExecutionRoleArn"] == "arn:aws:iam::111122223333:role/churn-sagemaker"


def test_other_contents_have_other_names(bundle: Bundle, tmp_path: Path) -> None:
    """A configuration of an endpoint is never written over, so going back finds the old one."""
    names = []
    for number, start in ((3, 120), (3, 60), (4, 120)):
        sizes = msgspec.structs.replace(MEASURED, start=Sized(start, "x"))
        config = PackageConfig(name="churn", number=number, image=IMAGES["sagemaker"], sizes=sizes)
        package_for("sagemaker", bundle, tmp_path / "out", config)
        names.append(body(tmp_path / "out", "endpoint.json")["EndpointConfigName"])
    assert len(set(names)) == 3
    assert names[0].rpartition("-")[0] == names[1].rpartition("-")[0]


def test_vertex_says_the_same_in_bodies_and_lines(folder: Callable[..., Path]) -> None:
    """deploy.sh and the request bodies name one image, machine, route and number of machines."""
    out = folder("vertex")
    spec = body(out, "model.json")["model"]["containerSpec"]
    resources = body(out, "deployment.json")["deployedModel"]["dedicatedResources"]
    script = (out / "deploy.sh").read_text()
    environment = ",".join(f"{each['name']}={each['value']}" for each in spec["env"])
    for flag, value in {
        "container-image-uri": spec["imageUri"],
        "container-predict-route": spec["predictRoute"],
        "container-health-route": spec["healthRoute"],
        "container-ports": spec["ports"][0]["containerPort"],
        "container-env-vars": environment,
        "machine-type": resources["machineSpec"]["machineType"],
        "min-replica-count": resources["minReplicaCount"],
        "max-replica-count": resources["maxReplicaCount"],
    }.items():
        assert f"--{flag}={value}" in script
    assert resources["machineSpec"]["machineType"] == "e2-standard-4"


def test_azure_routes_and_probes_are_the_servers(folder: Callable[..., Path]) -> None:
    """The three routes, the settings with their reasons, and more than one call at a time."""
    out = folder("azureml")
    text = (out / "deployment.yml").read_text()
    told = yaml.safe_load(text)
    routes = told["environment"]["inference_config"]
    assert {name: each["path"] for name, each in routes.items()} == {
        "liveness_route": "/v2/health/live",
        "readiness_route": "/v2/health/ready",
        "scoring_route": "/score",
    }
    assert told["environment_variables"]["AFTERFIT_WORKERS"] == "3"
    assert told["instance_type"] == "Standard_D4as_v4"
    assert told["request_settings"]["max_concurrent_requests_per_instance"] == 32
    assert "# as measured" in text
    assert yaml.safe_load((out / "endpoint.yml").read_text())["name"] == told["endpoint_name"]
    assert azureml.endpoint_name("ab") == "ab-model"
    assert azureml.endpoint_name("a" * 31 + "-bc") == "a" * 31


@pytest.mark.parametrize("place", ["azureml", "vertex"])
def test_the_clouds_own_library_reads_the_files(
    place: str, folder: Callable[..., Path], tmp_path: Path
) -> None:
    """Azure's loader and Vertex AI's messages take the files, and catch a typo in one."""
    python = os.environ.get("AFTERFIT_VALIDATORS", sys.executable)
    probe = [python, "-c", f"import {LIBRARIES[place]}"]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip(f"NOT RUN: {LIBRARIES[place]} is not there; AFTERFIT_VALIDATORS can name it")

    def read(out: Path) -> subprocess.CompletedProcess[str]:
        script = [python, str(VALIDATORS / f"{place}_files.py"), str(out)]
        return subprocess.run(script, capture_output=True, text=True, check=False, timeout=100)

    out = folder(place)
    good = read(out)
    assert good.returncode == 0, good
    name, right, wrong = {
        "azureml": ("deployment.yml", "instance_type:", "instance_typ:"),
        "vertex": ("deployment.json", "minReplicaCount", "minReplicas"),
    }[place]
    for path in [*out.glob("*.json"), *out.glob("*.yml")]:
        (tmp_path / path.name).write_text(path.read_text().replace(right, wrong))
    bad = read(tmp_path)
    assert bad.returncode == 1
    assert f"bad {name}" in bad.stdout


@pytest.mark.parametrize("place", sorted(IMAGES))
def test_scripts_are_bash_and_the_readme_names_them(
    place: str, folder: Callable[..., Path]
) -> None:
    """Each script parses; the page says how to deploy, to go back, to delete, and why so large."""
    out = folder(place)
    page = (out / "README.md").read_text()
    for name in ("deploy.sh", "rollback.sh", "delete.sh"):
        done = subprocess.run(["bash", "-n", str(out / name)], capture_output=True, check=False)
        assert (name, done.returncode, done.stderr) == (name, 0, b"")
        assert f"bash {name}" in page
    assert "{{" not in page
    assert "200 requests/s" in page


@pytest.mark.parametrize("place", sorted(IMAGES))
@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"image": ""}, "pulls the image from a registry of its cloud"),
        ({"image": "ghcr.io/team/churn"}, "not an image that"),
        ({"platforms": ("linux/arm64",)}, "x86-64"),
        ({"sizes": Sizes(cpu_limit=Sized(500, "x"))}, "takes one replica"),
    ],
    ids=["no image", "elsewhere", "arm64", "too large"],
)
def test_what_a_cloud_cannot_run_is_said_with_the_fix(
    place: str, changed: dict[str, Any], said: str, bundle: Bundle, tmp_path: Path
) -> None:
    """Nothing is written, and the error says what to give."""
    writer = {"sagemaker": sagemaker, "vertex": vertex, "azureml": azureml}[place].Destination()
    config = PackageConfig(**{"name": "churn", "number": 3, "image": IMAGES[place], **changed})
    with pytest.raises(UsageError) as error:
        writer.write(bundle, tmp_path, config)
    assert said in str(error.value)
    assert error.value.fix
    assert list(tmp_path.iterdir()) == []


def test_words_of_the_environment_are_checked(capsys: pytest.CaptureFixture[str]) -> None:
    """A variable that is no number ends the server with the option's own message."""
    with pytest.raises(SystemExit):
        parser({"AFTERFIT_WORKERS": "many"}).parse_args([])
    assert "'many' is not a whole number" in capsys.readouterr().err
    assert parser({"AFTERFIT_WORKERS": "4"}).parse_args(["--workers", "2"]).workers == 2
    assert parser({"AFTERFIT_WORKERS": ""}).parse_args([]).workers is None
