"""Writes a bundle: the same inputs give the same bytes, whoever writes them, where and when."""

from __future__ import annotations

import fnmatch
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from afterfit.core.bundle import Bundle, Golden, Variant, write_manifest
from afterfit.core.digest import canonical_json
from afterfit.core.finding import Finding
from afterfit.core.fingerprint import Fingerprint
from afterfit.core.signature import Signature
from afterfit.errors import ConflictError, InputError, UsageError
from afterfit.package.findings import CodeLeftOut
from afterfit.package.lock import exact_pins
from afterfit.store.files import os_errors, remove_tree, temporary_beside

LEFT_OUT = ("__pycache__", ".*", "*.pyc", "*.pyo", "*~")
SECRETS = ("*.pem", "*.key", "*.pfx", "*.p12", "id_rsa*", "id_ed25519*", "credentials*", "*.env")
_OWN = frozenset(
    {
        "manifest.json",
        "signature.json",
        "fingerprint.json",
        "golden.json",
        "variant.json",
        "requirements.lock",
    }
)


def draft_bundle(
    folder: Path,
    *,
    signature: Signature,
    fingerprint: Fingerprint,
    variant: Variant,
    files: Mapping[str, Path | bytes],
    golden: Golden,
    requirements: str,
    code: Path | None = None,
) -> Bundle:
    """Return the bundle written to ``folder``, which appears whole or not at all.

    ``files`` maps paths inside the bundle (``model/model.onnx``) to contents; ``code`` is a file
    or folder of the user's, copied below ``code/`` without what ``code_files`` leaves out;
    ``requirements`` are exact pins. Raises ConflictError where the folder holds something,
    InputError or UsageError for what no bundle may have.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ConflictError(f"{folder.name} holds something already", where=str(folder))
    documents = {
        "signature.json": signature,
        "fingerprint.json": fingerprint,
        "golden.json": golden,
        "variant.json": variant,
    }
    contents: dict[str, Path | bytes] = {name: canonical_json(d) for name, d in documents.items()}
    contents["requirements.lock"] = exact_pins(requirements).encode()
    contents |= {_checked(name): content for name, content in files.items()}
    if code is not None:
        contents |= {f"code/{name}": path for name, path in code_files(code)}
    _check_variant(variant, contents)
    with os_errors(folder, "write"):
        _write(folder, contents)
    return Bundle(folder)


def code_files(code: Path) -> Iterator[tuple[str, Path]]:
    """Yield (path below ``code/``, file) of the user's code, sorted; a file alone is itself.

    Caches, hidden files and what usually holds secrets are left out. Raises InputError for a
    link, which would mean something else on another machine.
    """
    if code.is_file():
        yield code.name, code
        return
    for name, path in _walk(code):
        if not _is_left_out(name):
            if path.is_symlink():
                raise InputError(
                    f"{name} is a link",
                    where=str(path),
                    why="a bundle holds files: a link leads elsewhere on another machine",
                    fix=f"put the file itself in its place, or leave it out of {code.name}",
                )
            if path.is_file():
                yield name, path


def code_finding(code: Path | None) -> Finding:
    """Return what was left out of the user's code."""
    if code is None:
        return CodeLeftOut.not_applicable("the model needs no code of the user's")
    left = [name for name, _ in _walk(code) if _is_left_out(name)] if code.is_dir() else []
    secrets = [name for name in left if _matches(name, SECRETS)]
    if secrets:
        return CodeLeftOut.issue(
            f"{len(secrets)} file(s) that usually hold secrets were left out",
            where=str(code.name),
            fix="hand the server what it needs by its environment",
            files=secrets[:20],
        )
    return CodeLeftOut.passed(f"{len(left)} cache or hidden files were left out")


def _walk(code: Path) -> list[tuple[str, Path]]:
    paths = (path for path in code.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted((path.relative_to(code).as_posix(), path) for path in paths)


def _is_left_out(name: str) -> bool:
    return _matches(name, LEFT_OUT) or _matches(name, SECRETS)


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    parts = PurePosixPath(name).parts
    return any(fnmatch.fnmatchcase(part, pattern) for part in parts for pattern in patterns)


def _checked(name: str) -> str:
    path = PurePosixPath(name)
    bad = path.is_absolute() or ".." in path.parts or path.as_posix() != name
    if bad or name in _OWN or any(sign in name for sign in "\\:\0") or not name:
        raise UsageError(
            f"not a path for a file of a bundle: {name!r}",
            why="it is a plain relative path, and none of the bundle's own names",
            fix="put it below model/",
        )
    return name


def _check_variant(variant: Variant, contents: Mapping[str, Path | bytes]) -> None:
    if variant.file and variant.file not in contents:
        raise UsageError(
            f"the variant runs {variant.file!r}, which is not among the files",
            why=f"there are: {', '.join(sorted(contents))}",
        )
    if variant.code and not any(name.startswith("code/") for name in contents):
        raise UsageError("the variant needs the user's code, and none was given")


def _write(folder: Path, contents: Mapping[str, Path | bytes]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(folder)
    try:
        for name, content in sorted(contents.items()):
            target = temporary / name
            target.parent.mkdir(parents=True, exist_ok=True)
            # Not copied with its mode, times or owner: the bytes are all that ships.
            if isinstance(content, bytes):
                target.write_bytes(content)
            else:
                shutil.copyfile(content, target)
        write_manifest(temporary)
        if folder.exists():
            folder.rmdir()
        temporary.rename(folder)
    finally:
        remove_tree(temporary)
