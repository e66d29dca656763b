"""Lets the tests of this folder import the bundle helpers of the runtime's tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.runtime.bundles import people_bundle

from afterfit.serve.run import ServedBundle

_ROOT = str(Path(__file__).resolve().parents[3])
if _ROOT not in sys.path:
    sys.path.insert(0, _ROOT)


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[ServedBundle, ServedBundle]:
    """Version 1 and version 2 of a model, which answer differently."""
    base: Path = tmp_path_factory.mktemp("bundles")
    one, two = base / "one", base / "two"
    return (
        ServedBundle(1, people_bundle(one), one),
        ServedBundle(2, people_bundle(two, bias=-2.0), two),
    )
