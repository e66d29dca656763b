"""What an adapter is, and how one is found for a file or an object."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import msgspec

from afterfit.core.digest import sha256_bytes
from afterfit.core.frame import Frame, Predictions
from afterfit.core.model import ModelDescription
from afterfit.core.signature import Label, Signature, Task
from afterfit.errors import IntegrityError, ModelError

__all__ = [
    "NO_HINTS",
    "Adapter",
    "Hints",
    "NativeModel",
    "Source",
    "adapter_for_format",
    "adapter_for_object",
    "adapters",
]

GROUP = "afterfit.adapters"

# The same table as in pyproject.toml, for a checkout that is run without being installed.
_BUILT_IN = {
    "catboost": "afterfit.models.catboost:Adapter",
    "xgboost": "afterfit.models.xgboost:Adapter",
    "lightgbm": "afterfit.models.lightgbm:Adapter",
    "onnx": "afterfit.models.onnx:Adapter",
    "function": "afterfit.models.function:Adapter",
    "sklearn": "afterfit.models.sklearn:Adapter",
    "torch": "afterfit.models.torch:Adapter",
}


class Hints(msgspec.Struct, frozen=True, kw_only=True):
    """What a model's file does not tell: column names in its order, class labels, the task.

    ``own_labels`` asks for the labels of its own ``predict`` beside its probabilities.
    """

    features: tuple[str, ...] = ()
    classes: tuple[Label, ...] = ()
    task: Task | None = None
    own_labels: bool = False

    @classmethod
    def of(cls, signature: Signature) -> Hints:
        """Return everything that a signature tells."""
        return cls(
            features=signature.names,
            classes=signature.classes,
            task=signature.task,
            own_labels=signature.own_labels is True,
        )


NO_HINTS = Hints()


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """What to load: a file of ``format``, or ``function`` (``module:function``) of ``code``.

    ``trusted`` lists the names that the audit let in beyond those that it knows; ``digest`` is
    the SHA-256 of the bytes that it looked at.
    """

    format: str
    path: str = ""
    function: str = ""
    code: str = ""
    trusted: tuple[str, ...] = ()
    hints: Hints = NO_HINTS
    digest: str = ""

    def read(self) -> bytes:
        """Return the file's bytes; raises IntegrityError if they are not those of the audit."""
        data = Path(self.path).read_bytes()
        found = sha256_bytes(data)
        if self.digest and found != self.digest:
            raise IntegrityError(
                "the model file changed after it was looked at",
                where=self.path,
                why=f"its SHA-256 is {found[:16]}…, the audited one {self.digest[:16]}…",
                fix="run the command again",
            )
        return data


@runtime_checkable
class NativeModel(Protocol):
    """A loaded model, in the process that holds it.

    ``estimator`` is the library's own object. ``predict`` takes a frame with at least the model's
    columns, in any order where the model knows their names. One that can decide otherwise than by
    its probabilities has a method ``decide`` too, which returns its own labels as codes.
    """

    description: ModelDescription
    estimator: Any

    def predict(self, frame: Frame) -> Predictions:
        """Return the predictions of n rows; raises InputError for rows it cannot take."""
        ...

    def save(self, path: Path) -> None:
        """Write the model to ``path`` in the format its ending names."""
        ...


class Adapter(Protocol):
    """How one framework's models are recognized, loaded and wrapped.

    Register a class of this shape in the entry point group ``afterfit.adapters``; it is
    constructed without arguments. Import the framework inside the methods only.
    """

    name: str
    formats: frozenset[str]
    order: int

    def owns(self, estimator: object) -> bool:
        """Return whether an object in memory is this framework's; imports nothing."""
        ...

    def load(self, source: Source) -> NativeModel:
        """Return the model of an audited file; raises ModelError."""
        ...

    def wrap(self, estimator: Any, hints: Hints) -> NativeModel:
        """Return the model around an object in memory; raises ModelError."""
        ...


@cache
def adapters() -> tuple[Adapter, ...]:
    """Return every registered adapter, the special before the general."""
    paths = dict(_BUILT_IN)
    paths.update({point.name: point.value for point in entry_points(group=GROUP)})
    found: list[Adapter] = []
    for path in paths.values():
        module, _, name = path.partition(":")
        found.append(getattr(import_module(module), name)())
    return tuple(sorted(found, key=lambda adapter: (adapter.order, adapter.name)))


def adapter_for_format(form: str, *, where: str = "") -> Adapter:
    """Return the adapter that loads files of a format; raises ModelError."""
    for adapter in adapters():
        if form in adapter.formats:
            return adapter
    known = sorted(name for adapter in adapters() for name in adapter.formats)
    raise ModelError(
        f"no adapter loads files of the format {form!r}",
        where=where,
        why=f"there are: {', '.join(known)}",
        fix="export the model to ONNX, or wrap it in a function and name it module:function",
    )


def adapter_for_object(estimator: object) -> Adapter:
    """Return the adapter of an object in memory; raises ModelError."""
    for adapter in adapters():
        if adapter.owns(estimator):
            return adapter
    kind = type(estimator)
    raise ModelError(
        f"a {kind.__module__}.{kind.__qualname__} is no model that Afterfit knows",
        why="it has no predict method and belongs to no supported framework",
        fix="give a fitted estimator, or wrap it in a function and name it module:function",
    )


def family(estimator: object, package: str) -> bool:
    """Return whether an object's class, or a parent of it, is defined in ``package``."""
    return any(kind.__module__.partition(".")[0] == package for kind in type(estimator).__mro__)
