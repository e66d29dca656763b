"""Versions at an MLflow server: once each, whole, and aliases that are ours."""

from __future__ import annotations

import json

import msgspec
import pytest
from tests.registry.conftest import MakeBundle
from tests.registry.mlflow.fake import FakeMlflow

from afterfit.core.metric import Metric
from afterfit.errors import UnavailableError
from afterfit.registry.mlflow.client import Client
from afterfit.registry.mlflow.export import DIGEST, Outgoing, RecordFile, export
from afterfit.registry.registry import Registry

CREATED = "2026-11-27T05:00:00+00:00"


@pytest.fixture
def out(registry: Registry, make_bundle: MakeBundle) -> Outgoing:
    """A version that is champion, with one record."""
    registry.register("churn", make_bundle(b"one"), who="ana")
    registry.promote("churn", 1, who="ana")
    version = registry.resolve("churn@1")
    metrics = (
        Metric(name="roc_auc", value=0.8, low=0.7, high=0.9, n=100, scope="held-out"),
        Metric(name="lost", value=None),
    )
    record = RecordFile(
        step="assess", digest="a" * 64, created=CREATED, body=b"{}", metrics=metrics
    )
    return Outgoing(version=version, folder=registry.checkout(version), records=(record,))


def test_a_version_goes_whole_and_only_once(
    fake: FakeMlflow, client: Client, out: Outgoing
) -> None:
    """Files, numbers with their bounds, tags and alias; the second time nothing is sent."""
    first, again = export(client, out), export(client, out)
    assert (first.new, first.number, first.metrics, first.aliases) == (True, "1", 3, ("champion",))
    assert (again.new, again.number, again.files, again.metrics) == (False, "1", 0, 0)
    assert again.aliases == ()
    assert len(fake.versions) == len(fake.runs) == 1
    (run,) = fake.runs.values()
    assert {m["key"]: m["value"] for m in run["data"]["metrics"]} == {
        "assess.roc_auc": 0.8,
        "assess.roc_auc.low": 0.7,
        "assess.roc_auc.high": 0.9,
    }
    assert run["info"]["status"] == "FINISHED"
    (version,) = fake.versions
    assert {tag["key"]: tag["value"] for tag in version["tags"]}[DIGEST] == out.version.digest
    root = version["source"].removeprefix("mlflow-artifacts:/")
    assert fake.files[f"{root}/model/model.onnx"] == b"one"
    flavors = json.loads(fake.files[f"{root}/MLmodel"])["flavors"]
    assert flavors["onnx"]["data"] == "model/model.onnx"


@pytest.mark.parametrize("after", [0, 3, 6, 9, 12, 14])
def test_what_was_cut_off_goes_on(
    fake: FakeMlflow, client: Client, out: Outgoing, after: int
) -> None:
    """Wherever the server failed, the next export ends with one run and one version."""
    fake.failures = [(500, b"")] * 3
    original = fake.failures
    fake.failures = _After(after, original)
    with pytest.raises(UnavailableError):
        export(client, out)
    fake.failures = []
    done = export(client, out)
    assert (len(fake.versions), len(fake.runs), done.number) == (1, 1, "1")
    metrics = next(iter(fake.runs.values()))["data"]["metrics"]
    assert len(metrics) == 3
    assert fake.models["churn"]["aliases"] == [{"alias": "champion", "version": "1"}]


class _After(list[tuple[int, bytes]]):
    """Failures that begin after so many good answers."""

    def __init__(self, good: int, failures: list[tuple[int, bytes]]) -> None:
        super().__init__(failures)
        self._good = good

    def __bool__(self) -> bool:
        self._good -= 1
        return self._good < 0 and len(self) > 0


def test_an_alias_of_somebody_else_is_left(fake: FakeMlflow, client: Client, out: Outgoing) -> None:
    """It says so; one that an earlier export set is moved, and any on demand."""
    fake.add_version("churn", {})
    fake.alias("churn", "champion", "1")
    done = export(client, out)
    assert done.aliases == ()
    assert "churn@champion stays at version 1 in MLflow" in done.notes[0]
    assert "churn@1 is version 2 in MLflow" in done.notes[1]
    assert export(client, out, take_aliases=True).aliases == ("champion",)
    newer = msgspec.structs.replace(out.version, number=2, digest="b" * 64)
    assert export(client, msgspec.structs.replace(out, version=newer)).aliases == ("champion",)


def test_an_alias_that_mlflow_keeps_for_itself_is_told(
    fake: FakeMlflow, client: Client, out: Outgoing
) -> None:
    """``latest`` has another meaning there."""
    version = msgspec.structs.replace(out.version, aliases=("latest",))
    done = export(client, msgspec.structs.replace(out, version=version))
    assert done.notes == ("MLflow takes no alias called latest",)
    assert fake.models["churn"]["aliases"] == []
