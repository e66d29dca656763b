"""Killed at any moment, or many processes at once: the log and the files agree."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from afterfit.registry.audit import AuditLog
from afterfit.registry.registry import Registry
from afterfit.store.blobs import BlobStore

MakeBundle = Callable[..., Path]
HERE = Path(__file__).parent
SOURCE = HERE.parents[1] / "src"
pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork"), reason="NOT RUN: this system has no fork to kill processes with"
)


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    """A new interpreter running a script that stands beside this file."""
    return subprocess.Popen(
        [sys.executable, str(HERE / script), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    """What it printed; the test fails where it failed."""
    output, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    return output


def agree(folder: Path) -> Registry:
    """The registry opened again, after checking that its log and its files say the same."""
    registry = Registry(folder, BlobStore(folder))
    assert AuditLog(registry.folder).agrees()
    check = registry.verify()
    assert check.log_lines == len(registry.log())
    moved = registry.moves("churn")
    champions = [v.number for v in registry.list("churn") if "champion" in v.aliases]
    assert champions == ([moved[-1].to] if moved else [])
    return registry


@pytest.fixture
def base(registry: Registry, make_bundle: MakeBundle) -> Path:
    """A workspace with versions 1, 2, 3, of which 1 and then 2 became champion."""
    for model in (b"one", b"two", b"three"):
        registry.register("churn", make_bundle(model), who="ana")
    registry.promote("churn", 1, who="ana")
    registry.promote("churn", 2, who="ana")
    return registry.folder


@pytest.mark.parametrize(
    ("action", "line", "least"),
    [
        ("register", "register", 20),
        ("evidence", "evidence", 8),
        ("promote", "promote", 8),
        ("rollback", "rollback", 8),
    ],
)
def test_killed_before_any_write_the_log_and_the_files_agree(
    action: str, line: str, least: int, base: Path, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    """Either nothing happened or all of it, and what comes next works as if nothing had been."""
    out = tmp_path / "out"
    finish(start("crash_points.py", base, out, make_bundle(b"four"), action))
    copies = sorted(out.iterdir(), key=lambda path: int(path.name))
    assert len(copies) > least
    done = []
    for copy in copies:
        registry = agree(copy)
        actions = [entry.action for entry in registry.log()]
        done.append(actions.count(line) - [e.action for e in registry.log()[:5]].count(line))
        number = registry.resolve("churn").number
        assert number == {"promote": (2, 3), "rollback": (2, 1)}.get(action, (2, 2))[done[-1]]
        assert len(registry.list("churn")) == (3 + done[-1] if action == "register" else 3)
        registry.promote("churn", 3 if number != 3 else 1, who="bo")
        agree(copy)
    # The change happens once, at one point, and stays: 0 0 0 … 1 1 1.
    assert done == sorted(done)
    assert set(done) == {0, 1}


def test_killed_while_mending_it_is_mended_the_next_time(
    base: Path, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    """A torn line and an alias behind the log, then a crash at any moment of the repair."""
    alias = base / "registry/churn/aliases/champion.json"
    behind = alias.read_bytes()
    Registry(base, BlobStore(base)).promote("churn", 3, who="ana")
    alias.write_bytes(behind)
    with (base / "audit.jsonl").open("ab") as stream:
        stream.write(b'{"seq":7,"ti')
    finish(start("crash_points.py", base, tmp_path / "out", make_bundle(b"four"), "repair"))
    copies = list((tmp_path / "out").iterdir())
    assert len(copies) > 8
    for copy in sorted(copies, key=lambda path: int(path.name)):
        registry = agree(copy)
        assert registry.resolve("churn").number == 3
    actions = [entry.action for entry in registry.log()]
    assert actions[-2:] == ["repair", "recover"]


def test_ten_processes_at_once_make_one_order(
    registry: Registry, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    """Numbers are distinct and gapless, and every registration and move has its line."""
    bundles = [make_bundle(f"model {index}".encode()) for index in range(10)]
    shared = make_bundle(b"shared")
    gate = tmp_path / "go"
    children = [
        start("many_writers.py", registry.folder, bundle, shared, gate) for bundle in bundles
    ]
    gate.write_text("go")
    numbers = [int(finish(child)) for child in children]
    assert sorted([*numbers, shared_number(registry)]) == list(range(1, 12))
    registry = agree(registry.folder)
    actions = [entry.action for entry in registry.log()]
    assert (actions.count("register"), actions.count("promote")) == (11, 10)
    moved = registry.moves("churn")
    assert sorted(move.to for move in moved) == sorted(numbers)
    assert [move.source for move in moved] == [None, *(move.to for move in moved[:-1])]


def shared_number(registry: Registry) -> int:
    """The number of the bundle that all ten registered: one."""
    return next(v.number for v in registry.list("churn") if len(v.evidence) == 10)
