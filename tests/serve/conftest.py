"""Lets the tests of this folder import the bundle helpers of the runtime's tests."""

from __future__ import annotations

import sys
from pathlib import Path

# Found by path (--import-mode=importlib), so the folder above `tests` is named here.
_ROOT = str(Path(__file__).resolve().parents[2])
if _ROOT not in sys.path:
    sys.path.insert(0, _ROOT)
