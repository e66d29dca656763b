"""Layers: the same files give the same bytes, wherever and by whomever they were written."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from afterfit.errors import InputError
from afterfit.package.oci.layers import Content, layer_file, tree

LONG = "a/" + "n" * 120 + ".py"


def written(folder: Path, *, umask: int, mtime: int) -> None:
    """The files of one layer."""
    before = os.umask(umask)
    try:
        for name, body in {"b.txt": b"b", LONG: b"x", "a/run.sh": b"#!/bin/sh\n"}.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
            os.utime(path, (mtime, mtime))
        (folder / "a" / "run.sh").chmod(0o700)
    finally:
        os.umask(before)


def test_folder_umask_and_time_do_not_matter(tmp_path: Path) -> None:
    """Two folders with equal files give one digest; the digest of the plain tar is told too."""
    written(tmp_path / "one", umask=0o022, mtime=1)
    written(tmp_path / "deep" / "two", umask=0o077, mtime=2_000_000_000)
    one = layer_file(tmp_path / "1.gz", tree(tmp_path / "one", "opt"), "n")
    two = layer_file(tmp_path / "2.gz", tree(tmp_path / "deep" / "two", "opt"), "n")
    assert one == two
    assert (tmp_path / "1.gz").read_bytes() == (tmp_path / "2.gz").read_bytes()
    assert one.files_size == 12


@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="NOT RUN: chown needs root")
def test_the_owner_does_not_matter(tmp_path: Path) -> None:
    """Files of another user give the same bytes."""
    written(tmp_path / "one", umask=0o022, mtime=1)
    mine = layer_file(tmp_path / "1.gz", tree(tmp_path / "one", "opt"), "n")
    for path in (tmp_path / "one").rglob("*"):
        os.chown(path, 12345, 54321)
    assert layer_file(tmp_path / "2.gz", tree(tmp_path / "one", "opt"), "n") == mine


def test_entries_are_sorted_and_belong_to_nobody(tmp_path: Path) -> None:
    """Folders first, all of the time 0 and of root; what could be run still can, for everybody."""
    written(tmp_path / "one", umask=0o077, mtime=7)
    layer_file(tmp_path / "1.gz", tree(tmp_path / "one", "opt"), "n")
    with tarfile.open(tmp_path / "1.gz") as tar:
        entries = tar.getmembers()
    assert [(e.name, oct(e.mode)) for e in entries] == [
        ("opt", "0o755"),
        ("opt/a", "0o755"),
        (f"opt/{LONG}", "0o644"),
        ("opt/a/run.sh", "0o755"),
        ("opt/b.txt", "0o644"),
    ]
    assert {(e.mtime, e.uid, e.gid, e.uname, e.gname) for e in entries} == {(0, 0, 0, "", "")}


def test_bytes_and_files_are_alike(tmp_path: Path) -> None:
    """A file from memory is a file from the disk."""
    (tmp_path / "f").write_bytes(b"same")
    one = layer_file(tmp_path / "1.gz", [Content("f", tmp_path / "f")], "n")
    assert layer_file(tmp_path / "2.gz", [Content("f", b"same")], "n") == one
    with tarfile.open(fileobj=io.BytesIO((tmp_path / "1.gz").read_bytes())) as tar:
        stream = tar.extractfile("f")
        assert stream is not None
        assert stream.read() == b"same"


def test_a_link_is_refused(tmp_path: Path) -> None:
    """What a link leads to is not in the image."""
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "link").symlink_to("/etc/passwd")
    with pytest.raises(InputError, match="link"):
        list(tree(tmp_path / "one", "opt"))
