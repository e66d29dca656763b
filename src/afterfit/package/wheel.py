"""Makes a wheel of Afterfit as it is installed here, the same bytes each time."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterator
from importlib import metadata, resources
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath

from afterfit.core.digest import sha256_bytes
from afterfit.errors import DependencyError
from afterfit.store.files import write_bytes

DISTRIBUTION = "afterfit"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_FILE_MODE = 0o100644
_KEPT = ("METADATA", "entry_points.txt")
_WHEEL = "Wheel-Version: 1.0\nGenerator: afterfit\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def write_wheel(folder: Path) -> tuple[str, str]:
    """Return (file name, SHA-256) of the wheel written into ``folder``.

    The distribution's own list of files tells what is in it; of an editable installation it is
    the package's source tree. Sorted, without times and not compressed, so equal files give equal
    bytes with every zlib. Raises DependencyError where Afterfit is not installed.
    """
    distribution = _installed()
    contents = dict(_contents(distribution))
    name = re.sub(r"[-.]+", "_", DISTRIBUTION)
    info = f"{name}-{distribution.version}.dist-info"
    for kept in _KEPT:
        text = distribution.read_text(kept)
        if text is not None:
            contents[f"{info}/{kept}"] = text.encode()
    contents[f"{info}/WHEEL"] = _WHEEL.encode()
    contents[f"{info}/RECORD"] = _record(contents, f"{info}/RECORD")
    data = _zip(contents)
    file = f"{name}-{distribution.version}-py3-none-any.whl"
    write_bytes(folder / file, data)
    return file, sha256_bytes(data)


def _installed() -> metadata.Distribution:
    try:
        return metadata.distribution(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        raise DependencyError(
            "Afterfit runs from a folder and is not installed",
            why="an image gets the distribution that is installed here",
            fix="pip install --editable .",
        ) from None


def _contents(distribution: metadata.Distribution) -> Iterator[tuple[str, bytes]]:
    if _is_editable(distribution):
        yield from _tree(resources.files(DISTRIBUTION), PurePosixPath(DISTRIBUTION))
        return
    for file in distribution.files or []:
        if file.parts[0] == DISTRIBUTION and _ships(file.name) and "__pycache__" not in file.parts:
            yield file.as_posix(), file.read_binary()


def _is_editable(distribution: metadata.Distribution) -> bool:
    text = distribution.read_text("direct_url.json")
    if text and json.loads(text).get("dir_info", {}).get("editable"):
        return True
    return not any(file.parts[0] == DISTRIBUTION for file in distribution.files or [])


def _tree(folder: Traversable, path: PurePosixPath) -> Iterator[tuple[str, bytes]]:
    for each in folder.iterdir():
        if each.is_dir() and each.name != "__pycache__":
            yield from _tree(each, path / each.name)
        elif each.is_file() and _ships(each.name):
            yield (path / each.name).as_posix(), each.read_bytes()


def _ships(name: str) -> bool:
    return not name.startswith(".") and not name.endswith((".pyc", ".pyo", "~"))


def _record(contents: dict[str, bytes], own: str) -> bytes:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    for name in sorted(contents):
        digest = base64.urlsafe_b64encode(hashlib.sha256(contents[name]).digest())
        writer.writerow([name, f"sha256={digest.rstrip(b'=').decode()}", len(contents[name])])
    writer.writerow([own, "", ""])
    return stream.getvalue().encode()


def _zip(contents: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        # The metadata last, as the wheel specification recommends.
        for name in sorted(contents, key=lambda each: (".dist-info/" in each, each)):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.create_system = 3
            info.external_attr = _FILE_MODE << 16
            archive.writestr(info, contents[name])
    return stream.getvalue()
