"""The page of a kind of finding, which is its docstring."""

from __future__ import annotations

import json
import subprocess
import sys

from afterfit.robustness.findings import LookChangesDecision

SHOW = """
import json
from afterfit.robustness.findings import LookChangesDecision as check
print(json.dumps([check.__doc__, check.page()]))
"""


def test_the_page_is_there_without_docstrings() -> None:
    """``python -OO`` drops docstrings, and findings take their fixes from them."""
    command = [sys.executable, "-OO", "-c", SHOW]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    docstring, page = json.loads(done.stdout)
    assert docstring is None
    assert page == LookChangesDecision.page()
    assert "unicodedata.normalize" in page["Fix"]
