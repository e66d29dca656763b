"""A variant in a process of its own, to be examined and to serve."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from afterfit.core.bundle import Variant
from afterfit.core.signature import Column, Signature
from afterfit.errors import ModelError
from afterfit.models.hosted import BATCH_ROWS, HostedVariant
from afterfit.models.variant import load
from afterfit.runtime.quiet import gently

CODE = """
import os, socket, sys
import numpy as np

def predict(rows):
    print("said on standard output")
    print("said on standard error", file=sys.stderr, flush=True)
    if rows["port"].iloc[0]:
        with socket.socket() as s:
            s.settimeout(2)
            s.connect(("127.0.0.1", int(rows["port"].iloc[0])))
    if os.environ.get("OF_THE_SERVER") == "1":
        return np.full(len(rows), float(os.environ["OMP_NUM_THREADS"]))
    return np.zeros(len(rows))
"""
VARIANT = Variant(
    name="native",
    runtime="native",
    framework="function",
    file="code/asks.py",
    format="function",
    code=True,
    function="asks:predict",
)
SIGNATURE = Signature(task="regression", columns=(Column(name="port", kind="integer"),))


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle's folder with a function that tells where it runs."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "asks.py").write_text(CODE)
    monkeypatch.setenv("OF_THE_SERVER", "1")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    return tmp_path


def rows(port: int = 0, n: int = 1) -> dict[str, np.ndarray]:
    """Return rows that ask the function to connect to a port, if any."""
    return {"port": np.full(n, port)}


def test_own_code_serves_with_the_servers_environment_network_and_threads(
    bundle: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Code that asks a feature store finds it, and what it writes is in the server's log."""
    model = load(bundle, VARIANT, SIGNATURE, 3)
    assert isinstance(model, HostedVariant)
    with model, socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        assert model.predict(rows(server.getsockname()[1])).main.tolist() == [3.0]
        assert model.pid != os.getpid()
    told = capfd.readouterr()
    assert "said on standard output" in told.err
    assert "said on standard error" in told.err
    assert told.out == ""


def test_own_code_is_examined_without_a_network_and_without_the_environment(
    bundle: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What a step runs reaches nobody and finds no secrets of the user's shell."""
    with HostedVariant(bundle, VARIANT, SIGNATURE) as model, socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        assert model.predict(rows()).main.tolist() == [0.0]
        if _can_give_up():
            with pytest.raises(ModelError, match="failed on these rows"):
                model.predict(rows(server.getsockname()[1]))
    assert capfd.readouterr().err == ""


def test_many_rows_are_sent_in_batches(bundle: Path) -> None:
    """A frame of more rows than go at once is answered whole, in order."""
    with HostedVariant(bundle, VARIANT, SIGNATURE) as model:
        assert len(model.predict(rows(n=BATCH_ROWS + 1))) == BATCH_ROWS + 1


def test_it_serves_at_the_priority_of_its_parent_whichever_thread_asked_for_it(
    bundle: Path,
) -> None:
    """A thread of low priority that loaded it has ended, and is neither felt nor missed."""
    model = asyncio.run(gently(lambda: load(bundle, VARIANT, SIGNATURE, 1)))
    assert isinstance(model, HostedVariant)
    with model:
        first = model.pid
        assert first is not None
        assert os.getpriority(os.PRIO_PROCESS, first) == os.getpriority(os.PRIO_PROCESS, 0)
        assert len(model.predict(rows())) == 1
        assert model.pid == first


def _can_give_up() -> bool:
    """Return whether this system lets a process give up its network, tried in another one."""
    code = "from afterfit.models.child import give_up_network as up; raise SystemExit(not up())"
    return subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
