"""What a step ran in: versions, the CPU, and the state of the user's Git checkout."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from pathlib import Path

from afterfit.records.record import Environment
from afterfit.runtime.processor import processor, version_of

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

_GIT_SECONDS = 5.0


@cache
def current_environment() -> Environment:
    """Return the environment of this process; the first call takes some milliseconds."""
    model, features = processor()
    commit, dirty = _git(Path.cwd())
    return Environment(
        afterfit=version_of("afterfit") or "0+unknown",
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        cpu=model,
        cpu_features=features,
        cores=usable_cores(),
        packages={name: found for name in PACKAGES if (found := version_of(name))},
        git_commit=commit,
        git_dirty=dirty,
    )


def usable_cores() -> int:
    """Return the number of CPU cores this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)


def _git(folder: Path) -> tuple[str, bool]:
    """Return the commit of the checkout that holds ``folder`` and whether it has changes."""
    commit = _run_git(folder, "rev-parse", "HEAD")
    if not commit:
        return "", False
    return commit, bool(_run_git(folder, "status", "--porcelain", "--untracked-files=no"))


def _run_git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],  # noqa: S607 - git is found on PATH as usual
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
