"""The exact variant that ships: one form of the model, or two by the rows of a call."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from afterfit.core.bundle import Large, Variant
from afterfit.core.signature import Signature
from afterfit.models.booster_direct import DIRECT
from afterfit.models.convert import Converted
from afterfit.models.draft import native_files
from afterfit.models.loaded import LoadedModel
from afterfit.optimize.config import OptimizeConfig
from afterfit.optimize.ladder import Trial
from afterfit.optimize.latency import Timings
from afterfit.optimize.regime import Regime, regime

__all__ = ["ONNX_FILE", "Files", "Shipped", "onnx_variant", "shipped"]

ONNX_FILE = "model/model.onnx"
_BOOSTERS = {
    "lightgbm-text": ("lightgbm", "model/booster.txt"),
    "xgboost-ubj": ("xgboost", "model/booster.ubj"),
}
Files = dict[str, bytes | Path]


@dataclass(frozen=True)
class Shipped:
    """A variant with its files, which form answers how many rows, and how long that takes.

    ``native`` are the files of the model as it is. ``times`` are µs of each call by rows a call.
    """

    variant: Variant
    files: Files
    regime: Regime
    native: dict[str, Path]
    times: dict[int, np.ndarray]

    @property
    def onnx(self) -> bool:
        """Whether the graph answers calls of some size."""
        return "onnx" in (self.regime.small, self.regime.large)

    @property
    def size(self) -> int:
        """Bytes of the files."""
        return sum(map(_size, self.files.values()))


def shipped(
    model: LoadedModel,
    signature: Signature,
    exact: Trial | None,
    direct: Trial | None,
    timings: Timings,
    config: OptimizeConfig,
) -> Shipped:
    """Return what ships of the model as it is, its exact graph and its booster by itself."""
    variant, native = native_files(model, signature)
    forms: dict[str, tuple[Variant, Files]] = {"native": (variant, dict(native))}
    if exact is not None and exact.converted is not None:
        graph = onnx_variant(model, exact.attempt.name, exact.converted)
        forms["onnx"] = graph, {ONNX_FILE: exact.converted.data}
    if direct is not None and direct.converted is not None:
        forms["direct"] = _direct(direct.converted)
    unmixed = config.goal == "size" or signature.own_labels is True
    alone = set(forms) if unmixed else {"native"} if variant.asks else set()
    order: tuple[str, ...] = ("onnx", "direct", "native")
    known = {form: timings[form] for form in order if form in forms}
    try:
        found = regime(
            known, latency=config.goal == "latency", tolerated=config.max_slowdown, alone=alone
        )
    except ValueError:
        found = Regime("native")
    times = {
        rows: timings[found.form(rows)][rows]
        for rows in timings["native"]
        if rows in timings[found.form(rows)]
    }
    chosen, files = forms[found.small]
    if found.large:
        more, others = forms[found.large]
        chosen = msgspec.structs.replace(chosen, large=Large(rows=found.rows, variant=more))
        files = files | others
    return Shipped(chosen, files, found, native, times)


def onnx_variant(model: LoadedModel, name: str, converted: Converted) -> Variant:
    """Return the variant that runs a graph."""
    return Variant(
        name=name,
        runtime="onnx",
        framework=model.description.framework,
        file=ONNX_FILE,
        format="onnx",
        inputs=converted.inputs,
        output=converted.output,
    )


def _direct(converted: Converted) -> tuple[Variant, Files]:
    framework, file = _BOOSTERS[converted.format]
    variant = Variant(
        name=DIRECT, runtime="native", framework=framework, file=file, format=converted.format
    )
    return variant, {file: converted.data}


def _size(content: bytes | Path) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size
