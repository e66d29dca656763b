"""Packages that some installations lack: a test that needs one says loudly that it did not run."""

from __future__ import annotations

import importlib
import os
from typing import Any

import pytest


def optional(module: str, extra: str) -> Any:
    """An optional package, in the locked environment of tests: its absence fails under CI=true."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        message = f"NOT RUN: {module} is not installed (pip install 'afterfit[{extra}]'): {error}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
