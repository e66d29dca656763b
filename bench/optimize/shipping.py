"""What ``afterfit optimize`` ships, opened as a server opens it."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from afterfit.core.dataset import Dataset
from afterfit.core.model import Model
from afterfit.core.signature import Column, Signature, Task
from afterfit.models.loaded import Hints, open_model
from afterfit.optimize.config import OptimizeConfig
from afterfit.optimize.lossy import Means
from afterfit.optimize.run import optimize
from afterfit.records.optimize import OptimizeRecord
from afterfit.runtime.predict import open_variant


@dataclass(frozen=True)
class Shipped:
    """The record of the step, the files that it chose, and the model that they are."""

    record: OptimizeRecord
    files: dict[str, bytes]
    model: Model

    @property
    def size(self) -> int:
        """Bytes of the files."""
        return sum(map(len, self.files.values()))

    @property
    def graph(self) -> bytes | None:
        """The bytes of the graph, where the variant is one and nothing else."""
        found = [data for name, data in self.files.items() if name.endswith(".onnx")]
        return found[0] if len(found) == 1 and len(self.files) == 1 else None

    @property
    def status(self) -> str:
        """What was proven of the variant that ships: as_is, exact or certified."""
        named = {variant.name: variant.status for variant in self.record.variants}
        return named.get(self.record.chosen, "exact")


def ship(
    source: Path | str,
    signature: Signature,
    data: Dataset,
    config: OptimizeConfig,
    folder: Path,
    *,
    means: Means | None = None,
    code: Path | None = None,
) -> Shipped:
    """Optimize a model and open what ships on one thread; ``folder`` keeps its files."""
    folder.mkdir(parents=True, exist_ok=True)
    hints = Hints.of(signature)
    with open_model(source, hints=hints, code=code, workdir=folder) as model:
        done = optimize(model, signature, data, config, means=means or Means())
        files = {
            name: content if isinstance(content, bytes) else content.read_bytes()
            for name, content in done.files.items()
        }
    for name, content in files.items():
        path = folder / "bundle" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    opened = open_variant(folder / "bundle", done.record.variant, signature, threads=1)
    return Shipped(done.record, files, opened)


def signature_of(
    frame: dict[str, np.ndarray], task: Task, classes: Sequence[int], *, kind: str = ""
) -> Signature:
    """A signature of these columns; ``kind`` is that of the numbers, by default by their dtype."""
    columns = []
    for name, values in frame.items():
        if values.dtype.kind == "O":
            known = tuple(sorted({value for value in values if value is not None}))
            gone = any(value is None for value in values)
            columns.append(Column(name=name, kind="category", nullable=gone, categories=known))
            continue
        of: Any = kind or ("integer" if values.dtype.kind in "iu" else "number")
        low, high = float(values.min()), float(values.max())
        columns.append(Column(name=name, kind=of, low=low, high=high))
    positive = classes[-1] if task == "binary" else None
    return Signature(task=task, columns=tuple(columns), classes=tuple(classes), positive=positive)


def kept(
    folder: Path,
    name: str,
    sources: Sequence[ModuleType | Callable[..., Any]],
    packages: Sequence[str],
) -> Path:
    """The path of a fitted model: another one where the code or the packages are others."""
    text = "\n".join(inspect.getsource(source) for source in sources)
    text += "".join(f"\n{package}=={version(package)}" for package in packages)
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}-{digest}"
