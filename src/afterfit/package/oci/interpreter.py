"""Looks for Python in a base image: a wrong one would be met when the image starts, or not at all.

Only names are read, out of the tars of its layers; nothing is run.
"""

from __future__ import annotations

import re
import tarfile
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from afterfit.errors import InputError
from afterfit.package.oci.base import Base
from afterfit.package.oci.layout import Layout

__all__ = ["check_python"]

_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PROGRAM = re.compile(r"(?P<folder>(?:[^/]+/)*s?bin)/python3(?:\.(?P<minor>\d+))?")
_MUSL = re.compile(r"(?:usr/)?lib/ld-musl-[^/]+\.so\.1")
_VERSIONED = re.compile(r"python(3\.\d+)")


@dataclass
class _Seen:
    """What the layers have: Python by folder, what ``python3`` leads to, and whether it is musl."""

    versions: dict[str, set[str]] = field(default_factory=dict)
    leads: dict[str, str] = field(default_factory=dict)
    musl: bool = False


def check_python(base: Base, layout: Layout, wanted: str) -> None:
    """Do nothing for a base whose ``python3`` is ``wanted`` (``X.Y``); raises InputError.

    The layers lie in ``layout``. A layer that is compressed in a way that cannot be read here is
    taken to have what is missing.
    """
    environ = dict(word.partition("=")[::2] for word in _settings(base).get("Env") or ())
    told = environ.get("PYTHON_VERSION", "")
    if told:
        # What the official images of Python say of themselves.
        _require(".".join(told.split(".")[:2]), wanted, base)
        return
    seen, all_read = _Seen(), True
    for layer in base.layers:
        all_read &= _look(layout, layer.digest, seen)
    if seen.musl:
        raise InputError(
            "the base image has the C library musl", where=base.named,
            why="the locked wheels are made for glibc",
            fix="name a base with glibc, such as python:3.11-slim-bookworm",
        )  # fmt: skip
    found = _version(seen, environ.get("PATH") or _DEFAULT_PATH)
    if found or all_read:
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


def _look(layout: Layout, digest: str, seen: _Seen) -> bool:
    """Return whether the names of a layer could be read, which are in ``seen`` then."""
    try:
        with tarfile.open(layout.path(digest), mode="r|*") as tar:
            for entry in tar:
                name = entry.name.removeprefix("./").lstrip("/")
                seen.musl |= _MUSL.fullmatch(name) is not None
                program = _PROGRAM.fullmatch(name)
                if program is None:
                    continue
                if program["minor"]:
                    seen.versions.setdefault(program["folder"], set()).add(f"3.{program['minor']}")
                else:
                    seen.leads[program["folder"]] = entry.linkname
    except (tarfile.TarError, EOFError, OSError):
        return False
    return True
