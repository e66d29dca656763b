"""``afterfit doctor``: what is installed, and how to get what is not."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

from afterfit.cli import doctor

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_every_extra_is_looked_for(project_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an extra installs is named with the command that installs it, where it is absent."""
    project = tomllib.loads((project_root / "pyproject.toml").read_text("utf-8"))["project"]
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    rows = doctor._libraries()
    told = " ".join(text for _, state, text in rows if state == "absent")
    assert len(rows) == told.count("not installed")
    for extra in set(project["optional-dependencies"]) - {"dev"}:
        assert f"'afterfit[{extra}]'" in told, extra


def test_a_part_of_a_package_that_is_absent_is_absent() -> None:
    """Looking for a part of it raises in Python, and is no error here."""
    assert not doctor._importable("no_such_package.part")
    assert doctor._importable("importlib.metadata")
