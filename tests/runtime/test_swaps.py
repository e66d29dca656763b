"""What swaps leave behind: memory that comes back, and requests that are all answered."""

from __future__ import annotations

import math
import os
import signal
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.runtime.bundles import serialized, write_bundle
from tests.runtime.traffic import versions
from tests.runtime.waiting import until

from afterfit.core.bundle import GraphOutput, TensorInput, Variant
from afterfit.core.signature import Column, Signature
from afterfit.errors import ResourceError
from afterfit.runtime.cpus import memory_left, throttled_periods
from afterfit.runtime.memory import (
    Need,
    available_bytes,
    check_memory,
    model_bytes,
    resident_bytes,
)
from afterfit.serve.config import ServeConfig
from afterfit.serve.run import ServedBundle, ServerHandle, start_server

if TYPE_CHECKING:
    from collections.abc import Iterator

MB = 1 << 20
BODY = b'{"rows":[{"age":39.5,"hours":40,"job":"nurse"}]}'
HEAD = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
REQUEST = HEAD % len(BODY) + BODY
WIDTH = 2_000
"""The large model has as many times as many weights: 16 MB of float32."""


def large_bundle(folder: Path, number: int) -> ServedBundle:
    """A version that holds 16 MB of weights, and no graph optimiser can do without them."""
    first = np.full((2, WIDTH), number / WIDTH, np.float32)
    second = np.full((WIDTH, WIDTH), 1 / WIDTH, np.float32)
    nodes = [
        helper.make_node("MatMul", ["input", "first"], ["wide"]),
        helper.make_node("Relu", ["wide"], ["bent"]),
        helper.make_node("MatMul", ["bent", "second"], ["wider"]),
        helper.make_node("ReduceMean", ["wider"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Sigmoid", ["mean"], ["answer"]),
    ]
    graph = helper.make_graph(
        nodes,
        "large",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, [None, 1])],
        [numpy_helper.from_array(first, "first"), numpy_helper.from_array(second, "second")],
    )
    signature = Signature(
        task="binary",
        columns=(Column(name="a", kind="number"), Column(name="b", kind="number")),
        classes=(0, 1),
        positive=1,
    )
    variant = Variant(
        name="onnx",
        runtime="onnx",
        framework="onnx",
        file="model/model.onnx",
        inputs=(TensorInput(name="input", columns=("a", "b"), dtype="float32"),),
        output=GraphOutput(name="answer", form="positive"),
    )
    rng = np.random.default_rng(number)
    frame = {"a": rng.normal(size=40), "b": rng.normal(size=40)}
    digest = write_bundle(folder, signature, variant, serialized(graph), frame)
    return ServedBundle(number, digest, folder)


def resident(pid: int) -> int:
    """Bytes that a process holds."""
    return resident_bytes(Path(f"/proc/{pid}/statm"))


@pytest.mark.slow
def test_memory_comes_back_over_twenty_swaps(tmp_path: Path) -> None:
    """Twenty times 16 MB are loaded and freed; what stays is less than two of them."""
    made = [large_bundle(tmp_path / str(number), number) for number in (1, 2)]
    with start_server({"big": made[0]}, ServeConfig(port=0), tmp_path / "state") as server:
        (worker,) = server.admin.status().workers
        for number in range(4):
            server.replace("big", made[(number + 1) % 2])
        base = [0]

        def settled() -> bool:
            before, base[0] = base[0], resident(worker.pid)
            return abs(base[0] - before) < MB

        until(settled)
        start = base[0]
        for number in range(20):
            server.replace("big", made[(number + 1) % 2])
        until(lambda: resident(worker.pid) < start + 32 * MB)
        with server.client() as client:
            assert client.predict([{"a": 1, "b": 2}])["version"] == 1


def test_a_measured_size_is_believed_but_not_less_than_the_files(tmp_path: Path) -> None:
    """Nothing measured yet: twice the files, for the graph and what is made of it."""
    bundle = large_bundle(tmp_path / "1", 1)
    paths = [path for path in bundle.folder.rglob("*") if path.name != "manifest.json"]
    files = sum(path.stat().st_size for path in paths if path.is_file())
    assert files > 16 * 10**6
    assert model_bytes(bundle.folder) == 2 * files
    assert model_bytes(bundle.folder, 5) == files
    assert model_bytes(bundle.folder, 3 * files) == 3 * files


def test_the_least_of_machine_and_cgroup_is_available(tmp_path: Path) -> None:
    """Pages of files that can be dropped are free; a system that tells nothing has no limit."""
    meminfo, own, group = tmp_path / "meminfo", tmp_path / "own", tmp_path / "cgroup"
    meminfo.write_text("MemTotal: 9000 kB\nMemAvailable:    4000 kB\n")
    own.write_text("0::/a\n")
    (group / "a").mkdir(parents=True)
    (group / "a" / "memory.max").write_text("3000000\n")
    (group / "a" / "memory.current").write_text("2500000\n")
    (group / "a" / "memory.stat").write_text("anon 1\ninactive_file 500000\n")
    (group / "a" / "cpu.stat").write_text("nr_periods 9\nnr_throttled 4\n")
    assert memory_left(group, own) == 1_000_000
    assert available_bytes(meminfo, group, own) == 1_000_000
    (group / "a" / "memory.max").write_text("max\n")
    assert available_bytes(meminfo, group, own) == 4000 * 1024
    nothing = tmp_path / "nothing"
    assert available_bytes(nothing, nothing, nothing) == math.inf
    assert throttled_periods(group, own) == 4
    assert throttled_periods(nothing, nothing) == 0


def test_models_that_do_not_fit_are_refused_with_all_the_numbers() -> None:
    """Bytes in each process, how many processes, the sum, and what is free."""
    needs = [Need("ab" * 32, 300_000_000, 4), Need("cd" * 32, 100_000_000, 1)]
    check_memory(needs, 1.3e9)
    with pytest.raises(ResourceError, match="about 1,300 MB of memory, and 1,299 MB are") as caught:
        check_memory(needs, 1.299e9)
    assert "abababababab: 300 MB in each of 4" in caught.value.why
    check_memory([], 0.0)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerHandle]:
    """Two workers of version 1."""
    bundles = versions(tmp_path / "bundles", (-3.0,))
    config = ServeConfig(port=0, workers=2, grace_seconds=5)
    with start_server({"churn": bundles[0]}, config, tmp_path / "state") as handle:
        yield handle


class Steady(threading.Thread):
    """A client on one kept connection; it notes whether a request was lost with it."""

    def __init__(self, url: str) -> None:
        super().__init__()
        host, port = url.rpartition("/")[2].split(":")
        self.address = (host, int(port))
        self.answered = self.lost = 0
        self.told_to_close = False
        self.start()

    def run(self) -> None:
        """Ask until the server says that the connection will be closed."""
        with socket.create_connection(self.address) as connection:
            while not self.told_to_close:
                try:
                    connection.sendall(REQUEST)
                    answer = connection.recv(65536)
                except OSError:
                    answer = b""
                if not answer.startswith(b"HTTP/1.1 200"):
                    self.lost += 1
                    return
                self.answered += 1
                self.told_to_close = b"connection: close" in answer
                time.sleep(0.002)


def test_a_stop_answers_every_request_on_kept_connections(server: ServerHandle) -> None:
    """Each client is told with an answer that the connection ends, and loses nothing."""
    clients = [Steady(server.url) for _ in range(12)]
    until(lambda: all(client.answered > 5 for client in clients))
    server.process.send_signal(signal.SIGTERM)
    for client in clients:
        client.join()
    assert server.process.wait(20) == 0
    assert [client.lost for client in clients] == [0] * 12
    assert all(client.told_to_close for client in clients)


def test_requests_sent_together_are_all_answered_at_a_stop(server: ServerHandle) -> None:
    """Pipelined requests that came in before the end get their answers, in order."""
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as connection:
        connection.sendall(REQUEST)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        server.process.send_signal(signal.SIGTERM)
        until(lambda: not listens(server))
        connection.sendall(REQUEST * 20)
        data = b""
        while piece := connection.recv(65536):
            data += piece
    assert data.count(b"HTTP/1.1 200 OK") == 20
    assert data.count(b"connection: close") == 1


def listens(server: ServerHandle) -> bool:
    """Whether somebody can connect to the server; a stopping one tells at once that nobody can."""
    try:
        socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))).close()
    except OSError:
        return False
    return True


def test_a_killed_worker_loses_only_what_it_had(server: ServerHandle) -> None:
    """Clients of the other worker go on as if nothing had happened."""
    clients = [Steady(server.url) for _ in range(12)]
    until(lambda: all(client.answered > 5 for client in clients))
    killed = server.admin.status().workers[0].pid
    os.kill(killed, signal.SIGKILL)

    def replaced() -> bool:
        ready = {worker.pid for worker in server.admin.status().workers if worker.ready}
        return len(ready) == 2 and killed not in ready

    until(replaced)
    alive = [client for client in clients if client.is_alive()]
    assert 0 < len(alive) < 12
    counts = [client.answered for client in alive]
    until(lambda: all(c.answered > before for c, before in zip(alive, counts, strict=True)))
    server.process.send_signal(signal.SIGTERM)
    for client in alive:
        client.join()
    assert [client.lost for client in alive] == [0] * len(alive)
