"""What a version failed at is asked of every later one, and leaves as tests that all can run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest
from tests.e2e.helpers import quick_space, serving
from tests.workspace.own_code import CODE, MODULE, NAME, people, write_code, write_model

from afterfit.cli.app import run
from afterfit.core.bundle import Bundle, write_manifest
from afterfit.core.dataset import Dataset
from afterfit.models.hosted import HostedVariant
from afterfit.records.robustness import RobustnessRecord
from afterfit.records.robustness_cases import FAILING
from afterfit.robustness.config import RobustnessConfig
from afterfit.robustness.run import robustness
from afterfit.workspace.case_book import WorkspaceBook, cases_of
from afterfit.workspace.line import opened_line
from afterfit.workspace.sources import Sources

if TYPE_CHECKING:
    from pathlib import Path

    from afterfit.workspace import Workspace

pytestmark = pytest.mark.slow
STEPS = ("inspect", "optimize", "package", "robustness")
CRASH = "if ((x := np.asarray(X)) > 1e5).any() and (x < 1e30).any(): raise ValueError('much')"
BLUR = "second = np.where(np.asarray(X, float)[:, 0] >= 1e30, np.nan, second)"
BOTH = f"{BLUR}\n        {CRASH}"


class Versions(NamedTuple):
    """A workspace with four versions, and the record of each."""

    space: Workspace
    records: list[RobustnessRecord]


def shipped(space: Workspace, extra: str) -> RobustnessRecord:
    """The record of a version that walked the line."""
    folder = space.folder.parent
    rows, target = people()
    code = write_code(folder, extra=extra)
    model = folder / "model.joblib"
    sources = Sources(model=model, data=rows, target=target, code=code)
    with opened_line(space, sources, "own", fresh=False, required="robustness") as line:
        stored = line.walk(STEPS)["robustness"]
        evidence = {"robustness": stored.digest}
        space.registry.register("own", line.bundle.folder, who="ada", evidence=evidence)
    assert isinstance(stored.body, RobustnessRecord)
    return stored.body


def edited(space: Workspace, extra: str) -> RobustnessRecord:
    """The record of version 1 with other code, examined and registered without the line."""
    first = space.registry.checkout(space.registry.resolve("own@1"))
    folder = space.folder.parent / f"edited-{len(space.registry.list('own'))}"
    shutil.copytree(first, folder, copy_function=shutil.copyfile)
    (folder / "code" / f"{MODULE}.py").write_text(CODE.format(sign=1, extra=extra))
    write_manifest(folder)
    bundle = Bundle(folder)
    rows = Dataset(frame={"spend": people()[0]["spend"].to_numpy()})
    with HostedVariant(folder, bundle.variant, bundle.signature) as model:
        record = robustness(
            model, bundle.signature, rows, RobustnessConfig(rows=40), subject=bundle.digest,
            fingerprint=bundle.fingerprint, book=WorkspaceBook(space, "own", bundle.digest),
        )  # fmt: skip
    stored = space.records.put(record)
    evidence = {"robustness": stored.digest}
    space.registry.register("own", folder, who="ada", evidence=evidence)
    return record


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Versions:
    """A crash and a NaN; the NaN alone; the crash again alone; neither."""
    folder = tmp_path_factory.mktemp("own")
    space = quick_space(folder)
    space.trust(write_model(folder, *people()), (NAME,))
    records = [shipped(space, BOTH), edited(space, BLUR), edited(space, CRASH)]
    return Versions(space, [*records, shipped(space, "pass")])


def standings(record: RobustnessRecord) -> dict[str, str]:
    """How the crash and the NaN stand."""
    return {case.code: case.standing for case in record.kept}


def outcomes(record: RobustnessRecord) -> dict[str, tuple[str, int]]:
    """The outcome and the count of the three findings."""
    return {f.code: (f.outcome, f.evidence.get("count", 0)) for f in record.findings
            if f.code in {"R060", "R061", "R062"}}  # fmt: skip


def test_cases_are_new_then_known_fixed_and_regressed(versions: Versions) -> None:
    """Each version is told beside the one before, with counts and codes."""
    first, second, third, fourth = versions.records
    assert standings(first) == {"R001": "new", "R002": "new"}
    assert {case.code: case.values for case in first.kept} == {
        "R001": {"spend": 1e6}, "R002": {"spend": 1e30}
    }  # fmt: skip
    assert standings(second) == {"R001": "fixed", "R002": "known"}
    assert standings(third) == {"R001": "regressed", "R002": "fixed"}
    assert standings(fourth) == {"R001": "fixed", "R002": "held"}
    assert {outcome for outcome, _ in outcomes(first).values()} == {"not_applicable"}
    assert outcomes(second) == {"R060": ("passed", 0), "R061": ("tip", 1), "R062": ("passed", 1)}
    assert outcomes(third) == {"R060": ("issue", 1), "R061": ("passed", 0), "R062": ("passed", 1)}
    assert outcomes(fourth)["R060"] == ("passed", 0)
    values = [next(m for m in record.metrics if m.name == "regressed_cases")
              for record in versions.records]  # fmt: skip
    assert [metric.value for metric in values] == [0, 0, 1, 0]


def test_the_same_version_again_reuses_its_record(versions: Versions) -> None:
    """What later versions failed at is no news for an earlier one."""
    space = versions.space
    space.reused = []
    again = shipped(space, BOTH)
    assert "robustness" in space.reused
    assert again == versions.records[0]


def test_real_rows_are_in_the_document_and_nowhere_else(versions: Versions) -> None:
    """Examples of smallest changes have values of real rows: no record, page or bundle has them."""
    space = versions.space
    version = space.registry.resolve("own@4")
    document = cases_of(space, version)
    assert document.examples
    record = space.records.get(version.evidence["robustness"])
    body = record.body.encode().decode()
    folder = space.registry.checkout(version)
    shipped = "".join(p.read_text("utf-8", "replace") for p in folder.rglob("*") if p.is_file())
    for example in document.examples:
        value = repr(example.before["spend"])
        assert len(value) > 10
        assert value not in body
        assert value not in shipped


def asked_again(folder: Path, tests: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the exported tests in a process of their own, away from the project."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests),
               "--rootdir", str(tests.parent), "-c", os.devnull]  # fmt: skip
    # They need no plugin; those that are installed here take two seconds to load.
    environ = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **more}
    return subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=120
    )


def test_exported_tests_fail_for_the_bad_version_and_pass_for_the_good_one(
    versions: Versions, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Against a real server, and against the workspace without one."""
    space = versions.space
    workspace = ["--workspace", str(space.folder)]
    out = tmp_path / "cases"
    assert run(["version", "cases", "own@1", "-o", str(out), "--json", *workspace]) == 0
    told = json.loads(capsys.readouterr().out)["result"]
    assert {case["code"] for case in told["cases"]} == {"R001", "R002"}
    assert sorted(p.name for p in out.iterdir()) == ["cases.json", "cases.sh", "test_cases.py"]
    curl = (out / "cases.sh").read_text()
    assert curl.count("curl -sS") == 2
    assert '{"rows":[{"spend":1000000.0}]}' in curl
    tests = out / "test_cases.py"
    for ref, code in (("own@1", 1), ("own@4", 0)):
        folder = tmp_path / ref
        folder.mkdir()
        with serving(space, ref, folder) as server:
            done = asked_again(tmp_path, tests, AFTERFIT_URL=server.url)
        assert done.returncode == code, done.stdout + done.stderr
        assert ("2 passed" if code == 0 else "2 failed") in done.stdout
    alone = {"AFTERFIT_WORKSPACE": str(space.folder.resolve()), "AFTERFIT_URL": ""}
    done = asked_again(tmp_path, tests, **alone, AFTERFIT_REF="own@2")
    assert "1 failed, 1 passed" in done.stdout


def test_the_list_of_cases_shows_standings_and_real_rows_only_when_asked(
    versions: Versions, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page in the terminal; a version without cases is an error with its fix."""
    workspace = ["--workspace", str(versions.space.folder)]
    assert run(["version", "cases", "own@3", *workspace]) == 0
    shown = capsys.readouterr().out
    assert "regressed" in shown
    assert "Said before" not in shown
    assert run(["version", "cases", "own@4", "--with-real-rows", *workspace]) == 0
    assert "Said before" in capsys.readouterr().out
    folder = versions.space.registry.checkout(versions.space.registry.resolve("own@1"))
    versions.space.registry.register("bare", folder, who="ada")
    assert run(["version", "cases", "bare@1", *workspace]) == 2
    assert "has no cases" in capsys.readouterr().err
    assert not {"held", "fixed"} & FAILING
