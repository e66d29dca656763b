"""The verb ``package``: records a drafted bundle, or writes what a place needs to run it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path
from typing import Any

import msgspec

from afterfit.core.bundle import Bundle
from afterfit.core.finding import Finding
from afterfit.core.metric import Metric
from afterfit.core.progress import SILENT, Progress
from afterfit.core.shell import shell_word
from afterfit.errors import ConflictError
from afterfit.package.config import PackageConfig
from afterfit.package.destination import open_destination, write_for
from afterfit.package.image import IMAGE
from afterfit.records.package import PackageRecord, ScorerRecord
from afterfit.records.record import Environment, given
from afterfit.store.environment import current_environment
from afterfit.store.files import os_errors, remove_tree, temporary_beside

_MARK = ".afterfit-package"
_FOLDER_MODE, _FILE_MODE = 0o755, 0o644


def record_draft(
    bundle: Bundle,
    *,
    subject: str = "",
    inputs: Mapping[str, str] | None = None,
    findings: Sequence[Finding] = (),
    metrics: Sequence[Metric] = (),
    scorer: ScorerRecord | None = None,
    env: Environment | None = None,
) -> PackageRecord:
    """Return the record of a bundle that was drafted; ``subject`` is the model file's digest."""
    return PackageRecord(
        subject=subject or bundle.digest,
        inputs=dict(inputs or {}),
        bundle=bundle.digest,
        files=_sizes(bundle),
        findings=tuple(findings),
        metrics=tuple(metrics),
        scorer=scorer,
        env=env or current_environment(),
    )


def package_for(
    destination: str,
    bundle: Bundle,
    out_folder: Path,
    config: PackageConfig,
    *,
    env: Environment | None = None,
    progress: Progress = SILENT,
) -> PackageRecord:
    """Return the record of what was written to ``out_folder`` for a destination.

    The bundle's bytes are checked first. The folder appears whole or not at all; one that this
    wrote before is replaced, any other that holds something raises ConflictError. Raises
    UsageError for an unknown destination, IntegrityError for a damaged bundle, and what the
    destination raises.
    """
    writer = open_destination(destination)
    bundle.verify(bundle.digest)
    _check_free(out_folder)
    with _beside(out_folder) as temporary:
        findings = write_for(writer, bundle, temporary, config, progress)
        (temporary / _MARK).write_text(f"{bundle.digest}\n", encoding="utf-8")
        image = _image_digest(temporary / IMAGE)
        written = _settle(temporary)
        remove_tree(out_folder)
        temporary.rename(out_folder)
    return PackageRecord(
        subject=bundle.digest,
        bundle=bundle.digest,
        files=_sizes(bundle),
        destination=destination,
        written=tuple(name for name in written if name != _MARK),
        findings=tuple(findings),
        args=_given(config),
        resolved=_told(config),
        image=image,
        env=env or current_environment(),
    )


def _image_digest(layout: Path) -> str:
    """Return the digest of the image in a layout; empty where there is none."""
    if not (layout / "index.json").is_file():
        return ""
    from afterfit.package.oci.layout import Layout

    return Layout(layout).top().digest


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """Give an empty folder beside another; in the end what was made for it and not used is gone.

    Raises what ``os_errors`` makes of an error, before there is room again.
    """
    temporary = temporary_beside(folder)
    new = list(takewhile(lambda each: not each.exists(), folder.parents))
    try:
        with os_errors(folder, "write"):
            temporary.mkdir(parents=True)
            yield temporary
    finally:
        remove_tree(temporary)
        with suppress(OSError):  # a folder that holds the package, or anything else, stays
            for each in new:
                each.rmdir()


def _check_free(folder: Path) -> None:
    if folder.is_dir() and any(folder.iterdir()) and not (folder / _MARK).is_file():
        raise ConflictError(
            f"{folder.name} holds something else",
            where=str(folder),
            why="it would be replaced, and this command did not write it",
            fix=f"name another folder: --output {shell_word(f'{folder.name}-image')}",
        )
    if folder.exists() and not folder.is_dir():
        raise ConflictError(
            f"{folder.name} is a file",
            where=str(folder),
            fix=f"name another folder: --output {shell_word(folder.name + '-image')}",
        )


def _settle(folder: Path) -> list[str]:
    """Return the files written, sorted, after giving all the modes that every user can read."""
    folder.chmod(_FOLDER_MODE)
    names = []
    for path in sorted(folder.rglob("*")):
        path.chmod(_FOLDER_MODE if path.is_dir() else _FILE_MODE)
        if path.is_file():
            names.append(path.relative_to(folder).as_posix())
    return names


def _sizes(bundle: Bundle) -> dict[str, int]:
    return {name: entry.size for name, entry in bundle.manifest.files.items()}


def _given(config: PackageConfig) -> dict[str, Any]:
    """Return what was asked; of the index only that it was: an address may hold credentials.

    The name, the number and the proof are the version's, which nobody asks for.
    """
    asked = given(config)
    of_version = {"name", "number", "proven", "git_commit", "card", "sizes"}
    asked = {name: value for name, value in asked.items() if name not in of_version}
    return {**asked, "index": "given"} if "index" in asked else asked


def _told(config: PackageConfig) -> dict[str, Any]:
    """Return the config as a record may keep it: no address of an index, no credentials."""
    told: dict[str, Any] = {
        name: getattr(config, name)
        for name in config.__struct_fields__
        if name not in {"index", "proven", "card", "sizes"}
    }
    return {
        **told,
        "platforms": list(config.platforms),
        "sizes": msgspec.to_builtins(config.sizes),
        "index": "given" if config.index.given else "pip's own",
    }
