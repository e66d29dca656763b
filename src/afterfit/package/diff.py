"""What differs between the packages of two versions, from the folders that were written."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from afterfit.core.digest import sha256_file
from afterfit.package.sbom import FILE as BILL
from afterfit.package.sizes import Scaling, Sized, Sizes

__all__ = ["PackageChange", "PackageDiff", "SizeChange", "TextDiff", "Written", "compare_packages"]

State = Literal["added", "removed", "changed"]
CONTEXT = 3
_BUNDLE, _BLOBS, _MARK = "bundle", "blobs", ".afterfit-package"
_NOT_TEXT = frozenset({".lock", ".whl", ".md"})
"""What says more as packages, or only repeats what is in other files."""


class PackageChange(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the bill of materials; a version is empty where it is not there.

    ``kind`` is CycloneDX's: ``library`` for a package, ``container`` for the base, ``file`` and
    ``machine-learning-model`` for what is in the bundle. Versions of files are their digests.
    """

    name: str
    kind: str
    old: str
    new: str


class SizeChange(msgspec.Struct, frozen=True, kw_only=True):
    """A number of `Sizes` that differs, with the reason for the new one."""

    name: str
    old: float
    new: float
    why: str


class TextDiff(msgspec.Struct, frozen=True, kw_only=True):
    """One file of the package that differs; ``diff`` is unified, and empty where it is no text."""

    path: str
    state: State
    diff: str = ""


class PackageDiff(msgspec.Struct, frozen=True, kw_only=True):
    """What changes from one package to another that was written for the same destination."""

    destination: str
    materials: tuple[PackageChange, ...] = ()
    sizes: tuple[SizeChange, ...] = ()
    files: tuple[TextDiff, ...] = ()

    @property
    def packages(self) -> tuple[PackageChange, ...]:
        """The distributions that were added, removed or replaced by another version."""
        return tuple(each for each in self.materials if each.kind == "library")


class Written(NamedTuple):
    """A package on disk: its folder, and the sizes that it was written with."""

    folder: Path
    sizes: Sizes


def compare_packages(destination: str, old: Written, new: Written) -> PackageDiff:
    """Return what changes from ``old`` to ``new``, sorted by name; both are whole packages."""
    return PackageDiff(
        destination=destination,
        materials=tuple(_materials(_bill(old.folder), _bill(new.folder))),
        sizes=tuple(_sizes(_flat(old.sizes), _flat(new.sizes))),
        files=tuple(_files(_paths(old.folder), _paths(new.folder))),
    )


def _bill(folder: Path) -> dict[str, tuple[str, str]]:
    """Return name to (kind, version or digest) of the package's bill of materials."""
    path = next(iter(sorted(folder.rglob(BILL))), None)
    components = json.loads(path.read_bytes())["components"] if path else []
    return {_named(each): (each["type"], _version(each)) for each in components}


def _named(component: Mapping[str, Any]) -> str:
    reference = str(component["bom-ref"])
    return str(component["name"]) if component["type"] == "library" else reference


def _version(component: Mapping[str, Any]) -> str:
    hashes = [each["content"][:12] for each in component.get("hashes", [])]
    if component["type"] == "library":
        return str(component["version"])
    told = [str(component["name"])] if component["type"] == "container" else []
    told += [str(component["version"])] if "version" in component else []
    return " ".join([*told, *(f"sha256:{each}" for each in hashes)])


def _materials(
    old: Mapping[str, tuple[str, str]], new: Mapping[str, tuple[str, str]]
) -> Iterator[PackageChange]:
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name, ("", "")), new.get(name, ("", ""))
        if before != after:
            kind = after[0] or before[0]
            yield PackageChange(name=name, kind=kind, old=before[1], new=after[1])


def _flat(sizes: Sizes) -> dict[str, Sized]:
    found: dict[str, Sized] = {}
    for name in sizes.__struct_fields__:
        value = getattr(sizes, name)
        if isinstance(value, Sized):
            found[name] = value
        elif isinstance(value, Scaling):
            found |= {f"{name}.{part}": getattr(value, part) for part in value.__struct_fields__}
    return found


def _sizes(old: Mapping[str, Sized], new: Mapping[str, Sized]) -> Iterator[SizeChange]:
    for name, after in new.items():
        before = old[name]
        if before.value != after.value:
            yield SizeChange(name=name, old=before.value, new=after.value, why=after.why)


def _paths(folder: Path) -> dict[str, Path]:
    """Return the files of a package by path, without the bundle and blobs, which the bill tells."""
    found = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    return {
        each.as_posix(): path
        for each, path in sorted(found.items())
        if not {_BUNDLE, _BLOBS} & set(each.parts[:-1]) and each.name not in {BILL, _MARK}
    }


def _files(old: Mapping[str, Path], new: Mapping[str, Path]) -> Iterator[TextDiff]:
    for path in sorted(old.keys() | new.keys()):
        before, after = old.get(path), new.get(path)
        if before and after and sha256_file(before) == sha256_file(after):
            continue
        state: State = "added" if before is None else "removed" if after is None else "changed"
        yield TextDiff(path=path, state=state, diff=_unified(path, before, after))


def _unified(path: str, old: Path | None, new: Path | None) -> str:
    """Return the unified diff of two files; empty for what is no text."""
    if Path(path).suffix in _NOT_TEXT:
        return ""
    try:
        before, after = (_lines(each) for each in (old, new))
    except UnicodeDecodeError:
        return ""
    return "".join(difflib.unified_diff(before, after, f"old/{path}", f"new/{path}", n=CONTEXT))


def _lines(path: Path | None) -> list[str]:
    text = path.read_text(encoding="utf-8") if path else ""
    lines = text.splitlines(keepends=True)
    # A last line without its end would be glued to the next one of the diff.
    return [line if line.endswith("\n") else f"{line}\n" for line in lines]
