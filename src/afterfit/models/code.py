"""The user's own code: which files of a folder are carried, and their digest."""

from __future__ import annotations

from pathlib import Path

from afterfit.core.digest import digest_of, sha256_file
from afterfit.errors import ModelError

__all__ = ["MAX_BYTES", "code_files", "tree_digest"]

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


def code_files(folder: Path) -> dict[str, Path]:
    """Return relative path to file of everything that is carried, sorted.

    Left out: hidden files and folders (version control, environments, secrets), caches, build
    outputs, compiled Python, notebooks, tables and databases. Links out of the folder are left out
    too. Raises ModelError for more than 200 MB.
    """
    root = folder.resolve()
    found: dict[str, Path] = {}
    total = 0
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if not path.is_file() or _skipped(relative) or not path.resolve().is_relative_to(root):
            continue
        total += path.stat().st_size
        if total > MAX_BYTES:
            raise ModelError(
                f"the code folder holds more than {MAX_BYTES >> 20} MB",
                where=str(folder),
                why="everything in it would be shipped with the model",
                fix="name the folder that holds only the model's code: --code src/",
            )
        found[relative.as_posix()] = path
    return found


def _skipped(relative: Path) -> bool:
    if relative.suffix.lower() in _SKIPPED_ENDINGS:
        return True
    return any(
        part.startswith(".") or part in _SKIPPED_FOLDERS or part.endswith(".egg-info")
        for part in relative.parts
    )


def tree_digest(folder: Path) -> str:
    """Return the SHA-256 over names and contents of the files that are carried."""
    return digest_of({name: sha256_file(path) for name, path in code_files(folder).items()})
