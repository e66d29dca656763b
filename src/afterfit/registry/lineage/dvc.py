"""What DVC knows of a file: the hash of ``.dvc`` files and of ``dvc.lock``, and its remote.

The files that DVC writes are read as they are; DVC itself is not needed. Source: dvc.org, ".dvc
files", "dvc.yaml files" and "Internal directories and files", version 3.
"""

from __future__ import annotations

import configparser
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from afterfit.errors import InputError
from afterfit.records.lineage import Agreement
from afterfit.registry.lineage.block_yaml import read_yaml
from afterfit.store.files import read_bytes
from afterfit.store.git import without_credentials

__all__ = [
    "Tracked",
    "agreement",
    "cache_path",
    "md5_of",
    "object_path",
    "outputs_of",
    "remote_address",
    "root_of",
    "tracked",
]

_HASH = re.compile(r"[0-9a-f]{32}(?:\.dir)?")
_HIGHEST = 20
_CHUNK = 1 << 20


class Tracked(msgspec.Struct, frozen=True, kw_only=True):
    """A file or folder that DVC tracks; ``path`` and ``file`` are relative to the repository.

    ``md5`` of a folder ends in ``.dir``; ``inner`` is where the asked file lies in it. ``size`` in
    bytes is that of the whole. ``legacy`` says that it is kept as DVC 2 did.
    """

    path: str
    md5: str
    file: str
    size: int | None = None
    inner: str = ""
    stage: str = ""
    legacy: bool = False


def root_of(path: Path) -> Path | None:
    """Return the folder of the DVC repository that holds ``path``; None where there is none."""
    for folder in [path, *path.parents][:_HIGHEST]:
        if (folder / ".dvc").is_dir():
            return folder
        if (folder / ".git").exists():
            return None
    return None


def tracked(path: Path) -> Tracked | None:
    """Return what DVC says of a file: by its own ``.dvc``, that of a folder, or ``dvc.lock``.

    Raises InputError for a file of DVC that cannot be read, and that stands where it must be.
    """
    path = path.resolve()
    root = root_of(path.parent)
    if root is None:
        return None
    relative = path.relative_to(root).as_posix()
    for folder in [path.parent, *path.parent.parents]:
        for file in _files(folder):
            text = read_bytes(file).decode(errors="replace")
            name = file.relative_to(root).as_posix()
            found = _of(outputs_of(text, name), relative)
            if found is not None:
                return found
        if folder == root:
            return None
    return None


def _files(folder: Path) -> Iterator[Path]:
    yield from sorted(each for each in folder.glob("*.dvc") if each.is_file())
    if (folder / "dvc.lock").is_file():
        yield folder / "dvc.lock"


def _of(outputs: Iterator[Tracked], relative: str) -> Tracked | None:
    for each in outputs:
        if each.path == relative:
            return each
        if each.md5.endswith(".dir") and relative.startswith(f"{each.path}/"):
            return msgspec.structs.replace(each, inner=relative[len(each.path) + 1 :])
    return None


def outputs_of(text: str, file: str) -> Iterator[Tracked]:
    """Yield what a ``.dvc`` file or a ``dvc.lock`` tracks; raises InputError."""
    told = read_yaml(text, file)
    if not isinstance(told, dict):
        raise InputError(
            "it is no file of DVC",
            where=file,
            why="it holds no mapping",
            fix="dvc add the file anew",
        )
    folder = Path(file).parent
    if Path(file).name == "dvc.lock":
        stages = told.get("stages")
        for stage, about in (stages if isinstance(stages, dict) else {}).items():
            outs = about.get("outs") if isinstance(about, dict) else None
            yield from _outputs(outs, folder, file, str(stage))
        return
    working = folder / str(told.get("wdir") or ".")
    yield from _outputs(told.get("outs"), working, file, "")


def _outputs(outs: Any, folder: Path, file: str, stage: str) -> Iterator[Tracked]:
    for out in outs if isinstance(outs, list) else []:
        md5 = str(out.get("md5", "")) if isinstance(out, dict) else ""
        if not _HASH.fullmatch(md5) or not out.get("path"):
            continue
        size = out.get("size")
        yield Tracked(
            path=_plain(folder / str(out["path"])),
            md5=md5,
            file=file,
            size=size if isinstance(size, int) else None,
            stage=stage,
            legacy=out.get("hash") != "md5",
        )


def _plain(path: Path) -> str:
    """Return a path without ``.`` and ``..``, which leads nowhere outside of its beginning."""
    parts: list[str] = []
    for part in path.as_posix().split("/"):
        if part == ".." and parts:
            parts.pop()
        elif part not in {".", "..", ""}:
            parts.append(part)
    return "/".join(parts)


def agreement(path: Path, found: Tracked, root: Path) -> Agreement:
    """Return whether the bytes of a file are those that DVC wrote down.

    Of a folder it is known where DVC's cache has its list of files.
    """
    expected = found.md5
    if expected.endswith(".dir"):
        listed = _in_folder(cache_path(root, expected, legacy=found.legacy), found.inner)
        if not listed:
            return "unchecked"
        expected = listed
    return "same" if expected in {md5_of(path), _md5_of_text(path, found)} else "changed"


def _md5_of_text(path: Path, found: Tracked) -> str:
    """Return the hash as DVC 2 made it of texts: with the line ends of Unix."""
    if not found.legacy:
        return ""
    return hashlib.md5(path.read_bytes().replace(b"\r\n", b"\n"), usedforsecurity=False).hexdigest()


def md5_of(path: Path) -> str:
    """Return the MD5 of a file's bytes, in constant memory."""
    hasher = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as stream:
        while piece := stream.read(_CHUNK):
            hasher.update(piece)
    return hasher.hexdigest()


def _in_folder(listing: Path, inner: str) -> str:
    try:
        told = json.loads(listing.read_bytes())
    except (OSError, ValueError):
        return ""
    known = {str(e.get("relpath")): str(e.get("md5")) for e in told if isinstance(e, dict)}
    return known.get(inner, "")


def cache_path(root: Path, md5: str, *, legacy: bool) -> Path:
    """Return where DVC's cache keeps a file, which may be a folder elsewhere."""
    settings = _settings(root)
    told = settings.get("cache", {}).get("dir", "")
    folder = (root / ".dvc" / told).resolve() if told else root / ".dvc" / "cache"
    return folder / object_path(md5, legacy=legacy)


def object_path(md5: str, *, legacy: bool) -> str:
    """Return the path of an object below a cache or a remote."""
    inner = f"{md5[:2]}/{md5[2:]}"
    return inner if legacy else f"files/md5/{inner}"


def remote_address(root: Path, *, secret: bool = False) -> str:
    """Return the address of the default remote, empty for none; without credentials.

    ``secret`` keeps what it says, for whoever goes there.
    """
    settings = _settings(root)
    name = settings.get("core", {}).get("remote", "")
    address = settings.get(f"remote:{name}", {}).get("url", "")
    return address if secret else without_credentials(address)


def _settings(root: Path) -> Mapping[str, Mapping[str, str]]:
    """Return the sections of DVC's configuration, the local one over that of the repository."""
    found: dict[str, dict[str, str]] = {}
    for name in ("config", "config.local"):
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read(root / ".dvc" / name, encoding="utf-8")
        except (configparser.Error, OSError, UnicodeDecodeError):
            continue
        for section in parser.sections():
            match = re.fullmatch(r"""'?remote "(.+?)"'?""", section)
            key = f"remote:{match[1]}" if match else section
            found.setdefault(key, {}).update(parser.items(section))
    return found
