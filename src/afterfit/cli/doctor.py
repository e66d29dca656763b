"""``afterfit doctor``: what this machine offers, and what is missing."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from afterfit.cli.common import Common
from afterfit.cli.output import Answer, table
from afterfit.store.environment import current_environment, version_of

_LIBRARIES = {
    "scikit-learn": ("sklearn", "pip install afterfit"),
    "skl2onnx": ("skl2onnx", "pip install afterfit"),
    "onnxruntime": ("onnxruntime", "pip install afterfit"),
    "catboost": ("catboost", "pip install 'afterfit[catboost]'"),
    "lightgbm": ("lightgbm", "pip install 'afterfit[lightgbm]'"),
    "xgboost": ("xgboost", "pip install 'afterfit[xgboost]'"),
    "onnxmltools": ("onnxmltools", "pip install 'afterfit[lightgbm]'"),
    "torch": ("torch", "pip install 'afterfit[torch]'"),
    "onnxscript": ("onnxscript", "pip install 'afterfit[torch]'"),
    "torch-pruning": ("torch_pruning", "pip install 'afterfit[torch]'"),
    "fsspec": ("fsspec", "pip install 'afterfit[objectstore]'"),
    "psycopg": ("psycopg", "pip install 'afterfit[postgres]'"),
    "opentelemetry-sdk": ("opentelemetry.sdk", "pip install 'afterfit[otel]'"),
    "apprise": ("apprise", "pip install 'afterfit[alerts]'"),
    "starlette": ("starlette", "pip install 'afterfit[ui]'"),
    "uvicorn": ("uvicorn", "pip install 'afterfit[ui]'"),
    "ray": ("ray", "pip install 'afterfit[ray]'"),
}
_MEBIBYTE = 1 << 20
_LOW_DISK_MIB = 500


def doctor(*, common: Common = Common()) -> Answer:  # noqa: B008 - frozen
    """Check the installation, the workspace and the machine."""
    checks = [
        _python(),
        *_libraries(),
        _disk(_local(common)),
        _writable(_local(common)),
        _git(),
    ]
    rows = [(state, name, text) for name, state, text in checks]
    environment = current_environment()
    result = {
        "checks": [{"name": n, "state": s, "message": t} for n, s, t in checks],
        "environment": msgspec.to_builtins(environment),
    }
    head = f"Afterfit {environment.afterfit} on {environment.cpu}, {environment.cores} cores"
    failed = any(state == "problem" for _, state, _ in checks)
    return Answer(
        result, head + "\n" + table(rows, ("state", "what", "seen")), exit=2 if failed else 0
    )


def _python() -> tuple[str, str, str]:
    environment = current_environment()
    return "python", "ok", f"{environment.python} on {environment.system}"


def _libraries() -> list[tuple[str, str, str]]:
    rows = []
    for name, (module, fix) in _LIBRARIES.items():
        if not _importable(module):
            rows.append((name, "absent", f"not installed; to use it: {fix}"))
        else:
            rows.append((name, "ok", version_of(name) or version_of(f"{name}-cpu") or "installed"))
    return rows


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of the package that it is in
        return False


def _local(common: Common) -> Path:
    """Return a folder of this machine: that of the workspace, or where its copies would go."""
    told = common.workspace or ".afterfit"
    return Path.home() if "://" in told else Path(told)


def _disk(folder: Path) -> tuple[str, str, str]:
    place = next((p for p in (folder, *folder.resolve().parents) if p.exists()), Path.cwd())
    free = shutil.disk_usage(place).free // _MEBIBYTE
    state = "problem" if free < _LOW_DISK_MIB else "ok"
    return "disk", state, f"{free} MiB free at {place}"


def _writable(folder: Path) -> tuple[str, str, str]:
    place = folder if folder.exists() else Path.cwd()

    def attempt() -> None:
        with tempfile.NamedTemporaryFile(dir=place):
            pass

    return _tried("workspace", f"{folder} can be written", attempt)


def _tried(name: str, good: str, attempt: Callable[[], None]) -> tuple[str, str, str]:
    try:
        attempt()
    except OSError as error:
        return name, "problem", f"{error.strerror or error}: {error.filename or ''}"
    return name, "ok", good


def _git() -> tuple[str, str, str]:
    found = shutil.which("git", path=os.environ.get("PATH"))
    return ("git", "ok", found) if found else ("git", "absent", "records will hold no commit")
