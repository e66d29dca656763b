"""Files that are there whole or not at all, and locks between processes.

A file is written beside its place under a name that nothing reads, brought to the disk, and then
renamed: after a crash at any moment the old file, the new file or none is there, never a part.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from afterfit.core.shell import shell_word
from afterfit.errors import (
    AfterfitError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    ResourceError,
    UnavailableError,
)

__all__ = [
    "LOCK_TIMEOUT_S",
    "TEMPORARY",
    "file_lock",
    "is_temporary",
    "os_error",
    "os_errors",
    "read_bytes",
    "remove_tree",
    "replacing",
    "sweep_temporary",
    "sync_folder",
    "temporary_beside",
    "write_bytes",
    "write_new",
]

TEMPORARY = ".tmp-"
"""How a name begins that nothing reads."""
LOCK_TIMEOUT_S = 30.0
_STALE_S = 86_400.0
_POLL_S = 0.01
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EROFS, errno.EACCES, errno.EPERM}
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS, errno.EXDEV}


def os_error(error: OSError, path: Path, doing: str) -> AfterfitError:
    """Return what ``error`` means to a person who was ``doing`` something with ``path``."""
    name = path.name or str(path)
    where = str(path)
    if error.errno in _FULL:
        return ResourceError(
            f"the disk is full: cannot {doing} {name}",
            where=where,
            why=f"{error.strerror}; {_free_space(path)}; nothing half-written was left",
            fix=f"free some space (see: df -h {shell_word(_existing(path))}) "
            "and run the same command again",
        )
    if error.errno == errno.EROFS:
        return ForbiddenError(
            f"cannot {doing} {name}: the file system is read-only",
            where=where,
            why=str(error.strerror),
            fix="choose a folder that can be written, or mount this one read-write",
        )
    if error.errno in _FORBIDDEN:
        return ForbiddenError(
            f"not allowed to {doing} {name}",
            where=where,
            why=str(error.strerror),
            fix=f"look at the owner and the mode: ls -ld {shell_word(_existing(path))}",
        )
    if isinstance(error, FileNotFoundError):
        return NotFoundError(
            f"{name} is not there",
            where=where,
            why=str(error.strerror),
            fix=f"look at the path: ls {shell_word(_existing(path))}",
        )
    why = f"{error.strerror or error} ({errno.errorcode.get(error.errno or 0, 'no code')})"
    return ResourceError(
        f"cannot {doing} {name}",
        where=where,
        why=why,
        fix=f"look at the place: ls -ld {shell_word(_existing(path))}",
    )


@contextmanager
def os_errors(path: Path, doing: str) -> Iterator[None]:
    """Turn an OSError of the block into an AfterfitError that names ``path``."""
    try:
        yield
    except OSError as error:
        raise os_error(error, path, doing) from None


def is_temporary(path: Path) -> bool:
    """Return whether a file is one that nothing reads: unfinished, or left by a crash."""
    return path.name.startswith(TEMPORARY)


def temporary_beside(path: Path) -> Path:
    """Return a new name in the folder of ``path`` that nothing reads."""
    return path.parent / f"{TEMPORARY}{secrets.token_hex(8)}{path.suffix}"


@contextmanager
def replacing(path: Path, *, mode: int = 0o644, new: bool = False) -> Iterator[BinaryIO]:
    """Yield a stream whose bytes become the file at ``path`` when the block ends well.

    With ``new`` an existing file raises ConflictError and stays as it is. If the block raises,
    nothing changes and nothing is left. Raises ForbiddenError or ResourceError.
    """
    with os_errors(path, "write"):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_beside(path)
        try:
            with _create(temporary, mode) as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            _place(temporary, path, new=new)
        finally:
            # After a rename the name is gone; after a link it is the second name of the file.
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)


def write_bytes(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write ``data`` to ``path`` whole, in place of what was there; errors as ``replacing``."""
    with replacing(path, mode=mode) as stream:
        stream.write(data)


def write_new(path: Path, data: bytes, *, mode: int = 0o644) -> bool:
    """Return whether ``data`` was written: False where a file was there already, which stays."""
    if path.exists():
        return False
    try:
        with replacing(path, mode=mode, new=True) as stream:
            stream.write(data)
    except ConflictError:
        return False
    return True


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a file; raises NotFoundError, ForbiddenError or ResourceError."""
    with os_errors(path, "read"):
        return path.read_bytes()


def sync_folder(folder: Path) -> None:
    """Bring a folder's names to the disk, where the system can (Windows does it by itself)."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        # Some network file systems refuse to sync a folder; the file itself is synced.
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep_temporary(folder: Path, *, older_than_s: float = _STALE_S) -> int:
    """Return how many unfinished files a crash left in ``folder`` were removed."""
    swept = 0
    oldest = time.time() - older_than_s
    for path in folder.glob(f"{TEMPORARY}*"):
        with suppress(OSError):
            if path.lstat().st_mtime < oldest:
                remove_tree(path)
                swept += 1
    return swept


def remove_tree(path: Path) -> None:
    """Remove a file or folder, read-only files included; what is not there is no error."""
    if path.is_dir() and not path.is_symlink():
        if sys.platform == "win32":
            for each in path.rglob("*"):
                each.chmod(stat.S_IWRITE | stat.S_IREAD)
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def file_lock(path: Path, *, timeout_s: float = LOCK_TIMEOUT_S) -> Iterator[None]:
    """Hold the lock of the file ``path`` against other processes and threads.

    The system drops it when the process ends, so a crash locks nobody out. The file stays.
    Raises UnavailableError after ``timeout_s`` seconds.
    """
    with os_errors(path.parent, "lock"):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _wait_for_lock(descriptor, path, timeout_s)
        try:
            yield
        finally:
            _unlock(descriptor)
    finally:
        os.close(descriptor)


def _create(path: Path, mode: int) -> BinaryIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    # The mode is narrowed by the umask, as with every new file.
    return os.fdopen(os.open(path, flags, mode), "wb")


def _place(temporary: Path, path: Path, *, new: bool) -> None:
    if not new:
        temporary.replace(path)
        return
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # No hard links here (FAT, some network drives): a lock keeps two writers apart.
        with file_lock(path.parent / ".lock"):
            if path.exists():
                raise _exists(path) from None
            temporary.replace(path)


def _exists(path: Path) -> ConflictError:
    return ConflictError(
        f"{path.name} exists already",
        where=str(path),
        fix=f"mv {shell_word(path)} {shell_word(f'{path}.old')}   # or name another place",
    )


def _existing(path: Path) -> Path:
    return next((each for each in (path, *path.parents) if each.exists()), path)


def _free_space(path: Path) -> str:
    try:
        free = shutil.disk_usage(_existing(path)).free
    except OSError:
        return "the free space is unknown"
    return f"{free / 1e6:.1f} MB are free there"


def _wait_for_lock(descriptor: int, path: Path, timeout_s: float) -> None:
    until = time.monotonic() + timeout_s
    while not _try_lock(descriptor):
        if time.monotonic() >= until:
            raise UnavailableError(
                f"{path.parent.name or path.parent} is locked by another process",
                where=str(path),
                why=f"it did not let go within {timeout_s:g} s",
                fix="wait for the other command to end, then run this one again",
            )
        time.sleep(_POLL_S)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
