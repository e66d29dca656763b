"""Ship, ship again, promote, roll back: identity, aliases, the audit log and a following server."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier
from tests.e2e.helpers import quick_space, serving

import afterfit
from afterfit.cli.app import run
from afterfit.core.metric_names import METRICS
from afterfit.errors import IntegrityError, UsageError
from afterfit.registry.version import GateRefusal
from afterfit.serve.follow import Follower
from afterfit.workspace.scoring import attest, score_of

pytestmark = pytest.mark.timeout(300)
TREE, TABLE = "tree.joblib", "held.csv"
USER = "ada"


def _table(n: int = 600, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    random = np.random.default_rng(seed)
    rows = pd.DataFrame(
        {"spend": random.normal(50, 20, n).round(2), "visits": random.poisson(3, n)}
    )
    signal = 0.05 * (rows["spend"] - 50) + 0.8 * (rows["visits"] - 3) + random.normal(0, 0.7, n)
    return rows, np.where(signal > 0, "stays", "leaves")


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path, list[Any]]:
    """A workspace with two versions of one model, the second promoted."""
    folder = tmp_path_factory.mktemp("life")
    rows, target = _table()
    held_rows, held = _table(seed=1)
    space = quick_space(folder)
    joblib.dump(
        DecisionTreeClassifier(max_depth=3, random_state=0).fit(rows, target), folder / TREE
    )
    held_rows.assign(churned=held).to_csv(folder / TABLE, index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AFTERFIT_USER", USER)
        releases = [
            space.ship(folder / TREE, folder / TABLE, "churned", name="churn"),
            space.ship(LogisticRegression().fit(rows, target), held_rows, held, name="churn"),
        ]
    return space, folder, releases


def test_two_models_are_two_versions_and_the_second_serves(shipped: Any) -> None:
    """Each model has a number and a digest of its own; the champion is the last one promoted.

    Each also says what it was proven on, to whoever serves it.
    """
    space, _, releases = shipped
    proven = [space.version(f"churn@{number}").proven for number in (1, 2)]
    assert [each.digest for each in proven] == [release.version.digest for release in releases]
    assert all(each.on.libraries and each.on.machine for each in proven)
    assert [release.version.number for release in releases] == [1, 2]
    assert releases[0].version.digest != releases[1].version.digest
    assert space.registry.resolve("churn@champion").number == 2


def test_every_metric_of_a_step_has_a_name_that_gates_may_use(shipped: Any) -> None:
    """No step gives a metric beside the closed list, against which gates are checked."""
    _, _, releases = shipped
    for release in releases:
        for step, stored in release.records.items():
            names = {metric.name for metric in stored.body.metrics}
            assert names <= set(METRICS.get(step, ())), step
            assert names or step not in METRICS


def test_a_server_follows_promotion_and_roll_back(shipped: Any) -> None:
    """/version and predictions follow the alias, without a restart and back again."""
    space, folder, releases = shipped
    row = {"spend": 61.5, "visits": 2}
    answers = {
        n: space.load(f"churn@{n}", events=False).predict([row])[0]["probabilities"] for n in (1, 2)
    }
    with serving(space, "churn@champion", folder) as server:
        client = server.client()
        follower = Follower(
            server,
            "churn",
            partial(space.registry.pointed, "churn@champion"),
            partial(space.version, "churn@champion"),
            serving=releases[1].version.digest,
        )
        for expected in (2, 1, 2):
            if expected == 1:
                moved = space.rollback("churn", why="the test says so")
                assert moved.version.number == 1
            elif space.registry.resolve("churn@champion").number == 1:
                space.promote("churn", 2, why="again")
            follower.look()
            assert client.get("/version").json()["version"] == expected
            assert client.get("/version").json()["digest"] == releases[expected - 1].version.digest
            found = client.post("/predict", {"rows": [row]}).json()["predictions"][0]
            assert found["probabilities"] == pytest.approx(answers[expected], abs=1e-9)


def test_the_audit_log_tells_every_move_and_notices_an_edited_line(shipped: Any) -> None:
    """Who, what and why of each move stand in the log; one changed word is found by its line."""
    space, _, _ = shipped
    entries = space.registry.log("churn")
    assert [e.action for e in entries][:4] == ["register", "promote", "register", "promote"]
    path = space.folder / "audit.jsonl"
    original = path.read_bytes()
    try:
        path.write_bytes(original.replace(b'"why":"ship"', b'"why":"shop"', 1))
        with pytest.raises(IntegrityError) as broken:
            space.registry.verify_log()
        assert "2" in str(broken.value)
    finally:
        path.write_bytes(original)
    space.registry.verify_log()


def test_one_bit_changed_is_refused_by_verify_serve_and_promote(
    shipped: Any, tmp_path: Path
) -> None:
    """Verify, serve and promote name the file whose bytes are not what was registered."""
    shutil.copytree(shipped[1] / ".afterfit", tmp_path / ".afterfit", symlinks=True)
    space = quick_space(tmp_path)
    manifest = space.blobs.manifest(space.registry.resolve("churn").digest)
    name, entry = next((n, e) for n, e in manifest.files.items() if n.startswith("model/"))
    path = space.blobs.path(entry.sha256)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(data))
    for checked_out in space.folder.glob(f"bundles/*/{name}"):
        checked_out.unlink()
    attempts: tuple[Callable[[], object], ...] = (
        lambda: space.registry.verify("churn"),
        lambda: space.version("churn@champion"),
        lambda: space.promote("churn", 2, alias="challenger"),
    )
    for attempt in attempts:
        with pytest.raises(IntegrityError) as refused:
            attempt()
        assert str(path.name)[:12] in str(refused.value) or name in str(refused.value)


@pytest.mark.usefixtures("inline")
def test_the_same_inputs_give_the_same_digest_anywhere_and_are_not_done_again(
    shipped: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another folder, another time and another user: one version digest.

    A second ship of the same inputs reuses every record and gives the same version. The first model
    had a process of its own, these have none.
    """
    first, folder, releases = shipped
    monkeypatch.setenv("AFTERFIT_USER", "grace")
    for name in (TREE, TABLE):
        shutil.copy(folder / name, tmp_path / name)
    space = quick_space(tmp_path)
    again = space.ship(tmp_path / TREE, tmp_path / TABLE, "churned", name="m")
    assert again.version.digest == releases[0].version.digest
    assert (first.registry.log()[0].who, space.registry.log()[0].who) == (USER, "grace")
    second = space.ship(tmp_path / TREE, tmp_path / TABLE, "churned", name="m")
    assert second.version.digest == again.version.digest
    assert second.version.number == again.version.number
    assert set(second.record.reused) == {
        "inspect", "assess", "optimize", "package", "robustness", "loadtest",
    }  # fmt: skip


@pytest.mark.usefixtures("inline")
def test_a_failed_gate_stops_the_promotion_and_an_override_is_kept(shipped: Any) -> None:
    """The verdict is stopped, nothing moves; an override promotes and its reason is in the log."""
    _, folder, _ = shipped
    space = quick_space(folder, gates=("f1 >= 0.9999",))
    release = space.ship(folder / TREE, folder / TABLE, "churned", name="gated")
    assert release.verdict == "stopped"
    assert release.exit_code == 1
    assert "f1" in release.record.why
    assert isinstance(space.promote("gated", 1), GateRefusal)
    space.promote("gated", 1, override="the board wants it")
    assert "the board wants it" in space.registry.log("gated")[-1].why + json.dumps(
        space.registry.log("gated")[-1].details
    )


@pytest.mark.usefixtures("inline")
def test_ship_works_inside_a_running_event_loop_and_shows_its_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a notebook: the model in memory, an event loop that runs, and an HTML page."""
    monkeypatch.chdir(tmp_path)
    rows, target = _table(300)
    model = LogisticRegression().fit(rows, target)

    async def cell() -> Any:
        return afterfit.ship(model, rows, target, name="note", effort="quick", gates=())

    release = asyncio.run(cell())
    assert release.verdict == "promoted"
    assert "srcdoc" in release._repr_html_()
    embedded = afterfit.load("note@champion")
    with embedded:
        answers = embedded.predict(rows[:3])
    expected = model.predict_proba(rows[:3])
    found = [[a["probabilities"][c] for c in model.classes_] for a in answers]
    assert np.abs(np.array(found) - expected).max() <= 1e-5
    assert threading.active_count() < 20


def test_the_score_has_evidence_from_the_records_and_words_from_the_log(shipped: Any) -> None:
    """A word is a line of the audit log; an item that failed cannot be vouched for."""
    space, _, _ = shipped
    version = space.registry.resolve("churn@2")
    before = {line.item.key: line for line in score_of(space, version).lines}
    assert before["schema"].standing == "evidence"
    assert before["validated"].standing == "evidence"
    assert before["tuned"].standing == "not run"
    word = attest(space, "churn@2", "tuned", why="a search of 12 May", days=30)
    after = {line.item.key: line for line in score_of(space, version).lines}
    assert after["tuned"].points == 0.5
    entry = next(e for e in space.registry.log("churn") if e.seq == word.line)
    assert (entry.action, entry.why) == ("attest", "a search of 12 May")
    for item, why, days in (("tunned", "x", 30), ("tuned", " ", 30), ("tuned", "x", 400)):
        with pytest.raises(UsageError):
            attest(space, "churn@2", item, why=why, days=days)
    assert space.registry.verify_log().lines >= word.line


def test_the_card_of_a_version_tells_its_numbers(shipped: Any) -> None:
    """Through the command line, as Markdown with a head for Hugging Face."""
    _, folder, releases = shipped
    out = folder / "card.md"
    command = ["version", "card", "churn@2", "-o", str(out)]
    assert run([*command, "--workspace", str(folder / ".afterfit")]) == 0
    card = out.read_text()
    assert card.startswith("---\n")
    metric = next(m for m in releases[1].records["assess"].body.metrics if m.name == "roc_auc")
    assert f"value: {metric.value!r}" in card
    assert "pipeline_tag: tabular-classification" in card
