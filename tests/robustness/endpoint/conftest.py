"""What the tests of the endpoint suite share."""

from __future__ import annotations

import sys
from pathlib import Path

# Found by path (--import-mode=importlib), so the folder above `tests` is named here.
_ROOT = str(Path(__file__).resolve().parents[3])
if _ROOT not in sys.path:
    sys.path.insert(0, _ROOT)
