"""``afterfit package diff``: what another version changes in what is deployed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from afterfit.cli.common import Common, opened
from afterfit.cli.output import Answer
from afterfit.package.config import PackageConfig
from afterfit.package.diff import PackageChange, PackageDiff
from afterfit.registry.diff import VersionDiff
from afterfit.workspace.packaging import compared

Destination = Annotated[str, Parameter(name=["--for", "--destination"], help="The kind of place.")]


def diff(
    first: str,
    second: str,
    *,
    destination: Destination = "dockerfile",
    image: Annotated[str, Parameter(help="Its name in a registry, without a tag.")] = "",
    common: Common = Common(),  # noqa: B008 - frozen
) -> Answer:
    """Show what changes in the package of one version when it becomes that of another.

    Both are written for the place and compared: what callers see (the signature), what is in the
    image (packages and files by digest, as in the bill of materials), the sizes with their reasons,
    and each file of the place as a unified diff. Exit 0 whatever it says.

    Parameters
    ----------
    first
        The older one, such as churn@1 or churn@champion.
    second
        The newer one, such as churn@2.

    """
    with opened(common) as space:
        config = PackageConfig(image=image)
        versions, packages = compared(space, first, second, destination, config)
    result: dict[str, Any] = {
        "old": msgspec.to_builtins(versions.old),
        "new": msgspec.to_builtins(versions.new),
        "signature": msgspec.to_builtins(versions.signature),
        "breaking": bool(versions.breaking),
        **msgspec.to_builtins(packages),
    }
    return Answer(result, "\n".join(_told(versions, packages)), warnings=space.warnings)


def _told(versions: VersionDiff, packages: PackageDiff) -> Iterator[str]:
    old, new = versions.old, versions.new
    yield f"{old.name}@{old.number} -> {new.name}@{new.number}, for {packages.destination}"
    yield f"bundle sha256:{old.digest[:12]} -> sha256:{new.digest[:12]}" + (
        " (the same)" if versions.same_bytes else ""
    )
    yield from _part("Signature", [
        f"{'! ' if each.breaking else '  '}{each.where}: {each.old or '-'} -> {each.new or '-'}"
        + (f" ({each.why})" if each.why else "")
        for each in versions.signature
    ])  # fmt: skip
    yield from _part("Packages", _changes(packages.packages))
    others = [each for each in packages.materials if each.kind != "library"]
    yield from _part("Base and files of the image", _changes(others))
    yield from _part("Sizes", [
        f"  {each.name}: {each.old:g} -> {each.new:g} ({each.why})" for each in packages.sizes
    ])  # fmt: skip
    yield from _part("Files of the place", [
        each.diff.rstrip("\n") or f"  {each.path}: {each.state}" for each in packages.files
    ])  # fmt: skip


def _changes(changes: tuple[PackageChange, ...] | list[PackageChange]) -> list[str]:
    return [f"  {each.name}: {each.old or '-'} -> {each.new or '-'}" for each in changes]


def _part(title: str, lines: list[str]) -> Iterator[str]:
    yield ""
    yield title
    yield from lines or ["  the same"]
