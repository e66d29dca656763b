"""Where a version came from: data by DVC, code by Git, and a tag that names its digest."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from afterfit import Workspace
from afterfit.config import load_config
from afterfit.errors import ConflictError, NotFoundError
from afterfit.records.ship import ShipRecord
from afterfit.registry.lineage.tag import tag
from afterfit.store.environment import current_environment
from afterfit.store.git import GitState, git_state
from afterfit.workspace.lineage import chain_of, tagged, write_diagram


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with a table that DVC tracks, and one commit."""
    for name in ("NAME", "EMAIL"):
        monkeypatch.setenv(f"GIT_AUTHOR_{name}", "ana@example.org")
        monkeypatch.setenv(f"GIT_COMMITTER_{name}", "ana@example.org")
    rng = np.random.default_rng(0)
    spend = rng.normal(0, 1, 120).round(3)
    table = pd.DataFrame({"spend": spend, "left": (spend > 0).astype(int)})
    table.to_csv(tmp_path / "test.csv", index=False)
    md5 = hashlib.md5((tmp_path / "test.csv").read_bytes(), usedforsecurity=False).hexdigest()
    (tmp_path / "test.csv.dvc").write_text(f"outs:\n- md5: {md5}\n  hash: md5\n  path: test.csv\n")
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text("")
    (tmp_path / ".gitignore").write_text(".afterfit\ntest.csv\n")
    (tmp_path / "train.py").write_text("x = 1\n")
    _git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    _git(tmp_path, "remote", "add", "origin", "https://ana:secret@git.example/churn.git")
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "--quiet", "--message", "One")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_what_is_not_committed_has_a_digest(repo: Path) -> None:
    """The same changes have the same one; the remote is told without its password."""
    clean = git_state(repo)
    assert (clean.dirty, clean.diff, clean.branch) == (False, "", "main")
    assert clean.remote == "https://git.example/churn.git"
    seen = []
    for text in ("x = 2\n", "x = 3\n", "x = 2\n"):
        (repo / "train.py").write_text(text)
        state = git_state(repo)
        assert (state.commit, state.dirty) == (clean.commit, True)
        seen.append(state.diff)
    assert seen[0] == seen[2] != seen[1]
    assert git_state(Path("/")) == GitState()


@pytest.fixture
def shipped(repo: Path) -> Workspace:
    """A workspace with one version that was shipped from the checkout."""
    current_environment.cache_clear()
    table = pd.read_csv(repo / "test.csv")
    model = LogisticRegression().fit(table[["spend"]], table["left"])
    config = load_config(overrides={"line.effort": "quick"})
    space = Workspace(repo / ".afterfit", config=config)
    space.ship(model, str(repo / "test.csv"), "left", name="churn")
    current_environment.cache_clear()
    return space


@pytest.mark.slow
def test_a_version_leads_back_to_data_and_commit(repo: Path, shipped: Workspace) -> None:
    """And forward to its alias; a tag puts the digest on the commit, once."""
    (stored,) = shipped.records.list(step="ship")
    assert isinstance(stored.body, ShipRecord)
    (data,) = stored.body.data
    assert (data.path, data.file, data.agrees) == ("test.csv", "test.csv.dvc", "same")
    assert stored.body.inputs["data.dvc"] == data.hash
    chain = chain_of(shipped, "churn@1")
    nodes = {node.kind: node for node in chain.nodes}
    head = _git(repo, "rev-parse", "HEAD")
    assert nodes["data"].digest == data.digest
    assert nodes["code"].digest == head
    assert nodes["bundle"].digest == chain.digest == shipped.registry.resolve("churn").digest
    assert nodes["bundle"].facts["aliases"] == "champion"
    assert {"inspect", "assess", "loadtest"} <= {n.title for n in chain.nodes if n.kind == "record"}
    assert "<svg" in write_diagram(shipped, chain).read_text("utf-8")

    (repo / "later.py").write_text("y = 1\n")
    _git(repo, "add", "later.py")
    _git(repo, "commit", "--quiet", "--message", "Two")
    made = tagged(shipped, "churn@1")
    assert (made.name, made.commit, made.new) == ("churn/1", head, True)
    assert f"Afterfit-Digest: sha256:{chain.digest}" in _git(repo, "cat-file", "-p", "churn/1")
    assert not tagged(shipped, "churn@1").new
    version = shipped.registry.resolve("churn@1")
    with pytest.raises(ConflictError, match="says something else"):
        tag(repo, version, "HEAD")
    with pytest.raises(NotFoundError, match="no commit"):
        tag(repo, version, "f" * 40)
