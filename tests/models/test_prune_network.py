"""Networks with fewer channels and weights: where they win, where they are refused, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import structs
from tests.models.made_variants import accuracy, answers, made, signature_of
from tests.models.networks import dense_network, torch_or_skip

from afterfit.core.frame import Frame
from afterfit.core.signature import Signature
from afterfit.models import torch_layout
from afterfit.models.convert import Converted, attempts, to_onnx
from afterfit.models.loaded import open_model
from afterfit.models.native import Hints
from afterfit.models.proposal import Proposal
from afterfit.models.prune_network import proposals
from afterfit.models.prune_network_layers import layered, wide
from afterfit.models.prune_network_sparse import packed
from afterfit.models.torch import TorchNative, read_program
from afterfit.models.torch_save import archive
from afterfit.stats.paired import discordant, tango
from afterfit.testing.networks import digits, make_digits_cnn, train

torch = torch_or_skip(at_import=True)
POINT = 0.01
EPOCHS = 10
"""Passes over the digits, where a proposal would take more of them."""


def shipped(net: Any, signature: Signature) -> TorchNative:
    """The network as its archive is loaded: an exported program."""
    program = read_program(archive(net))
    return TorchNative(program.module(), torch_layout.of_module(net), Hints.of(signature), program)


def offered(native: TorchNative, signature: Signature, rows: int = 1000) -> dict[str, Proposal]:
    """The proposals by their names."""
    found = proposals(native, signature=signature, labelled=True, rows=rows)
    return {proposal.name: proposal for proposal in found}


def hurried(proposal: Proposal) -> Proposal:
    """The proposal with fewer passes over the rows."""
    return structs.replace(proposal, options={**proposal.options, "epochs": EPOCHS})


def channels(share: float, **options: Any) -> Proposal:
    """A proposal to leave out a share of the channels."""
    return Proposal(
        name="narrow",
        technique="prune",
        make="afterfit.models.prune_network:fewer_channels",
        options={"share": share, **options},
    )


def learnable(columns: int, classes: int, n: int = 400) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Rows of which the largest of the first columns says the class."""
    table = np.random.default_rng(5).normal(size=(n, columns))
    return {f"c{i}": table[:, i] for i in range(columns)}, table[:, :classes].argmax(axis=1)


def kept_within(variant: Any, model: Any, signature: Signature, target: np.ndarray) -> bool:
    """Whether Tango's interval proves a loss of at most one point."""
    right, was_right = (signature.codes(said) == target for said in (variant, model))
    only_variant, only_model = discordant(right, was_right)
    return tango(only_variant, only_model, len(target), 0.90).low > -POINT


@pytest.fixture(scope="module")
def cnn() -> tuple[TorchNative, Signature, Any]:
    """The reference network for digits, trained, and the rows that it never saw."""
    torch.manual_seed(0)
    rows = digits()
    net = train(make_digits_cnn(), rows.train, rows.train_target, epochs=12)
    signature = signature_of(rows.train, "multiclass", tuple(range(10)))
    return shipped(net, signature), signature, rows


@pytest.mark.slow
def test_half_the_channels_say_the_same(cnn: tuple[TorchNative, Signature, Any]) -> None:
    """A quarter of the weights is within a point on 797 rows; the model itself is unchanged."""
    native, signature, rows = cnn
    was = native.predict(rows.test)
    proposal = hurried(offered(native, signature)["prune-channels-50"])
    variant = made(native, signature, proposal, rows.train, rows.train_target)
    said = answers(variant, signature, rows.test)
    whole = to_onnx(native, signature, attempts(native)[0])
    assert len(variant.data) < len(whole.data) / 3.5
    assert kept_within(said, was, signature, rows.test_target)
    assert any("70,198 of 278,626 weights" in note for note in variant.notes)
    np.testing.assert_array_equal(native.predict(rows.test).main, was.main)


@pytest.mark.slow
def test_nearly_no_channels_lose_more_than_is_allowed(
    cnn: tuple[TorchNative, Signature, Any],
) -> None:
    """Without time to learn anew, a tenth of the channels knows no digits: no proof, no variant."""
    native, signature, rows = cnn
    tiny = made(
        native, signature, channels(0.9, epochs=1, rate=1e-5), rows.train, rows.train_target
    )
    said = answers(tiny, signature, rows.test)
    assert not kept_within(said, native.predict(rows.test), signature, rows.test_target)
    assert accuracy(signature, said, rows.test_target) < 0.9


@pytest.mark.slow
def test_few_weights_are_a_small_file_that_computes_as_much(
    cnn: tuple[TorchNative, Signature, Any],
) -> None:
    """Nine of ten weights are zero and the file says only the others; its width is as before."""
    native, signature, rows = cnn
    proposal = hurried(offered(native, signature)["prune-weights-90"])
    assert "no faster" in proposal.told
    variant = made(native, signature, proposal, rows.train, rows.train_target)
    whole = to_onnx(native, signature, attempts(native)[0])
    assert len(variant.data) < len(whole.data) / 4
    said = answers(variant, signature, rows.test)
    assert kept_within(said, native.predict(rows.test), signature, rows.test_target)


def test_the_same_seed_makes_the_same_bytes() -> None:
    """A variant is known by its bytes, so nothing in them depends on what ran before."""
    torch.manual_seed(0)
    layers = [torch.nn.Linear(8, 32), torch.nn.BatchNorm1d(32), torch.nn.ReLU()]
    net = torch.nn.Sequential(*layers, torch.nn.Dropout(0.5), torch.nn.Linear(32, 3)).eval()
    rows, target = learnable(8, 3)
    signature = signature_of(rows, "multiclass", (0, 1, 2))
    native = shipped(net, signature)
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    first = made(native, signature, channels(0.5, epochs=2), rows, target, seed=3)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    torch.rand(7)
    again = made(native, signature, channels(0.5, epochs=2), rows, target, seed=3)
    other = made(native, signature, channels(0.5, epochs=2), rows, target, seed=4)
    assert first.error == ""
    assert first.data == again.data
    assert first.data != other.data


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_one_number_learns_with_and_without_labels(task: Any) -> None:
    """A score is taught by its probability, a value by its square; unknown labels teach nothing."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(4, 64), torch.nn.ReLU(), torch.nn.Linear(64, 1)
    ).eval()
    table = np.random.default_rng(0).normal(size=(300, 4))
    rows = {f"c{i}": table[:, i] for i in range(4)}
    signature = signature_of(rows, task, (0, 1) if task == "binary" else ())
    native = shipped(net, signature)
    plan = channels(0.5, epochs=20, rate=1e-2)
    variant = made(native, signature, plan, rows)
    said, was = answers(variant, signature, rows), native.predict(rows)
    far = np.abs(said.main - was.main).mean() / (was.main.std() or 1)
    assert far < 0.2
    unknown = np.full(300, -1) if task == "binary" else np.full(300, np.nan)
    assert made(native, signature, plan, rows, unknown).data == variant.data
    known = (table[:, 0] > 0).astype(np.int64) if task == "binary" else table[:, 0] * 50
    assert made(native, signature, plan, rows, known).data != variant.data


class Attending(torch.nn.Module):  # type: ignore[misc,name-defined]
    """One transformer block over 6 tokens of 20."""

    example_input = torch.zeros(2, 6, dtype=torch.int64)

    def __init__(self, feed_forward: int = 32) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words = torch.nn.Embedding(20, 16)
        self.block = torch.nn.TransformerEncoderLayer(16, 4, feed_forward, batch_first=True)
        self.last = torch.nn.Linear(16, 2)

    def forward(self, words: Any) -> Any:
        """The scores of each row."""
        return self.last(self.block(self.words(words)).mean(dim=1))


def tokens(n: int = 200) -> Frame:
    """Rows of six tokens."""
    table = np.random.default_rng(1).integers(0, 20, (n, 6))
    return {f"w{i}": table[:, i] for i in range(6)}


def test_attention_keeps_its_width_and_feed_forward_blocks_do_not() -> None:
    """Heads are written into the code; the width between two linear layers is not."""
    rows = tokens()
    signature = signature_of(rows, "binary", (0, 1))
    native = shipped(Attending().eval(), signature)
    whole = layered(native, native.tensors(signature.names))
    assert whole.attention
    assert [layer.out_features for layer in whole.inner] == [32]
    variant = made(native, signature, channels(0.5, epochs=1), rows)
    assert variant.error == ""
    note = next(n for n in variant.notes if "weights" in n)
    left, before = (int(word.replace(",", "")) for word in note.split() if word[0].isdigit())
    assert before - left == 16 * (2 * 16 + 1)
    assert len(answers(variant, signature, rows)) == 200


class OnlyAttention(torch.nn.Module):  # type: ignore[misc,name-defined]
    """Attention without a feed-forward block."""

    example_input = torch.zeros(2, 3, 8)

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.block = torch.nn.MultiheadAttention(8, 2, batch_first=True)
        self.last = torch.nn.Linear(8, 2)

    def forward(self, x: Any) -> Any:
        """The scores of each row."""
        return self.last(self.block(x, x, x)[0].mean(dim=1))


class Counting(torch.nn.Module):  # type: ignore[misc,name-defined]
    """A layer whose width is a number in the code."""

    input_shape = (4,)

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = torch.nn.Linear(4, 32)
        self.last = torch.nn.Linear(16, 2)

    def forward(self, x: Any) -> Any:
        """The scores of each row."""
        return self.last(self.first(x).view(-1, 2, 16).relu().sum(dim=1))


@pytest.mark.parametrize(
    ("net", "columns", "why"),
    [
        (OnlyAttention, 24, "no layer can be narrower"),
        (lambda: dense_network(inputs=4, outputs=2)[2:], 8, "no layer can be narrower"),
        (Counting, 4, "depends on its widths"),
        (lambda: torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 2)), 4,
         "too narrow"),
    ],
)  # fmt: skip
def test_what_cannot_be_narrower_says_so_in_a_line(net: Any, columns: int, why: str) -> None:
    """The reason is an answer, not an error."""
    rows, target = learnable(columns, 2, n=150)
    signature = signature_of(rows, "binary", (0, 1))
    variant = made(shipped(net().eval(), signature), signature, channels(0.25), rows, target)
    assert why in variant.error
    assert "\n" not in variant.error


def test_residual_sums_and_grouped_convolutions_stay_whole() -> None:
    """What is added up loses the same channels on both sides; depthwise layers follow."""

    class Residual(torch.nn.Module):  # type: ignore[misc,name-defined]
        input_shape = (1, 8, 8)

        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first = torch.nn.Conv2d(1, 16, 3, padding="same")
            self.depth = torch.nn.Conv2d(16, 16, 3, padding=1, groups=16)
            self.norm = torch.nn.BatchNorm2d(16)
            self.last = torch.nn.Linear(16, 2)

        def forward(self, x: Any) -> Any:
            x = self.first(x)
            return self.last((x + self.norm(self.depth(x))).relu().mean(dim=(2, 3)))

    rows, target = learnable(64, 2, n=150)
    signature = signature_of(rows, "binary", (0, 1))
    native = shipped(Residual().eval(), signature)
    whole = layered(native, native.tensors(signature.names))
    assert len(wide(whole.module)) == 3
    variant = made(native, signature, channels(0.5, epochs=1), rows, target)
    assert variant.error == ""
    assert len(answers(variant, signature, rows)) == 150


def test_layers_answer_as_the_program_does() -> None:
    """Taking a network apart changes no number."""
    rows = tokens()
    signature = signature_of(rows, "binary", (0, 1))
    net = Attending().eval()
    native = shipped(net, signature)
    whole = layered(native, native.tensors(signature.names))
    given = torch.from_numpy(np.column_stack(list(rows.values())))
    with torch.no_grad():
        torch.testing.assert_close(whole.module(given), net(given), atol=1e-6, rtol=1e-5)


def test_a_file_of_few_numbers_answers_as_the_whole_one() -> None:
    """Zeros are left out of the file and are there again when it runs; dense weights stay."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.Tanh(), torch.nn.Linear(64, 3))
    with torch.no_grad():
        net[0].weight.mul_(torch.rand(64, 64) < 0.1)
    rows, _ = learnable(64, 3, n=20)
    signature = signature_of(rows, "multiclass", (0, 1, 2))
    whole = to_onnx(shipped(net.eval(), signature), signature, attempts_of(net, signature))
    small = Converted(data=packed(whole.data), inputs=whole.inputs, output=whole.output)
    assert len(small.data) < 0.5 * len(whole.data)
    said, was = (answers(each, signature, rows).main for each in (small, whole))
    np.testing.assert_array_equal(said, was)


def attempts_of(net: Any, signature: Signature) -> Any:
    """The one way to convert a network."""
    return attempts(shipped(net, signature))[0]


def test_narrow_networks_get_8_bits_by_the_way_that_suits_their_layers() -> None:
    """Each starts from a proposal before it, and names a function that is there."""
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 96, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(3456, 3)
    )
    net.input_shape = (1, 8, 8)
    dense = torch.nn.Sequential(torch.nn.Linear(64, 200), torch.nn.ReLU(), torch.nn.Linear(200, 3))
    rows, target = learnable(64, 3, n=150)
    signature = signature_of(rows, "multiclass", (0, 1, 2))
    for given, way in ((net, "int8"), (dense, "int8_dynamic")):
        native = shipped(given.eval(), signature)
        found = offered(native, signature)
        combined = found["prune-channels-50-int8"]
        assert combined.make == f"afterfit.optimize.quantize:{way}"
        assert list(found).index(combined.base) < list(found).index(combined.name)
        narrow = made(native, signature, channels(0.5, epochs=1), rows, target)
        small = made(native, signature, combined, rows, target, graph=narrow)
        assert len(small.data) < len(narrow.data) / 2
        assert len(answers(small, signature, rows)) == 150


def test_nothing_is_proposed_without_rows_or_layers_of_its_own(tmp_path: Path) -> None:
    """TorchScript is not taken apart, a tiny network is not worth it, no rows teach nothing."""
    rows, _ = learnable(64, 3)
    signature = signature_of(rows, "multiclass", (0, 1, 2))
    net = torch.nn.Sequential(torch.nn.Linear(64, 200), torch.nn.ReLU(), torch.nn.Linear(200, 3))
    native = shipped(net.eval(), signature)
    found = offered(native, signature)
    assert list(found) == [
        *(f"prune-channels-{share}" for share in (25, 50, 65)),
        *(f"prune-channels-{share}-int8" for share in (50, 65)),
        "prune-weights-90",
    ]
    assert [name for name, each in found.items() if each.no_faster] == ["prune-weights-90"]
    assert offered(native, signature, rows=20) == {}
    small = signature_of({f"c{i}": np.zeros(1) for i in range(4)}, "multiclass", (0, 1, 2))
    assert offered(shipped(dense_network(outputs=3), small), small) == {}
    torch.jit.save(torch.jit.trace(net, torch.zeros(2, 64)), tmp_path / "net.pt")
    with open_model(tmp_path / "net.pt", workdir=tmp_path) as model:
        found = model.call(
            "afterfit.models.prune_network:proposals",
            signature=signature,
            labelled=True,
            rows=1000,
        )
    assert found == []


def test_too_few_rows_teach_nothing() -> None:
    """The reason names how many would."""
    rows, target = learnable(4, 2, n=30)
    signature = signature_of(rows, "binary", (0, 1))
    native = shipped(torch.nn.Sequential(torch.nn.Linear(4, 32), torch.nn.ReLU(),
                                         torch.nn.Linear(32, 2)).eval(), signature)  # fmt: skip
    assert "30 rows teach nothing; 100 would" in (
        made(native, signature, channels(0.5), rows, target).error
    )
