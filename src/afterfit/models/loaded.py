"""The parent's side of a model: audited, loaded in a process of its own, and asked."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec

from afterfit.core import frame as frames
from afterfit.core.digest import sha256_bytes, sha256_file
from afterfit.core.frame import Frame, Predictions
from afterfit.core.model import ModelDescription
from afterfit.errors import InputError, NotFoundError, UsageError
from afterfit.models.host import Host
from afterfit.models.native import NO_HINTS, Hints, Source, adapter_for_format

if TYPE_CHECKING:
    from afterfit.models.audit import Audit

__all__ = ["BATCH_ROWS", "Hints", "LoadedModel", "open_model"]

BATCH_ROWS = 20_000
"""Rows that are sent to the model's process at once, to bound the memory of both."""


class LoadedModel:
    """A model in a process of its own; use it in a ``with`` block, or ``close`` it.

    ``digest`` names all that decides its answers: the SHA-256 of its file, or one over the file
    (for a function, its name) and the user's own code. ``code_digest`` is that of the code alone.
    ``opened_with`` are the hints given when it was opened, ``hints`` those adopted since.
    """

    def __init__(
        self, source: Source, *, digest: str, code_digest: str = "", audit: Audit | None = None
    ) -> None:
        self.digest = digest
        self.code_digest = code_digest
        self.audit = audit
        self._source = source
        self.opened_with = source.hints
        self._host = Host({"op": "load", "source": source})
        self._description: ModelDescription | None = None
        self._isolated = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def path(self) -> Path | None:
        """The model's file; None for a function."""
        return Path(self._source.path) if self._source.path else None

    @property
    def file_digest(self) -> str:
        """The SHA-256 of the model's file; empty for a function."""
        return self._source.digest

    @property
    def format(self) -> str:
        """What the bytes of the file are, or ``function``."""
        return self._source.format

    @property
    def trusted(self) -> tuple[str, ...]:
        """The names that were let in beyond those the audit knows."""
        return self._source.trusted

    @property
    def function(self) -> str:
        """``module:function``, of a file of weights the one that builds the network."""
        return self._source.function

    @property
    def code(self) -> Path | None:
        """The folder of the user's own code, if any."""
        return Path(self._source.code) if self._source.code else None

    @property
    def hints(self) -> Hints:
        """What was told beside the file."""
        return self._source.hints

    @property
    def description(self) -> ModelDescription:
        """What the adapter tells of the model; loads it on first use."""
        if self._description is None:
            self._take(self._host.start())
        if self._description is None:
            raise RuntimeError("the model's process described nothing")
        return self._description

    @property
    def notes(self) -> tuple[str, ...]:
        """What this system could not protect against while the model is loaded."""
        _ = self.description
        if self._isolated:
            return ()
        return ("this system does not let the model's process give up the network",)

    @property
    def pid(self) -> int | None:
        """The process id of the child; None where none runs."""
        return self._host.pid

    def predict(self, frame: Frame) -> Predictions:
        """Return the predictions of n rows, asked for in batches of at most 20,000.

        Raises InputError for rows that the model refuses, ModelError where it fails or dies.
        """
        if frames.row_count(frame) == 0:
            raise InputError("no rows to predict", fix="give at least one row")
        batches = frames.batches(frame, BATCH_ROWS)
        parts = [self._host.ask({"op": "predict", "frame": batch}) for batch in batches]
        return parts[0] if len(parts) == 1 else frames.concatenate(parts)

    def call(self, target: str, /, **arguments: Any) -> Any:
        """Return ``function(native, **arguments)``, run in the model's process.

        ``target`` is ``module:function``. Arguments and result are plain values, numpy arrays,
        bytes, frames and Afterfit's structs; tuples arrive as lists.
        """
        return self._host.ask({"op": "call", "target": target, "arguments": arguments})

    def adopt(self, hints: Hints) -> ModelDescription:
        """Return the description after telling the model what its file does not."""
        self._source = msgspec.structs.replace(self._source, hints=hints)
        self._host.remember({"op": "load", "source": self._source})
        if self._description is not None:
            self._take(self._host.ask({"op": "adopt", "hints": hints}))
        return self.description

    def clone_host(self) -> LoadedModel:
        """Return the same model in a second process, to be closed on its own."""
        return LoadedModel(
            self._source, digest=self.digest, code_digest=self.code_digest, audit=self.audit
        )

    def close(self) -> None:
        """End the model's process; a second close does nothing."""
        self._host.close()

    def _take(self, loaded: dict[str, Any]) -> None:
        description: ModelDescription = loaded["description"]
        saved = dict(description.saved_with)
        saved.update(dict(getattr(self.audit, "versions", None) or {}))
        size = self.path.stat().st_size if self.path else 0
        self._isolated = bool(loaded["isolated"])
        self._description = msgspec.structs.replace(
            description, saved_with=saved, size_bytes=size, custom=_own(self.trusted)
        )


_LIBRARIES = frozenset({"builtins", "catboost", "joblib", "lightgbm", "numpy", "scipy"})
_LIBRARIES |= {"sklearn", "torch", "xgboost"}


def _own(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if name.partition(".")[0] not in _LIBRARIES)


def open_model(
    source: Path | str | object,
    *,
    allow: frozenset[str] = frozenset(),
    code: Path | None = None,
    hints: Hints = NO_HINTS,
    workdir: Path,
) -> LoadedModel:
    """Return a model: a file (audited first), ``module:function`` of ``code``, or an object.

    ``module:factory@net.safetensors`` is a network whose weights are in a file of their own.
    Objects of this process are saved into ``workdir`` and trusted, because they come from the
    user's own process. Raises NotFoundError, UntrustedError or ModelError; nothing of a file is
    loaded before its audit is clean.
    """
    if isinstance(source, Path):
        return _open_file(source, allow, code, hints)
    if not isinstance(source, str):
        return _open_object(source, hints, workdir)
    if Path(source).exists() or ":" not in source:
        return _open_file(Path(source), allow, code, hints)
    function, at, weights = source.partition("@")
    if at:
        return _open_file(Path(weights), allow, code, hints, factory=function)
    return _open_function(source, code, hints)


def _open_file(
    path: Path, allow: frozenset[str], code: Path | None, hints: Hints, factory: str = ""
) -> LoadedModel:
    from afterfit.models.audit import audit, require_clean
    from afterfit.models.code import tree_digest

    if not path.is_file():
        raise NotFoundError(
            f"there is no model file {path}",
            where=str(path),
            fix="give the path of a model's file, or module:function with --code FOLDER",
        )
    found = audit(path, allow=allow)
    require_clean(found, path)
    _require_adapter(found, path, factory)
    folder = _needed(code, f"{factory}@{path}") if code or factory else None
    carried = tree_digest(folder) if folder else ""
    source = Source(
        format=found.format,
        path=str(path.resolve()),
        function=factory,
        code=str(folder) if folder else "",
        trusted=tuple(sorted(allow & frozenset(found.globals))),
        hints=hints,
        digest=found.digest,
    )
    told = f"{found.digest}\0{factory}" if factory else found.digest
    digest = _with_code(told, carried) if carried else found.digest
    return LoadedModel(source, digest=digest, code_digest=carried, audit=found)


def _require_adapter(found: Audit, path: Path, factory: str) -> None:
    """Do nothing where an adapter loads the file; raises ModelError before a process is started."""
    from afterfit.models.torch_weights import needs_factory, no_weights, pickled_network

    if found.format == "torch":
        raise pickled_network(path)
    if found.format == "safetensors" and not factory:
        raise needs_factory(path)
    if factory and found.format != "safetensors":
        raise no_weights(path, found.format)
    adapter_for_format(found.format, where=str(path))


def _open_object(model: object, hints: Hints, workdir: Path) -> LoadedModel:
    from afterfit.models.save import save_object

    saved = save_object(model, workdir)
    digest = sha256_file(saved.path)
    source = Source(
        format=saved.format,
        path=str(saved.path.resolve()),
        trusted=saved.trusted,
        hints=hints,
        digest=digest,
    )
    return LoadedModel(source, digest=digest)


def _open_function(name: str, code: Path | None, hints: Hints) -> LoadedModel:
    from afterfit.models.code import tree_digest

    folder = _needed(code, name)
    carried = tree_digest(folder)
    source = Source(format="function", function=name, code=str(folder), hints=hints)
    return LoadedModel(source, digest=_with_code(name, carried), code_digest=carried)


def _with_code(what: str, carried: str) -> str:
    """Return the digest of a model that answers by its file or name and by the user's code."""
    return sha256_bytes(f"{what}\0{carried}".encode())


def _needed(code: Path | None, name: str) -> Path:
    if code is None:
        raise UsageError(
            f"{name} needs the folder that holds its code",
            why="the code is carried with the model, so that it answers the same everywhere",
            fix=f"afterfit inspect {name} --code FOLDER",
        )
    return _folder(code)


def _folder(code: Path) -> Path:
    if not code.is_dir():
        raise NotFoundError(f"there is no folder {code}", where=str(code), fix="--code FOLDER")
    return code.resolve()
