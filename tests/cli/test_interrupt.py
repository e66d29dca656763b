"""Ctrl-C while the command line is still being imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sklearn.linear_model import LogisticRegression

from afterfit.models.save import skops_bytes
from afterfit.testing.samples import labels, pipeline, table

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


# What a C extension may do with an interruption that is raised inside of it.
LOST = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
wanted, way = sys.argv[1:3]
del sys.argv[1:3]
from afterfit.cli import interrupt
interrupt.CHILDREN_S, interrupt.AGAIN_S, interrupt.LAST_S = 0.1, 0.2, 0.4
class Lose:
    def find_spec(self, name, path=None, target=None):
        if name == wanted:
            sys.meta_path.remove(self)
            self.lose()
    def lose(self):
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(10)
        except KeyboardInterrupt:
            print("lost", flush=True)
            if way == "another error":
                raise ImportError("circular import") from None
        while way == "for good":
            try:
                time.sleep(10)
            except KeyboardInterrupt:
                print("again", flush=True)
sys.meta_path.insert(0, Lose())
from afterfit.cli import main
main()
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The arguments that ship a small model."""
    folder = tmp_path_factory.mktemp("files")
    data = table(missing=False)
    model = pipeline(LogisticRegression()).fit(data, labels(data))
    (folder / "model.skops").write_bytes(skops_bytes(model))
    data.assign(bought=labels(data)).to_csv(folder / "rows.csv", index=False)
    rows = ["--data", str(folder / "rows.csv"), "--target", "bought"]
    return ["ship", str(folder / "model.skops"), *rows, "--effort", "quick"]


@pytest.mark.parametrize(
    ("module", "way"),
    [
        ("afterfit.workspace.ship", "another error"),
        ("afterfit.workspace.ship", "silently"),
        ("afterfit.workspace.ship", "for good"),
    ],
)
def test_a_ctrl_c_that_is_lost_ends_the_command_all_the_same(
    module: str, way: str, files: list[str], tmp_path: Path
) -> None:
    """Swallowed or turned into another error, once or always: 130, and nothing is promoted."""
    done = subprocess.run(
        [sys.executable, "-c", LOST, module, way, *files],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout.startswith("lost\n"), done.stderr
    assert done.stdout.count("again") == (1 if way == "for good" else 0)
    assert done.returncode == 130, done.stderr
    assert "error: interrupted" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob(".afterfit/registry/*"))


def test_ctrl_c_stays_ignored_where_it_is() -> None:
    """As in a job in the background: the shell has said so."""
    program = "import os, signal; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    program += "from afterfit.cli import interrupt; interrupt.listen(); "
    program += "os.kill(os.getpid(), signal.SIGINT); print(interrupt.seen())"
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=100
    )
    assert done.stdout == "False\n"


@pytest.mark.parametrize("module", MODULES)
def test_ctrl_c_during_an_import_ends_with_130_and_no_traceback(module: str) -> None:
    """Whatever error the half-done import turns it into, it is told as an interruption."""
    # The workspace is imported by the commands that open one.
    words = ("config", "show") if module == "afterfit.cli.config" else ("record", "list")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, module, *words],
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
