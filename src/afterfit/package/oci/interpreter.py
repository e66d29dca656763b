"""Looks for Python in a base image: a wrong one would be met when the image starts, or not at all.

Only names are read, out of the tars of its layers; nothing is run.
"""

from __future__ import annotations

import re
import tarfile
from pathlib import PurePosixPath
from typing import Any

import msgspec

from afterfit.errors import InputError
from afterfit.package.oci.base import Base
from afterfit.package.oci.cache import LayerCache
from afterfit.package.oci.layout import Layout

__all__ = ["check_python"]

_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PROGRAM = re.compile(r"(?P<folder>(?:[^/]+/)*s?bin)/python3(?:\.(?P<minor>\d+))?")
_MUSL = re.compile(r"(?:usr/)?lib/ld-musl-[^/]+\.so\.1")
_VERSIONED = re.compile(r"python(3\.\d+)")


class _Seen(msgspec.Struct):
    """What a layer has: Python by folder, what ``python3`` leads to, and whether it is musl.

    ``read`` says whether its names could be read.
    """

    versions: dict[str, set[str]] = msgspec.field(default_factory=dict)
    leads: dict[str, str] = msgspec.field(default_factory=dict)
    musl: bool = False
    read: bool = True

    def over(self, below: _Seen) -> _Seen:
        """Return what both have, this one on top."""
        versions = {
            folder: self.versions.get(folder, set()) | below.versions.get(folder, set())
            for folder in {*self.versions, *below.versions}
        }
        leads, musl = below.leads | self.leads, below.musl or self.musl
        return _Seen(versions, leads, musl, below.read and self.read)


def check_python(base: Base, layout: Layout, wanted: str, cache: LayerCache) -> None:
    """Do nothing for a base whose ``python3`` is ``wanted`` (``X.Y``); raises InputError.

    The layers lie in ``layout``; one that was looked at before is not read again. A layer that is
    compressed in a way that cannot be read here is taken to have what is missing.
    """
    environ = dict(word.partition("=")[::2] for word in _settings(base).get("Env") or ())
    told = environ.get("PYTHON_VERSION", "")
    if told:
        # What the official images of Python say of themselves.
        _require(".".join(told.split(".")[:2]), wanted, base)
        return
    seen = _Seen()
    for layer in base.layers:
        seen = _look(layout, layer.digest, cache).over(seen)
    if seen.musl:
        raise InputError(
            "the base image has the C library musl", where=base.named,
            why="the locked wheels are made for glibc",
            fix="name a base with glibc, such as python:3.11-slim-bookworm",
        )  # fmt: skip
    found = _version(seen, environ.get("PATH") or _DEFAULT_PATH)
    if found or seen.read:
        _require(found, wanted, base)


def _settings(base: Base) -> dict[str, Any]:
    found: dict[str, Any] = base.config.get("config") or {}
    return found


def _require(found: str, wanted: str, base: Base) -> None:
    if not found:
        raise InputError(
            "the base image has no Python", where=base.named,
            why="there is no python3 in the folders of its PATH",
            fix=f"name a base with Python {wanted}, such as python:{wanted}-slim-bookworm",
        )  # fmt: skip
    if found != wanted:
        raise InputError(
            f"the base image has Python {found} and not {wanted}", where=base.named,
            why="the wheels are chosen for one version of Python",
            fix=f"--python {found}, or name a base with Python {wanted}",
        )  # fmt: skip


def _version(seen: _Seen, path: str) -> str:
    """Return ``X.Y`` of the first ``python3`` on the path, empty where none can be told."""
    for folder in (each.strip("/") for each in path.split(":")):
        if folder not in seen.leads:
            continue
        link = _VERSIONED.fullmatch(PurePosixPath(seen.leads[folder]).name)
        if link:
            return link[1]
        # A file and no link: of the versions beside it there is one.
        beside = seen.versions.get(folder, set())
        if len(beside) == 1:
            return next(iter(beside))
    return ""


def _look(layout: Layout, digest: str, cache: LayerCache) -> _Seen:
    key = ["python", digest]
    known = cache.recall(key, _Seen)
    if known is not None:
        return known
    seen = _Seen()
    try:
        with tarfile.open(layout.path(digest), mode="r|*") as tar:
            for entry in tar:
                _note(entry, seen)
    except (tarfile.TarError, EOFError, OSError):
        return _Seen(read=False)
    cache.remember(key, seen)
    return seen


def _note(entry: tarfile.TarInfo, seen: _Seen) -> None:
    name = entry.name.removeprefix("./").lstrip("/")
    seen.musl |= _MUSL.fullmatch(name) is not None
    program = _PROGRAM.fullmatch(name)
    if program is None:
        return
    if program["minor"]:
        seen.versions.setdefault(program["folder"], set()).add(f"3.{program['minor']}")
    else:
        seen.leads[program["folder"]] = entry.linkname
