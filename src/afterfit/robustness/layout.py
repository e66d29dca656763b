"""Whether the columns of a model are the pixels of an image, and how they lie in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from afterfit.core.bundle import TensorInput
from afterfit.core.frame import Frame
from afterfit.core.signature import Signature

__all__ = ["Layout", "image_layout"]

CHANNELS = frozenset({1, 3, 4})
LEAST_SIDE = 4


class Layout(NamedTuple):
    """The columns in the order of the tensor, the shape of one row, and its axis of channels.

    ``channels`` is the axis within one row; None for an image of two axes.
    """

    columns: tuple[str, ...]
    shape: tuple[int, ...]
    channels: int | None

    def images(self, rows: Frame) -> np.ndarray:
        """Return float64 of [n, channels, height, width]."""
        flat = np.stack([rows[name].astype(np.float64) for name in self.columns], axis=1)
        whole = flat.reshape(len(flat), *self.shape)
        if self.channels is None:
            return whole[:, np.newaxis]
        return np.moveaxis(whole, 1 + self.channels, 1)

    def columns_of(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Return the columns of images as `images` gives them."""
        whole = images[:, 0] if self.channels is None else np.moveaxis(images, 1, 1 + self.channels)
        flat = np.ascontiguousarray(whole).reshape(len(images), -1)
        return {name: flat[:, index] for index, name in enumerate(self.columns)}


def image_layout(inputs: Sequence[TensorInput], signature: Signature) -> Layout | None:
    """Return how the columns make an image, or None.

    An image is the only tensor of the model, of all its columns, with one row of (height, width)
    or with a further axis of 1, 3 or 4 channels, first or last; each side has 4 pixels or more.
    """
    if len(inputs) != 1 or not inputs[0].shape:
        return None
    only, shape = inputs[0], tuple(inputs[0].shape)
    if set(only.columns) != set(signature.names) or not signature.numeric_only:
        return None
    channels: int | None = None
    sides = shape
    if len(shape) == 3:
        first = shape[0] in CHANNELS
        if not first and shape[-1] not in CHANNELS:
            return None
        channels = 0 if first else 2
        sides = shape[1:] if first else shape[:-1]
    if len(sides) != 2 or min(sides) < LEAST_SIDE:
        return None
    return Layout(only.columns, shape, channels)
