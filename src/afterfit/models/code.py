"""The user's own code: which files of a folder are carried, and their digest."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from afterfit.core.digest import digest_of, sha256_file
from afterfit.errors import InputError, ModelError

__all__ = ["MAX_BYTES", "code_files", "left_out", "secrets_among", "tree_digest"]

MAX_BYTES = 200 << 20
"""The largest code folder, in bytes; more is data or an environment."""

_SKIPPED_FOLDERS = frozenset(
    {"__pycache__", "node_modules", "venv", "env", "site-packages", "build", "dist"}
)
# Tables hold rows of people: a bundle must not. Weights and lookup files (.json, .npz, .joblib,
# .onnx …) are carried, because code may need them to answer.
_SKIPPED_ENDINGS = frozenset(
    {
        ".arrow",
        ".csv",
        ".db",
        ".duckdb",
        ".feather",
        ".ipynb",
        ".parquet",
        ".pyc",
        ".pyo",
        ".sqlite",
        ".tsv",
        ".xlsx",
    }
)
_SECRETS = (
    "*.pem",
    "*.key",
    "*.pfx",
    "*.p12",
    "*.env",
    "id_rsa*",
    "id_ed25519*",
    "credentials*",
)


def code_files(folder: Path) -> dict[str, Path]:
    """Return relative path to file of everything that is carried, sorted.

    Left out: hidden files and folders (version control, environments), caches, build outputs,
    compiled Python, notebooks, tables, databases, and what usually holds secrets. Raises ModelError
    for more than 200 MB, and InputError for a link out of the folder, which leads elsewhere on
    another machine.
    """
    root = folder.resolve()
    found: dict[str, Path] = {}
    total = 0
    for name, path in _walk(root):
        if _skipped(name):
            continue
        _require_inside(name, path, root)
        if not path.is_file():
            continue
        total += path.stat().st_size
        if total > MAX_BYTES:
            raise ModelError(
                f"the code folder holds more than {MAX_BYTES >> 20} MB",
                where=str(folder),
                why="everything in it would be shipped with the model",
                fix="name the folder that holds only the model's code: --code src/",
            )
        found[name] = path
    return found


def left_out(folder: Path) -> tuple[str, ...]:
    """Return the relative paths of the files that are not carried, sorted."""
    return tuple(name for name, _ in _walk(folder.resolve()) if _skipped(name))


def secrets_among(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names of files that usually hold secrets."""
    return tuple(name for name in names if _is_secret(name))


def tree_digest(folder: Path) -> str:
    """Return the SHA-256 over names and contents of the files that are carried."""
    return digest_of({name: sha256_file(path) for name, path in code_files(folder).items()})


def _walk(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield every file and link below a folder with its relative path, sorted."""
    for path in sorted(root.rglob("*")):
        if path.is_symlink() or not path.is_dir():
            yield path.relative_to(root).as_posix(), path


def _skipped(name: str) -> bool:
    path = PurePosixPath(name)
    if path.suffix.lower() in _SKIPPED_ENDINGS or name.endswith("~") or _is_secret(name):
        return True
    return any(
        part.startswith(".") or part in _SKIPPED_FOLDERS or part.endswith(".egg-info")
        for part in path.parts
    )


def _is_secret(name: str) -> bool:
    # A module of that name is code that others import, not a file of secrets.
    if name.endswith(".py"):
        return False
    parts = PurePosixPath(name.lower()).parts
    return any(fnmatch.fnmatchcase(part, pattern) for part in parts for pattern in _SECRETS)


def _require_inside(name: str, path: Path, root: Path) -> None:
    if path.is_symlink() and not path.resolve().is_relative_to(root):
        raise InputError(
            f"{name} is a link out of the code folder",
            where=str(path),
            why="a bundle holds files: a link leads elsewhere on another machine",
            fix="put what it leads to in its place, or name a folder without it: --code src/",
        )
