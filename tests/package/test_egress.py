"""The server in an image talks to those who connect to it, and to nobody else."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from afterfit.core.bundle import Bundle
from afterfit.package.config import PackageConfig
from afterfit.package.start import ENVIRONMENT, server_words

STRACE = shutil.which("strace")
CALLS = "socket,bind,connect,sendto,sendmsg,sendmmsg"
# Over the internet by either protocol; sockets of this machine (AF_UNIX, AF_NETLINK) go nowhere.
OUTWARD = re.compile(r"(?:connect|sendto|sendmsg|sendmmsg)\(.*sa_family=AF_INET6?")


def traced(command: list[str], log: Path) -> subprocess.CompletedProcess[str]:
    """What a command says, its calls for the network in ``log``."""
    words = [
        str(STRACE),
        "-f",
        "--seccomp-bpf",
        "-qq",
        "-e",
        f"trace={CALLS}",
        "-o",
        str(log),
        *command,
    ]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def usable(tmp_path: Path) -> None:
    """Skip where processes cannot be traced; what is looked for must be seen in one that sends."""
    if STRACE is None:
        pytest.skip("NOT RUN: strace is not installed")
    script = "import socket; socket.socket(type=socket.SOCK_DGRAM).connect(('192.0.2.1', 9))"
    log = tmp_path / "probe.log"
    if traced([sys.executable, "-c", script], log).returncode != 0 and not log.is_file():
        pytest.skip("NOT RUN: processes cannot be traced here")
    assert OUTWARD.search(log.read_text()), "a connection outward would not be seen"


@pytest.mark.usefixtures("usable")
def test_the_server_opens_no_connection(draft: Callable[..., Bundle], tmp_path: Path) -> None:
    """From its start over an answer to its end, no process of it calls anybody."""
    bundle = draft(tmp_path / "bundle")
    words = server_words(bundle.digest, PackageConfig(name="churn", number=1), sys.executable)
    words = [word.replace("=/bundle", f"={bundle.folder}") for word in words]
    words += ["--port", "0", "--allow-unauthenticated"]
    log, environ = tmp_path / "calls.log", {"PATH": os.environ["PATH"], **ENVIRONMENT}
    command = [
        str(STRACE),
        "-f",
        "--seccomp-bpf",
        "-qq",
        "-e",
        f"trace={CALLS}",
        "-o",
        str(log),
        *words,
    ]
    with subprocess.Popen(
        command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stderr is not None
            ready = next(told for line in server.stderr if (told := _ready(line)))
            url = ready["url"].replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - what it was told
            body = json.dumps({"rows": [{"age": 40, "income": 50000.0}]}).encode()
            asked = urllib.request.Request(  # noqa: S310 - loopback
                f"{url}/predict", body, {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(asked, timeout=20) as answer:  # noqa: S310 - loopback
                assert json.load(answer)["predictions"]
            os.kill(ready["pid"], signal.SIGTERM)
            server.stderr.read()
            assert server.wait(30) == 0
        finally:
            server.kill()
    calls = log.read_text()
    assert "bind(" in calls
    assert OUTWARD.findall(calls) == []


def _ready(line: str) -> dict[str, Any]:
    told = json.loads(line) if line.startswith("{") else {}
    return told if told.get("event") == "ready" else {}
