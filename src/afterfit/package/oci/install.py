"""Puts wheels into a folder as pip would, without running anything of theirs.

Source: the binary distribution format (PyPA), which says where the parts of a wheel go.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from afterfit.errors import InputError, ResourceError

__all__ = ["compile_all", "install"]

_KEPT = {"purelib", "platlib"}
"""Parts of a wheel's ``.data`` that a program imports; scripts, headers and the like stay out."""


def install(wheels: Iterable[Path], folder: Path) -> None:
    """Unpack the wheels into ``folder``; raises InputError for a wheel that is not whole or safe.

    Two that bring the same file with other bytes are refused: which one won would be chance.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for wheel in sorted(wheels, key=lambda path: path.name):
        try:
            with zipfile.ZipFile(wheel) as archive:
                for info in archive.infolist():
                    if not info.is_dir():
                        _unpack(archive, info, folder, wheel)
        except (zipfile.BadZipFile, EOFError) as error:
            raise InputError(
                "a wheel cannot be read", where=wheel.name, why=str(error), fix="download it again"
            ) from None


def compile_all(folder: Path, inside: str) -> None:
    """Compile what is in ``folder``, as it will stand at ``inside`` of the image.

    The compiled files do not look at times. One process does it, so that they are the same twice.
    """
    command = [sys.executable, "-I", "-m", "compileall", "-q", "-j", "1",
               "--invalidation-mode", "unchecked-hash", "-s", str(folder), "-p", inside,
               str(folder)]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"PYTHONHASHSEED": "0"}
    )
    # A file for another version of Python, as some wheels bring, fails alone and is left as text.
    if done.returncode not in {0, 1}:
        raise ResourceError(
            "the modules cannot be compiled", why=(done.stderr or done.stdout)[-500:]
        )


def _unpack(archive: zipfile.ZipFile, info: zipfile.ZipInfo, folder: Path, wheel: Path) -> None:
    parts = PurePosixPath(info.filename).parts
    if PurePosixPath(info.filename).is_absolute() or ".." in parts or "\\" in info.filename:
        raise InputError(
            "a wheel wants to write outside of its folder", where=f"{wheel.name}: {info.filename}",
            fix="do not use this wheel",
        )  # fmt: skip
    if len(parts) > 2 and parts[0].endswith(".data"):
        if parts[1] not in _KEPT:
            return
        parts = parts[2:]
    target = folder.joinpath(*parts)
    if target.exists() and target.read_bytes() != archive.read(info):
        raise InputError(
            "two wheels bring the same file", where=f"{wheel.name}: {info.filename}",
            why="their bytes differ", fix="leave one of them out of the serving environment",
        )  # fmt: skip
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(info) as source, target.open("wb") as out:
        shutil.copyfileobj(source, out)
    # Zip keeps the mode of Unix in the upper half; a shared library needs none to be loaded.
    if (info.external_attr >> 16) & 0o100:
        target.chmod(0o755)
