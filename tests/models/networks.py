"""Small networks and their files, for the tests that need PyTorch."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

PIXELS = tuple(f"p{index}" for index in range(64))


def torch_or_skip(*, at_import: bool = False) -> Any:
    """PyTorch; skips the test (or file) without it, and fails it in continuous integration."""
    try:
        import torch
    except ImportError:
        if os.environ.get("CI") == "true":
            pytest.fail("PyTorch is not installed: make torch")
        pytest.skip("PyTorch is not installed: make torch", allow_module_level=at_import)
    return torch


def image_network(*, classes: int = 10, softmax: bool = False) -> Any:
    """A convolution over 8 by 8 pixels with fixed weights, in eval mode."""
    torch = torch_or_skip()
    torch.manual_seed(0)
    layers = [
        torch.nn.Conv2d(1, 4, 3, padding=1),
        torch.nn.BatchNorm2d(4),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(256, classes),
    ]
    net = torch.nn.Sequential(*layers, *([torch.nn.Softmax(dim=1)] if softmax else []))
    net.input_shape = (1, 8, 8)
    return net.eval()


def dense_network(*, inputs: int = 4, outputs: int = 1, last: Any = None) -> Any:
    """Two dense layers with fixed weights, in eval mode."""
    torch = torch_or_skip()
    torch.manual_seed(1)
    layers = [torch.nn.Linear(inputs, 8), torch.nn.Tanh(), torch.nn.Linear(8, outputs)]
    return torch.nn.Sequential(*layers, *([last] if last is not None else [])).eval()


def program(net: Any, *shape: int) -> Any:
    """The network, exported for any number of rows of a shape."""
    torch = torch_or_skip()
    rows = torch.export.Dim("rows")
    return torch.export.export(net, (torch.zeros(2, *shape),), dynamic_shapes=({0: rows},))


def pixels(n: int) -> dict[str, np.ndarray]:
    """A frame of images, one column a pixel."""
    table = np.random.default_rng(2).random((n, 64)).round(3)
    return {name: table[:, index] for index, name in enumerate(PIXELS)}


def probabilities(net: Any, frame: dict[str, np.ndarray], *shape: int) -> np.ndarray:
    """What the network itself says of the rows, after a softmax."""
    torch = torch_or_skip()
    table = torch.from_numpy(np.column_stack(list(frame.values())).astype(np.float32))
    with torch.inference_mode():
        answer: np.ndarray = torch.softmax(net(table.reshape(-1, *shape)), dim=1).numpy()
    return answer
