"""The native variant of a verified bundle, loaded inside the process that serves it."""

from __future__ import annotations

import sys
from pathlib import Path

from afterfit.core.bundle import Variant
from afterfit.core.model import Model
from afterfit.core.signature import Signature
from afterfit.errors import ModelError
from afterfit.models.native import Hints, Source, adapter_for_format

__all__ = ["load"]

_FILE_FORMATS = frozenset({"joblib", "pickle", "skops"})


def load(folder: Path, variant: Variant, signature: Signature) -> Model:
    """Return the model of a bundle whose bytes were verified; raises ModelError.

    Pickles are audited again with the names that were let in when the bundle was made. A
    function and a model from a notebook are code: who serves them trusts the digest. The user's
    code in ``code/`` becomes importable; nothing is compiled beside it, because the manifest
    names every file.
    """
    code = folder / "code"
    if variant.code:
        sys.dont_write_bytecode = True
        if str(code) not in sys.path:
            sys.path.insert(0, str(code))
    source = Source(
        format=variant.format,
        path="" if variant.format == "function" else str(folder / variant.file),
        function=variant.function,
        code=str(code) if variant.code else "",
        trusted=variant.trusted,
        hints=Hints.of(signature),
    )
    if source.format in _FILE_FORMATS:
        _audit(folder / variant.file, variant)
    native = adapter_for_format(source.format).load(source)
    _check(native.description.classes, signature)
    return native


def _audit(path: Path, variant: Variant) -> None:
    from afterfit.models.audit import audit, require_clean

    found = audit(path, allow=frozenset(variant.trusted))
    require_clean(found, path)


def _check(classes: tuple[object, ...], signature: Signature) -> None:
    if classes and signature.classes and len(classes) != len(signature.classes):
        raise ModelError(
            "the model does not fit the bundle's signature",
            why=f"it has {len(classes)} classes, the signature {len(signature.classes)}",
            fix="package the model again",
        )
