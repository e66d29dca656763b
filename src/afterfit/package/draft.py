"""Writes a bundle: the same inputs give the same bytes, whoever writes them, where and when."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from afterfit.core.bundle import Bundle, Golden, Variant, write_manifest
from afterfit.core.digest import canonical_json
from afterfit.core.finding import Finding
from afterfit.core.fingerprint import Fingerprint
from afterfit.core.signature import Signature
from afterfit.errors import ConflictError, UsageError
from afterfit.models.code import left_out, secrets_among
from afterfit.package.findings import CodeLeftOut
from afterfit.package.lock import exact_pins
from afterfit.store.files import os_errors, remove_tree, temporary_beside

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
) -> Bundle:
    """Return the bundle written to ``folder``, which appears whole or not at all.

    ``files`` maps paths inside the bundle (``model/model.onnx``, ``code/encoder.py``) to contents;
    ``requirements`` are exact pins. Raises ConflictError where the folder holds something,
    InputError or UsageError for what no bundle may have.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ConflictError(
            f"{folder.name} holds something already", where=str(folder), fix="name an empty folder"
        )
    documents = {
        "signature.json": signature,
        "fingerprint.json": fingerprint,
        "golden.json": golden,
        "variant.json": variant,
    }
    contents: dict[str, Path | bytes] = {name: canonical_json(d) for name, d in documents.items()}
    contents["requirements.lock"] = exact_pins(requirements).encode()
    contents |= {_checked(name): content for name, content in files.items()}
    _check_variant(variant, contents)
    with os_errors(folder, "write"):
        _write(folder, contents)
    return Bundle(folder)


def code_finding(code: Path | None) -> Finding:
    """Return what was left out of the user's code."""
    if code is None:
        return CodeLeftOut.not_applicable("the model needs no code of the user's")
    left = left_out(code)
    secrets = secrets_among(left)
    if secrets:
        return CodeLeftOut.issue(
            f"{len(secrets)} file(s) that usually hold secrets were left out",
            where=str(code.name),
            fix="hand the server what it needs by its environment",
            files=list(secrets[:20]),
        )
    return CodeLeftOut.passed(f"{len(left)} caches, hidden files and tables were left out")


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
            fix="add the file, or name one of those",
        )
    if variant.code and not any(name.startswith("code/") for name in contents):
        raise UsageError(
            "the variant needs the user's code, and none was given", fix="give --code FOLDER"
        )


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
