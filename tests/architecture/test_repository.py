"""What the files of the repository may and may not hold."""

from __future__ import annotations

import inspect
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from afterfit.cli.demo import demo

if TYPE_CHECKING:
    from pathlib import Path

TESTED = ("requirements/dev.lock", "src/afterfit/package/data/serving.lock")
LOCKS = (*TESTED, "requirements/torch.lock")
# A folder of the machine that wrote the file. The pieces are joined so that this file passes.
MACHINE_FOLDERS = "|".join(["wo" + "rk", "ro" + "ot"])
MACHINE_PATH = re.compile(rf"(?<![\w.$}}~-])/(?:{MACHINE_FOLDERS})(?:/|\b)")
PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", re.MULTILINE)


def text_files(root: Path) -> dict[str, str]:
    """Name and text of every file that git keeps or would keep; binary files are left out."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    if listed.returncode != 0:
        pytest.skip("NOT RUN: this copy of the source is no git repository")
    files: dict[str, str] = {}
    for name in filter(None, listed.stdout.split("\0")):
        path = root / name
        data = path.read_bytes() if path.is_file() else b""
        if b"\0" not in data:
            files[name] = data.decode("utf-8", errors="replace")
    return files


def test_no_file_names_a_folder_of_a_build_machine(project_root: Path) -> None:
    """A path that exists on one machine only is a mistake in every text file."""
    files = text_files(project_root)
    assert "pyproject.toml" in files
    found = {name: MACHINE_PATH.search(text) for name, text in files.items()}
    assert {name: match.group() for name, match in found.items() if match} == {}


@pytest.mark.parametrize("text", ["cd /" + "work/main", "'/" + "root/.venv'", "at /" + "root"])
def test_the_pattern_sees_a_machine_path(text: str) -> None:
    """The check above can fail."""
    assert MACHINE_PATH.search(text)


@pytest.mark.parametrize("text", ["src/" + "work/x", "/" + "workspace", "https://x.org/" + "root"])
def test_the_pattern_leaves_other_paths_alone(text: str) -> None:
    """A word inside of a longer path is no folder of a machine."""
    assert not MACHINE_PATH.search(text)


def test_the_folder_of_the_demo_is_no_part_of_the_repository(project_root: Path) -> None:
    """`make demo` leaves the checkout clean, and `make clean` takes its folder away."""
    folder = inspect.signature(demo).parameters["folder"].default.name
    ignored = (project_root / ".gitignore").read_text("utf-8").splitlines()
    makefile = (project_root / "Makefile").read_text("utf-8")
    assert f"/{folder}/" in ignored
    assert re.search(rf"^\trm -rf .*\b{folder}$", makefile, re.MULTILINE)


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_of_a_lock_has_hashes(lock: str, project_root: Path) -> None:
    """Each requirement is one exact version with at least one sha256."""
    blocks = re.split(r"\n(?=[a-z0-9])", (project_root / lock).read_text("utf-8"))[1:]
    assert blocks
    assert [b for b in blocks if not PIN.match(b) or "--hash=sha256:" not in b] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_host_and_no_folder(lock: str, project_root: Path) -> None:
    """Whoever installs decides from where; torch stays out, its builds differ by machine."""
    text = (project_root / lock).read_text("utf-8")
    assert re.findall(r"\w+://\S*|--(?:index|extra|find|trusted)\S*|(?<=\s)/\S+", text) == []
    assert "torch" not in dict(PIN.findall(text))


def test_a_server_gets_the_versions_that_were_tested(project_root: Path) -> None:
    """Every pin of the serving lock is the pin of the lock that the tests run with."""
    dev, serving = (dict(PIN.findall((project_root / lock).read_text("utf-8"))) for lock in TESTED)
    assert {"msgspec", "numpy", "onnxruntime"} <= set(serving)
    assert {name: pin for name, pin in serving.items() if dev.get(name) != pin} == {}


def test_what_pytorch_needs_has_the_versions_of_the_other_lock(project_root: Path) -> None:
    """One environment holds both locks, so they agree on every package that is in both."""
    dev, torch = (
        dict(PIN.findall((project_root / lock).read_text("utf-8")))
        for lock in ("requirements/dev.lock", "requirements/torch.lock")
    )
    assert {"onnxscript", "safetensors"} <= set(torch)
    assert {n: pin for n, pin in torch.items() if n in dev and dev[n] != pin} == {}
    makefile, project = (
        (project_root / n).read_text("utf-8") for n in ("Makefile", "pyproject.toml")
    )
    version = re.search(r"^TORCH := (torch==[\d.]+)$", makefile, re.MULTILINE)
    assert version
    assert f'"{version[1]}"' in project
