"""Virtual environments of the peers, made once from their pinned requirements."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
import venv
from collections.abc import Iterable
from pathlib import Path

from process import BenchError

STAMP = "requirements.sha256"


def ensure(requirements: Path, cache: Path) -> Path:
    """The environment's folder; made anew where the requirements or this Python have changed."""
    text = f"{platform.python_version()}\n{requirements.read_text()}"
    digest = hashlib.sha256(text.encode()).hexdigest()
    folder = cache / requirements.parent.name
    stamp = folder / STAMP
    if stamp.is_file() and stamp.read_text() == digest:
        return folder
    print(f"  making the environment of {requirements.parent.name} ...", flush=True)
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    if base.is_file():
        _run([str(base), "-m", "venv", "--clear", str(folder)])
    else:
        venv.create(folder, clear=True, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    _run([*pip, "install", "--quiet", "--no-deps", "-r", str(requirements)])
    stamp.write_text(digest)
    return folder


def versions(environment: Path | None, packages: Iterable[str]) -> dict[str, str]:
    """Version of Python and of each package in that environment; None is this interpreter's."""
    code = (
        "import json, platform, sys; from importlib.metadata import version; "
        "print(json.dumps({'python': platform.python_version(), "
        "**{name: version(name) for name in sys.argv[1:]}}))"
    )
    python = sys.executable if environment is None else str(environment / "bin" / "python")
    done = _run([python, "-c", code, *packages])
    found: dict[str, str] = json.loads(done)
    return found


def require_equal(package: str, found: dict[str, str], here: str, where: Path) -> None:
    """Raise BenchError where a peer would load a model that another version has saved."""
    if package in found and found[package] != here:
        raise BenchError(
            f"{package} {found[package]} there and {here} here: the saved model may not load\n"
            f"  fix: pin {package}=={here} in {where}"
        )


def _run(command: list[str]) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=1800, env=environment
    )
    if done.returncode != 0:
        raise BenchError(f"{' '.join(command)}\n{(done.stderr or done.stdout)[-2000:]}")
    return done.stdout
