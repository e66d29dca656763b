"""Networks of PyTorch: exported programs, TorchScript, and weights with the code that builds them.

Three kinds of file, none of which is unpickled:

* ``.pt2`` of ``torch.export.save``: it tells the shape of its input too;
* TorchScript of ``torch.jit.save``;
* ``.safetensors`` and ``module:factory@net.safetensors``: the factory, called without arguments,
  returns the ``nn.Module`` that the weights belong to.

An ``nn.Module`` in memory is exported first, and then treated as that file.
"""

from __future__ import annotations

import importlib
import io
import os
from pathlib import Path
from typing import Any

import numpy as np

from afterfit.core.bundle import TensorInput
from afterfit.core.frame import Frame, Predictions, row_count
from afterfit.core.model import ModelDescription
from afterfit.core.signature import Label, Task
from afterfit.errors import DependencyError, InputError, ModelError
from afterfit.models import torch_layout
from afterfit.models.native import Hints, NativeModel, Source, family
from afterfit.models.tables import chosen_features
from afterfit.models.torch_layout import Slot
from afterfit.models.torch_outputs import TOLD, Activation, activated, activation_of, first_output

__all__ = ["Adapter", "TorchNative"]

_MODULES = frozenset({"Module", "ExportedProgram"})
_MOST_ROWS = 4096
"""Rows asked at once, to bound the memory of what a network computes between its layers."""


class Adapter:
    """Loads networks; ``nn.Module`` and ``ExportedProgram`` in memory are its own too."""

    name = "torch"
    formats = frozenset({"torch-export", "torchscript", "safetensors"})
    order = 30

    def owns(self, estimator: object) -> bool:
        """Return whether the object is a network of PyTorch."""
        names = {kind.__name__ for kind in type(estimator).__mro__}
        return family(estimator, "torch") and bool(names & _MODULES)

    def load(self, source: Source) -> NativeModel:
        """Return the model of an audited file; raises ModelError or DependencyError."""
        torch = _torch()
        if "OMP_NUM_THREADS" not in os.environ:
            # Each worker of a server has a process: all cores in each would be in each other's way.
            torch.set_num_threads(1)
        if source.format == "torch-export":
            return _load_program(source)
        if source.format == "torchscript":
            return _load_script(source)
        return _load_weights(source)

    def wrap(self, estimator: Any, hints: Hints) -> NativeModel:
        """Return the model around a network in memory."""
        if type(estimator).__name__ == "ExportedProgram":
            raise ModelError("an exported program is read from its file", fix="torch.export.save")
        estimator.eval()
        return TorchNative(estimator, torch_layout.of_module(estimator), hints)

    def save_object(self, model: Any, folder: Path) -> tuple[Path, str]:
        """Return the ``.pt2`` archive of a network, exported for any number of rows."""
        from afterfit.models.torch_save import archive

        path = folder / "model.pt2"
        path.write_bytes(archive(model))
        return path, "torch-export"


class TorchNative:
    """A network behind Afterfit's interface.

    ``estimator`` is the ``nn.Module`` or ``ScriptModule``, in eval mode; ``program`` the
    ``ExportedProgram`` it comes from, if any, and ``factory`` the function that built it.
    ``activation`` makes probabilities of its answers.
    """

    def __init__(
        self, estimator: Any, slots: tuple[Slot, ...], hints: Hints, program: Any = None
    ) -> None:
        self.estimator = estimator
        self.program = program
        self.factory = ""
        self.slots = slots
        self._hints = hints
        self._answers, self._sigmoided = self._look()
        self._task = self._find_task()
        self._classes = self._find_classes()
        self.activation = self._find_activation()
        self.description = self._describe()

    def adopt(self, hints: Hints) -> NativeModel:
        """Return the same network with other hints."""
        again = TorchNative(self.estimator, self.slots, hints, self.program)
        again.factory = self.factory
        return again

    def tensors(self, features: tuple[str, ...]) -> tuple[TensorInput, ...]:
        """Return how the network's inputs are made of these columns; raises InputError."""
        return torch_layout.tensors(self.slots, features)

    def predict(self, frame: Frame) -> Predictions:
        """Return probabilities or values of n rows; raises InputError for rows it cannot take."""
        from afterfit.runtime.onnx import feed

        n = row_count(frame)
        if n == 0:
            raise InputError("no rows to predict", fix="give at least one row")
        width = torch_layout.width(self.slots)
        features = chosen_features(frame, self._hints.features, self._hints.features, width)
        feeds = [feed(frame, tensor) for tensor in self.tensors(features)]
        parts = [
            self.ask([array[start : start + _MOST_ROWS] for array in feeds])
            for start in range(0, n, _MOST_ROWS)
        ]
        return self._read(np.concatenate(parts))

    def ask(self, arrays: list[np.ndarray]) -> np.ndarray:
        """Return the network's own answer, [n] or [n, k], to one array an input."""
        torch = _torch()
        with torch.inference_mode():
            given = [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]
            answer: np.ndarray = first_output(self.estimator(*given)).float().numpy()
        if len(answer) != len(arrays[0]):
            raise ModelError(
                f"the network answers {len(answer)} rows for {len(arrays[0])}",
                fix="export a module that keeps the first axis: one answer for each row",
            )
        return answer

    def limit_threads(self, threads: int) -> None:
        """Compute with so many threads, as all networks of this process do then."""
        _torch().set_num_threads(threads)

    def save(self, path: Path) -> None:
        """Raise ModelError: the file that was given is what is carried."""
        raise ModelError(
            "a network is carried in the file it came in", where=str(path), fix="copy that file"
        )

    def _look(self) -> tuple[int | None, bool]:
        """Return how many numbers it answers a row (None: unknown yet) and whether all in 0..1."""
        features = self._probed()
        if features is None:
            return None, False
        answer = self.ask(_probe(self.tensors(features)))
        width = 1 if answer.ndim == 1 else answer.shape[1]
        return width, bool(((answer >= 0) & (answer <= 1)).all())

    def _probed(self) -> tuple[str, ...] | None:
        """Return the columns, by made-up names where no others are known."""
        if self._hints.features:
            return self._hints.features
        width = torch_layout.width(self.slots)
        return None if width is None else tuple(f"x{index}" for index in range(width))

    def _find_task(self) -> Task | None:
        if self._hints.task is not None:
            return self._hints.task
        known = len(self._hints.classes) or (self._answers or 1)
        if known > 1:
            return "binary" if known == 2 else "multiclass"
        # A probability for sure; any other number may be a score as well as a value.
        return "binary" if self._sigmoided else None

    def _find_classes(self) -> tuple[Label, ...]:
        if self._task in {None, "regression"}:
            return ()
        count = max(2, self._answers or 2)
        classes = self._hints.classes or tuple(range(count))
        if self._answers is not None and self._answers not in {1, len(classes)}:
            raise ModelError(
                f"the network answers {self._answers} numbers for {len(classes)} classes",
                fix="name its classes in its order: --classes A B C",
            )
        return classes

    def _find_activation(self) -> Activation:
        features = self._probed()
        if features is None:
            return "none"
        return activation_of(self.ask, self.tensors(features), self._task)

    def _describe(self) -> ModelDescription:
        told = TOLD[self.activation]
        return ModelDescription(
            framework="torch",
            estimator=str(getattr(self.estimator, "original_name", type(self.estimator).__name__)),
            task=self._task,
            features=self._hints.features or None,
            n_features=torch_layout.width(self.slots),
            classes=self._classes,
            probabilities=self._task != "regression",
            steps=(told,) if told else (),
            installed={"torch": str(_torch().__version__).partition("+")[0]},
        )

    def _read(self, answer: np.ndarray) -> Predictions:
        if np.isnan(answer).any():
            raise InputError(
                "the network answers no number for some of these rows",
                why=f"row {int(np.argmax(np.isnan(answer.reshape(len(answer), -1)).any(axis=1)))} "
                "gives NaN, as a missing or very large value does",
                fix="give rows without missing values, or fill them in the network",
            )
        single = answer.ndim == 1 or answer.shape[1] == 1
        if self._task in {None, "regression"}:
            if not single:
                raise ModelError(
                    f"the network answers {answer.shape[1]} numbers a row for a regression",
                    fix="give one that answers one number, or name the classes: --classes A B",
                )
            return Predictions(values=answer.astype(np.float64).reshape(-1))
        found = activated(answer, self.activation).astype(np.float64)
        if not single:
            return Predictions(probabilities=found)
        second = found.reshape(-1)
        return Predictions(probabilities=np.column_stack([1.0 - second, second]))


def _probe(inputs: tuple[TensorInput, ...]) -> list[np.ndarray]:
    from afterfit.models.torch_outputs import probe_rows

    return probe_rows(inputs)


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise DependencyError(
            "PyTorch is not installed here", why=str(error), fix="pip install 'afterfit[torch]'"
        ) from None
    return torch


def _load_program(source: Source) -> NativeModel:
    from afterfit.models.torch_archive import program_of, rewritten

    data = source.read()
    slots = torch_layout.of_program(program_of(data))
    program = read_program(rewritten(data))
    return TorchNative(program.module(), slots, source.hints, program)


def read_program(data: bytes) -> Any:
    """Return the program of a rewritten archive; raises ModelError."""
    from afterfit.models.torch_export import quiet

    torch = _torch()
    # PyTorch would unpickle what it takes for old: nothing in the archive is a pickle by now.
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    try:
        with quiet():
            return torch.export.load(io.BytesIO(data))
    except Exception as error:  # noqa: BLE001 - its errors have no common class
        raise ModelError(
            "PyTorch cannot load the exported program",
            why=f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:300]}",
            fix=f"export it again with PyTorch {torch.__version__}",
        ) from None


def _load_script(source: Source) -> NativeModel:
    from afterfit.models.torch_archive import repacked
    from afterfit.models.torch_traced import traced_inputs

    torch = _torch()
    data = repacked(source.read())
    try:
        module = torch.jit.load(io.BytesIO(data), map_location="cpu")
    except Exception as error:  # noqa: BLE001 - its errors have no common class
        raise ModelError(
            "PyTorch cannot load the TorchScript",
            why=f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:300]}",
            fix=f"save it again with PyTorch {torch.__version__}, or use torch.export",
        ) from None
    module.eval()
    slots = torch_layout.of_module(module, traced=traced_inputs(data))
    return TorchNative(module, slots, source.hints)


def _load_weights(source: Source) -> NativeModel:
    from afterfit.models.torch_weights import needs_factory

    if not source.function:
        raise needs_factory(Path(source.path))
    try:
        from safetensors.torch import load
    except ImportError as error:
        raise DependencyError(
            "safetensors is not installed here", why=str(error), fix="pip install 'afterfit[torch]'"
        ) from None
    factory = _factory(source.function)
    module = factory()
    if not hasattr(module, "load_state_dict"):
        raise ModelError(
            f"{source.function} returned a {type(module).__name__}",
            why="weights belong to an nn.Module",
            fix="return the network from it, without its weights",
        )
    try:
        module.load_state_dict(load(source.read()))
    except RuntimeError as error:
        raise ModelError(
            "the weights do not fit the network",
            where=source.path,
            why="; ".join(line.strip() for line in str(error).splitlines()[1:4])[:400],
            fix=f"name the function that builds the network of these weights: {source.function}?",
        ) from None
    module.eval()
    native = TorchNative(module, torch_layout.of_module(module, factory), source.hints)
    native.factory = source.function
    return native


def _factory(name: str) -> Any:
    module_name, _, attribute = name.partition(":")
    found = getattr(importlib.import_module(module_name), attribute, None)
    if not callable(found):
        raise ModelError(
            f"{module_name} has no function {attribute}",
            where=name,
            fix="name the function that builds the network: module:function@net.safetensors",
        )
    return found
