"""The process that holds a model."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from afterfit.errors import InputError, ModelError
from afterfit.models.host import end_all
from afterfit.models.loaded import LoadedModel, open_model
from afterfit.testing.samples import frame_of, labels, pipeline, table

PROBE = '''
"""A model that can do whatever a test asks it to."""
import os, socket, sys
import numpy as np

def predict(rows):
    print("printed on standard output")
    what = rows["do"].iloc[0]
    if what == "die":
        print("last words", file=sys.stderr, flush=True)
        os._exit(7)
    if what == "fail":
        raise RuntimeError("the model is cross")
    if what == "refuse":
        raise ValueError("no such rows, please")
    if what == "kill":
        os.kill(os.getpid(), 9)
    if what == "net":
        with socket.socket() as s:
            s.settimeout(2)
            s.connect(("127.0.0.1", int(rows["port"].iloc[0])))
    if what == "secret":
        return np.full(len(rows), float("AFTERFIT_TEST_SECRET" in os.environ))
    if what == "kernels":
        return np.full(len(rows), float(os.environ.get("BLIS_PROBE", "nan")))
    if what == "pythonpath":
        return np.full(len(rows), float(any("nowhere-at-all" in p or p == "" for p in sys.path)))
    return np.full(len(rows), 0.5)
predict.task = "regression"
'''


def ask(what: str, **more: float) -> dict[str, np.ndarray]:
    """Return a frame of one row that tells the probe what to do."""
    extra = {name: np.array([value]) for name, value in more.items()}
    return {"do": np.array([what], dtype=object), **extra}


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoadedModel]:
    """A function model that does what a row asks."""
    folder = tmp_path_factory.mktemp("code")
    (folder / "probe_model.py").write_text(PROBE)
    os.environ["AFTERFIT_TEST_SECRET"] = "s3cret"  # noqa: S105  # a probe
    os.environ["BLIS_PROBE"] = "7"
    os.environ["PYTHONPATH"], before = (
        os.pathsep.join(["/nowhere-at-all", os.environ.get("PYTHONPATH", "")]),
        os.environ.get("PYTHONPATH"),
    )
    with open_model("probe_model:predict", code=folder, workdir=folder) as model:
        yield model
    del os.environ["AFTERFIT_TEST_SECRET"], os.environ["BLIS_PROBE"]
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


def test_print_does_not_break_the_wire(probe: LoadedModel) -> None:
    """What a model prints goes to standard error, not between the answers."""
    assert probe.predict(ask("answer")).main.tolist() == [0.5]


def test_errors_carry_the_exceptions_text_and_no_traceback(probe: LoadedModel) -> None:
    """A ValueError is about the rows, any other exception about the model; the child lives on."""
    before = probe.pid
    with pytest.raises(InputError) as refused:
        probe.predict(ask("refuse"))
    with pytest.raises(ModelError) as failed:
        probe.predict(ask("fail"))
    assert refused.value.why == "ValueError: no such rows, please"
    assert failed.value.why == "RuntimeError: the model is cross"
    assert "Traceback" not in str(failed.value)
    assert probe.pid == before


@pytest.mark.parametrize(
    ("what", "reason"), [("die", "exit code 7"), ("kill", "killed by SIGKILL")]
)
def test_a_dead_child_is_an_error_and_is_replaced(
    probe: LoadedModel, what: str, reason: str
) -> None:
    """The error says how the process ended and its last words; the next call starts another."""
    probe.predict(ask("answer"))
    pid = probe.pid
    with pytest.raises(ModelError) as ended:
        probe.predict(ask(what))
    assert reason in ended.value.message
    if what == "die":
        assert "last words" in ended.value.why
    assert probe.predict(ask("answer")).main.tolist() == [0.5]
    assert probe.pid != pid


def test_the_environment_is_clean(probe: LoadedModel) -> None:
    """Variables of the parent are not handed on, and PYTHONPATH does not decide imports."""
    assert probe.predict(ask("secret")).main.tolist() == [0.0]
    assert probe.predict(ask("pythonpath")).main.tolist() == [0.0]


def test_numeric_libraries_compute_as_in_the_parent(probe: LoadedModel) -> None:
    """What chooses their kernels and threads is handed on."""
    assert probe.predict(ask("kernels")).main.tolist() == [7.0]


def test_there_is_no_network(probe: LoadedModel) -> None:
    """Where the kernel allows it, not even the parent's loopback is reached; else a note."""
    import socket

    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        if probe.notes:
            assert "network" in probe.notes[0]
            assert probe.predict(ask("net", port=port)).main.tolist() == [0.5]
        else:
            with pytest.raises(ModelError, match="failed on these rows"):
                probe.predict(ask("net", port=port))


def test_threads_and_a_running_loop_share_one_child(probe: LoadedModel) -> None:
    """Calls from threads, and from inside of a running event loop, each get their own answer."""
    found: list[int] = []

    def work(n: int) -> None:
        rows = {"do": np.array(["answer"] * n, dtype=object)}
        found.append(len(probe.predict(rows)) - n)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    async def inside() -> int:
        return len(await asyncio.to_thread(probe.predict, ask("answer"))) + len(
            probe.predict(ask("answer"))
        )

    assert found == [0] * 8
    assert asyncio.run(inside()) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="processes are told apart by /proc and signals")
def test_interrupting_ends_the_child_and_the_next_call_works(
    probe: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ctrl-C in the middle of an answer leaves no half-read answer behind."""
    from afterfit.models import wire

    probe.predict(ask("answer"))
    pid = probe.pid
    assert pid is not None
    real = wire.receive

    def interrupted(_stream: object) -> object:
        monkeypatch.setattr(wire, "receive", real)
        raise KeyboardInterrupt

    monkeypatch.setattr(wire, "receive", interrupted)
    with pytest.raises(KeyboardInterrupt):
        probe.predict(ask("answer"))
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert probe.predict(ask("answer")).main.tolist() == [0.5]


def test_whoever_waits_for_a_child_is_told_when_all_are_ended(
    probe: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ctrl-C does with those that threads wait for; the next call starts another."""
    from afterfit.models import wire

    probe.predict(ask("answer"))
    pid = probe.pid
    real = wire.receive

    def ended(stream: Any) -> Any:
        monkeypatch.setattr(wire, "receive", real)
        end_all()
        while True:  # until what it answered before is read
            real(stream)

    monkeypatch.setattr(wire, "receive", ended)
    with pytest.raises(ModelError, match="killed by SIGKILL"):
        probe.predict(ask("answer"))
    assert probe.predict(ask("answer")).main.tolist() == [0.5]
    assert probe.pid != pid


def test_close_leaves_no_process_behind(tmp_path: Path) -> None:
    """Close ends and collects the child, twice does no harm; a forgotten model is collected too."""
    data = table()
    fitted = pipeline(LogisticRegression()).fit(data, labels(data))
    model = open_model(fitted, workdir=tmp_path)
    rows = frame_of(data)
    assert np.array_equal(model.predict(rows).main, fitted.predict_proba(data))
    pid = model.pid
    assert pid is not None
    model.close()
    model.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with model.clone_host() as second:
        assert np.array_equal(second.predict(rows).main, fitted.predict_proba(data))
        assert model.pid is None
    forgotten = model.clone_host()
    forgotten.predict(rows)
    pid = forgotten.pid
    assert pid is not None
    del forgotten
    gc.collect()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
