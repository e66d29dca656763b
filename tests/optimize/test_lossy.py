"""Lossy variants from proposal to verdict; where a process matters, in a process of its own."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import msgspec
import numpy as np
import pytest

from afterfit.core.dataset import Dataset
from afterfit.core.progress import Silent
from afterfit.core.signature import Signature
from afterfit.errors import InputError
from afterfit.models.loaded import Hints, LoadedModel, open_model
from afterfit.optimize.config import OptimizeConfig
from afterfit.optimize.lossy import Means
from afterfit.optimize.made import KeptInFolder
from afterfit.optimize.run import ONNX_FILE, optimize
from afterfit.records.optimize import OptimizeRecord, VariantReport

COLUMNS = tuple("abcdef")
HINTS = Hints(features=COLUMNS, classes=("no", "yes"))
ALLOW = OptimizeConfig(
    effort="quick", batches=(1, 16), allow=("prune",), goal="latency", seconds=60.0
)
HERE = "tests.optimize.toys"
CRASHES = Means(proposers=(f"{HERE}:crashes",))
TOYS = Means(proposers=(f"{HERE}:proposals", "no_such_module:proposals"))
APART = Means(proposers=("toys:proposals", "no_such_module:proposals"))
"""The same from the user's own folder, for a model in a process of its own."""


class Said(Silent):
    """The steps that began."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, int | None]] = []

    def step(self, name: str, total: int | None = None) -> None:
        """Keep a step's name and units."""
        self.steps.append((name, total))


@pytest.fixture(scope="module")
def table() -> Dataset:
    """12,000 rows whose label is a noisy sum of six numbers."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(12_000, len(COLUMNS)))
    y = x.sum(axis=1) + rng.normal(size=len(x)) > 0
    frame = {name: x[:, index] for index, name in enumerate(COLUMNS)}
    return Dataset(frame=frame, target=np.where(y, "yes", "no").astype(object))


@pytest.fixture
def saved(table: Dataset, tmp_path: Path) -> Path:
    """A logistic regression, which answers slowly."""
    from sklearn.linear_model import LogisticRegression

    x = np.column_stack(list(table.frame.values()))
    joblib.dump(LogisticRegression().fit(x, table.target), tmp_path / "model.joblib")
    return tmp_path / "model.joblib"


@pytest.fixture
def model(saved: Path, tmp_path: Path) -> Iterator[LoadedModel]:
    """The model in this process."""
    with open_model(saved, hints=HINTS, workdir=tmp_path) as found:
        yield found


@pytest.fixture
def apart(saved: Path, tmp_path: Path) -> Iterator[LoadedModel]:
    """The model in a process of its own, with the toy techniques beside it."""
    (tmp_path / "code").mkdir()
    shutil.copy(Path(__file__).with_name("toys.py"), tmp_path / "code")
    with open_model(saved, code=tmp_path / "code", hints=HINTS, workdir=tmp_path) as found:
        yield found


@pytest.fixture
def signature(table: Dataset, signed: Callable[..., Signature]) -> Signature:
    """The signature of the table."""
    return signed(table.frame, "binary", ("no", "yes"))


def by_name(record: OptimizeRecord) -> dict[str, VariantReport]:
    """The variants by name."""
    return {variant.name: variant for variant in record.variants}


def outcomes(record: OptimizeRecord) -> dict[str, str]:
    """Code to outcome of the findings."""
    return {finding.code: finding.outcome for finding in record.findings}


def without_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the model itself as what a lossy variant has to beat."""
    monkeypatch.setattr("afterfit.optimize.run._trials", lambda *_: [])


def test_without_leave_nothing_lossy_is_tried(
    model: LoadedModel, signature: Signature, table: Dataset
) -> None:
    """Only exact variants are tried unless a technique is allowed."""
    config = OptimizeConfig(effort="quick", batches=(1, 16))
    record = optimize(model, signature, table, config, means=TOYS).record
    assert {variant.technique for variant in record.variants} == {""}


def test_each_proposal_gets_a_verdict_and_a_reason(
    apart: LoadedModel, signature: Signature, table: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The best one within the margin ships with its certificate; every other one has a reason."""
    without_exact(monkeypatch)
    done = optimize(apart, signature, table, ALLOW, means=APART)
    found = by_name(done.record)
    assert done.record.chosen in {"same", "slightly"}
    proof = done.record.certificate
    assert proof is not None
    assert proof.verdict == "certified"
    assert proof.high is not None
    assert proof.high < proof.margin == 0.005
    assert proof.candidates == 2
    assert proof.alpha == pytest.approx(0.025)
    assert proof.runtime.startswith("onnxruntime ")
    assert proof.cpu_features
    (edges,) = [guard for guard in proof.guards if guard.name == "edge_flips"]
    assert edges.held
    assert edges.n > 100
    assert done.record.proven("0" * 64).by == "certificate"
    assert done.record.proven("0" * 64).on.cpu_features == proof.cpu_features
    assert done.record.blobs == {ONNX_FILE: proof.artifact}
    assert found["much"].status == "rejected"
    assert "accuracy drops by" in found["much"].why
    assert found["broken"].status == "not_available"
    assert found["broken"].why == "it has no trees"
    assert "broken" in found["on-top"].why
    assert all(v.why for v in found.values() if v.status in {"rejected", "not_available"})
    assert outcomes(done.record)["O008"] == "passed"
    assert outcomes(done.record)["O011"] == "tip"
    assert any(variant.front for variant in found.values())


def test_a_lossy_form_that_gains_nothing_over_the_exact_one_does_not_ship(
    model: LoadedModel, signature: Signature, table: Dataset
) -> None:
    """What is exact and as fast wins, and the lossy ones say so."""
    record = optimize(model, signature, table, ALLOW, means=TOYS).record
    assert by_name(record)[record.chosen].status == "exact"
    assert "exact form" in by_name(record)["same"].why


def test_a_form_that_answers_nan_at_the_edges_is_rejected(
    model: LoadedModel, signature: Signature, table: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is right on all rows that are usual, and the case that it does not cope with is named."""
    without_exact(monkeypatch)
    means = Means(proposers=(f"{HERE}:fragiles",))
    record = optimize(model, signature, table, ALLOW, means=means).record
    assert record.chosen == "native"
    fragile = by_name(record)["fragile"]
    assert fragile.status == "rejected"
    assert fragile.why.startswith("it answers no number where the model does: a: highest x 1e6")
    assert outcomes(record)["O009"] == "tip"


def test_too_few_rows_are_said_with_the_number_that_would_do(
    model: LoadedModel, signature: Signature, table: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With few rows nothing is certified by default."""
    without_exact(monkeypatch)
    record = optimize(model, signature, table.take(slice(0, 600)), ALLOW, means=TOYS).record
    assert record.chosen == "native"
    same = by_name(record)["same"]
    assert same.certificate is not None
    assert same.certificate.verdict == "insufficient"
    assert same.certificate.needed_n is not None
    assert same.certificate.needed_n > 330
    assert "insufficient data" in same.why
    assert "would be enough" in same.why
    finding = next(f for f in record.findings if f.code == "O010")
    assert finding.outcome == "skipped"
    # It speaks of the variant that gained most, which is not the same in every run.
    told = by_name(record)[finding.where].certificate
    assert told is not None
    assert finding.evidence["needed_n"] == told.needed_n


def test_labels_are_needed(model: LoadedModel, signature: Signature, table: Dataset) -> None:
    """Without labels nothing lossy can be judged, which is an error and no silent exact run."""
    unlabelled = Dataset(frame=table.frame)
    with pytest.raises(InputError, match="judged by labels"):
        optimize(model, signature, unlabelled, ALLOW, means=TOYS)


def test_a_metric_that_does_not_fit_is_told_before_anything_is_made(
    model: LoadedModel, signature: Signature, table: Dataset
) -> None:
    """A wrong option costs no search."""
    config = msgspec.structs.replace(ALLOW, metric="mae")
    said = Said()
    with pytest.raises(InputError, match="mae does not fit"):
        optimize(model, signature, table, config, means=TOYS, progress=said)
    assert said.steps == []


def test_a_technique_without_variants_and_one_that_fails_say_so(
    model: LoadedModel, signature: Signature, table: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has to guess what became of what they allowed."""
    without_exact(monkeypatch)
    config = msgspec.structs.replace(ALLOW, allow=("prune", "quantize"))
    record = optimize(model, signature, table, config, means=CRASHES).record
    found = by_name(record)["crash"]
    assert found.status == "not_available"
    assert "OverflowError" in found.why
    told = [each.message for each in record.findings if each.code == "O011"]
    assert len(told) == 1
    assert told[0].startswith("--allow quantize has nothing to try for this model: ")


@pytest.mark.slow
def test_what_hangs_is_ended_when_the_time_is_over(
    apart: LoadedModel,
    signature: Signature,
    table: Dataset,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The time box ends the process of a variant that hangs; the one before it ships."""
    without_exact(monkeypatch)
    # The model is there and the first variant is soon made; what hangs has the rest of the time.
    _ = apart.description
    config = OptimizeConfig(effort="quick", batches=(1, 16), allow=("prune",), seconds=8.0)
    started = time.monotonic()
    record = optimize(apart, signature, table, config, means=Means(proposers=("toys:slow",))).record
    assert time.monotonic() - started < 60
    assert by_name(record)["hangs"].status == "skipped"
    assert "not made within" in by_name(record)["hangs"].why
    assert record.chosen == "same"
    assert record.status == "partial"
    assert outcomes(record)["O012"] == "skipped"


class _Stops:
    """A progress that presses ctrl-C once the first variant is done."""

    def step(self, name: str, total: int | None = None) -> None:
        """Note nothing."""

    def advance(self, units: int = 1) -> None:
        """Note nothing."""

    def now(self, text: str) -> None:
        """Note nothing."""

    def say(self, text: str) -> None:
        """Interrupt after the first line."""
        if "same" in text:
            raise KeyboardInterrupt


def test_ctrl_c_keeps_the_best_so_far_and_the_next_run_goes_on(
    apart: LoadedModel,
    signature: Signature,
    table: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The variant that was done ships; another run makes only what was not made."""
    without_exact(monkeypatch)
    means = Means(proposers=("toys:proposals",), kept=KeptInFolder(tmp_path / "made"))
    first = optimize(apart, signature, table, ALLOW, means=means, progress=_Stops()).record
    assert first.chosen == "same"
    assert first.status == "partial"
    assert by_name(first)["much"].status == "skipped"
    assert len(list((tmp_path / "made").iterdir())) == 1
    made: list[Any] = []
    original = LoadedModel.call

    def counted(self: LoadedModel, target: str, /, **arguments: Any) -> Any:
        made.append(target)
        return original(self, target, **arguments)

    monkeypatch.setattr(LoadedModel, "call", counted)
    second = optimize(apart, signature, table, ALLOW, means=means).record
    assert second.status == "complete"
    assert len(list((tmp_path / "made").iterdir())) == 3
    # Those that were not made: "slightly" and "much".
    assert made.count("toys:weights") == 2
    assert second.chosen in {"same", "slightly"}
