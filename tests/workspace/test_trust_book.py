"""Letting names in: nothing is lost, and nothing is let in without its line in the audit log."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from afterfit.cli.app import run
from afterfit.config import Config
from afterfit.errors import UsageError
from afterfit.models.trust import load_book
from afterfit.workspace import Workspace
from afterfit.workspace import folder as folder_module

WRITERS, EACH = 4, 10
WRITER = """
import sys
from pathlib import Path
from afterfit.config import Config
from afterfit.workspace import Workspace
space, file, who = Workspace(sys.argv[1], config=Config()), Path(sys.argv[2]), sys.argv[3]
print("ready", flush=True)
sys.stdin.readline()
for number in range({each}):
    space.trust(file, (f"mypkg.By{{who}}Number{{number}}",))
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A file to let names in for."""
    (tmp_path / "m.pkl").write_bytes(b"\x80\x04N.")
    return tmp_path / "m.pkl"


def test_grants_at_the_same_time_are_all_kept(tmp_path: Path, model: Path) -> None:
    """Several processes at once: every name is in the book, and every line in the log."""
    folder = tmp_path / ".afterfit"
    code = WRITER.format(each=EACH)
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(folder), str(model), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(WRITERS)
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    codes = []
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=60)
        codes.append(writer.returncode)
    assert codes == [0] * WRITERS
    space = Workspace(folder, config=Config())
    (grant,) = load_book(space.trust_book).values()
    assert len(grant.allow) == WRITERS * EACH
    logged = {entry.details["allow"][0] for entry in space.registry.log()}
    assert logged == set(grant.allow)


def test_the_log_comes_before_the_book(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash between the two leaves a line without effect, not an effect without a line."""
    space = Workspace(tmp_path / ".afterfit", config=Config())

    def crash(*_: object, **_words: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(folder_module, "grant", crash)
        with pytest.raises(KeyboardInterrupt):
            space.trust(model, ("mypkg.Encoder",))
    assert [entry.action for entry in space.registry.log()] == ["trust"]
    assert load_book(space.trust_book) == {}
    with monkeypatch.context() as patched:
        patched.setattr(space.registry, "note", crash)
        with pytest.raises(KeyboardInterrupt):
            space.trust(model, ("mypkg.Encoder",))
    assert load_book(space.trust_book) == {}


def test_what_runs_code_is_let_in_by_two_words_and_reads_as_hostile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """--allow alone changes nothing; with the other flag the verdict still is no clean one."""
    monkeypatch.chdir(tmp_path)
    Path("m.pkl").write_bytes(b"cposix\nsystem\n(S'touch marker'\ntR.")
    asked = ["trust", "m.pkl", "--allow", "posix.system"]
    assert run(asked) == 2
    told = capsys.readouterr().err
    assert "runs commands" in told
    assert "--i-know-it-runs-code" in told
    space = Workspace(".afterfit", config=Config())
    assert (load_book(space.trust_book), space.registry.log()) == ({}, ())
    assert run([*asked, "--i-know-it-runs-code"]) == 0
    told = capsys.readouterr().out
    assert "verdict: hostile, let in by you" in told
    assert "let in, though it runs commands or replaces the process: posix.system" in told
    assert "clean" not in told
    assert run(["trust", "m.pkl", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["result"]["verdict"] == "hostile"
    assert not Path("marker").exists()


def test_what_cannot_be_let_in_leaves_no_line(tmp_path: Path, model: Path) -> None:
    """A pattern is refused before anything is written."""
    space = Workspace(tmp_path / ".afterfit", config=Config())
    with pytest.raises(UsageError, match="not an exact name"):
        space.trust(model, ("mypkg.*",))
    assert space.registry.log() == ()
