"""What Git knows of a folder: commit, branch, remote, and a digest of what is not committed."""

from __future__ import annotations

import hashlib
import re
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import msgspec

__all__ = ["GitState", "git_state", "run_git", "without_credentials"]

_SECONDS = 5.0
_CHUNK = 1 << 20


class GitState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a checkout; everything is empty where there is none.

    ``diff`` is the SHA-256 of ``git diff HEAD`` where tracked files changed; ``remote`` has no
    credentials.
    """

    commit: str = ""
    dirty: bool = False
    diff: str = ""
    branch: str = ""
    remote: str = ""


def git_state(folder: Path) -> GitState:
    """Return the state of the checkout that holds ``folder``; takes some milliseconds."""
    commit = run_git(folder, "rev-parse", "HEAD")
    if not commit:
        return GitState()
    dirty = bool(run_git(folder, "status", "--porcelain", "--untracked-files=no"))
    return GitState(
        commit=commit,
        dirty=dirty,
        diff=_diff(folder) if dirty else "",
        branch=run_git(folder, "symbolic-ref", "--short", "--quiet", "HEAD"),
        remote=_remote(folder),
    )


def run_git(folder: Path, *arguments: str) -> str:
    """Return what a command of Git prints; empty where it fails, is not there or hangs."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],  # noqa: S607 - git is found on PATH as usual
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def without_credentials(address: str) -> str:
    """Return an address without user, password, query and fragment.

    >>> without_credentials("https://ana:secret@example.com/team/churn.git?token=1")
    'https://example.com/team/churn.git'
    >>> without_credentials("git@example.com:team/churn.git")
    'example.com:team/churn.git'
    """
    if "://" not in address:
        # The form of scp: what stands before the @ is a user, never a password.
        return re.sub(r"^[^@/:]+@", "", address)
    parts = urlsplit(address)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _remote(folder: Path) -> str:
    """Return the address of ``origin``, else of the first remote."""
    names = run_git(folder, "remote").split()
    if not names:
        return ""
    name = "origin" if "origin" in names else names[0]
    return without_credentials(run_git(folder, "config", "--get", f"remote.{name}.url"))


def _diff(folder: Path) -> str:
    """Return the SHA-256 of what differs from the commit, read in constant memory."""
    command = ["git", "-C", str(folder), "diff", "HEAD", "--binary", "--no-ext-diff",
               "--no-textconv", "--no-color", "--full-index"]  # fmt: skip
    hasher, until = hashlib.sha256(), time.monotonic() + _SECONDS
    try:
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            if process.stdout is None:
                return ""
            while piece := process.stdout.read(_CHUNK):
                hasher.update(piece)
                if time.monotonic() > until:
                    process.kill()
                    return ""
    except OSError:
        return ""
    return hasher.hexdigest() if process.returncode == 0 else ""
