"""``afterfit record verify`` and ``version verify``: everything that is wrong, and the head."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.runtime.bundles import people_bundle

from afterfit.cli.app import run
from afterfit.records.assess import AssessRecord
from afterfit.records.record import Environment
from afterfit.workspace import Workspace


def test_every_damaged_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two edited records and an edited blob are three lines of one error."""
    monkeypatch.chdir(tmp_path)
    space = Workspace(".afterfit")
    env = Environment(afterfit="1")
    files = [space.records.folder / f"{_put(space, AssessRecord(subject=s, env=env))}.json"
             for s in ("one", "two")]  # fmt: skip
    files.append(space.blobs.path(space.blobs.put_bytes(b"model")))
    for path in files:
        path.chmod(0o644)
        path.write_bytes(path.read_bytes() + b" " if path == files[-1] else _edited(path))
    assert run(["record", "verify"]) == 2
    told = capsys.readouterr().err
    assert "3 damaged files" in told
    assert all(path.name in told for path in files)


def _put(space: Workspace, record: AssessRecord) -> str:
    return space.records.put(record).digest


def _edited(path: Path) -> bytes:
    return path.read_bytes().replace(b'"n_labelled":0', b'"n_labelled":1')


def test_a_record_that_cannot_be_read_is_not_left_out_of_a_list_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others are listed; the broken file is a warning, for machines too."""
    monkeypatch.chdir(tmp_path)
    space = Workspace(".afterfit")
    env = Environment(afterfit="1")
    whole, broken = (_put(space, AssessRecord(subject=s, env=env)) for s in ("one", "two"))
    (space.records.folder / f"{broken}.json").chmod(0o644)
    (space.records.folder / f"{broken}.json").write_bytes(b"{")
    assert run(["record", "list"]) == 0
    told = capsys.readouterr()
    assert whole[:12] in told.out
    assert broken[:12] not in told.out
    assert f"{broken}.json is left out" in told.err
    assert run(["record", "list", "--json"]) == 0
    envelope = json.loads(capsys.readouterr().out)
    assert [row["digest"] for row in envelope["result"]] == [whole]
    assert len(envelope["warnings"]) == 1


def test_the_head_of_the_audit_log_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The hash to keep elsewhere is told to people as well as to machines."""
    monkeypatch.chdir(tmp_path)
    space = Workspace(".afterfit")
    people_bundle(tmp_path / "draft")
    space.registry.register("churn", tmp_path / "draft", who="ana")
    assert run(["version", "verify"]) == 0
    head = space.registry.verify_log().head
    assert len(head) == 64
    assert head in capsys.readouterr().out
