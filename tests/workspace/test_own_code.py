"""A model that needs code of the user's own: the code is part of what the model is."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.e2e.helpers import quick_space, serving
from tests.workspace.own_code import MODULE, NAME, people, write_code, write_model

from afterfit.errors import IntegrityError
from afterfit.models.draft import native_files
from afterfit.registry.version import Version
from afterfit.serve.follow import Follower
from afterfit.workspace import Workspace
from afterfit.workspace.line import opened_line
from afterfit.workspace.sources import Sources

pytestmark = pytest.mark.slow
DRAFTED = ("inspect", "assess", "optimize", "package")


def walked(
    space: Workspace, model: Path, code: Path, steps: tuple[str, ...] = DRAFTED
) -> dict[str, Any]:
    """Return the records of the steps, by default up to the drafted bundle."""
    rows, target = people()
    sources = Sources(model=model, data=rows, target=target, code=code)
    space.reused = []
    with opened_line(space, sources, "own", fresh=False) as line:
        return line.walk(steps)


def registered(space: Workspace, model: Path, code: Path) -> Version:
    """Return the version of a bundle that was drafted and nothing more."""
    digest = walked(space, model, code)["package"].body.bundle
    folder = space.blobs.checkout(space.blobs.manifest(digest), space.folder / "bundles" / digest)
    return space.registry.register("own", folder, who="ada")


def test_edited_code_is_another_model_and_another_bundle(tmp_path: Path) -> None:
    """No record is reused after an edit of the code, and the bundle holds the new code."""
    space = quick_space(tmp_path)
    model = write_model(tmp_path, *people())
    space.trust(model, (NAME,))
    first = walked(space, model, write_code(tmp_path, sign=1))
    second = walked(space, model, write_code(tmp_path, sign=-1))
    assert space.reused == []
    for step in DRAFTED:
        assert first[step].body.subject != second[step].body.subject, step
    assert first["package"].body.bundle != second["package"].body.bundle
    manifest = space.blobs.manifest(second["package"].body.bundle)
    shipped = space.blobs.read(manifest.files[f"code/{MODULE}.py"].sha256).decode()
    assert "SIGN = -1" in shipped
    again = walked(space, model, write_code(tmp_path, sign=1))
    assert space.reused == list(DRAFTED)
    assert again["package"].body.bundle == first["package"].body.bundle


def test_code_that_changes_under_an_open_model_does_not_ship(tmp_path: Path) -> None:
    """What was examined is what ships: an edit meanwhile is an error, not another bundle."""
    space = quick_space(tmp_path)
    model = write_model(tmp_path, *people())
    space.trust(model, (NAME,))
    with space.open_model(model, code=write_code(tmp_path, sign=1)) as opened:
        write_code(tmp_path, sign=-1)
        with pytest.raises(IntegrityError, match="changed after the model was opened"):
            native_files(opened)


def test_secrets_beside_the_code_are_in_no_bundle_and_the_record_says_so(tmp_path: Path) -> None:
    """Keys and credentials stay behind, and K003 names exactly the files that did."""
    space = quick_space(tmp_path)
    model = write_model(tmp_path, *people())
    space.trust(model, (NAME,))
    code = write_code(tmp_path)
    secrets = {"server.pem", "credentials.json", "keys/id_rsa"}
    for name in secrets:
        (code / name).parent.mkdir(exist_ok=True)
        (code / name).write_text("-----BEGIN PRIVATE KEY-----")
    package = walked(space, model, code)["package"].body
    assert [name for name in package.files if name.startswith("code/")] == [f"code/{MODULE}.py"]
    found = next(finding for finding in package.findings if finding.code == "K003")
    assert found.outcome == "issue"
    assert set(found.evidence["files"]) == secrets
    manifest = space.blobs.manifest(package.bundle)
    shipped = [space.blobs.read(entry.sha256) for entry in manifest.files.values()]
    assert not any(b"PRIVATE KEY" in data for data in shipped)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Path, tuple[Version, ...]]:
    """A workspace with two versions whose code differs and whose modules have the same names."""
    folder = tmp_path_factory.mktemp("two")
    space = quick_space(folder, gates=())
    model = write_model(folder, *people())
    space.trust(model, (NAME,))
    versions = [registered(space, model, write_code(folder, sign=sign)) for sign in (1, -1)]
    return space, folder, tuple(versions)


def stays(answer: dict[str, Any]) -> float:
    """Return the probability of the second class."""
    return float(answer["probabilities"]["stays"])


def sigmoid(value: float) -> float:
    """Return what the class answers with sign 1."""
    return float(1 / (1 + np.exp(-value)))


def test_two_versions_in_one_process_answer_by_their_own_code(two: Any) -> None:
    """Neither finds the modules of the other, in any order and while both are loaded."""
    space, _, _ = two
    with space.load("own@1", events=False) as one, space.load("own@2", events=False) as other:
        for _ in range(2):
            assert stays(one.predict({"spend": 3.0})[0]) == pytest.approx(sigmoid(3))
            assert stays(other.predict({"spend": 3.0})[0]) == pytest.approx(sigmoid(-3))


def test_a_following_server_changes_the_code_and_rolls_it_back(two: Any) -> None:
    """Promotion and roll back reach a running server, and the version left ends its process."""
    space, folder, versions = two
    space.promote("own", 1)
    with serving(space, "own@champion", folder) as server:
        client = server.client()
        follower = Follower(
            server,
            "own",
            partial(space.registry.pointed, "own@champion"),
            partial(space.version, "own@champion"),
            serving=versions[0].digest,
        )
        for number, expected in ((1, sigmoid(3)), (2, sigmoid(-3)), (1, sigmoid(3))):
            if number == 2:
                space.promote("own", 2)
            elif client.get("/version").json()["version"] == 2:
                space.rollback("own", why="the test says so")
            change = follower.look()
            assert change.error is None, change.error
            assert client.get("/version").json()["version"] == number
            reply = client.post("/predict", {"rows": [{"spend": 3.0}]}).json()
            assert stays(reply["predictions"][0]) == pytest.approx(expected)


def test_no_step_runs_the_model_in_the_process_of_the_command(tmp_path: Path) -> None:
    """From inspect to robustness, every prediction is made by a child of this process."""
    space = quick_space(tmp_path)
    model = write_model(tmp_path, *people())
    space.trust(model, (NAME,))
    seen = tmp_path / "pids"
    code = write_code(tmp_path, extra=f"print(os.getpid(), file=open({str(seen)!r}, 'a'))")
    done = walked(space, model, code, (*DRAFTED, "robustness"))
    assert done["robustness"].body.status == "complete"
    pids = set(seen.read_text().split())
    assert len(pids) >= 3  # one opened for the line, one that drafted, one that was attacked
    assert str(os.getpid()) not in pids
