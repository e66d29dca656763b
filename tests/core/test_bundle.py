"""Bundles on disk."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from afterfit.core.bundle import MANIFEST, Bundle, write_manifest
from afterfit.errors import AfterfitError, IntegrityError, NotFoundError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with files at two depths and their manifest."""
    folder = tmp_path / "bundle"
    (folder / "code" / "deep").mkdir(parents=True)
    (folder / "signature.json").write_text('{"task": "regression", "columns": []}')
    (folder / "code" / "deep" / "é.py").write_text("x = 1\n")
    (folder / "empty").write_bytes(b"")
    write_manifest(folder)
    return folder


def test_the_digest_is_that_of_the_content_alone(folder: Path, tmp_path: Path) -> None:
    """Another place, other times and another order of writing give the same version."""
    digest = Bundle(folder).verify()
    copy = tmp_path / "elsewhere"
    copy.mkdir()
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file() and path.name != MANIFEST:
            target = copy / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            os.utime(target, (1, 1))
    assert write_manifest(copy).digest == digest
    assert write_manifest(copy).digest == digest, "the manifest does not hold itself"
    assert list(Bundle(folder).manifest.files) == sorted(Bundle(folder).manifest.files)
    assert Bundle(folder).digest == digest == Bundle(folder).verify(digest)
    assert Bundle(folder).signature.task == "regression"


def flip(path: Path) -> None:
    """Change one bit."""
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


@pytest.mark.parametrize(
    "harm",
    ["flip", "flip-manifest", "remove", "add", "cache", "swap", "link", "folder"],
)
def test_every_change_is_an_integrity_error_that_names_the_file(folder: Path, harm: str) -> None:
    """One bit, a file less, a file more, a cache of bytecode, a link out: none is believed."""
    digest = Bundle(folder).digest
    code = folder / "code" / "deep" / "é.py"
    if harm == "flip":
        flip(code)
    elif harm == "flip-manifest":
        text = (folder / MANIFEST).read_text()
        (folder / MANIFEST).write_text(text.replace('"schema":1', '"schema":2'))
    elif harm == "remove":
        code.unlink()
    elif harm == "add":
        (folder / "sitecustomize.py").write_text("")
    elif harm == "cache":
        (folder / "code" / "__pycache__").mkdir()
        (folder / "code" / "__pycache__" / "x.pyc").write_bytes(b"")
    elif harm == "swap":
        code.write_bytes(b"")
    elif harm == "link":
        (folder / "code" / "other").symlink_to(folder.parent, target_is_directory=True)
    else:
        code.unlink()
        code.mkdir()
    with pytest.raises(IntegrityError) as caught:
        Bundle(folder).verify(digest)
    assert str(folder) in caught.value.where


def test_a_path_out_of_the_folder_is_not_followed(folder: Path) -> None:
    """A manifest whose names lead outside is refused, even where the bytes match."""
    outside = folder.parent / "outside.txt"
    outside.write_bytes(b"")
    text = (folder / MANIFEST).read_text().replace('"empty"', '"../outside.txt"')
    (folder / MANIFEST).write_text(text)
    (folder / "empty").unlink()
    with pytest.raises(IntegrityError, match="path"):
        Bundle(folder).verify()


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"files": {"a": 1}}'])
def test_a_manifest_that_is_none_is_an_error_of_ours(folder: Path, data: bytes) -> None:
    """Whatever stands in manifest.json, no traceback of a parser comes out."""
    (folder / MANIFEST).write_bytes(data)
    with pytest.raises(AfterfitError):
        Bundle(folder).verify()
    with pytest.raises(IntegrityError, match=r"manifest\.json cannot be read"):
        _ = Bundle(folder).manifest


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path: Path) -> None:
    """The error says what a bundle is."""
    with pytest.raises(NotFoundError, match=r"manifest\.json is not there"):
        Bundle(tmp_path).verify()
