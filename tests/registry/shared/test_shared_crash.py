"""Killed before any statement, upload or removal: what is there is whole, and goes on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.registry import test_crash

from afterfit.registry.shared.opening import Stores

MakeBundle = Callable[..., Path]
Machine = Callable[..., Stores]
SCRIPT = "shared/crash_points.py"


@pytest.mark.parametrize(
    ("step", "also"),
    [
        pytest.param(1, [], marks=pytest.mark.slow, id="every step"),
        pytest.param(9, ["prune"], id="every ninth with pruning"),
    ],
)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="NOT RUN: this system has no fork")
def test_killed_before_any_step_the_log_and_the_tables_agree(
    step: int, also: list[str], machine: Machine, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    """Children die some steps later each, until one comes through; nothing is torn or lost.

    What those leave that died before they pruned is more to prune for the next, so with pruning
    there are too many steps to die before each.
    """
    base = machine("ana").registry
    base.register("churn", make_bundle(b"zero"), who="ana")
    base.promote("churn", 1, who="ana")
    bundles = tmp_path / "many"
    bundles.mkdir()
    for index in range(600 // step):
        shutil.move(make_bundle(f"model {index}".encode()), bundles / f"{index:03d}")
    children = int(
        test_crash.finish(test_crash.start(SCRIPT, tmp_path / "ana.toml", bundles, step, *also))
    )
    assert children > 30 // step
    registry = machine("bo").registry
    found = registry.verify()
    versions = registry.list("churn")
    assert [v.number for v in versions] == list(range(1, len(versions) + 1))
    assert found.log_lines == len(registry.log())
    # Each child that got so far did all of a step: its line, and what the line announces.
    actions = [entry.action for entry in registry.log()]
    assert actions.count("register") == len(versions) < children
    assert actions.count("promote") < actions.count("register")
    assert actions.count("rollback") >= 1
    gone = {number for _, number in registry.storage.catalog.pruned()}
    assert (0 < len(gone) < len(versions)) if also else not gone
    for version in versions:
        if version.number not in gone:
            machine("cy").registry.checkout(version)
    moved = registry.moves("churn")
    assert [move.source for move in moved] == [None, *(move.to for move in moved[:-1])]
    assert registry.resolve("churn").number == moved[-1].to
