"""The destination ``sagemaker``: bodies for the AWS command line, rights, and scripts around them.

Sources: the shapes of the AWS API (CreateModel, CreateEndpointConfig, CreateEndpoint,
UpdateEndpoint; RegisterScalableTarget, PutScalingPolicy; PutMetricAlarm), and of SageMaker's guide:
own inference containers, roles, scaling by load tests, deployment guardrails.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from afterfit.core.bundle import Bundle
from afterfit.core.finding import Finding
from afterfit.core.progress import SILENT, Progress
from afterfit.package.config import PackageConfig
from afterfit.package.places.machines import (
    Machine,
    fingerprint,
    image_parts,
    settings,
    smallest,
    write_json,
)
from afterfit.package.places.told import prepared, write_files
from afterfit.package.sizes import Sized, Sizes

PLACE = "SageMaker"
ECR = (
    r"(?P<registry>(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z]{2}[a-z0-9-]+)"
    r"\.(?P<domain>amazonaws\.com(?:\.cn)?))/(?P<repository>[a-z0-9][a-z0-9._/-]*)"
)
EXAMPLE = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/churn"
VARIANT = "primary"
SAFETY = 0.5
"""The share of what an instance holds that SageMaker's guide advises to begin with."""
LEAST_START_S, MOST_START_S = 60, 3600
_C5 = (("large", 2, 4), ("xlarge", 4, 8), ("2xlarge", 8, 16), ("4xlarge", 16, 32),
       ("9xlarge", 36, 72), ("18xlarge", 72, 144))  # fmt: skip
_M5 = (("large", 2, 8), ("xlarge", 4, 16), ("2xlarge", 8, 32), ("4xlarge", 16, 64),
       ("12xlarge", 48, 192), ("24xlarge", 96, 384))  # fmt: skip
_G5 = (("xlarge", 4, 16), ("2xlarge", 8, 32), ("4xlarge", 16, 64), ("8xlarge", 32, 128))
MACHINES = tuple(
    Machine(f"ml.{family}.{name}", cpus, memory)
    for family, sizes in (("c5", _C5), ("m5", _M5))
    for name, cpus, memory in sizes
)
WITH_GPU = tuple(Machine(f"ml.g5.{name}", cpus, memory, 1, "A10G") for name, cpus, memory in _G5)


class Destination:
    """Writes JSON for ``aws``, rights, three scripts, README.md and the folder ``image``."""

    def write(
        self, bundle: Bundle, folder: Path, config: PackageConfig, progress: Progress = SILENT
    ) -> list[Finding]:
        """Return what was seen; raises UsageError and what making the image raises."""
        parts = image_parts(config, ECR, EXAMPLE, PLACE)
        machines = WITH_GPU if config.accelerator == "cuda" else MACHINES
        machine, why = smallest(machines, config.sizes, PLACE)
        told, findings = prepared(bundle, folder, config, progress)
        plan = _plan(parts, told, config)
        files = _bodies(plan, machine, config)
        for name, body in files.items():
            write_json(folder / name, body)
        write_files("sagemaker", folder, {
            **told, "plan": plan, "aws": parts, "machine": machine, "machine_why": why,
            "scaling": _target(config.sizes), "environment": settings(config.sizes),
        })  # fmt: skip
        return findings


@dataclass(frozen=True)
class Plan:
    """The names of one version's things; other contents have other names, so none is replaced."""

    endpoint: str
    model: str
    config: str
    role: str
    alarm: str
    partition: str
    account: str
    region: str
    repository: str
    image: str
    tag: str

    def arn(self, service: str, rest: str, *, regional: bool = True) -> str:
        """Return an Amazon resource name."""
        region = self.region if regional else ""
        return f"arn:{self.partition}:{service}:{region}:{self.account}:{rest}"


def _plan(parts: dict[str, str], told: dict[str, Any], config: PackageConfig) -> Plan:
    name, version = told["name"], config.number or told["digest"][:12]
    environ = {name: each.value for name, each in settings(config.sizes).items()}
    model = f"{name}-{version}-{fingerprint(told['image'].reference, environ)}"
    partition = {"cn": "aws-cn", "us-gov": "aws-us-gov"}
    found = next(
        (to for of, to in partition.items() if parts["region"].startswith(f"{of}-")), "aws"
    )
    sizing = [config.sizes.cpu_limit.value, config.sizes.memory_limit.value, config.accelerator,
              config.sizes.by_concurrency.least.value, config.sizes.start.value]  # fmt: skip
    return Plan(
        endpoint=name,
        model=model,
        config=f"{model}-{fingerprint(sizing)}",
        role=f"{name}-sagemaker",
        alarm=f"{name}-errors",
        partition=found,
        account=parts["account"],
        region=parts["region"],
        repository=parts["repository"],
        image=told["image"].reference,
        tag=str(config.number) if config.number else "latest",
    )


def _bodies(plan: Plan, machine: Machine, config: PackageConfig) -> dict[str, dict[str, Any]]:
    return {
        "repository.json": {
            "repositoryName": plan.repository,
            "imageTagMutability": "IMMUTABLE",
            "imageScanningConfiguration": {"scanOnPush": True},
        },
        "model.json": _model(plan, config),
        "endpoint-config.json": _endpoint_config(plan, machine, config.sizes),
        "endpoint.json": {"EndpointName": plan.endpoint, "EndpointConfigName": plan.config},
        "update-endpoint.json": _update(plan, config.sizes),
        "alarm.json": _alarm(plan),
        "scalable-target.json": _scalable(plan, config.sizes),
        "scaling-policy.json": _policy(plan, config.sizes),
        "iam/trust.json": _trust(plan),
        "iam/execution-role.json": _execution_role(plan),
        "iam/invoke.json": _invoke(plan),
    }


def _model(plan: Plan, config: PackageConfig) -> dict[str, Any]:
    environ = {name: f"{each.value:g}" for name, each in settings(config.sizes).items()}
    return {
        "ModelName": plan.model,
        "ExecutionRoleArn": plan.arn("iam", f"role/{plan.role}", regional=False),
        "EnableNetworkIsolation": True,
        "PrimaryContainer": {
            "Image": plan.image,
            "Environment": {"AFTERFIT_PLATFORM": "sagemaker", **environ},
        },
    }


def _endpoint_config(plan: Plan, machine: Machine, sizes: Sizes) -> dict[str, Any]:
    start = min(MOST_START_S, max(LEAST_START_S, sizes.start.whole))
    return {
        "EndpointConfigName": plan.config,
        "ProductionVariants": [
            {
                "VariantName": VARIANT,
                "ModelName": plan.model,
                "InstanceType": machine.name,
                "InitialInstanceCount": sizes.by_concurrency.least.whole,
                "InitialVariantWeight": 1,
                "ContainerStartupHealthCheckTimeoutInSeconds": start,
            }
        ],
    }


def _update(plan: Plan, sizes: Sizes) -> dict[str, Any]:
    """Return how the endpoint goes to this version: a tenth first where there are several."""
    routing: dict[str, Any] = {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 300}
    if sizes.by_concurrency.least.value >= 2:
        share = {"Type": "CAPACITY_PERCENT", "Value": 10}
        routing = {"Type": "CANARY", "WaitIntervalInSeconds": 300, "CanarySize": share}
    return {
        "EndpointName": plan.endpoint,
        "EndpointConfigName": plan.config,
        "RetainAllVariantProperties": True,
        "DeploymentConfig": {
            "BlueGreenUpdatePolicy": {
                "TrafficRoutingConfiguration": routing,
                "TerminationWaitInSeconds": 300,
                "MaximumExecutionTimeoutInSeconds": 3600,
            },
            "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": plan.alarm}]},
        },
    }


def _alarm(plan: Plan) -> dict[str, Any]:
    named = {"EndpointName": plan.endpoint, "VariantName": VARIANT}
    return {
        "AlarmName": plan.alarm,
        "AlarmDescription": "The server answered with 5xx: an update of the endpoint is taken back",
        "Namespace": "AWS/SageMaker",
        "MetricName": "Invocation5XXErrors",
        "Dimensions": [{"Name": name, "Value": value} for name, value in named.items()],
        "Statistic": "Sum",
        "Period": 60,
        "EvaluationPeriods": 1,
        "Threshold": 1,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "TreatMissingData": "notBreaching",
    }


def _resource(plan: Plan) -> dict[str, Any]:
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{plan.endpoint}/variant/{VARIANT}",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }


def _scalable(plan: Plan, sizes: Sizes) -> dict[str, Any]:
    least, most = sizes.by_concurrency.least.whole, sizes.by_concurrency.most.whole
    return {**_resource(plan), "MinCapacity": least, "MaxCapacity": max(least, most)}


def _policy(plan: Plan, sizes: Sizes) -> dict[str, Any]:
    metric, target = _target(sizes)
    return {
        "PolicyName": f"{plan.endpoint}-load",
        **_resource(plan),
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {
            "TargetValue": target.value,
            "PredefinedMetricSpecification": {"PredefinedMetricType": metric},
            "ScaleOutCooldown": 60,
            "ScaleInCooldown": 300,
        },
    }


def _target(sizes: Sizes) -> tuple[str, Sized]:
    """Return the metric that scaling looks at, and its aim for one instance.

    Calls in a minute where the rate of one instance is known, else calls under way at a time.
    """
    if sizes.rate.value:
        value = float(max(1, int(60 * SAFETY * sizes.rate.value)))
        why = (
            f"calls in a minute: {SAFETY:.0%} of {sizes.rate.value:.4g} requests/s, as an instance "
        )
        why += f"takes minutes to come; {sizes.rate.why}"
        return "SageMakerVariantInvocationsPerInstance", Sized(value, why)
    found = sizes.by_concurrency.target
    return "SageMakerVariantConcurrentRequestsPerModelHighResolution", Sized(
        float(found.value), f"calls under way at a time; {found.why}"
    )


def _trust(plan: Plan) -> dict[str, Any]:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sagemaker.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"aws:SourceAccount": plan.account}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def _execution_role(plan: Plan) -> dict[str, Any]:
    """Return the rights of the endpoint: pull this one image, write its log and its numbers."""
    group = f"log-group:/aws/sagemaker/Endpoints/{plan.endpoint}"
    pull = ("BatchCheckLayerAvailability", "BatchGetImage", "GetDownloadUrlForLayer")
    write = ("CreateLogGroup", "CreateLogStream", "DescribeLogStreams", "PutLogEvents")
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Sid": "PullThisImage", "Effect": "Allow",
             "Action": [f"ecr:{each}" for each in pull],
             "Resource": plan.arn("ecr", f"repository/{plan.repository}")},
            {"Sid": "SignInToTheRegistry", "Effect": "Allow",
             "Action": "ecr:GetAuthorizationToken", "Resource": "*"},
            {"Sid": "WriteItsLog", "Effect": "Allow",
             "Action": [f"logs:{each}" for each in write],
             "Resource": [plan.arn("logs", group), plan.arn("logs", f"{group}:*")]},
            {"Sid": "WriteItsNumbers", "Effect": "Allow",
             "Action": "cloudwatch:PutMetricData", "Resource": "*",
             "Condition": {"StringEquals": {"cloudwatch:namespace": [
                 "AWS/SageMaker", "/aws/sagemaker/Endpoints"]}}},
        ],
    }  # fmt: skip


def _invoke(plan: Plan) -> dict[str, Any]:
    statement = {
        "Effect": "Allow",
        "Action": "sagemaker:InvokeEndpoint",
        "Resource": plan.arn("sagemaker", f"endpoint/{plan.endpoint}"),
    }
    return {"Version": "2012-10-17", "Statement": [statement]}
