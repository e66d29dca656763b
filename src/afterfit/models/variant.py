"""The native variant of a verified bundle, loaded for the process that serves it."""

from __future__ import annotations

import sys
from pathlib import Path

from afterfit.core.bundle import Variant
from afterfit.core.model import Model
from afterfit.core.signature import Signature
from afterfit.errors import ModelError
from afterfit.models.hosted import HostedVariant
from afterfit.models.native import Hints, NativeModel, Source, adapter_for_format
from afterfit.models.threads import limit_threads

__all__ = ["NATIVE", "load", "load_here"]

NATIVE = "native"
"""The name under which ``load`` is registered as the runtime of a variant."""

_FILE_FORMATS = frozenset({"joblib", "pickle", "skops", "torch-export", "torchscript"})


def load(folder: Path, variant: Variant, signature: Signature, threads: int = 1) -> Model:
    """Return the model of a bundle whose bytes were verified; raises ModelError.

    One that brings code of the user's own gets a process of its own: two versions of that code
    have modules and classes of the same names, and Python keeps one of each name in a process.
    """
    if variant.own_code:
        return HostedVariant(folder, variant, signature, threads=threads, serving=True)
    return load_here(folder, variant, signature, threads)


def load_here(
    folder: Path, variant: Variant, signature: Signature, threads: int = 1
) -> NativeModel:
    """Return the model, loaded in this process; it computes with so many threads.

    Pickles and archives are audited again, with the names that were let in when the bundle was
    made. A function and a model from a notebook are code: who serves them trusts the digest. The
    user's code in ``code/`` becomes importable; nothing is compiled beside it, because the
    manifest names every file.
    """
    code = folder / "code"
    if variant.code:
        sys.dont_write_bytecode = True
        sys.path.insert(0, str(code))
    source = Source(
        format=variant.format,
        path="" if variant.format == "function" else str(folder / variant.file),
        function=variant.function,
        code=str(code) if variant.code else "",
        trusted=variant.trusted,
        hints=Hints.of(signature),
        digest=_audited(folder / variant.file, variant),
    )
    native = adapter_for_format(source.format).load(source)
    _check(native.description.classes, signature)
    limit_threads(native, threads)
    return native


def _audited(path: Path, variant: Variant) -> str:
    """Return the digest of the file that was audited; empty where the format runs no code."""
    if variant.format not in _FILE_FORMATS:
        return ""
    from afterfit.models.audit import audit, require_clean

    found = audit(path, allow=frozenset(variant.trusted))
    require_clean(found, path)
    return found.digest


def _check(classes: tuple[object, ...], signature: Signature) -> None:
    if classes and signature.classes and len(classes) != len(signature.classes):
        raise ModelError(
            "the model does not fit the bundle's signature",
            why=f"it has {len(classes)} classes, the signature {len(signature.classes)}",
            fix="package the model again",
        )
