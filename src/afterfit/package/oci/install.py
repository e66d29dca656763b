"""Puts wheels into a folder as pip would, without running anything of theirs.

Source: the binary distribution format (PyPA), which says where the parts of a wheel go.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from afterfit.errors import InputError, ResourceError
from afterfit.runtime.cpus import usable_cpus

__all__ = ["compile_all", "install", "serves"]

_KEPT = {"purelib", "platlib"}
"""Parts of a wheel's ``.data`` that a program imports; scripts, headers and the like stay out."""
_FOR_BUILDS = (".pyi", ".pxd", ".pyx", ".h", ".hpp", ".a", ".lib")
_TESTED = {"numpy", "scipy", "sklearn", "pandas", "joblib", "lightgbm", "xgboost", "catboost"}
"""Packages that are known not to import their own tests."""
_TESTS = {"tests", "test"}
_TOOLS = {
    ("numpy", "distutils"),
    ("numpy", "_pyinstaller"),
    ("onnxruntime", "datasets"),
    ("onnxruntime", "quantization"),
    ("onnxruntime", "tools"),
    ("onnxruntime", "transformers"),
}
"""Parts that make, change or build something, which nobody does in a container that serves."""
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError)


def serves(path: PurePosixPath) -> bool:
    """Return whether a server may need the file of a wheel that goes to ``path``."""
    parts = path.parts
    if parts[:2] in _TOOLS or path.name.endswith(_FOR_BUILDS):
        return False
    return parts[0] not in _TESTED or not _TESTS & set(parts[:-1])


def install(wheels: Iterable[Path], folder: Path) -> None:
    """Unpack what `serves` of the wheels into ``folder``.

    Raises InputError for a wheel that is not whole or safe. Two that bring the same file with other
    bytes are refused: which one won would be chance.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for wheel in sorted(wheels, key=lambda path: path.name):
        try:
            with zipfile.ZipFile(wheel) as archive:
                for info in archive.infolist():
                    if not info.is_dir():
                        _unpack(archive, info, folder, wheel)
        except _BROKEN as error:
            raise InputError(
                "a wheel cannot be read", where=wheel.name, why=str(error), fix="download it again"
            ) from None


def compile_all(folder: Path, inside: str) -> None:
    """Compile what is in ``folder``, as it will stand at ``inside`` of the image.

    The compiled files do not look at times. Each package is compiled by a process that has seen
    nothing else, so that several at once give the same bytes as one after the other. Raises
    ResourceError.
    """
    with ThreadPoolExecutor(usable_cpus()) as pool:
        for _ in pool.map(lambda name: _compile(folder, inside, name), _compilable(folder)):
            pass


def _compilable(folder: Path) -> Iterator[str]:
    for path in sorted(folder.iterdir()):
        if path.suffix == ".py" or (path.is_dir() and next(path.rglob("*.py"), None)):
            yield path.name


def _compile(folder: Path, inside: str, name: str) -> None:
    script = str(Path(__file__).with_name("bytecode.py"))
    command = [sys.executable, "-S", "-s", "-P", script, str(folder), inside, name]
    # Hashes that are drawn anew order the names of a module anew. Windows starts nothing without
    # SYSTEMROOT.
    environ = {"PYTHONHASHSEED": "0"}
    environ |= {key: os.environ[key] for key in ("SYSTEMROOT",) if key in os.environ}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    if done.returncode:
        why = (done.stderr or done.stdout).strip().rpartition("\n")[2]
        raise ResourceError(
            f"the modules of {name} cannot be compiled",
            where=str(folder),
            why=why or f"the process ended with {done.returncode}",
            fix="look at the disk and the memory (df -h, free -m), then run the same command again",
        )


def _unpack(archive: zipfile.ZipFile, info: zipfile.ZipInfo, folder: Path, wheel: Path) -> None:
    path = _place(info.filename, wheel)
    if path is None or not serves(path):
        return
    target = folder.joinpath(*path.parts)
    where = f"{wheel.name}: {info.filename}"
    if target.is_dir() or any(each.is_file() for each in target.parents):
        raise InputError(
            "a file of a wheel is a folder of another", where=where,
            fix="leave one of them out of the serving environment",
        )  # fmt: skip
    if target.exists() and target.read_bytes() != archive.read(info):
        raise InputError(
            "two wheels bring the same file", where=where,
            why="their bytes differ", fix="leave one of them out of the serving environment",
        )  # fmt: skip
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(info) as source, target.open("wb") as out:
        shutil.copyfileobj(source, out)
    # Zip keeps the mode of Unix in the upper half; a shared library needs none to be loaded.
    if (info.external_attr >> 16) & 0o100:
        target.chmod(0o755)


def _place(name: str, wheel: Path) -> PurePosixPath | None:
    """Return where a file of a wheel goes, None where it stays out; raises InputError."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or not path.parts:
        raise InputError(
            "a wheel wants to write outside of its folder", where=f"{wheel.name}: {name}",
            fix="do not use this wheel",
        )  # fmt: skip
    if len(path.parts) > 2 and path.parts[0].endswith(".data"):
        return PurePosixPath(*path.parts[2:]) if path.parts[1] in _KEPT else None
    return path
