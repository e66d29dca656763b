"""Tables that are named by DVC: the bytes of a revision, held to their hash."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from afterfit import Workspace
from afterfit.config import Config
from afterfit.errors import AfterfitError, IntegrityError, NotFoundError, UsageError
from afterfit.workspace.dvc_data import from_dvc, table_of
from afterfit.workspace.sources import Sources

OLD, NEW = b"age,left\n30,1\n", b"age,left\n30,1\n40,0\n"


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout at the new table, whose old bytes are in the remote and tagged v1."""
    repo, remote = tmp_path / "repo", tmp_path / "remote"
    (repo / ".dvc").mkdir(parents=True)
    (repo / ".dvc" / "config").write_text(
        "[core]\n    remote = store\n['remote \"store\"']\n    url = ../../remote\n"
    )
    old = remote / "files" / "md5" / _md5(OLD)[:2] / _md5(OLD)[2:]
    old.parent.mkdir(parents=True)
    old.write_bytes(OLD)
    monkeypatch.chdir(repo)
    _git("init", "--quiet")
    for content, name in ((OLD, "v1"), (NEW, "v2")):
        text = f"outs:\n- md5: {_md5(content)}\n  hash: md5\n  path: test.csv\n"
        (repo / "test.csv.dvc").write_text(text)
        _git("add", "test.csv.dvc")
        who = ("-c", "user.name=ana", "-c", "user.email=ana@example.org")
        _git(*who, "commit", "--quiet", "--message", name)
        _git("tag", name)
    (repo / "test.csv").write_bytes(NEW)
    return repo


def _git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], check=True, capture_output=True)


@pytest.fixture
def space(repo: Path) -> Workspace:
    """A workspace in the checkout."""
    return Workspace(repo / ".afterfit", config=Config())


def test_a_table_comes_as_it_was_at_a_revision(space: Workspace) -> None:
    """From the remote where this checkout has other bytes; without a revision it is that of now."""
    sources = from_dvc(space, Sources("m", "dvc:test.csv@v1", "left", train="dvc:test.csv"))
    assert (sources.data.read_bytes(), sources.train.read_bytes()) == (OLD, NEW)
    assert {role: found.md5 for role, found in sources.tracked.items()} == {
        "data": _md5(OLD),
        "train": _md5(NEW),
    }


def test_other_bytes_in_the_remote_are_refused(space: Workspace, tmp_path: Path) -> None:
    """And nothing of them is left."""
    (old,) = [path for path in (tmp_path / "remote").rglob("*") if path.is_file()]
    old.write_bytes(b"other")
    with pytest.raises(IntegrityError, match="other bytes"):
        table_of(space, "dvc:test.csv@v1")
    assert [path for path in (space.folder / "dvc").rglob("*") if path.is_file()] == []
    old.unlink()
    with pytest.raises(NotFoundError, match="remote does not have"):
        table_of(space, "dvc:test.csv@v1")


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ("dvc:", UsageError, "dvc:PATH@REVISION"),
        ("dvc://repo/x", UsageError, "dvc:PATH@REVISION"),
        ("dvc:test.csv@--output=x", UsageError, "dvc:PATH@REVISION"),
        ("dvc:test.csv@v9", NotFoundError, "no revision v9"),
        ("dvc:other.csv", NotFoundError, "dvc add other.csv"),
        ("dvc:../../etc/passwd", AfterfitError, ""),
    ],
)
def test_what_is_not_there_is_told(
    space: Workspace, given: str, kind: type[AfterfitError], words: str
) -> None:
    """With what to do about it."""
    with pytest.raises(kind) as caught:
        table_of(space, given)
    assert words in str(caught.value)
