"""How much each step may do: what the user said, else what the effort allows."""

from __future__ import annotations

from pathlib import Path

import pytest

from afterfit.config import load_config
from afterfit.workspace.effort import assess_config


@pytest.mark.parametrize(
    ("effort", "given", "folds"),
    [("quick", 8, 8), ("full", 2, 2), ("quick", 0, 0), ("quick", None, 3), ("full", None, 10)],
)
def test_the_folds_that_were_asked_for_are_fitted(
    tmp_path: Path, effort: str, given: int | None, folds: int
) -> None:
    """A number of one's own wins at every effort; without one the effort decides."""
    overrides = {"line.effort": effort, "line.folds": given}
    config = load_config(tmp_path, overrides=overrides, environ={}).config
    assert assess_config(config, "").folds == folds
