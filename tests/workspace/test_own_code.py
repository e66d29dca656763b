"""A model that needs code of the user's own: the code is part of what the model is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.e2e.helpers import quick_space
from tests.workspace.own_code import MODULE, NAME, people, write_code, write_model

from afterfit.errors import IntegrityError
from afterfit.models.draft import native_files
from afterfit.workspace import Workspace
from afterfit.workspace.line import opened_line
from afterfit.workspace.sources import Sources

DRAFTED = ("inspect", "assess", "optimize", "package")


def walked(space: Workspace, model: Path, code: Path) -> dict[str, Any]:
    """Return the records up to the drafted bundle."""
    rows, target = people()
    sources = Sources(model=model, data=rows, target=target, code=code)
    space.reused = []
    with opened_line(space, sources, "own", fresh=False) as line:
        return line.walk(DRAFTED)


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
