"""Tables by what DVC wrote down: ``dvc:data/test.csv@v1.2`` is the file at a revision of Git.

The bytes come from DVC's cache, else from its default remote, and are held to the hash.
"""

from __future__ import annotations

import dataclasses
import importlib
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from afterfit.core.shell import shell_word
from afterfit.errors import (
    DependencyError,
    InputError,
    IntegrityError,
    NotFoundError,
    UnavailableError,
    UsageError,
    first_line,
)
from afterfit.registry.lineage.dvc import (
    Tracked,
    cache_path,
    md5_of,
    object_path,
    outputs_of,
    remote_address,
    root_of,
)
from afterfit.store.files import replacing
from afterfit.store.git import run_git

if TYPE_CHECKING:
    from afterfit.workspace.folder import WorkspaceFolder
    from afterfit.workspace.sources import Sources

__all__ = ["PREFIX", "from_dvc", "is_dvc", "table_of"]

PREFIX = "dvc:"
_SECONDS = 30.0


def is_dvc(given: Any) -> bool:
    """Return whether a table is one that DVC has."""
    return isinstance(given, str) and given.startswith(PREFIX)


def from_dvc(space: WorkspaceFolder, sources: Sources) -> Sources:
    """Return the sources with the files of tables that are named by DVC."""
    files: dict[str, Any] = {}
    tracked: dict[str, Tracked] = {}
    for role in ("data", "train"):
        given = getattr(sources, role)
        if is_dvc(given):
            files[role], tracked[role] = table_of(space, given)
    return dataclasses.replace(sources, **files, tracked=tracked) if files else sources


def table_of(space: WorkspaceFolder, given: str) -> tuple[Path, Tracked]:
    """Return the file of ``dvc:PATH[@REVISION]`` and what DVC says of it.

    The path is relative to this folder. Raises NotFoundError where DVC tracks no such file or
    nobody has its bytes, IntegrityError for other bytes, and the errors of the remote.
    """
    name, _, revision = given.removeprefix(PREFIX).lstrip("/").partition("@")
    if not name or revision.startswith("-") or given.startswith("dvc://"):
        raise UsageError(
            f"not a table of DVC: {given!r}",
            why="it is dvc:PATH or dvc:PATH@REVISION, the path relative to this folder",
            fix="--data dvc:data/test.csv@v1.2",
        )
    path, root = (Path.cwd() / name).resolve(), root_of(Path.cwd())
    if root is None or not path.is_relative_to(root.resolve()):
        raise NotFoundError(
            "the table is in no repository of DVC that holds this folder", where=str(path),
            fix="go to the checkout that holds .dvc",
        )  # fmt: skip
    found = _found(root, path.relative_to(root.resolve()).as_posix(), revision)
    target = space.folder / "dvc" / found.md5 / Path(name).name
    if not (target.is_file() and md5_of(target) == found.md5):
        space.progress.step("fetch from DVC")
        _fetch(root, found, target)
    return target, found


def _found(root: Path, path: str, revision: str) -> Tracked:
    folder = Path(path).parent
    names = [f"{path}.dvc", *((each / "dvc.lock").as_posix() for each in [folder, *folder.parents])]
    for name in dict.fromkeys(names):
        text = _text(root, name, revision)
        for each in outputs_of(text, name) if text else ():
            if each.path == path:
                return each
    at = f" at {revision}" if revision else ""
    raise NotFoundError(
        f"DVC tracks no file {path}{at}",
        where=str(root),
        why="neither its own .dvc file nor a dvc.lock names it; files of a tracked folder are not "
        "taken one by one",
        fix=f"dvc add {shell_word(path)}, or look at: dvc list .",
    )


def _text(root: Path, name: str, revision: str) -> str:
    """Return a file of the repository as it is, or as it was at a revision; empty for none."""
    if not revision:
        return (root / name).read_text("utf-8") if (root / name).is_file() else ""
    if not run_git(root, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}"):
        raise NotFoundError(
            f"there is no revision {revision}", where=str(root),
            fix="git fetch --all --tags, or name another one",
        )  # fmt: skip
    prefix = run_git(root, "rev-parse", "--show-prefix")
    done = subprocess.run(
        ["git", "-C", str(root), "show", f"{revision}:{prefix}{name}"],  # noqa: S607
        capture_output=True,
        timeout=_SECONDS,
        check=False,
    )
    return done.stdout.decode(errors="replace") if done.returncode == 0 else ""


def _fetch(root: Path, found: Tracked, target: Path) -> None:
    """Write the bytes to ``target``: those of the working copy or the cache, else of the remote."""
    if found.md5.endswith(".dir"):
        raise InputError(
            f"{found.path} is a folder", where=found.file, fix="name a table that DVC tracks itself"
        )
    for near in (root / found.path, cache_path(root, found.md5, legacy=found.legacy)):
        if near.is_file() and md5_of(near) == found.md5:
            with near.open("rb") as source:
                _copy(source, target)
            return
    address = remote_address(root, secret=True)
    if not address:
        raise NotFoundError(
            f"nobody here has {found.path} as it was then",
            where=f"md5:{found.md5}",
            why="it is not in DVC's cache, and there is no default remote",
            fix="dvc remote default NAME, or copy the cache",
        )
    _from_remote(root, address, found, target)
    if md5_of(target) != found.md5:
        target.unlink()
        raise IntegrityError(
            f"the remote has other bytes for {found.path}",
            where=remote_address(root),
            why=f"their MD5 is not {found.md5}",
            fix="dvc fetch, or push the file anew from a copy that is whole",
        )


def _from_remote(root: Path, address: str, found: Tracked, target: Path) -> None:
    local = "://" not in address
    place = str((root / ".dvc" / address).resolve()) if local else address.rstrip("/")
    whole = f"{place}/{object_path(found.md5, legacy=found.legacy)}"
    try:
        if local:
            with Path(whole).open("rb") as source:
                _copy(source, target)
            return
        fsspec = importlib.import_module("fsspec")
        with fsspec.open(whole, "rb") as source:
            _copy(source, target)
    except ImportError as error:
        raise DependencyError(
            "the remote of DVC needs a package", where=remote_address(root), why=first_line(error),
            fix="pip install 'afterfit[objectstore]'",
        ) from None  # fmt: skip
    except FileNotFoundError:
        raise NotFoundError(
            f"the remote does not have {found.path}",
            where=f"{remote_address(root)}, md5:{found.md5}",
            fix="dvc push, where somebody has it",
        ) from None
    except Exception as error:  # noqa: BLE001 - the libraries of stores have errors of their own
        raise UnavailableError(
            "the remote of DVC failed", where=remote_address(root), why=type(error).__name__,
            fix="look at its credentials in the environment, then run the same command again",
        ) from None  # fmt: skip


def _copy(source: Any, target: Path) -> None:
    with replacing(target) as stream:
        while piece := source.read(1 << 20):
            stream.write(piece)
