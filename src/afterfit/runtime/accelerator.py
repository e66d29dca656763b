"""Which part of the machine computes: the CPU, or a GPU of NVIDIA where one was asked for.

``AFTERFIT_ACCELERATOR=cuda`` asks for it, as images for GPUs do. Where ONNX Runtime cannot use one,
the CPU answers: slower and as right, which the log and ``/version`` tell.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from afterfit.errors import ConfigError
from afterfit.runtime.log import log_line

__all__ = ["VARIABLE", "accelerator", "providers", "seen", "standing"]

VARIABLE = "AFTERFIT_ACCELERATOR"
_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_standing = {"used": "cpu"}


def accelerator() -> str:
    """Return what was asked for: ``cpu`` or ``cuda``; raises ConfigError."""
    asked = os.environ.get(VARIABLE, "") or "cpu"
    if asked not in {"cpu", "cuda"}:
        raise ConfigError(
            f"no accelerator is called {asked!r}", where=VARIABLE, fix=f"{VARIABLE}=cuda, or cpu"
        )
    return asked


def providers(runtime: Any) -> list[str]:
    """Return the execution providers of a session, best first; ``runtime`` is onnxruntime."""
    if accelerator() == "cpu":
        return [_CPU]
    if _CUDA not in runtime.get_available_providers():
        _fall_back("this ONNX Runtime has no CUDA: install onnxruntime-gpu in place of onnxruntime")
        return [_CPU]
    # Wheels of CUDA lie in the environment and not where the system looks for libraries.
    preload = getattr(runtime, "preload_dlls", None)
    if preload is not None:
        preload(directory="")
    return [_CUDA, _CPU]


def seen(session_providers: Sequence[str]) -> str:
    """Return what a session computes on; a GPU that was asked for and not had is told once."""
    if _CUDA in session_providers:
        _standing["used"] = "cuda"
    elif accelerator() == "cuda":
        _fall_back(
            "ONNX Runtime could not start CUDA: look at nvidia-smi, the driver, the libraries"
        )
    return _standing["used"]


def standing() -> dict[str, str]:
    """Return what was asked for, what computes, and why it is another; nothing of the CPU alone."""
    return {} if accelerator() == "cpu" else {"asked": accelerator(), **_standing}


def _fall_back(why: str) -> None:
    if "why" not in _standing:
        _standing["why"] = why
        log_line({"event": "accelerator", **standing()})
