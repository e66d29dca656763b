"""What a step ran in: versions, the CPU, and the state of the user's Git checkout."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from functools import cache
from pathlib import Path

from afterfit.records.record import Environment

PACKAGES = (
    "catboost",
    "lightgbm",
    "msgspec",
    "numpy",
    "onnx",
    "onnxmltools",
    "onnxruntime",
    "pandas",
    "protobuf",
    "pyarrow",
    "scikit-learn",
    "scipy",
    "skl2onnx",
    "skops",
    "torch",
    "xgboost",
    "xgboost-cpu",
)
"""The distributions whose version can change what a step measures."""

CPU_FEATURES = (
    *("avx", "avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "avx_vnni"),
    *("fma", "sse4_2", "asimddp", "i8mm"),
)
_GIT_SECONDS = 5.0


@cache
def current_environment() -> Environment:
    """Return the environment of this process; the first call takes some milliseconds."""
    model, features = _cpu()
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


def version_of(distribution: str) -> str:
    """Return the installed version of a distribution, or an empty string."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def usable_cores() -> int:
    """Return the number of CPU cores this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)


def _cpu() -> tuple[str, tuple[str, ...]]:
    """Return the CPU's model name and the instruction sets that matter; Linux knows most."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or platform.machine(), ()
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    model = fields.get("model name", platform.machine())
    return model, tuple(name for name in CPU_FEATURES if name in flags)


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
