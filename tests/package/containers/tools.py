"""buildah and podman without a daemon, a base image of this Python, and traffic from outside."""

from __future__ import annotations

import http.client
import json
import re
import socket
import subprocess
import sys
import tarfile
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

# The system libraries that a manylinux wheel may take for granted (PEP 600) and these do.
WHEELS_NEED = ("libstdc++.so.6", "libgcc_s.so.1", "libpthread.so.0", "libdl.so.2", "librt.so.1")


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


def free_port() -> int:
    """A port of this machine that nobody has."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    return port


def ask(port: int, path: str, body: dict[str, Any] | None = None) -> Any:
    """What a server answers: the parsed JSON, or None for nothing; raises for any other status."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data)
    if data:
        request.add_header("content-type", "application/json")
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - http, this machine
        text = answer.read()
    return json.loads(text) if text else None


def wait_for(port: int, path: str, seconds: float = 120) -> float:
    """The seconds until a path answers 200; raises TimeoutError."""
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        try:
            ask(port, path)
        except OSError:
            time.sleep(0.05)
        else:
            return time.monotonic() - started
    raise TimeoutError(f"nothing answers {path} at port {port} after {seconds} s")


class Traffic:
    """Clients that ask again and again, each time over a new connection, until they are refused."""

    def __init__(self, port: int, body: dict[str, Any], clients: int = 4) -> None:
        self.port, self.body = port, json.dumps(body).encode()
        self.seen: Counter[str] = Counter()
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(clients)]
        for each in self.threads:
            each.start()

    def run(self) -> None:
        """Count what becomes of each request; a refused connection was never accepted."""
        headers = {"content-type": "application/json", "connection": "close"}
        until = time.monotonic() + 60
        while time.monotonic() < until:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            try:
                connection.connect()
            except ConnectionRefusedError:
                self.seen["refused"] += 1
                return
            try:
                connection.request("POST", "/predict", self.body, headers)
                answer = connection.getresponse()
                answer.read()
                self.seen[str(answer.status)] += 1
            except (OSError, http.client.HTTPException) as error:
                self.seen[f"lost: {type(error).__name__}"] += 1
            finally:
                connection.close()

    def end(self) -> Counter[str]:
        """What was seen, once every client was refused."""
        for each in self.threads:
            each.join(70)
        return self.seen
