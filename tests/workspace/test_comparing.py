"""Two versions on the same rows: paired verdicts, flips, where they flip, and what is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from tests.inline import InlineHost
from tests.runtime.bundles import people, people_bundle, people_signature

from afterfit.cli.app import run
from afterfit.core.bundle import Bundle, write_manifest
from afterfit.core.quality import encode_truth
from afterfit.errors import InputError, UsageError
from afterfit.models import hosted
from afterfit.runtime.predict import load_bundle
from afterfit.stats.paired import delong_difference, discordant, tango
from afterfit.store.tables import read_dataset
from afterfit.workspace import Workspace
from afterfit.workspace.comparing import compare_on_rows, full_reference

if TYPE_CHECKING:
    from pathlib import Path

BIASES = (-3.0, -2.2, -3.0)


@pytest.fixture(autouse=True)
def _held_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosted, "Host", lambda load, **_: InlineHost(load))


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    """Three versions: one that decides well, one too often yes, and a regression."""
    space = Workspace(tmp_path / ".afterfit")
    for number, bias in enumerate(BIASES, 1):
        people_bundle(tmp_path / f"b{number}", bias=bias, regression=number == 3)
        space.registry.register("job", tmp_path / f"b{number}", who="ana")
    return space


def aim(space: Workspace) -> None:
    """Configure the column that holds the truth."""
    data = msgspec.structs.replace(space.config.data, target="y")
    space.config = msgspec.structs.replace(space.config, data=data)


def rows(folder: Path, n: int = 1200, *, labels: bool = True) -> Path:
    """A file of people whose labels the first version foretells."""
    frame = people(n, seed=5)
    rate = load_bundle(folder / "b1").predict(frame).main[:, 1]
    table = pd.DataFrame(frame)
    if labels:
        drawn = np.random.default_rng(0).random(n) < rate
        table["y"] = np.where(drawn, "yes", "no")
    place = folder / "rows.csv"
    table.to_csv(place, index=False)
    return place


def test_metrics_and_flips_are_those_of_the_two_models(space: Workspace, tmp_path: Path) -> None:
    """Accuracy, AUC and flips equal what the two models and the paired intervals say alone."""
    path = rows(tmp_path)
    aim(space)
    found = compare_on_rows(space, "job@1", "job@2", path)
    signature = people_signature()
    data = read_dataset(path, target="y")
    truth = encode_truth(signature, data)
    one, two = (load_bundle(tmp_path / f"b{k}").predict(data.frame) for k in (1, 2))
    codes = [signature.codes(each) for each in (one, two)]
    by_name = {pair.name: pair for pair in found.metrics}
    only_new, only_old = discordant(codes[1] == truth, codes[0] == truth)
    expected = tango(only_new, only_old, len(truth))
    gain = by_name["accuracy"].gain
    assert gain.value == pytest.approx((only_new - only_old) / len(truth))
    assert (gain.low, gain.high) == pytest.approx((expected.low, expected.high))
    assert by_name["accuracy"].direction == "regressed"
    value, bounds = delong_difference(truth, two.main, one.main, positive=1)
    assert by_name["roc_auc"].gain.value == pytest.approx(value, abs=1e-9)
    assert by_name["roc_auc"].direction == "cannot tell"  # the same order of rows
    assert bounds.low <= 0 <= bounds.high
    flipped = codes[0] != codes[1]
    assert found.changed.value == pytest.approx(flipped.mean())
    assert [(f.old, f.new, f.n) for f in found.flips] == [("no", "yes", int(flipped.sum()))]
    right = int((truth[flipped] == 1).sum())
    assert (found.flips[0].is_right, found.flips[0].was_right) == (right, found.flips[0].n - right)
    assert found.labelled == found.n == 1200
    assert found.latency[-1].n == 200


def test_flips_are_found_where_they_were_made(space: Workspace, tmp_path: Path) -> None:
    """All flips lie where the score is between both thresholds: some part of age tells that."""
    found = compare_on_rows(space, "job@1", "job@2", rows(tmp_path, labels=False))
    assert found.metrics == ()
    assert found.skipped == ("metrics: the rows have no labels",)
    assert found.slices
    assert "age" in found.slices[0].name
    assert found.tested >= len(found.slices)
    for part in found.slices:
        assert part.gap.low is not None
        assert part.gap.low > 0


def test_a_version_beside_itself_changes_nothing(space: Workspace, tmp_path: Path) -> None:
    """No flip, no gain, no latency; nothing is called improved or regressed."""
    aim(space)
    found = compare_on_rows(space, "job@1", "job@1", rows(tmp_path))
    assert found.changed.value == 0
    assert {pair.direction for pair in found.metrics} == {"cannot tell"}
    assert found.latency == ()
    assert "slices: no answer changes" in found.skipped


def test_what_cannot_be_compared_is_said(space: Workspace, tmp_path: Path) -> None:
    """Another task, a column that is not there, and a number that names no model."""
    path = rows(tmp_path)
    with pytest.raises(InputError, match="different questions"):
        compare_on_rows(space, "job@1", "job@3", path)
    pd.read_csv(path).drop(columns="age").to_csv(path, index=False)
    with pytest.raises(InputError, match="no column 'age'"):
        compare_on_rows(space, "job@1", "job@2", path)
    assert full_reference(space, "2") == "job@2"
    assert full_reference(space, "job@champion") == "job@champion"
    space.registry.register("other", tmp_path / "b1", who="ana")
    with pytest.raises(UsageError, match="without a model"):
        full_reference(space, "2")


def test_the_command_writes_all_its_forms(
    space: Workspace,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Text, JSON and a page with plots come of one comparison; a lock's change is told."""
    monkeypatch.chdir(tmp_path)
    lock = tmp_path / "b2" / "requirements.lock"
    lock.write_text("onnxruntime==1.30.0\nnumpy==2.4.6 ; python_version > '3'\n")
    write_manifest(tmp_path / "b2")
    space.registry.register("job", tmp_path / "b2", who="ana")
    path = rows(tmp_path, labels=False)
    where = ["--workspace", str(space.folder), "-q"]
    assert run(["version", "diff", "1", "4", "--data", str(path), "--json", *where]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)["result"]
    assert told["breaking"] is False
    assert {(c["where"], c["new"]) for c in told["dependencies"]} == {
        ("numpy", "2.4.6"),
        ("onnxruntime", "1.30.0"),
    }
    sizes = [
        sum(f.size for f in Bundle(tmp_path / b).manifest.files.values()) for b in ("b1", "b2")
    ]
    assert told["sizes"] == sizes
    page = tmp_path / "page.html"
    command = ["version", "diff", "1", "4", "--data", str(path), "--format", "html"]
    assert run([*command, "-o", str(page), *where]) == 0
    html = page.read_text()
    assert "Where more decisions flip" in html
    assert "<svg" in html
    capsys.readouterr()
    assert run(["version", "diff", "1", "9", *where]) == 2
    assert "Traceback" not in capsys.readouterr().err
