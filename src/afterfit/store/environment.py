"""What a step ran in: versions, the CPU, and the state of the user's Git checkout."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path

from afterfit.records.record import Environment
from afterfit.runtime.processor import processor, version_of
from afterfit.store.git import git_state

__all__ = ["PACKAGES", "current_environment", "usable_cores", "version_of"]

PACKAGES = (
    "catboost",
    "lightgbm",
    "msgspec",
    "numpy",
    "onnx",
    "onnxmltools",
    "onnxruntime",
    "onnxscript",
    "pandas",
    "protobuf",
    "pyarrow",
    "scikit-learn",
    "scipy",
    "skl2onnx",
    "skops",
    "torch",
    "torch-pruning",
    "xgboost",
    "xgboost-cpu",
)
"""The distributions whose version can change what a step measures."""


@cache
def current_environment() -> Environment:
    """Return the environment of this process; the first call takes some milliseconds."""
    model, features = processor()
    git = git_state(Path.cwd())
    return Environment(
        afterfit=version_of("afterfit") or "0+unknown",
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        cpu=model,
        cpu_features=features,
        cores=usable_cores(),
        packages={name: found for name in PACKAGES if (found := version_of(name))},
        git_commit=git.commit,
        git_dirty=git.dirty,
        git_diff=git.diff,
        git_branch=git.branch,
        git_remote=git.remote,
    )


def usable_cores() -> int:
    """Return the number of CPU cores this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)
