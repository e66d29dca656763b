"""Ways to spoil images: noise, blur, rotation, brightness, contrast, occlusion.

The kinds follow Hendrycks and Dietterich (2019), "Benchmarking Neural Network Robustness to Common
Corruptions and Perturbations" (arXiv 1903.12261). Their severities are for photos of 224 pixels;
here sizes are shares of the image's side and amounts shares of the range of its values, so that
they mean the same for small images. Values stay within the range of the rows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from afterfit.core.frame import Frame
from afterfit.core.signature import Signature
from afterfit.robustness.corruption import Corruption
from afterfit.robustness.layout import Layout, image_layout

if TYPE_CHECKING:
    from afterfit.robustness.evidence import Evidence

__all__ = ["image_corruptions"]

# Of images in [0, 1], float64 of [n, channels, height, width], a level, a generator.
Picture = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]
GATE = "image_drop"


def image_corruptions(evidence: Evidence) -> list[Corruption]:
    """Return the ladders of a model whose only input is an image; none for others."""
    layout = image_layout(evidence.inputs, evidence.signature)
    if layout is None:
        return []
    whole, side = "of the range", "of the side"
    kinds: list[tuple[str, str, tuple[float, float, float, float, float], Picture]] = [
        ("pixel noise", whole, (0.04, 0.08, 0.12, 0.18, 0.26), _noise),
        ("blur", side, (0.02, 0.04, 0.06, 0.09, 0.12), _blur),
        ("rotation", "degrees", (5.0, 10.0, 15.0, 20.0, 30.0), _rotation),
        ("brightness", whole, (0.1, 0.2, 0.3, 0.4, 0.5), _brightness),
        ("lost contrast", "of the contrast", (0.25, 0.4, 0.55, 0.7, 0.85), _contrast),
        ("occlusion", "of the area", (0.05, 0.1, 0.15, 0.2, 0.3), _occlusion),
    ]
    signature = evidence.signature
    return [
        Corruption(
            name,
            GATE,
            unit,
            levels,
            partial(_spoiled, layout=layout, signature=signature, picture=picture),
        )
        for name, unit, levels, picture in kinds
    ]


def _spoiled(
    rows: Frame,
    level: float,
    random: np.random.Generator,
    *,
    layout: Layout,
    signature: Signature,
    picture: Picture,
) -> dict[str, np.ndarray]:
    images = layout.images(rows)
    finite = images[np.isfinite(images)]
    if not len(finite):
        return {}
    low, width = float(finite.min()), float(np.ptp(finite)) or 1.0
    changed = picture((images - low) / width, level, random)
    found = layout.columns_of(low + width * np.clip(changed, 0.0, 1.0))
    for column in signature.columns:
        if column.kind == "integer":
            whole = np.rint(found[column.name])
            kind = rows[column.name].dtype
            found[column.name] = whole.astype(kind) if kind.kind in "iu" else whole
        elif column.kind == "boolean":
            found[column.name] = found[column.name] >= low + width / 2
    return found


def _noise(images: np.ndarray, level: float, random: np.random.Generator) -> np.ndarray:
    return np.asarray(images + level * random.standard_normal(images.shape))


def _blur(images: np.ndarray, level: float, _random: np.random.Generator) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    sigma = level * min(images.shape[2:])
    return np.asarray(gaussian_filter(images, sigma=(0, 0, sigma, sigma), mode="nearest"))


def _rotation(images: np.ndarray, level: float, random: np.random.Generator) -> np.ndarray:
    """Return images turned by ``level`` degrees, half of them each way."""
    from scipy.ndimage import rotate

    left = random.random(len(images)) < 0.5
    turned = images.copy()
    for way, sign in ((left, 1.0), (~left, -1.0)):
        if way.any():
            turned[way] = rotate(
                images[way], sign * level, axes=(2, 3), reshape=False, order=1, mode="nearest"
            )
    return turned


def _brightness(images: np.ndarray, level: float, random: np.random.Generator) -> np.ndarray:
    """Return images brighter by ``level``, and half of them darker."""
    sign = np.where(random.random(len(images)) < 0.5, 1.0, -1.0)
    return np.asarray(images + level * sign[:, None, None, None])


def _contrast(images: np.ndarray, level: float, _random: np.random.Generator) -> np.ndarray:
    middle = images.mean(axis=(2, 3), keepdims=True)
    return np.asarray(middle + (1.0 - level) * (images - middle))


def _occlusion(images: np.ndarray, level: float, random: np.random.Generator) -> np.ndarray:
    """Return images of which a rectangle, a share ``level`` of the area, is of their mean."""
    height, width = images.shape[2:]
    tall, wide = (max(1, round(side * level**0.5)) for side in (height, width))
    tops, lefts = random.random(len(images)), random.random(len(images))
    hidden = images.copy()
    for row in range(len(images)):
        top, left = int(tops[row] * (height - tall + 1)), int(lefts[row] * (width - wide + 1))
        middle = images[row].mean(axis=(1, 2), keepdims=True)
        hidden[row, :, top : top + tall, left : left + wide] = middle
    return hidden
