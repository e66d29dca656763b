"""A GPU where one was asked for and can be had; else the CPU, and why is told."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from afterfit.errors import ConfigError
from afterfit.runtime import accelerator
from afterfit.runtime.accelerator import VARIABLE, providers, seen, standing

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


def runtime(*known: str) -> SimpleNamespace:
    """An ONNX Runtime with these providers, which notes that it loaded its libraries."""
    found = SimpleNamespace(loaded=[], get_available_providers=lambda: list(known))
    found.preload_dlls = lambda **told: found.loaded.append(told)
    return found


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was told yet."""
    monkeypatch.setattr(accelerator, "_standing", {"used": "cpu"})
    monkeypatch.delenv(VARIABLE, raising=False)


def test_the_cpu_computes_unless_asked_otherwise() -> None:
    """Also with an ONNX Runtime that could use a GPU: whoever wants one says so."""
    gpu = runtime(CUDA, CPU)
    assert providers(gpu) == [CPU]
    assert gpu.loaded == []
    assert (seen([CPU]), standing()) == ("cpu", {})


def test_a_gpu_that_is_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It comes first, its libraries are loaded from the environment, and nothing is warned of."""
    monkeypatch.setenv(VARIABLE, "cuda")
    gpu = runtime(CUDA, CPU)
    assert providers(gpu) == [CUDA, CPU]
    assert gpu.loaded == [{"directory": ""}]
    assert seen([CUDA, CPU]) == "cuda"
    assert standing() == {"asked": "cuda", "used": "cuda"}
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("known", [(CPU,), (CUDA, CPU)])
def test_a_gpu_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], known: tuple[str, ...]
) -> None:
    """Without CUDA in the runtime, or with one that cannot start: the CPU, and one line why."""
    monkeypatch.setenv(VARIABLE, "cuda")
    for _ in range(3):
        assert providers(runtime(*known))[-1] == CPU
        assert seen([CPU]) == "cpu"
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line) == {"event": "accelerator", **standing()}
    assert standing()["asked"] == "cuda"
    assert standing()["used"] == "cpu"
    assert ("onnxruntime-gpu" if CUDA not in known else "nvidia-smi") in standing()["why"]


def test_what_is_no_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the variable."""
    monkeypatch.setenv(VARIABLE, "tpu")
    with pytest.raises(ConfigError, match="tpu") as refused:
        providers(runtime(CPU))
    assert refused.value.where == VARIABLE
