"""Small bundles and an open registry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from afterfit.core.bundle import Variant, write_manifest
from afterfit.core.digest import canonical_json
from afterfit.core.fingerprint import Fingerprint
from afterfit.core.signature import Column, Signature
from afterfit.registry.registry import Registry
from afterfit.store.blobs import BlobStore

MakeBundle = Callable[..., Path]
SIGNATURE = Signature(
    task="binary",
    columns=(
        Column(name="age", kind="integer", low=17, high=90),
        Column(name="job", kind="category", categories=("cook", "nurse")),
    ),
    classes=("no", "yes"),
    positive="yes",
    threshold=0.5,
)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """An empty registry."""
    folder = tmp_path / ".afterfit"
    return Registry(folder, BlobStore(folder))


@pytest.fixture
def signature() -> Signature:
    """The signature that the bundles have unless they are given another."""
    return SIGNATURE


@pytest.fixture
def make_bundle(tmp_path: Path) -> MakeBundle:
    """A function from a model's bytes (and a signature) to the folder of a bundle."""

    def make(model: bytes, signature: Signature = SIGNATURE) -> Path:
        folder = tmp_path / f"bundle-{len(list(tmp_path.glob('bundle-*')))}"
        (folder / "model").mkdir(parents=True)
        (folder / "model" / "model.onnx").write_bytes(model)
        variant = Variant(name="onnx", runtime="onnx", framework="sklearn", file="model/model.onnx")
        fingerprint = Fingerprint(n_ref=0, seed=0, columns=[])
        (folder / "signature.json").write_bytes(canonical_json(signature))
        (folder / "variant.json").write_bytes(canonical_json(variant))
        (folder / "fingerprint.json").write_bytes(canonical_json(fingerprint))
        write_manifest(folder)
        return folder

    return make
