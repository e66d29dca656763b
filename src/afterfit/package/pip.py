"""Runs pip, which knows best what an index, a wheelhouse or a proxy means."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from packaging.utils import canonicalize_name

from afterfit.core.digest import sha256_file
from afterfit.errors import (
    AfterfitError,
    DependencyError,
    ForbiddenError,
    InputError,
    ResourceError,
    UnavailableError,
    UsageError,
)
from afterfit.package.config import IndexConfig, PackageConfig

_SECONDS = 900.0
_NEWEST_GLIBC, _OLDEST_GLIBC = 36, 17
"""manylinux_2_36 is Debian 12; manylinux_2_17 is the oldest that is still built for."""
_MACHINES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}
# Up to the last @ before a space: a password may hold an @ or a slash. A path with an @ loses more
# than it must, which is the better mistake.
_CREDENTIALS = re.compile(r"(\w+://)\S+@")
_NETWORK = re.compile(
    r"connection error: .*|.*ssl certificate.*|timed out.*|5\d\d Server Error.*"
    r"|.*NewConnectionError.*|.*ProxyError.*|.*Max retries.*"
)
"""What pip writes into its log when an index does not answer; on the screen it says nothing."""
_HOST = re.compile(r"ConnectionPool\(host='([^']+)'")
_CAUSE = re.compile(r"object at 0x\w+>: ([^'\"]+)")
"""Who did not answer and why, in such a line; a port is left out: it may be half a password."""
_REFUSED = re.compile(r"40[13] Client Error.*|User for .* is needed.*")


def report(
    requirements: str, config: PackageConfig, platform: str
) -> Iterator[tuple[str, str, str]]:
    """Yield (name, version, SHA-256) of each file that pip would install on ``platform``.

    Raises InputError where nothing fits, UnavailableError for a network that does not answer.
    """
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "report.json"
        # pip before 23.3 takes another platform only with a target; a dry run writes nothing there.
        options = ["--dry-run", "--ignore-installed", "--target", str(Path(folder) / "target")]
        options += ["--report", str(answer)]
        _run("install", requirements, options, config, platform, Path(folder))
        document = json.loads(answer.read_bytes())
    for item in document["install"]:
        name = canonicalize_name(item["metadata"]["name"])
        yield name, item["metadata"]["version"], _digest(item["download_info"], name)


def download(lock: str, config: PackageConfig, folder: Path) -> list[str]:
    """Return the names of the wheels put into ``folder``: those that the lock has the hashes of."""
    folder.mkdir(parents=True, exist_ok=True)
    for platform in config.platforms:
        with tempfile.TemporaryDirectory() as scratch:
            options = ["--no-deps", "--require-hashes", "--dest", str(folder)]
            _run("download", lock, options, config, platform, Path(scratch))
    return sorted(path.name for path in folder.glob("*.whl"))


def redact(text: str) -> str:
    """Return the text without the credentials of any URL in it."""
    return _CREDENTIALS.sub(r"\1***@", text)


def platform_tags(platform: str) -> list[str]:
    """Return the wheel tags that fit ``linux/amd64`` or ``linux/arm64``, best first."""
    if platform not in _MACHINES:
        raise UsageError(
            f"no wheels are known for {platform!r}",
            why=f"known are: {', '.join(_MACHINES)}",
            fix="--platform linux/amd64",
        )
    machine = _MACHINES[platform]
    newest = [f"manylinux_2_{minor}" for minor in range(_NEWEST_GLIBC, _OLDEST_GLIBC - 1, -1)]
    legacy = ["manylinux2014"]
    if machine == "x86_64":
        legacy += ["manylinux2010", "manylinux1"]
    return [f"{tag}_{machine}" for tag in [*newest, *legacy, "linux"]]


def environment(index: IndexConfig, base: Mapping[str, str]) -> dict[str, str]:
    """Return the environment that tells pip the index: a command line is there for all to read."""
    told = {
        "PIP_INDEX_URL": index.index_url,
        "PIP_EXTRA_INDEX_URL": " ".join(index.extra_index_url),
        "PIP_PROXY": index.proxy,
        "PIP_FIND_LINKS": index.wheelhouse,
        "PIP_NO_INDEX": "1" if index.wheelhouse else "",
    }
    always = {"PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    kept = {key: value for key, value in base.items() if key != "PIP_REQUIRE_VIRTUALENV"}
    return {**kept, **always, **{key: value for key, value in told.items() if value}}


def _run(
    verb: str,
    requirements: str,
    options: list[str],
    config: PackageConfig,
    platform: str,
    scratch: Path,
) -> None:
    if config.index.wheelhouse and not Path(config.index.wheelhouse).is_dir():
        raise UsageError(
            "the wheelhouse is no folder", where=config.index.wheelhouse, fix="--wheelhouse FOLDER"
        )
    wanted = scratch / "requirements.txt"
    wanted.write_text(requirements, encoding="utf-8")
    tags = [word for tag in platform_tags(platform) for word in ("--platform", tag)]
    log = scratch / "pip.log"
    command = [sys.executable, "-m", "pip", verb, "--quiet", "--log", str(log)]
    command += ["--only-binary", ":all:"]
    command += ["--python-version", config.python, "--implementation", "cp", *tags]
    command += [*options, "--requirement", str(wanted)]
    try:
        done = subprocess.run(
            command,
            env=environment(config.index, os.environ),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise UnavailableError(
            f"pip did not finish within {_SECONDS:g} s",
            fix="give a nearer index: --index-url URL, or a folder of wheels: --wheelhouse FOLDER",
        ) from None
    if done.returncode:
        logged = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        wanted_for = f"Python {config.python} on {platform}"
        raise _failed(redact(done.stderr), redact(logged), wanted_for)


def _failed(errors: str, log: str, wanted_for: str) -> AfterfitError:
    lines = [line.strip() for line in errors.splitlines() if "ERROR" in line or "WARNING" in line]
    why = "; ".join(lines[-4:]) or errors.strip()[-500:]
    if "No module named pip" in errors:
        return DependencyError(
            "pip is not installed beside Afterfit", fix=f"{sys.executable} -m ensurepip"
        )
    if "No space left on device" in errors + log:
        return ResourceError(
            "the disk is full: pip cannot fetch the wheels",
            where=tempfile.gettempdir(),
            why="No space left on device",
            fix="free some space there, or name another folder in TMPDIR",
        )
    refused = _REFUSED.search(log)
    if refused:
        return ForbiddenError(
            "the package index refuses",
            why=refused[0][:500],
            fix="put a user and a password or token that may read into ~/.netrc (machine HOST "
            "login USER password TOKEN), or into PIP_INDEX_URL: a command line is there for all "
            "to read",
        )
    network = _NETWORK.search(log)
    if network:
        host, cause = _HOST.search(log), _CAUSE.search(log)
        return UnavailableError(
            "the package index does not answer",
            where=host[1] if host else "",
            why=(cause[1] if cause else network[0]).strip()[:500],
            fix="name one that does (--index-url URL) or a folder of wheels (--wheelhouse FOLDER)",
        )
    return InputError(
        "pip finds no wheels for the serving environment",
        where=f"requirements.lock, for {wanted_for}",
        why=why,
        fix="change the pins, or name the index or folder that has them: --index-url, --wheelhouse",
    )


def _digest(download: dict[str, Any], name: str) -> str:
    found = download.get("archive_info", {}).get("hashes", {}).get("sha256")
    if found:
        return str(found)
    url = urlsplit(download["url"])
    if url.scheme == "file":
        return sha256_file(Path(url2pathname(url.path)))
    raise InputError(
        f"the index states no SHA-256 of {name}",
        why="without it nobody can tell whether the same file is installed later",
        fix="put its wheel into a folder and name that: --wheelhouse FOLDER",
    )
