"""Ctrl-C while the command line is still being imported."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, sys
# A job in the background of a shell inherits an ignored SIGINT; this one is at the front.
signal.signal(signal.SIGINT, signal.default_int_handler)
wanted = sys.argv.pop(1)
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == wanted:
            sys.meta_path.remove(self)
            print("interrupting", name, flush=True)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
from afterfit.cli import main
main()
"""
# From the first module of the command line to the last that a command waits for.
MODULES = (
    "afterfit.cli.app",
    "cyclopts",
    "afterfit.cli.config",
    "afterfit.workspace",
    "numpy",
    "pyarrow",
    "afterfit.serve.run",
)


@pytest.mark.parametrize("module", MODULES)
def test_ctrl_c_during_an_import_ends_with_130_and_no_traceback(module: str) -> None:
    """Whatever error the half-done import turns it into, it is told as an interruption."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, module, "config", "show"],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout == f"interrupting {module}\n", done.stderr
    assert done.returncode == 130, done.stderr
    assert "error: interrupted" in done.stderr
    assert "Traceback" not in done.stderr
    assert "defect" not in done.stderr
