"""What is written for controllers: parsed back, checked by schemas, each number with a reason.

Kubernetes' own kinds are checked by its schemas (kubernetes-validate, strict). The schemas of KEDA
and Knative here were written by hand after their resource definitions: they check the shape only.
"""

from __future__ import annotations

import re
from typing import Any

import jsonschema
import kubernetes_validate
import msgspec
import pytest
import yaml
from tests.loadtest.autoscale.samples import compared, of_every_day, trace, with_an_event

from afterfit.errors import UsageError
from afterfit.loadtest.autoscale.emit.write import TARGETS, Names, parts_of, written
from afterfit.records.autoscale import AutoscaleRecord

KUBERNETES = "1.34"
TEXT = {"type": "string"}
WHOLE = {"type": "integer", "minimum": 0}


def closed(**properties: Any) -> dict[str, Any]:
    """An object with these properties and no others."""
    return {"type": "object", "properties": properties, "additionalProperties": False}


METADATA = closed(
    name={"type": "string", "pattern": "^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$"}, namespace=TEXT,
    labels={"type": "object", "additionalProperties": {
        "type": "string", "pattern": "^[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?$"}},
    annotations={"type": "object", "additionalProperties": TEXT},
)  # fmt: skip
TRIGGER = closed(type={"enum": ["prometheus", "cron"]},
                 metadata={"type": "object", "additionalProperties": TEXT})  # fmt: skip
KEDA = closed(
    apiVersion={"const": "keda.sh/v1alpha1"}, kind={"const": "ScaledObject"}, metadata=METADATA,
    spec=closed(
        scaleTargetRef=closed(apiVersion=TEXT, kind=TEXT, name=TEXT), minReplicaCount=WHOLE,
        maxReplicaCount=WHOLE, pollingInterval=WHOLE, cooldownPeriod=WHOLE,
        advanced=closed(horizontalPodAutoscalerConfig=closed(behavior={"type": "object"})),
        triggers={"type": "array", "items": TRIGGER, "minItems": 1},
    ),
)  # fmt: skip
KNATIVE = closed(
    apiVersion={"const": "serving.knative.dev/v1"}, kind={"const": "Service"}, metadata=METADATA,
    spec=closed(template=closed(
        metadata=closed(labels={"type": "object"},
                        annotations={"type": "object", "additionalProperties": TEXT}),
        spec=closed(containerConcurrency=WHOLE, containers={"type": "array", "items": closed(
            image=TEXT, ports={"type": "array"})}),
    )),
)  # fmt: skip


def files(record: AutoscaleRecord, *targets: str) -> dict[str, str]:
    """What is written."""
    names = Names.of(record, namespace="shop", prometheus="http://prom:9090")
    return written(record, targets or tuple(TARGETS), names)


def documents(text: str) -> list[dict[str, Any]]:
    """The parsed documents of a file."""
    return list(yaml.safe_load_all(text))


@pytest.mark.parametrize("name", ["hpa.yaml", "schedule.yaml"])
def test_kubernetes_takes_what_is_written(name: str) -> None:
    """Strictly, by its own schemas; a typing error would be seen."""
    found = documents(files(with_an_event())[name])
    for document in found:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
    found[-1]["spec"]["typo"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(found[-1], KUBERNETES, strict=True)


def test_keda_and_knative_have_the_shape_of_theirs() -> None:
    """With and without a schedule."""
    for record in (with_an_event(), of_every_day()):
        made = files(record)
        jsonschema.validate(documents(made["keda.yaml"])[0], KEDA)
        jsonschema.validate(documents(made["knative.yaml"])[0], KNATIVE)


def test_the_numbers_are_those_of_the_record() -> None:
    """What was simulated is what is written."""
    record = of_every_day()
    made = files(record)
    hpa = documents(made["hpa.yaml"])[0]["spec"]
    policy = next(p for p in record.policies if p.name in TARGETS["hpa"])
    assert policy.name != "scheduled"
    assert (hpa["minReplicas"], hpa["maxReplicas"]) == (
        policy.settings["min"], policy.settings["max"],
    )  # fmt: skip
    knative = documents(made["knative.yaml"])[0]["spec"]["template"]["metadata"]["annotations"]
    wanted = record.policy("knative")
    assert wanted is not None
    assert float(knative["autoscaling.knative.dev/target"]) == wanted.settings["concurrency"]
    assert knative["autoscaling.knative.dev/min-scale"] == f"{wanted.settings['min']:g}"
    ray = documents(made["ray.yaml"])[0]["deployments"][0]
    told = record.policy("ray")
    assert told is not None
    assert ray["autoscaling_config"]["target_ongoing_requests"] == told.settings["ongoing"]
    assert ray["max_ongoing_requests"] == 202


def test_ray_takes_what_is_written() -> None:
    """By Ray's own models, where Ray is installed; it is no part of the test environment."""
    schema = pytest.importorskip("ray.serve.schema", reason="Ray is not installed: not checked")
    config = pytest.importorskip("ray.serve.config").AutoscalingConfig
    told = documents(files(of_every_day())["ray.yaml"])[0]["deployments"][0]
    schema.DeploymentSchema.model_validate(told)
    found = config.model_validate(told["autoscaling_config"])
    assert set(told["autoscaling_config"]) <= set(config.model_fields)
    assert found.get_target_ongoing_requests() == told["autoscaling_config"][
        "target_ongoing_requests"]  # fmt: skip


def test_an_hpa_on_cpu_states_a_share_of_the_request() -> None:
    """Where that one was simulated alone."""
    record = compared(trace(), policies=("hpa-cpu",))
    metric = documents(files(record, "hpa")["hpa.yaml"])[0]["spec"]["metrics"][0]
    assert (
        metric["resource"]["target"]["averageUtilization"]
        == (record.policies[0].settings["cpu_percent"])
    )


def test_every_setting_has_its_reason_beside_it() -> None:
    """Each line with a number that was chosen ends in a comment."""
    made = files(with_an_event())
    chosen = r"minReplicas:|maxReplicas:|averageValue:|ReplicaCount:|threshold:|/target: |-scale:"
    chosen += r"|_replicas:|target_ongoing|max_ongoing|containerConcurrency|schedule: |start: "
    lines = [line for text in made.values() for line in text.splitlines()]
    wanted = [line for line in lines if re.search(chosen, line) and "--patch" not in line]
    assert len(wanted) > 20
    assert [line for line in wanted if " # " not in line] == []


def test_a_known_event_is_prepared_before_it_begins() -> None:
    """The replicas are asked for 105 s before 8 o'clock of that day, rounded down to a minute."""
    record = with_an_event()
    made = files(record)
    assert documents(made["hpa.yaml"])[0]["spec"]["minReplicas"] < 20
    jobs = [d for d in documents(made["schedule.yaml"]) if d["kind"] == "CronJob"]
    times = {job["spec"]["schedule"] for job in jobs}
    assert "58 7 27 11 *" in times
    assert {job["spec"]["timeZone"] for job in jobs} == {"Etc/UTC"}
    triggers = documents(made["keda.yaml"])[0]["spec"]["triggers"]
    event = next(t["metadata"] for t in triggers if t["metadata"].get("start") == "58 7 27 11 *")
    assert event["end"] == "0 10 27 11 *"
    command = next(j for j in jobs if j["spec"]["schedule"] == "58 7 27 11 *")["spec"][
        "jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["command"]  # fmt: skip
    assert command[-1] == f'--patch={{"spec":{{"minReplicas":{event["desiredReplicas"]}}}}}'


def test_a_schedule_of_days_and_weeks_comes_again() -> None:
    """Without dates it is of every day, or of the days of the week."""
    daily = of_every_day().policy("scheduled")
    weekly = compared(trace("weekly", step_s=600.0), policies=("scheduled",))
    assert daily is not None
    assert all(part.starts.endswith("* * *") for part in parts_of(of_every_day(), daily))
    parts = parts_of(weekly, weekly.policies[0])
    assert {part.starts.rpartition(" ")[2] for part in parts} >= {"1", "6"}
    assert parts[0].starts == "58 23 * * 0", "the lead of Monday's first part is on Sunday"
    assert "Monday 00:00" in parts[0].said


def test_names_and_labels_are_those_of_the_version() -> None:
    """As Kubernetes allows them; no name of a person's can write YAML of its own."""
    hostile = msgspec.structs.replace(
        of_every_day(), name='7 "x": {y}\n- z',
        trace=msgspec.structs.replace(of_every_day().trace, name="a\nkind: Evil #"),
    )  # fmt: skip
    for text in files(hostile).values():
        for document in documents(text):
            assert document.get("kind") != "Evil"
            if "metadata" in document:
                assert document["metadata"]["name"].startswith("m-7-x-y-z")
    metadata = documents(files(of_every_day(), "hpa")["hpa.yaml"])[0]["metadata"]
    assert metadata["name"] == "churn-model"
    assert metadata["labels"]["app.kubernetes.io/version"] == "7"
    assert metadata["annotations"]["afterfit.dev/digest"] == "sha256:" + "ab" * 32


def test_what_was_not_simulated_is_not_written() -> None:
    """The error names the policy to add."""
    record = compared(trace(), policies=("static",))
    with pytest.raises(UsageError, match="nothing to write for ray") as found:
        files(record, "ray")
    assert "add ray" in found.value.fix


@pytest.mark.parametrize(
    "told", [{"namespace": "Shop!"}, {"prometheus": "prom"}, {"prometheus": 'http://a" b'}]
)
def test_bad_names_are_refused(told: dict[str, str]) -> None:
    """Nothing is written that a cluster would refuse."""
    usual = {"namespace": "default", "prometheus": "http://prom:9090"}
    with pytest.raises(UsageError):
        Names.of(of_every_day(), **{**usual, **told})
