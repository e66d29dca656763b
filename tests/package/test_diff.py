"""What another version changes in its package."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests.package.places.place import CONFIG, SIZES, packaged

from afterfit.cli.app import run
from afterfit.core.bundle import Bundle
from afterfit.core.signature import Column
from afterfit.package.diff import Written, compare_packages
from afterfit.package.sizes import Sized
from afterfit.workspace import Workspace

Draft = Callable[..., Bundle]


def test_nothing_differs_from_itself(draft: Draft, tmp_path: Path) -> None:
    """Two packages of one version, written at other places."""
    bundle = draft(tmp_path / "b")
    for side in ("old", "new"):
        packaged("compose", bundle, tmp_path / side)
    old, new = (Written(tmp_path / side, SIZES) for side in ("old", "new"))
    found = compare_packages("compose", old, new)
    assert (found.materials, found.sizes, found.files) == ((), (), ())


def test_each_kind_of_change_is_told(draft: Draft, tmp_path: Path) -> None:
    """Another size, another package, another model, another base; a line of a file, not a wheel."""
    sizes = msgspec.structs.replace(SIZES, workers=Sized(4, "four carry more"))
    packaged("compose", draft(tmp_path / "a"), tmp_path / "old")
    other = msgspec.structs.replace(
        CONFIG, number=4, sizes=sizes, base=f"python:3.12-slim@sha256:{'1' * 64}"
    )
    packaged("compose", draft(tmp_path / "b"), tmp_path / "new", other)
    bill = tmp_path / "new" / "image" / "sbom.cdx.json"
    told = json.loads(bill.read_bytes())
    numpy = next(each for each in told["components"] if each["name"] == "numpy")
    was, numpy["version"] = numpy["version"], "99.0"
    model = next(each for each in told["components"] if each["name"].startswith("model/"))
    model["hashes"][0]["content"] = "0" * 64
    bill.write_text(json.dumps(told))
    found = compare_packages(
        "compose", Written(tmp_path / "old", SIZES), Written(tmp_path / "new", sizes)
    )
    (package,) = found.packages
    assert (package.name, package.old, package.new) == ("numpy", was, "99.0")
    assert {each.kind for each in found.materials} == {
        "library", "machine-learning-model", "container",
    }  # fmt: skip
    (size,) = found.sizes
    assert (size.name, size.old, size.new, size.why) == ("workers", 2, 4, "four carry more")
    diffs = {each.path: each.diff for each in found.files}
    assert '+      - "--workers=4" # four carry more\n' in diffs["compose.yaml"]
    assert '-    image: "registry.example.com/team/churn:3"\n' in diffs["compose.yaml"]
    assert diffs["README.md"] == ""
    assert not any("bundle/" in each for each in diffs)


def test_the_command_tells_people_and_programs(
    draft: Draft,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A column more breaks callers: both forms say so, and nothing is left in the folder."""
    monkeypatch.chdir(tmp_path)
    space = Workspace(".afterfit")
    first = draft(tmp_path / "one")
    space.registry.register("churn", first.folder, who="ana")
    signature = msgspec.structs.replace(
        first.signature, columns=(*first.signature.columns, Column(name="town", kind="text"))
    )
    space.registry.register("churn", draft(tmp_path / "two", signature=signature).folder, who="ana")
    assert run(["package", "diff", "churn@1", "churn@2", "--for", "kubernetes"]) == 0
    text = capsys.readouterr().out
    assert "churn@1 -> churn@2, for kubernetes" in text
    assert "! columns.town" in text
    assert '+    newTag: "2"' in text
    assert run(["package", "diff", "churn@1", "churn@2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["result"]
    assert told["breaking"] is True
    assert [each["name"] for each in told["materials"]] == ["bundle/signature.json"]
    assert told["sizes"] == []
    assert run(["package", "diff", "churn@1", "churn@9"]) == 2
    assert {path.name for path in tmp_path.iterdir()} == {".afterfit", "one", "two"}
