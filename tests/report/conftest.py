"""Makes the sample records importable by the tests of this folder."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

# The suite imports tests by path (--import-mode=importlib), so a helper needs a name of its own.
_NAME = "report_samples"
if _NAME not in sys.modules:
    _spec = importlib.util.spec_from_file_location(_NAME, Path(__file__).parent / "samples.py")
    assert _spec is not None
    assert _spec.loader is not None
    _module = importlib.util.module_from_spec(_spec)
    sys.modules[_NAME] = _module
    _spec.loader.exec_module(_module)
