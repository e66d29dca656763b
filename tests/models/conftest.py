"""Fixtures for the tests of models."""

from __future__ import annotations

import sys
from pathlib import Path

# Found by path (--import-mode=importlib), so the folder of the samples is named here.
sys.path.insert(0, str(Path(__file__).parent))
