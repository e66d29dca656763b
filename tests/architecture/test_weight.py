"""What an installation weighs: docs/decisions/0013 holds the reasons, this the limit."""

from __future__ import annotations

import platform
import sys
import tomllib
from importlib.metadata import distribution
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from pathlib import Path

MOST_MB = 680


def weights(requirements: list[str]) -> dict[str, int]:
    """Bytes of the recorded files of each distribution that is required, without bytecode."""
    waiting, found = list(requirements), dict[str, int]()
    while waiting:
        requirement = Requirement(waiting.pop())
        name = canonicalize_name(requirement.name)
        wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if wanted and name not in found:
            package = distribution(name)
            found[name] = sum(file.size or 0 for file in package.files or ())
            waiting += package.requires or []
    return found


@pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="wheels differ in size"
)
def test_the_base_gets_no_heavier(project_root: Path) -> None:
    """Without extras it stays below the limit, which only a decision may raise."""
    project = tomllib.loads((project_root / "pyproject.toml").read_text("utf-8"))["project"]
    found = weights(project["dependencies"])
    heaviest = sorted(((size // 10**6, name) for name, size in found.items()), reverse=True)[:8]
    assert {"numpy", "onnxruntime", "scikit-learn"} <= set(found)
    assert sum(found.values()) / 1e6 <= MOST_MB, heaviest
