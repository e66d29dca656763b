"""The recipe for an adapter ends in a test that works as it is written."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from afterfit.core.frame import Frame, Predictions
from afterfit.models.sklearn import Adapter
from afterfit.testing import AdapterFaultError, check_adapter


def test_the_snippet_of_the_recipe_runs(project_root: Path) -> None:
    """Copied from the page, it imports, runs and passes."""
    text = (project_root / "CONTRIBUTING.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (snippet,) = (textwrap.dedent(block) for block in blocks if "check_adapter" in block)
    names: dict[str, Any] = {}
    exec(compile(snippet, "CONTRIBUTING.md", "exec"), names)  # noqa: S102 - a block of our own page
    names["test_adapter_conforms"]()


def test_the_check_that_the_recipe_names_finds_a_fault() -> None:
    """What it imports is the check itself: a model that forgets its columns does not pass."""
    from sklearn.linear_model import LogisticRegression

    class Forgetful(Adapter):
        def wrap(self, estimator: Any, hints: Any) -> Any:
            native = super().wrap(estimator, hints)

            class Wrong:
                description = native.description
                estimator = native.estimator
                save = native.save

                def predict(self, frame: Frame) -> Predictions:
                    """Answer half of the rows."""
                    return native.predict(frame).take(slice(0, 1))

            return Wrong()

    rows = {"a": np.array([0.0, 1.0, 2.0])}
    model = LogisticRegression().fit(rows["a"].reshape(-1, 1), [0, 1, 1])
    with pytest.raises(AdapterFaultError, match="1 answers to 3 rows"):
        check_adapter(Forgetful(), lambda: model, rows)
