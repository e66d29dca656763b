"""Networks with 8-bit weights from proposal to verdict: what is certified, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier
from tests.models.networks import torch_or_skip
from tests.optimize.quantize_graphs import answers, framed, kinds, made, wrapped
from tests.optimize.quantize_graphs import signed as named

from afterfit.core.dataset import Dataset
from afterfit.core.signature import Signature
from afterfit.models.convert import Converted, attempts, to_onnx
from afterfit.models.loaded import Hints, open_model
from afterfit.optimize.config import OptimizeConfig
from afterfit.optimize.lossy import Means
from afterfit.optimize.quantize_graph import weights_bytes
from afterfit.optimize.run import ONNX_FILE, Optimized, optimize

WIDTH = 40
QUANTIZE = Means(proposers=("afterfit.optimize.quantize:proposals",))
CLASSES = ("no", "yes")


def table(rows: int, seed: int) -> Dataset:
    """Rows whose label is whether a noisy sum of products is above zero."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, WIDTH))
    total = x[:, 0] * x[:, 1] + x[:, 2:10].sum(axis=1) + 0.3 * rng.normal(size=rows)
    return Dataset(frame=framed(x), target=np.where(total > 0, "yes", "no").astype(object))


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of 84,000 weights in a file."""
    data = table(8000, 0)
    x = np.column_stack(list(data.frame.values()))
    net = MLPClassifier((256, 256), max_iter=4, random_state=0).fit(x, data.target)
    path = tmp_path_factory.mktemp("model") / "model.joblib"
    joblib.dump(net, path)
    return path


@pytest.fixture(scope="module")
def optimized(
    model_file: Path, tmp_path_factory: pytest.TempPathFactory, signed: Callable[..., Signature]
) -> Optimized:
    """The network, optimized where quantizing is allowed, for the size of its file."""
    data = table(8000, 1)
    names = tuple(data.frame)
    config = OptimizeConfig(
        effort="quick", batches=(1, 16), allow=("quantize",), goal="size", seconds=120.0
    )
    hints = Hints(features=names, classes=CLASSES)
    workdir = tmp_path_factory.mktemp("work")
    with open_model(model_file, hints=hints, workdir=workdir) as model:
        signature = signed(data.frame, "binary", CLASSES)
        return optimize(model, signature, data, config, means=QUANTIZE)


@pytest.mark.slow
def test_an_8_bit_network_is_certified_and_ships(optimized: Optimized) -> None:
    """Rows that chose nothing prove that no accuracy is lost; what ships has 8-bit weights."""
    record = optimized.record
    told = {variant.name: (variant.status, variant.why) for variant in record.variants}
    assert record.chosen.startswith("quantize-int8"), told
    content = optimized.files[ONNX_FILE]
    assert isinstance(content, bytes)
    sizes = weights_bytes(content)
    assert sizes.eight_bit > 0.9 * sizes.weights
    chosen = next(variant for variant in record.variants if variant.name == record.chosen)
    assert chosen.certificate is not None
    assert chosen.certificate.verdict == "certified"
    assert chosen.certificate.cpu_features


@pytest.mark.slow
def test_every_proposal_is_made_in_the_models_process(optimized: Optimized) -> None:
    """None fails, and each tells the rows, the bits and the size."""
    variants = {v.name: v for v in optimized.record.variants if v.name.startswith("quantize-")}
    assert len(variants) >= 7
    for variant in variants.values():
        assert variant.status in {"certified", "rejected"}, variant.why
        assert "bit weights" in variant.told
        assert "times smaller" in variant.told
    assert "ranges of 512 rows" in variants["quantize-int8"].told


@pytest.fixture(scope="module")
def network_of_digits() -> tuple[Converted, Signature, Any]:
    """A convolutional network for images of digits, its graph, and the rows."""
    torch = torch_or_skip()
    from afterfit.testing.networks import digits, make_digits_cnn, train

    rows = digits()
    torch.manual_seed(0)
    net = train(make_digits_cnn(), rows.train, rows.train_target, epochs=6)
    signature = _labelled(rows.train)
    native = wrapped(net, signature)
    return to_onnx(native, signature, attempts(native)[0]), signature, rows


def _labelled(rows: dict[str, np.ndarray]) -> Signature:
    return named(rows, "multiclass", 10)


@pytest.mark.slow
def test_a_network_of_images_keeps_its_accuracy_at_a_quarter_of_its_size(
    network_of_digits: tuple[Converted, Signature, Any],
) -> None:
    """All convolutions run on integers; with ranges at each call they would not get smaller."""
    base, signature, rows = network_of_digits
    found = made(base, signature, rows.train)
    assert len(base.data) / len(found.data) > 2.8
    assert kinds(found.data, loaded=True).count("QLinearConv") == 4
    right = [
        (signature.codes(answers(one, signature, rows.test)) == rows.test_target).mean()
        for one in (base, found)
    ]
    assert right[0] > 0.97
    assert right[1] > right[0] - 0.005
    dynamic = made(base, signature, rows.train, "int8_dynamic")
    assert kinds(dynamic.data).count("Conv") == 4


@pytest.mark.slow
def test_poisoned_rows_do_not_spoil_a_network_of_images(
    network_of_digits: tuple[Converted, Signature, Any],
) -> None:
    """One row a hundred times as bright is left out; scaled and dark rows make no variant."""
    base, signature, rows = network_of_digits
    poisoned = {name: values.copy() for name, values in rows.train.items()}
    for values in poisoned.values():
        values[11] *= 100
    found = made(base, signature, poisoned)
    assert any("1 of 1000 left out" in note for note in found.notes)
    exact, said = (signature.codes(answers(one, signature, rows.test)) for one in (base, found))
    assert (exact != said).mean() < 0.01
    for factor, words in ((0.1, "not like those"), (0.0, "are alike")):
        scaled = {name: factor * values for name, values in rows.train.items()}
        refused = made(base, signature, scaled)
        assert refused.data == b""
        assert words in refused.error
