"""Students that are networks of a layer or none between, trained on a teacher's answers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

__all__ = ["Network", "Training", "train"]

LIMIT = 8.0
"""Standard deviations beyond which a number counts as that many."""

BATCH = 256


@dataclass(frozen=True)
class Network:
    """A first layer over numbers and texts, then dense ones with ReLU before each.

    A number is centred, divided by ``spread`` and cut at ``limit``; a missing one is the centre,
    and a flag of its own where ``holes``. ``numbers`` is [numbers (+ flags), hidden], ``texts`` is
    [texts, width, hidden]; ``biases`` has one entry more than ``weights``. A regression's answer
    is multiplied by ``scale`` and ``shift`` added.
    """

    centre: np.ndarray
    spread: np.ndarray
    holes: bool
    numbers: np.ndarray
    texts: np.ndarray
    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]
    link: Literal["identity", "softmax"]
    scale: float = 1.0
    shift: float = 0.0
    limit: float = LIMIT


@dataclass(frozen=True)
class Training:
    """How a network is trained; ``hidden`` 0 is a linear model.

    It stops early at ``deadline`` (monotonic), with one pass over the rows at least.
    """

    hidden: int
    epochs: int
    classifier: bool
    seed: int
    deadline: float


def train(
    numbers: np.ndarray, places: np.ndarray, width: int, soft: np.ndarray, training: Training
) -> Network:
    """Return a network that answers near to ``soft``, [n, classes] or [n, 1].

    It is trained by Adam on the cross entropy with soft targets (Hinton et al. 2015), or on
    squared errors.
    """
    centre, spread, holes = _scales(numbers)
    design = _design(numbers, places, width, centre, spread, holes=holes)
    scale, shift = 1.0, 0.0
    if not training.classifier:
        shift, scale = float(soft.mean()), float(soft.std()) or 1.0
        soft = (soft - shift) / scale
    layers = _started(design.shape[1], training.hidden, soft.shape[1], training.seed)
    layers = _descend(layers, design, soft, training)
    first = layers[0][0]
    rows = numbers.shape[1] * (2 if holes else 1)
    return Network(
        centre=centre,
        spread=spread,
        holes=holes,
        numbers=first[:rows],
        texts=first[rows:].reshape(places.shape[1], width, first.shape[1]),
        weights=tuple(weights for weights, _ in layers[1:]),
        biases=tuple(bias for _, bias in layers),
        link="softmax" if training.classifier else "identity",
        scale=scale,
        shift=shift,
    )


def _scales(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
    present = np.isfinite(numbers)
    count = np.maximum(present.sum(axis=0), 1)
    clean = np.where(present, numbers, 0.0)
    centre = clean.sum(axis=0) / count
    spread = np.sqrt((np.where(present, clean - centre, 0.0) ** 2).sum(axis=0) / count)
    return centre, np.where(spread > 0, spread, 1.0), bool(np.isnan(numbers).any())


def _design(
    numbers: np.ndarray,
    places: np.ndarray,
    width: int,
    centre: np.ndarray,
    spread: np.ndarray,
    *,
    holes: bool,
) -> np.ndarray:
    """Return [n, inputs]: numbers, flags of missing ones, one column for each text of a column."""
    absent = np.isnan(numbers)
    scaled = np.clip((np.where(absent, centre, numbers) - centre) / spread, -LIMIT, LIMIT)
    parts = [scaled, absent.astype(np.float64)] if holes else [scaled]
    hot = np.zeros((len(numbers), places.shape[1] * width))
    at = places + np.arange(places.shape[1]) * width
    np.put_along_axis(hot, at, 1.0, axis=1)
    return np.concatenate([*parts, hot], axis=1).astype(np.float32)


Layers = list[tuple[np.ndarray, np.ndarray]]


def _started(inputs: int, hidden: int, outputs: int, seed: int) -> Layers:
    generator = np.random.default_rng(seed)
    sizes = [inputs, hidden, outputs] if hidden else [inputs, outputs]
    # He et al. 2015; a linear model starts at zero.
    return [
        (generator.normal(size=(a, b)) * (np.sqrt(2.0 / a) if hidden else 0.0), np.zeros(b))
        for a, b in pairwise(sizes)
    ]


def _descend(layers: Layers, design: np.ndarray, soft: np.ndarray, training: Training) -> Layers:
    """Return the layers after Adam (Kingma and Ba 2015), whose step falls to zero on the way."""
    generator = np.random.default_rng(training.seed)
    flat = [array.copy() for layer in layers for array in layer]
    first, second = [np.zeros_like(a) for a in flat], [np.zeros_like(a) for a in flat]
    steps = max(1, -(-len(design) // BATCH) * training.epochs)
    step = 0
    for _ in range(training.epochs):
        order = generator.permutation(len(design))
        for start in range(0, len(order), BATCH):
            step += 1
            rate = 3e-3 * (1.0 - (step - 1) / steps)
            chosen = order[start : start + BATCH]
            slopes = _slopes(flat, design[chosen], soft[chosen], classifier=training.classifier)
            for index, slope in enumerate(slopes):
                first[index] += 0.1 * (slope - first[index])
                second[index] += 0.001 * (slope * slope - second[index])
                size = np.sqrt(second[index] / (1.0 - 0.999**step)) + 1e-8
                flat[index] -= rate / (1.0 - 0.9**step) * first[index] / size
        if time.monotonic() >= training.deadline:
            break
    return list(zip(flat[::2], flat[1::2], strict=True))


def _slopes(
    flat: list[np.ndarray], rows: np.ndarray, soft: np.ndarray, *, classifier: bool
) -> list[np.ndarray]:
    """Return the slope of the loss by each array of weights and biases."""
    activations = [rows]
    for weights, bias in zip(flat[:-2:2], flat[1:-2:2], strict=True):
        activations.append(np.maximum(activations[-1] @ weights + bias, 0.0))
    answer = activations[-1] @ flat[-2] + flat[-1]
    if classifier:
        answer = np.exp(answer - answer.max(axis=1, keepdims=True))
        answer /= answer.sum(axis=1, keepdims=True)
    error = (answer - soft) / len(rows)
    slopes: list[np.ndarray] = []
    for layer in range(len(activations) - 1, -1, -1):
        slopes = [activations[layer].T @ error, error.sum(axis=0), *slopes]
        if layer:
            error = (error @ flat[2 * layer].T) * (activations[layer] > 0)
    return slopes
