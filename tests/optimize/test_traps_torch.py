"""What exporting a network of PyTorch gets wrong by default: made right, or told in a line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.models.networks import torch_or_skip
from tests.optimize.conftest import InProcess, signature_of
from tests.optimize.traps import outcome_of

from afterfit.errors import InputError
from afterfit.models.native import Hints, adapter_for_object
from afterfit.runtime.onnx import OnnxModel

torch = torch_or_skip(at_import=True)


def numbers(rows: int = 300) -> dict[str, np.ndarray]:
    """Four columns of numbers."""
    rng = np.random.default_rng(0)
    return {f"x{index}": rng.normal(size=rows) for index in range(4)}


def wrapped(net: Any) -> tuple[Any, Any]:
    """The network in this process, and its signature for two classes."""
    signature = signature_of(numbers(), "binary", (0, 1))
    return InProcess(adapter_for_object(net).wrap(net, Hints.of(signature))), signature


def dense(width: int = 8) -> Any:
    """A small network with fixed weights."""
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(4, width), torch.nn.ReLU(), torch.nn.Linear(width, 2)
    )


@pytest.mark.parametrize("rows", [1, 5, 256])
def test_the_axis_of_rows_is_never_fixed(rows: int) -> None:
    """By default the exporter keeps the example's number of rows, and refuses another."""
    model, signature = wrapped(dense())
    outcome = outcome_of(model, signature, numbers())
    assert outcome.ships == "onnx-float32"
    made = outcome.ladder[-1].converted
    assert made is not None
    assert made.output is not None
    variant = OnnxModel(made.data, made.inputs, made.output, signature.classes)
    frame = numbers(rows)
    assert np.allclose(variant.predict(frame).main, model.predict(frame).main, atol=1e-6)


def test_weights_are_in_the_graphs_own_file() -> None:
    """By default they lie in another file, which a bundle would lose."""
    import onnx

    model, signature = wrapped(dense(600))
    made = outcome_of(model, signature, numbers()).ladder[-1].converted
    assert made is not None
    graph = onnx.load_model_from_string(made.data).graph
    assert not any(tensor.external_data for tensor in graph.initializer)
    assert len(made.data) > 4 * (4 * 600 + 600 + 600 * 2)


def test_a_hole_is_refused_by_the_graph_as_by_the_network() -> None:
    """A network raises where it gives NaN; its graph would answer NaN without a word."""
    model, signature = wrapped(dense())
    outcome = outcome_of(model, signature, numbers())
    assert outcome.ships == "onnx-float32"
    made = outcome.ladder[-1].converted
    assert made is not None
    assert made.output is not None
    assert made.output.refuses_nan is True
    frame = numbers(4)
    frame["x2"][3] = np.nan
    variant = OnnxModel(made.data, made.inputs, made.output, signature.classes)
    with pytest.raises(InputError, match="no number"):
        model.predict(frame)
    with pytest.raises(InputError, match=r"\$\.rows\[3\]"):
        variant.predict(frame)
    assert any("are refused, as the model refuses them" in t for t in outcome.texts("O006"))
    assert outcome.texts("O007") == []


def test_an_if_that_depends_on_the_data_ships_as_it_is() -> None:
    """No graph can have it: the message says so in a line, and the network answers."""

    class Branching(torch.nn.Module):  # type: ignore[misc,name-defined]
        input_shape = (4,)

        def forward(self, x: Any) -> Any:
            return x[:, :2] * 2 if x.sum() > 0 else x[:, :2] - 1

    model, signature = wrapped(Branching())
    outcome = outcome_of(model, signature, numbers())
    assert outcome.ships == "native"
    assert outcome.found[0].code == "O001"
    assert "data-dependent" in outcome.message
    assert "(fix: torch.where in place of if" in outcome.message
    assert "\n" not in outcome.message
