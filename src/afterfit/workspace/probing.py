"""The kit that measures a version on the machines of the finalists of a choice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from afterfit.core.serving_settings import ServingSettings
from afterfit.core.shell import shell_word
from afterfit.core.slo import slo_of
from afterfit.errors import ConflictError, NotFoundError, UsageError
from afterfit.package.config import PackageConfig
from afterfit.platforms.catalog import Catalog
from afterfit.platforms.probe.kit import Kit, finalist_of, kit_files
from afterfit.platforms.shapes import Offer
from afterfit.store.files import os_errors, remove_tree, temporary_beside
from afterfit.workspace.autoscaling import load_test_of
from afterfit.workspace.placed import newest_choice
from afterfit.workspace.prices import imported
from afterfit.workspace.probe_here import Asked

if TYPE_CHECKING:
    from afterfit.registry.version import Version
    from afterfit.workspace.space import Workspace

__all__ = ["Emitted", "Wanted", "emit_probe"]

ASKED = "probe.json"
MOST_FINALISTS = 8


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a kit shall measure: ``offers`` by id, and what the version's load test tells else.

    ``cores`` are the vCPUs of the replica, ``seconds`` what a probe takes in all.
    """

    offers: tuple[str, ...] = ()
    slo: str = ""
    cores: int = 0
    seconds: float = 600.0
    seed: int = 0


class Emitted(NamedTuple):
    """The kit's folder, what it measures, and the offers that its README starts."""

    folder: Path
    asked: Asked
    offers: tuple[Offer, ...]


def emit_probe(space: Workspace, ref: str, folder: Path, wanted: Wanted) -> Emitted:
    """Return the kit that was written to ``folder``, whole or not at all.

    Without offers they are the finalists of the version's newest choice. Raises UsageError without
    an objective or offers, NotFoundError for an offer that there is not, ConflictError for a folder
    that holds something else.
    """
    version = space.registry.resolve(ref)
    asked = _asked(space, version, wanted)
    catalog = imported(space).catalog
    offers = _offers(catalog, wanted.offers or _finalists(space, version))
    _check_free(folder)
    arm = any(each.machine.arch == "arm64" for each in offers)
    both = ("linux/amd64", "linux/arm64") if arm else ("linux/amd64",)
    config = PackageConfig(platforms=both)
    cores = asked.settings.workers * asked.settings.intra_op
    finalists = (
        finalist_of(each, catalog.sources, asked.seconds, cores=cores, machines=catalog.machines)
        for each in offers
    )
    kit = Kit(
        name=version.name, number=version.number, digest=version.digest, slo=asked.slo, cores=cores,
        seconds=asked.seconds, base=config.base, finalists=tuple(finalists),
    )  # fmt: skip
    temporary = temporary_beside(folder)
    with os_errors(folder, "write"):
        temporary.mkdir(parents=True)
        try:
            space.package(ref, "dockerfile", temporary / "image", config)
            for name, text in kit_files(kit).items():
                (temporary / name).write_text(text, encoding="utf-8", newline="\n")
            document = msgspec.json.format(msgspec.json.encode(asked), indent=2)
            (temporary / ASKED).write_bytes(document + b"\n")
            temporary.chmod(0o755)
            remove_tree(folder)
            temporary.rename(folder)
        finally:
            remove_tree(temporary)
    return Emitted(folder, asked, offers)


def _asked(space: Workspace, version: Version, wanted: Wanted) -> Asked:
    test = load_test_of(space, version, slo_of(wanted.slo) if wanted.slo else None)
    slo = wanted.slo or (test.slo if test else "")
    if not slo:
        raise UsageError(
            "there is no objective to measure by",
            why="neither --slo nor a load test of the version says what is slow",
            fix='--slo "p99<50ms"',
        )
    had = test.settings if test else {}
    settings = ServingSettings(
        workers=wanted.cores or had.get("workers") or 1,
        intra_op=1 if wanted.cores else had.get("threads") or 1,
        batch_cap=had.get("batch_cap", 0),
    )
    return Asked(
        name=version.name, number=version.number, digest=version.digest, slo=str(slo_of(slo)),
        settings=settings, seconds=wanted.seconds, seed=wanted.seed,
    )  # fmt: skip


def _finalists(space: Workspace, version: Version) -> tuple[str, ...]:
    """Return the offers that the newest choice for the version could not tell apart, or chose."""
    found = newest_choice(space, version)
    if found is None:
        return ()
    record = found[1]
    return record.probe or ((record.choice,) if record.choice else ())


def _offers(catalog: Catalog, ids: Sequence[str]) -> tuple[Offer, ...]:
    if not 0 < len(ids) <= MOST_FINALISTS:
        raise UsageError(
            f"{len(ids)} offers to measure" if ids else "it is not said which offers to measure",
            where="--for", why=f"a kit is for 1 to {MOST_FINALISTS}",
            fix="afterfit platforms NAME@champion   # or --for aws-ec2/us-east-1/m7i.large",
        )  # fmt: skip
    known = {offer.id: offer for offer in catalog.offers()}
    for each in ids:
        if each not in known:
            import difflib

            near = difflib.get_close_matches(each, known, n=1)
            raise NotFoundError(
                f"no offer is called {each!r}", where="--for",
                why="it is SERVICE/REGION/MACHINE, as `afterfit platforms` lists them",
                fix=f"--for {shell_word(near[0])}" if near else "afterfit platforms NAME@champion",
            )  # fmt: skip
    return tuple(known[each] for each in dict.fromkeys(ids))


def _check_free(folder: Path) -> None:
    if folder.exists() and not (folder / ASKED).is_file() and not _empty(folder):
        raise ConflictError(
            f"{folder.name} holds something else", where=str(folder),
            why="it would be replaced, and this command did not write it",
            fix=f"name another folder: --output {shell_word(f'{folder.name}-probe')}",
        )  # fmt: skip


def _empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())
