"""Who imports whom, and what `import afterfit` costs."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

# What a part may import besides the standard library; a part is a module or package of afterfit.
ALLOWED = {
    "errors": set(),
    "core": {"afterfit.core", "afterfit.errors", "msgspec", "numpy"},
    "runtime": {
        "afterfit.core",
        "afterfit.errors",
        "afterfit.records",
        "afterfit.runtime",
        "httptools",
        "msgspec",
        "numpy",
        "onnxruntime",
        "uvloop",
    },
}
# Each is slow to import or has effects, so it loads when it is used.
LAZY = {
    "altair",
    "catboost",
    "cyclopts",
    "lightgbm",
    "numpy",
    "onnx",
    "onnxruntime",
    "pandas",
    "pyarrow",
    "rich",
    "scipy",
    "skl2onnx",
    "sklearn",
    "skops",
    "torch",
    "xgboost",
}
IMPORT_MILLISECONDS = 150
PROBE = """
import sys, time
before = set(sys.modules)
start = time.perf_counter()
import afterfit
spent = (time.perf_counter() - start) * 1000
print(spent, *sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
"""


def imported_names(source: str) -> set[str]:
    """The absolute names that the source imports, at any depth; ``a.b`` for ``from a import b``."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def strangers(source: str, allowed: set[str]) -> set[str]:
    """The imported names that are neither in the standard library nor below an allowed one."""
    return {
        name
        for name in imported_names(source)
        if name.partition(".")[0] not in sys.stdlib_module_names
        and not any(f"{name}.".startswith(f"{prefix}.") for prefix in allowed)
    }


def probe_import() -> tuple[float, set[str]]:
    """Milliseconds of ``import afterfit`` in a new interpreter, and the packages it loaded."""
    output = subprocess.run(
        [sys.executable, "-c", PROBE], check=True, capture_output=True, text=True, timeout=60
    ).stdout
    spent, *packages = output.split()
    return float(spent), set(packages)


@pytest.mark.parametrize("part", sorted(ALLOWED))
def test_the_lower_parts_import_only_what_is_listed(part: str, project_root: Path) -> None:
    """errors, core and runtime stay small: anything that is not listed fails, by file."""
    base = project_root / "src" / "afterfit" / part
    paths = sorted(base.rglob("*.py")) if base.is_dir() else [base.with_suffix(".py")]
    assert paths
    found = {str(path): strangers(path.read_text("utf-8"), ALLOWED[part]) for path in paths}
    assert {name: names for name, names in found.items() if names} == {}


def test_a_stranger_is_seen_inside_a_function_and_under_type_checking() -> None:
    """The check reads the whole file, and takes no prefix of a word for a package."""
    source = "import json\nimport numpy.linalg\ndef f():\n    import numpy_x\n    from a import b\n"
    assert strangers(source, {"numpy"}) == {"numpy_x", "a.b"}


def test_the_import_contracts_hold(project_root: Path) -> None:
    """import-linter keeps every contract of pyproject.toml."""
    command = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run(
        [str(command), "--no-cache"],
        cwd=project_root,
        env={**os.environ, "PYTHONPATH": str(project_root / "src")},
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout


def test_import_is_quick() -> None:
    """The fastest of five fresh interpreters imports afterfit in under 150 ms."""
    assert min(probe_import()[0] for _ in range(5)) < IMPORT_MILLISECONDS


def test_import_loads_nothing_heavy() -> None:
    """No framework, table library or runtime is loaded before it is used."""
    packages = probe_import()[1]
    assert "afterfit" in packages
    assert packages & LAZY == set()


def test_the_dashboard_starts_with_little() -> None:
    """It opens at once: what draws charts and reads tables is loaded when a page wants it."""
    script = "import sys, afterfit.cli.ui, afterfit.web.app; print(*sys.modules)"
    output = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60
    ).stdout
    loaded = {name.partition(".")[0] for name in output.split()}
    assert "starlette" in loaded
    assert loaded & (LAZY - {"cyclopts", "numpy"} | {"duckdb", "jinja2"}) == set()


def test_import_has_no_effect(tmp_path: Path) -> None:
    """Importing prints nothing, writes nothing, and leaves logging, signals and threads alone."""
    script = """
import logging, os, signal, threading, warnings
def state():
    return (dict(os.environ), logging.root.level, list(logging.root.handlers),
            signal.getsignal(signal.SIGINT), threading.active_count(), list(warnings.filters))
before = state()
import afterfit
assert state() == before
"""
    result = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []
