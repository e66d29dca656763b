"""The pins of a native variant, in an environment that is not the one of the shipped lock."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from afterfit.core.bundle import Variant
from afterfit.core.model import ModelDescription
from afterfit.models.loaded import LoadedModel
from afterfit.package.lock import exact_pins, serving_pins
from afterfit.workspace.payload import requirements

DESCRIPTION = ModelDescription(
    framework="sklearn",
    estimator="KNeighborsClassifier",
    task="binary",
    features=("a",),
    n_features=1,
    classes=("no", "yes"),
    probabilities=True,
)
MODEL = cast("LoadedModel", SimpleNamespace(description=DESCRIPTION))


@pytest.fixture
def other_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Distributions that stand before those of the environment, with versions of no lock."""
    versions = {"packaging": "99.1", "numpy": "99.2"}
    for name, version in versions.items():
        info = tmp_path / f"{name}-{version}.dist-info"
        info.mkdir()
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (info / "METADATA").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    return versions


def test_a_native_variant_is_pinned_as_it_was_measured(other_versions: dict[str, str]) -> None:
    """Where the lock names another version than is installed, the installed one is written."""
    native = Variant(name="native", runtime="native", framework="sklearn", file="model/model.skops")
    lines = exact_pins(requirements(MODEL, native)).splitlines()
    for name, version in other_versions.items():
        assert [line for line in lines if line.startswith(f"{name}==")] == [f"{name}=={version}"]
    assert any(line.startswith("scikit-learn==") for line in lines)
    assert any(line.startswith("onnxruntime==") for line in lines)


def test_a_graph_needs_the_shipped_lock_alone(other_versions: dict[str, str]) -> None:
    """What is installed beside it does not matter."""
    graph = Variant(name="onnx", runtime="onnx", framework="sklearn", file="model/model.onnx")
    assert other_versions
    assert exact_pins(requirements(MODEL, graph)) == serving_pins()
