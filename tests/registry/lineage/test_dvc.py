"""What DVC's own files say of a table."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from afterfit.errors import InputError
from afterfit.registry.lineage.dvc import agreement, cache_path, remote_address, root_of, tracked

ROWS = b"age,left\n30,1\n"
MD5 = hashlib.md5(ROWS, usedforsecurity=False).hexdigest()
CONFIG = (
    "[core]\n    remote = store\n['remote \"store\"']\n    url = https://ana:secret@dvc.example/x\n"
)


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository of DVC with ``data/test.csv``."""
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text(CONFIG)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "test.csv").write_bytes(ROWS)
    return tmp_path


def test_a_dvc_file_beside_the_data_is_read(repo: Path) -> None:
    """Hash and size; and whether the bytes are still those."""
    table = repo / "data" / "test.csv"
    text = f"outs:\n- md5: {MD5}\n  size: {len(ROWS)}\n  hash: md5\n  path: test.csv\n"
    (repo / "data" / "test.csv.dvc").write_text(text)
    found = tracked(table)
    assert found is not None
    assert (found.md5, found.size, found.file) == (MD5, len(ROWS), "data/test.csv.dvc")
    assert agreement(table, found, repo) == "same"
    table.write_bytes(ROWS + b"40,0\n")
    assert agreement(table, found, repo) == "changed"


def test_the_stage_of_a_pipeline_is_told(repo: Path) -> None:
    """Of ``dvc.lock`` the outputs count, and not what a stage read."""
    deps = f"    deps:\n    - path: raw.csv\n      md5: {'0' * 32}\n"
    outs = f"    outs:\n    - path: data/test.csv\n      hash: md5\n      md5: {MD5}\n"
    text = f"schema: '2.0'\nstages:\n  split:\n    cmd: python split.py --at 0.5\n{deps}{outs}"
    (repo / "dvc.lock").write_text(text)
    found = tracked(repo / "data" / "test.csv")
    assert found is not None
    assert (found.stage, found.md5) == ("split", MD5)
    (repo / "raw.csv").write_bytes(b"x")
    assert tracked(repo / "raw.csv") is None


def test_a_file_of_a_tracked_folder_is_held_to_the_list_in_the_cache(repo: Path) -> None:
    """Without the list nothing is said of it."""
    folder = f"{'1' * 32}.dir"
    (repo / "data.dvc").write_text(f"outs:\n- md5: {folder}\n  hash: md5\n  path: data\n")
    table = repo / "data" / "test.csv"
    found = tracked(table)
    assert found is not None
    assert (found.md5, found.inner) == (folder, "test.csv")
    assert agreement(table, found, repo) == "unchecked"
    listing = cache_path(repo, folder, legacy=False)
    listing.parent.mkdir(parents=True)
    listing.write_text(json.dumps([{"md5": MD5, "relpath": "test.csv"}]))
    assert agreement(table, found, repo) == "same"


def test_line_ends_of_windows_count_as_dvc_2_counted_them(repo: Path) -> None:
    """Its hashes of texts were made with the line ends of Unix; those of DVC 3 are of the bytes."""
    table = repo / "data" / "test.csv"
    table.write_bytes(ROWS.replace(b"\n", b"\r\n"))
    for kind, agrees in (("", "same"), ("  hash: md5\n", "changed")):
        text = f"outs:\n- md5: {MD5}\n{kind}  path: test.csv\n"
        (repo / "data" / "test.csv.dvc").write_text(text)
        found = tracked(table)
        assert found is not None
        assert agreement(table, found, repo) == agrees


def test_nothing_is_said_outside_of_a_repository(tmp_path: Path) -> None:
    """A ``.dvc`` file without one is not believed."""
    (tmp_path / "test.csv").write_bytes(ROWS)
    (tmp_path / "test.csv.dvc").write_text(f"outs:\n- md5: {MD5}\n  path: test.csv\n")
    assert root_of(tmp_path) is None
    assert tracked(tmp_path / "test.csv") is None


def test_a_broken_file_is_told_by_its_line(repo: Path) -> None:
    """Rather than taken for one that says nothing."""
    (repo / "data" / "test.csv.dvc").write_text("outs:\n- md5: 'open\n")
    with pytest.raises(InputError) as caught:
        tracked(repo / "data" / "test.csv")
    assert caught.value.where == "data/test.csv.dvc:2"


def test_the_remote_is_told_without_credentials(repo: Path) -> None:
    """The local configuration wins."""
    assert remote_address(repo) == "https://dvc.example/x"
    (repo / ".dvc" / "config.local").write_text("['remote \"store\"']\n    url = s3://k:s@b/p\n")
    assert remote_address(repo) == "s3://b/p"
