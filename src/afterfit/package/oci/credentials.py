"""Who one is at a registry: from the files of docker and podman, or from their helpers.

Sources: ``config.json`` of the Docker command line (``auths``, ``credHelpers``, ``credsStore``),
the protocol of docker-credential-helpers, and containers-auth.json(5) of podman.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from afterfit.errors import DependencyError, ForbiddenError, InputError, UnavailableError

__all__ = ["DOCKER_HUB", "IDENTITY", "Credentials", "basic_header", "docker_credentials"]

DOCKER_HUB = "registry-1.docker.io"
IDENTITY = "<token>"
"""The user of a secret that is an identity token, as helpers write it."""
_HUB_NAMES = {"docker.io", "index.docker.io", DOCKER_HUB}
_HUB_SERVER = "https://index.docker.io/v1/"
"""How Docker Hub is called by helpers."""
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SECONDS = 60.0
"""A helper may ask a person to unlock a keychain."""


class _Entry(msgspec.Struct):
    auth: str = ""
    identitytoken: str = ""


class _File(msgspec.Struct, rename={"helpers": "credHelpers", "store": "credsStore"}):
    auths: dict[str, _Entry] | None = None
    helpers: dict[str, str] | None = None
    store: str | None = None


class _Told(msgspec.Struct, rename={"user": "Username", "secret": "Secret"}):
    user: str
    secret: str


@dataclass(frozen=True)
class Credentials:
    """User and secret by host, or by host and path; printing it shows none of them.

    ``helpers`` are programs ``docker-credential-NAME`` by host, ``store`` is that of all other
    hosts. They are asked where a registry wants to know who comes, and not before.
    """

    by_host: Mapping[str, tuple[str, str]] = field(default_factory=dict, repr=False)
    helpers: Mapping[str, str] = field(default_factory=dict)
    store: str = ""

    @classmethod
    def of_docker(cls, path: Path) -> Credentials:
        """Return those of a ``config.json`` or ``auth.json``; none where the file is absent.

        Raises InputError for a file that is none.
        """
        if not path.is_file():
            return cls()
        try:
            told = msgspec.json.decode(path.read_bytes(), type=_File)
            found = {_key(name): _pair(each) for name, each in (told.auths or {}).items()
                     if each.auth or each.identitytoken}  # fmt: skip
            helpers = {_key(name): each for name, each in (told.helpers or {}).items()}
            for each in filter(None, (*helpers.values(), told.store)):
                if not _HELPER.fullmatch(each):
                    raise ValueError(each)  # noqa: TRY301 - one message for all that is wrong
        except (msgspec.MsgspecError, ValueError):
            raise InputError(
                "cannot be read as credentials of registries",
                where=str(path),
                why="it is not what `docker login` or `podman login` writes",
                fix="log in again, or name another folder in DOCKER_CONFIG",
            ) from None
        return cls(found, helpers, told.store or "")

    def over(self, below: Credentials) -> Credentials:
        """Return both, these first."""
        return Credentials(
            {**below.by_host, **self.by_host}, {**below.helpers, **self.helpers},
            self.store or below.store,
        )  # fmt: skip

    def basic(self, name: str) -> str:
        """Return the header's value for ``HOST[/PATH]``; empty where nothing is known of itself."""
        known = None if self._helper(name) else self._written(name)
        return "" if known is None or known[0] == IDENTITY else basic_header(known)

    def login(self, name: str) -> tuple[str, str] | None:
        """Return user and secret for ``HOST[/PATH]``, of its helper first; None if nobody knows.

        The user `IDENTITY` stands for an identity token. Raises DependencyError for a helper that
        is not installed, ForbiddenError and UnavailableError for one that does not give any.
        """
        helper = self._helper(name)
        told = _ask(helper, name.partition("/")[0]) if helper else None
        return told or self._written(name)

    def _helper(self, name: str) -> str:
        return self.helpers.get(name.partition("/")[0], self.store)

    def _written(self, name: str) -> tuple[str, str] | None:
        """Return what a file says: podman keeps a login to a path before that to its host."""
        while name and name not in self.by_host:
            name = name.rpartition("/")[0]
        return self.by_host.get(name)


def docker_credentials() -> Credentials:
    """Return what ``docker login`` and ``podman login`` have kept for this user.

    ``DOCKER_CONFIG`` names the folder of the first, ``REGISTRY_AUTH_FILE`` the file of the second.
    Where both know a registry, Docker's counts. Raises InputError for a file that is none.
    """
    found = Credentials()
    for path in _files():
        found = found.over(Credentials.of_docker(path))
    return found


def basic_header(pair: tuple[str, str]) -> str:
    """Return the value of the header ``Authorization`` for user and secret."""
    return "Basic " + base64.b64encode(":".join(pair).encode()).decode()


def _files() -> Iterator[Path]:
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - a user without a home has none of it
    yield Path(os.environ.get("DOCKER_CONFIG") or home / ".docker") / "config.json"
    named, runtime = os.environ.get("REGISTRY_AUTH_FILE"), os.environ.get("XDG_RUNTIME_DIR")
    if named:
        yield Path(named)
        return
    if runtime:
        yield Path(runtime) / "containers" / "auth.json"
    elif hasattr(os, "geteuid"):
        yield Path("/run/containers") / str(os.geteuid()) / "auth.json"
    yield home / ".config" / "containers" / "auth.json"


def _key(name: str) -> str:
    """Return how a registry is called here: ``HOST``, or ``HOST/PATH`` as podman may have it."""
    _, scheme, rest = name.partition("://")
    host, _, path = (rest if scheme else name).rstrip("/").partition("/")
    if host in _HUB_NAMES:
        host = DOCKER_HUB
    host = urlsplit(f"//{host}").netloc
    return host if scheme or path in {"", "v1", "v2"} else f"{host}/{path}"


def _pair(entry: _Entry) -> tuple[str, str]:
    if entry.identitytoken:
        return IDENTITY, entry.identitytoken
    user, _, secret = base64.b64decode(entry.auth, validate=True).decode().partition(":")
    return user, secret


def _ask(helper: str, host: str) -> tuple[str, str] | None:
    """Return what ``docker-credential-HELPER get`` says of a host; None if it knows nothing.

    What a helper prints is shown to nobody: it may hold a secret.
    """
    name = f"docker-credential-{helper}"
    program = shutil.which(name)
    by_hand = f"look what it says: echo {host} | {name} get >/dev/null"
    if program is None:
        raise DependencyError(
            f"{name} is not installed", where=host,
            why="the settings of docker or podman name it as the one who keeps the credentials",
            fix=f"install it, or take {helper} out of credsStore and credHelpers and log in again",
        )  # fmt: skip
    server = _HUB_SERVER if host == DOCKER_HUB else host
    try:
        done = subprocess.run(
            [program, "get"], input=server.encode(), capture_output=True, check=False,
            timeout=_SECONDS,
        )  # fmt: skip
        if done.returncode and b"credentials not found" in done.stdout + done.stderr:
            return None
        if done.returncode:
            raise ForbiddenError(
                f"{name} gives no credentials", where=host,
                why=f"it ended with {done.returncode}", fix=by_hand,
            )  # fmt: skip
        told = msgspec.json.decode(done.stdout, type=_Told)
    except subprocess.TimeoutExpired:
        raise UnavailableError(
            f"{name} did not answer within {_SECONDS:g} s", where=host,
            why="it may wait for somebody to unlock a keychain", fix=by_hand,
        ) from None  # fmt: skip
    except (OSError, msgspec.MsgspecError):
        raise UnavailableError(
            f"{name} does not answer as a helper does", where=host, fix=by_hand
        ) from None
    return told.user, told.secret
