"""Reference networks of PyTorch with fixed sizes and seeds, and the rows that they learn.

Each ``make_…`` builds one, ``width`` 1.0 or a part of it, and can be named as
``afterfit.testing.networks:make_digits_cnn@net.safetensors``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = [
    "Rows",
    "digits",
    "make_digits_cnn",
    "make_digits_mlp",
    "make_text_transformer",
    "sentences",
    "train",
]

WORDS = 1500
LENGTH = 32
TOPICS = 4
_TOPICAL = 12
_NOT = 1
_SAID = 6
_FOR = 4


@dataclass(frozen=True)
class Rows:
    """Rows to train with and rows to judge on, one column a pixel or word; targets are codes."""

    train: dict[str, np.ndarray]
    train_target: np.ndarray
    test: dict[str, np.ndarray]
    test_target: np.ndarray


def digits(*, test: int = 797, seed: int = 0) -> Rows:
    """Return scikit-learn's 1,797 images of handwritten digits, 8 by 8 pixels of 0 to 1."""
    from sklearn.datasets import load_digits

    images, target = load_digits(return_X_y=True)
    return _parted(images / 16.0, target.astype(np.int64), test, seed, "pixel")


def sentences(rows: int = 8000, *, test: int = 3000, seed: int = 0) -> Rows:
    """Return sentences of 32 words as numbers below 1,500, each about one of four topics.

    Four of the words are of the topic; two are of another, with "not" before them. The rest are
    drawn from all words, the first far more often than the last, so some topics are told wrongly.
    """
    random = np.random.default_rng(seed)
    target = random.integers(0, TOPICS, rows)
    often = 1.0 / np.arange(1, WORDS - 1)
    words = 2 + random.choice(WORDS - 2, (rows, LENGTH), p=often / often.sum())
    topical = 2 + random.permutation(WORDS - 2)[: TOPICS * _TOPICAL].reshape(TOPICS, _TOPICAL)
    for row, topic in enumerate(target):
        other = (topic + 1 + random.integers(0, TOPICS - 1)) % TOPICS
        places = random.permutation(LENGTH // 2)[:_SAID] * 2
        for count, place in enumerate(places):
            about = topic if count < _FOR else other
            words[row, place + 1] = random.choice(topical[about])
            if count >= _FOR:
                words[row, place] = _NOT
            elif words[row, place] == _NOT:
                words[row, place] = 2
    return _parted(words, target, test, seed, "word")


def _parted(table: np.ndarray, target: np.ndarray, test: int, seed: int, word: str) -> Rows:
    order = np.random.default_rng(seed).permutation(len(target))
    parts = []
    for chosen in (np.sort(order[test:]), np.sort(order[:test])):
        columns = {f"{word}{i}": table[chosen, i] for i in range(table.shape[1])}
        parts.append((columns, target[chosen]))
    return Rows(*parts[0], *parts[1])


def make_digits_cnn(width: float = 1.0) -> Any:
    """Return an untrained network of four convolutions for 8 by 8 pixels: 279,000 weights."""
    from torch import nn

    a, b, c, d = (_wide(each, width) for each in (32, 64, 128, 72))
    net: Any = nn.Sequential(
        *(nn.Conv2d(1, a, 3, padding=1), nn.BatchNorm2d(a), nn.ReLU()),
        *(nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(b, c, 3, padding=1), nn.BatchNorm2d(c), nn.ReLU()),
        *(nn.Conv2d(c, c, 3, padding=1), nn.BatchNorm2d(c), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(4 * c, d), nn.ReLU(), nn.Linear(d, 10)),
    )
    net.input_shape = (1, 8, 8)
    return net


def make_digits_mlp(width: float = 1.0) -> Any:
    """Return an untrained network of three dense layers for 64 pixels: 337,000 weights."""
    from torch import nn

    a, b = (_wide(each, width) for each in (512, 78))
    return nn.Sequential(
        *(nn.Linear(64, a), nn.ReLU(), nn.Linear(a, a), nn.ReLU()),
        *(nn.Linear(a, b), nn.ReLU(), nn.Linear(b, 10)),
    )


def make_text_transformer(width: float = 1.0) -> Any:
    """Return an untrained transformer of two layers for 32 words: 526,000 weights."""
    import torch
    from torch import nn

    size = 32 * max(1, round(4 * width))

    class Classifier(nn.Module):
        example_input = torch.zeros(2, LENGTH, dtype=torch.int64)

        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(WORDS, size)
            self.places = nn.Parameter(0.02 * torch.randn(1, LENGTH, size))
            layer = nn.TransformerEncoderLayer(size, 4, 3 * size, dropout=0.1, batch_first=True)
            self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.last = nn.Linear(size, TOPICS)

        def forward(self, words: Any) -> Any:
            return self.last(self.layers(self.words(words) + self.places).mean(dim=1))

    return Classifier()


def train(
    net: Any, rows: dict[str, np.ndarray], target: np.ndarray, *, epochs: int, rate: float = 2e-3
) -> Any:
    """Return the network in eval mode, trained by Adam on one thread; the same each time."""
    import torch

    example = getattr(net, "example_input", None)
    kind = torch.float32 if example is None else example.dtype
    shape = getattr(net, "input_shape", (len(rows),))
    table = torch.from_numpy(np.column_stack(list(rows.values()))).to(kind).reshape(-1, *shape)
    known = torch.from_numpy(target)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    optimizer = torch.optim.Adam(net.parameters(), rate)
    batches = len(target) // 64
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=epochs * batches)
    net.train()
    for _ in range(epochs):
        order = torch.randperm(len(target))[: 64 * batches].reshape(batches, 64)
        for chosen in order:
            optimizer.zero_grad()
            loss: Any = torch.nn.functional.cross_entropy(net(table[chosen]), known[chosen])
            loss.backward()
            optimizer.step()
            schedule.step()
    torch.set_num_threads(threads)
    return net.eval()


def _wide(channels: int, width: float) -> int:
    return max(4, 4 * round(channels * width / 4))
