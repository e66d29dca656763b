"""A real image, built and run without a daemon: small rights, right answers, a clean end."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from afterfit.core.bundle import Bundle
from afterfit.package.config import PackageConfig
from afterfit.package.run import package_for

TOOLS = ("buildah", "podman", "runc", "ldd", "unshare")
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]
USABLE = sys.platform == "linux" and platform.machine() == "x86_64" and not MISSING
pytestmark = [
    pytest.mark.container,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        not USABLE or os.geteuid() != 0,
        reason=f"NOT RUN: the image is not built without root on Linux and {', '.join(TOOLS)}"
        f" (missing: {', '.join(MISSING) or 'none'})",
    ),
]
# What works as root inside of a virtual machine or container that grants few rights itself.
RUN = ["--no-healthcheck", "--network", "none", "--ulimit", "nofile=20000:20000"]
RUN += ["--ulimit", "nproc=1000:1000", "--memory", "256m", "--read-only", "--read-only-tmpfs=false"]
RUN += ["--cap-drop", "all", "--security-opt", "no-new-privileges"]
# The system libraries that a manylinux wheel may take for granted (PEP 600) and these do.
WHEELS_NEED = ("libstdc++.so.6", "libgcc_s.so.1", "libpthread.so.0", "libdl.so.2", "librt.so.1")
PREDICT = """
import urllib.request as r
body = b'{"rows": [{"age": 40, "income": 50000.0}]}'
request = r.Request("http://127.0.0.1:8080/predict", body, {"content-type": "application/json"})
print(r.urlopen(request, timeout=10).read().decode())
"""
STATE = """
import os, pathlib
def refused(path):
    try:
        pathlib.Path(path).write_text("x")
    except OSError:
        return True
status = pathlib.Path("/proc/1/status").read_text()
powerless = "CapEff:\\t0000000000000000" in status
print(os.getuid(), [refused(p) for p in ("/x", "/bundle/x", "/tmp/x")], powerless)
"""


class Containers:
    """buildah and podman over a store of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = ["--root", str(folder / "store"), "--runroot", str(folder / "run")]
        self.store += ["--storage-driver", "overlay"]

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """One command; ``podman`` gets the options that it needs here."""
        tool, *rest = words
        extra = ["--cgroup-manager", "cgroupfs", "--runtime", "runc"] if tool == "podman" else []
        # A build step shares the builder's network, so the builder itself gets one of nothing.
        alone = ["unshare", "--net"] if tool == "buildah" else []
        done = subprocess.run(
            [*alone, tool, *self.store, *extra, *rest],
            capture_output=True,
            text=True,
            check=False,
            timeout=250,
        )
        assert not check or done.returncode == 0, (words, done.stdout[-2000:], done.stderr[-2000:])
        return done

    def build(self, context: Path, tag: str) -> str:
        """The digests of the layers of an image built from a folder, with no network at all."""
        self.run(
            "buildah",
            "bud",
            "--no-cache",
            "--layers=false",
            "--isolation",
            "chroot",
            "--network",
            "host",
            "--timestamp",
            "0",
            "--format",
            "docker",
            "--tag",
            tag,
            str(context),
        )
        return self.run(
            "podman", "inspect", "--type", "image", "--format", "{{json .RootFS.Layers}}", tag
        ).stdout

    def execute(self, name: str, script: str) -> str:
        """What a script prints inside of a running container."""
        python = ["/opt/afterfit/bin/python", "-c", script]
        return self.run("podman", "exec", name, *python).stdout.strip()


def libraries(paths: list[Path]) -> set[Path]:
    """Every shared library that some programs and libraries need, by the loader's own answer."""
    told = subprocess.run(
        ["ldd", *map(str, paths)], capture_output=True, text=True, check=False
    ).stdout
    return {Path(path) for path in re.findall(r"(/\S+) \(0x", told)}


def base_tar(target: Path) -> None:
    """Write a root file system of this Python, its libraries and a shell, and nothing else."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    prefix = Path(sys.base_prefix)
    program = (prefix / "bin" / version).resolve()
    standard = prefix / "lib" / version
    shell = Path("/bin/sh").resolve()
    extensions = list((standard / "lib-dynload").glob("*.so"))
    runtime = [Path("/lib/x86_64-linux-gnu") / name for name in WHEELS_NEED]
    needed = libraries([program, shell, *extensions, *runtime]) | set(runtime)
    left_out = {"test", "idlelib", "tkinter", "turtledemo", "site-packages", "__pycache__"}

    def slim(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        entry.uid = entry.gid = entry.mtime = 0
        return None if left_out & set(Path(entry.name).parts) else entry

    with tarfile.open(target, "w", dereference=True) as tar:
        for folder, mode in {"tmp": 0o1777, "etc": 0o755, "root": 0o755, "proc": 0o755}.items():
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        tar.add(standard, f"usr/local/lib/{version}", filter=slim)
        for name in (version, "python3"):
            tar.add(program, f"usr/local/bin/{name}", filter=slim)
        tar.add(shell, "bin/sh", filter=slim)
        for path in sorted(needed):
            inside = (
                path if "libpython" not in path.name else Path("/lib/x86_64-linux-gnu") / path.name
            )
            tar.add(path, str(inside).lstrip("/"), filter=slim)


@pytest.fixture(scope="module")
def containers() -> Iterator[Containers]:
    """The tools, with a base image; all of it is removed in the end."""
    with tempfile.TemporaryDirectory(prefix="afterfit-image-") as folder:
        made = Containers(Path(folder))
        base_tar(Path(folder) / "base.tar")
        made.run("podman", "import", "--quiet", str(Path(folder) / "base.tar"), "localhost/base:1")
        yield made
        made.run("podman", "rm", "--all", "--force", check=False)
        made.run("podman", "rmi", "--all", "--force", check=False)


def test_the_image_is_safe_answers_and_ends(
    containers: Containers, draft: Callable[..., Bundle], tmp_path: Path
) -> None:
    """Built twice alike with no network; runs read-only, without root; SIGTERM ends it."""
    bundle = draft(tmp_path / "bundle")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    config = PackageConfig(
        name="churn", number=3, base="localhost/base:1", python=python, vendor=True
    )
    package_for("dockerfile", bundle, tmp_path / "context", config)
    layers = {containers.build(tmp_path / "context", tag) for tag in ("churn:1", "churn:2")}
    assert len(layers) == 1
    closed = containers.run("podman", "run", "--rm", *RUN, "churn:1", check=False)
    assert closed.returncode == 2, closed
    assert "--allow-unauthenticated" in closed.stdout + closed.stderr

    started = ["podman", "run", "--detach", "--name", "one", *RUN, "churn:1"]
    containers.run(*started, "--allow-unauthenticated")
    wait_until_ready(containers, "one")
    answer = json.loads(containers.execute("one", PREDICT))
    assert (answer["version"], answer["digest"]) == (3, bundle.digest)
    assert answer["predictions"][0]["probabilities"]["yes"] == pytest.approx(0.7109495, abs=1e-6)
    assert containers.execute("one", STATE) == "10001 [True, True, True] True"

    before = time.monotonic()
    containers.run("podman", "stop", "--time", "20", "one")
    assert time.monotonic() - before < 5
    code = containers.run("podman", "inspect", "--format", "{{.State.ExitCode}}", "one").stdout
    assert code.strip() == "0"
    on_platforms(containers)


def on_platforms(containers: Containers) -> None:
    """The same image, started as platforms start it: open without a word, where each one asks."""
    starts = {
        "sagemaker": (["--env", "SAGEMAKER_BIND_TO_PORT=8123"], ["serve"], 8123),
        "knative": (["--env", "K_SERVICE=churn", "--env", "PORT=8012"], [], 8012),
        "kserve": ([], ["--model_name=x", "--model_dir=/mnt/models", "--http_port=8090"], 8090),
    }
    for name, (environ, words, port) in starts.items():
        containers.run(
            "podman", "run", "--detach", "--name", name, *RUN, *environ, "churn:1", *words
        )
        wait_until_ready(containers, name)
        logs = containers.run("podman", "logs", name)
        lines = [json.loads(line) for line in (logs.stdout + logs.stderr).splitlines()]
        assert (lines[0]["event"], lines[0]["name"]) == ("platform", name)
        assert lines[-1]["url"] == f"http://0.0.0.0:{port}"
        model = "x" if name == "kserve" else "churn"
        script = PREDICT.replace("8080/predict", f"{port}/predict/{model}")
        assert json.loads(containers.execute(name, script))["model"] == model
        containers.run("podman", "rm", "--force", "--time", "10", name)


def wait_until_ready(containers: Containers, name: str) -> None:
    """Ask as the HEALTHCHECK of the image does, until it says yes."""
    told = containers.run(
        "podman", "inspect", "--type", "image", "--format", "{{json .HealthCheck}}", "churn:1"
    ).stdout
    command = json.loads(told)["Test"]
    assert command[0] == "CMD"
    until = time.monotonic() + 60
    while containers.run("podman", "exec", name, *command[1:], check=False).returncode:
        logs = containers.run("podman", "logs", name, check=False)
        assert time.monotonic() < until, logs.stdout + logs.stderr
        time.sleep(0.2)
