"""Students of the user's own making: where they win, where they are refused, and why."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import structs
from tests.models.made_variants import accuracy, answers, made, signature_of
from tests.models.networks import torch_or_skip

from afterfit.core.signature import Signature
from afterfit.models import torch_layout
from afterfit.models.distil_network import proposals
from afterfit.models.distil_network_train import epochs_for
from afterfit.models.loaded import open_model
from afterfit.models.native import Hints
from afterfit.models.proposal import Proposal
from afterfit.models.torch import TorchNative
from afterfit.stats.paired import discordant, tango
from afterfit.testing.networks import digits, make_digits_cnn, train

torch = torch_or_skip(at_import=True)

CODE = """
from torch import nn


def make(width=1.0):
    size = max(1, round(64 * width))
    return nn.Sequential(nn.Linear(8, size), nn.ReLU(), nn.Dropout(0.1), nn.Linear(size, 3))


def line():
    return nn.Linear(8, 3)


def wrong():
    return nn.Linear(8, 4)


def other_input():
    return nn.Linear(7, 3)


def broken():
    raise RuntimeError("no such network")


def plain():
    return make()


def several():
    return make()


several.student = (line, wrong, other_input, broken)
"""


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of code with a network and its students."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "taught.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "taught", raising=False)
    return folder


def rows_of(n: int = 600) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Rows whose class is the largest of the first three columns."""
    table = np.random.default_rng(0).normal(size=(n, 8))
    return {f"c{i}": table[:, i] for i in range(8)}, table[:, :3].argmax(axis=1)


def teacher(factory: str) -> tuple[TorchNative, Signature]:
    """A trained network that remembers the function which built it."""
    from taught import make  # type: ignore[import-not-found]

    rows, target = rows_of()
    torch.manual_seed(0)
    signature = signature_of(rows, "multiclass", (0, 1, 2))
    net = train(make(), rows, target, epochs=20)
    native = TorchNative(net, torch_layout.of_module(net), Hints.of(signature))
    native.factory = factory
    return native, signature


def offered(native: Any, signature: Signature, *, labelled: bool = True) -> dict[str, Proposal]:
    """The proposals by their names."""
    found = proposals(native, signature=signature, labelled=labelled, rows=1000)
    return {proposal.name: proposal for proposal in found}


def kept_within(variant: Any, model: Any, signature: Signature, target: np.ndarray) -> bool:
    """Whether Tango's interval proves a loss of at most one point."""
    right, was_right = (signature.codes(said) == target for said in (variant, model))
    only_variant, only_model = discordant(right, was_right)
    return tango(only_variant, only_model, len(target), 0.90).low > -0.01


@pytest.mark.slow
def test_half_the_width_learns_the_digits_and_a_hasty_student_does_not() -> None:
    """A quarter of the weights is within a point; one pass over the rows is not, and is refused."""
    torch.manual_seed(0)
    rows = digits()
    signature = signature_of(rows.train, "multiclass", tuple(range(10)))
    net = train(make_digits_cnn(), rows.train, rows.train_target, epochs=12)
    native = TorchNative(net, torch_layout.of_module(net), Hints.of(signature))
    native.factory = "afterfit.testing.networks:make_digits_cnn"
    was = native.predict(rows.test)
    proposal = offered(native, signature)["distil-width-50"]
    # It would take 80 passes over the digits; fewer are enough here.
    proposal = structs.replace(proposal, options={**proposal.options, "epochs": 30})
    variant = made(native, signature, proposal, rows.train, rows.train_target)
    said = answers(variant, signature, rows.test)
    assert len(variant.data) < 300_000
    assert kept_within(said, was, signature, rows.test_target)
    hasty = Proposal(
        name="hasty",
        technique="distil",
        make=proposal.make,
        options={"width": 0.1, "epochs": 1, "rate": 1e-4},
    )
    poor = made(native, signature, hasty, rows.train, rows.train_target)
    assert not kept_within(answers(poor, signature, rows.test), was, signature, rows.test_target)


@pytest.mark.usefixtures("code")
def test_a_student_learns_without_a_label() -> None:
    """The network's answers are enough; the same seed gives the same bytes."""
    native, signature = teacher("taught:make")
    rows, target = rows_of()
    proposal = offered(native, signature, labelled=False)["distil-width-25"]
    assert proposal.needs == ("rows", "code")
    variant = made(native, signature, proposal, rows)
    assert made(native, signature, proposal, rows).data == variant.data
    said = answers(variant, signature, rows)
    assert accuracy(signature, said, target) > accuracy(
        signature, native.predict(rows), target
    ) - 0.05  # fmt: skip
    assert any("195 of 771 weights" in note for note in variant.notes)


@pytest.mark.slow
def test_students_are_built_in_the_process_that_has_the_code(code: Path, tmp_path: Path) -> None:
    """Weights and their factory are proposed students; a program alone, none."""
    from safetensors.torch import save_file

    native, signature = teacher("taught:make")
    save_file(native.estimator.state_dict(), tmp_path / "net.safetensors")
    rows, target = rows_of()
    source = f"taught:make@{tmp_path / 'net.safetensors'}"
    asked = {"signature": signature, "labelled": True, "rows": 600}
    with open_model(source, code=code, workdir=tmp_path / "w") as model:
        found = model.call("afterfit.models.distil_network:proposals", **asked)
        names = ["distil-width-50", "distil-width-25", "distil-width-50-int8"]
        assert [each.name for each in found] == names
        variant = model.call(
            found[0].make,
            signature=signature,
            options=found[0].options | {"epochs": 2},
            rows=rows,
            target=target,
            graph=None,
            seed=0,
            seconds=30.0,
        )
    assert variant.error == ""
    assert len(answers(variant, signature, rows)) == 600
    with open_model(native.estimator, workdir=tmp_path / "m") as model:
        assert model.call("afterfit.models.distil_network:proposals", **asked) == []


@pytest.mark.usefixtures("code")
def test_named_students_are_tried_and_say_what_is_wrong_with_them() -> None:
    """What the user's function does wrong is a line of the report, not the end of the search."""
    native, signature = teacher("taught:several")
    rows, target = rows_of(200)
    found = offered(native, signature)
    names = ["distil-line", "distil-wrong", "distil-other-input", "distil-broken"]
    assert list(found) == [*names, "distil-line-int8"]
    told = {n: made(native, signature, found[n], rows, target).error for n in names}
    assert told["distil-line"] == ""
    assert "answers 4 numbers a row, the network 3" in told["distil-wrong"]
    assert "another input" in told["distil-other-input"]
    assert "builds no student" in told["distil-broken"]
    plain, signature = teacher("taught:plain")
    assert offered(plain, signature) == {}


@pytest.mark.usefixtures("code")
def test_little_time_ends_training_early() -> None:
    """One epoch at least is learned, and the note says how many were."""
    native, signature = teacher("taught:make")
    rows, target = rows_of()
    proposal = offered(native, signature)["distil-width-50"]
    hurried = made(native, signature, proposal, rows, target, seconds=0.01)
    assert hurried.error == ""
    assert any(note.startswith("1 of 120 epochs over 540 rows") for note in hurried.notes)


def test_small_tables_are_learned_more_often() -> None:
    """All take about as long."""
    assert epochs_for(100) == 60
    assert epochs_for(1000) == 40
    assert epochs_for(10**6) == 2
