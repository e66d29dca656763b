"""Files that are there whole or not at all, and locks."""

from __future__ import annotations

import errno
import os
import shlex
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from afterfit.errors import (
    ConflictError,
    ForbiddenError,
    NotFoundError,
    ResourceError,
    UnavailableError,
)
from afterfit.store.files import (
    file_lock,
    os_error,
    read_bytes,
    remove_tree,
    replacing,
    sweep_temporary,
    write_bytes,
    write_new,
)


def test_a_block_that_raises_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    """An error half way changes nothing and leaves no temporary file."""
    path = tmp_path / "a.txt"
    write_bytes(path, b"old")

    def write_half() -> None:
        with replacing(path) as stream:
            stream.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    """While the block writes, the path still has the old bytes."""
    path = tmp_path / "a.txt"
    write_bytes(path, b"old")
    with replacing(path) as stream:
        stream.write(b"new")
        stream.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


def test_write_new_keeps_what_is_there(tmp_path: Path) -> None:
    """A file that exists stays as it is, and the answer says so."""
    path = tmp_path / "deep" / "a.txt"
    assert write_new(path, b"first")
    assert not write_new(path, b"second")
    assert path.read_bytes() == b"first"
    with pytest.raises(ConflictError), replacing(path, new=True) as stream:
        stream.write(b"third")
    assert [each.name for each in path.parent.iterdir()] == ["a.txt"]


def test_write_new_works_without_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a file system without hard links a lock file keeps writers apart."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert write_new(tmp_path / "a.txt", b"first")
    with pytest.raises(ConflictError), replacing(tmp_path / "a.txt", new=True) as stream:
        stream.write(b"second")
    assert (tmp_path / "a.txt").read_bytes() == b"first"
    assert {each.name for each in tmp_path.iterdir()} == {"a.txt", ".lock"}


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file size")
def test_a_disk_without_room_is_a_resource_error_with_nothing_left(tmp_path: Path) -> None:
    """A real refusal of the kernel to write more (a file size limit) names file and fix."""
    script = """
import resource, sys
from pathlib import Path
from afterfit.errors import ResourceError
from afterfit.store.files import write_bytes
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_bytes(Path(sys.argv[1]), b"x" * 5000)
except ResourceError as error:
    print(error)
"""
    path = tmp_path / "big.bin"
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert "the disk is full: cannot write big.bin" in done.stdout
    assert f"df -h {shlex.quote(str(tmp_path))}" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("code", "kind", "word"),
    [
        (errno.ENOSPC, ResourceError, "disk is full"),
        (errno.EROFS, ForbiddenError, "read-only"),
        (errno.EACCES, ForbiddenError, "not allowed"),
        (errno.ENOENT, NotFoundError, "is not there"),
        (errno.EIO, ResourceError, "cannot write"),
    ],
)
def test_an_error_of_the_system_says_what_it_means(
    tmp_path: Path, code: int, kind: type[Exception], word: str
) -> None:
    """Each kind of OSError has its own class and words, and names the file."""
    error = os_error(OSError(code, os.strerror(code)), tmp_path / "a.txt", "write")
    assert isinstance(error, kind)
    assert word in error.message
    assert error.where == str(tmp_path / "a.txt")


def test_reading_what_is_not_there_is_not_found(tmp_path: Path) -> None:
    """A missing file is a NotFoundError, no traceback of the system."""
    with pytest.raises(NotFoundError, match=r"gone\.txt"):
        read_bytes(tmp_path / "gone.txt")


def test_a_lock_holds_others_off_and_ends_with_its_process(tmp_path: Path) -> None:
    """A second holder waits in vain; when the first is killed, the lock is free."""
    path = tmp_path / "x.lock"
    script = (
        "import sys, pathlib\nfrom afterfit.store.files import file_lock\n"
        "with file_lock(pathlib.Path(sys.argv[1])):\n"
        "    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        told = f"{tmp_path.name} is locked by another process"
        with pytest.raises(UnavailableError, match=told), file_lock(path, timeout_s=0.05):
            pass
        holder.kill()
        holder.wait()
    with file_lock(path, timeout_s=5):
        pass


def test_a_lock_keeps_threads_apart(tmp_path: Path) -> None:
    """Eight threads that read, add and write lose no addition."""
    counter = tmp_path / "n"
    counter.write_text("0")

    def add() -> None:
        for _ in range(10):
            with file_lock(tmp_path / "lock"):
                counter.write_text(str(int(counter.read_text()) + 1))

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.read_text() == "80"


def test_only_old_temporary_files_are_swept(tmp_path: Path) -> None:
    """What a crash left a day ago goes; what another process writes now stays."""
    old, new = tmp_path / ".tmp-old", tmp_path / ".tmp-new"
    old.write_bytes(b"x")
    new.write_bytes(b"x")
    os.utime(old, (0, 0))
    assert sweep_temporary(tmp_path) == 1
    assert list(tmp_path.iterdir()) == [new]


def test_remove_tree_takes_read_only_files_and_absent_ones(tmp_path: Path) -> None:
    """A folder of read-only files goes; what is not there is no error."""
    folder = tmp_path / "f"
    folder.mkdir()
    (folder / "a").write_bytes(b"x")
    (folder / "a").chmod(0o444)
    remove_tree(folder)
    remove_tree(folder)
    assert not folder.exists()
