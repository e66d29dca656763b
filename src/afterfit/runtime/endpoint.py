"""The endpoint document: which digest answers under which name."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import msgspec

from afterfit.errors import IntegrityError, UsageError

__all__ = ["Canary", "Endpoint", "ModelRoute", "check", "read_endpoint", "write_atomic"]


class Canary(msgspec.Struct, frozen=True, kw_only=True):
    """A share of the traffic, in parts per million, for another digest; ``key`` makes it sticky."""

    digest: str
    share_ppm: int
    key: str = ""


class ModelRoute(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the requests for one name go; ``versions`` has the number of each digest."""

    primary: str
    canary: Canary | None = None
    shadow: tuple[str, ...] = ()
    versions: dict[str, int] = {}

    @property
    def version(self) -> int:
        """The number of the primary; 0 where it has none."""
        return self.versions.get(self.primary, 0)


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A running server's models; ``generation`` counts the changes."""

    name: str
    generation: int = 0
    models: dict[str, ModelRoute] = {}


def check(endpoint: Endpoint) -> None:
    """Raise UsageError for what this server does not do, instead of leaving it out silently."""
    if not endpoint.models:
        raise UsageError("an endpoint needs at least one model", where="$.models")
    for name, route in endpoint.models.items():
        if route.canary is not None or route.shadow:
            part = "canary" if route.canary is not None else "shadow"
            raise UsageError(
                f"this server does not divide traffic: {part} must be empty",
                where=f"$.models.{name}.{part}",
                code="unsupported",
                fix="route a share of the traffic in front of two endpoints",
            )
        if not name or "/" in name or len(name) > 128:
            raise UsageError("a model name has 1 to 128 characters and no '/'", where="$.models")
        for digest in (route.primary, *route.versions):
            if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
                raise UsageError("a digest is 64 hexadecimal digits", where=f"$.models.{name}")


def read_endpoint(path: Path) -> Endpoint | None:
    """Return the persisted document, or None where there is none; raises IntegrityError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Endpoint)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise IntegrityError(
            "the endpoint document cannot be read",
            where=str(path),
            why=str(error),
            fix="delete the file; the next start writes it anew",
        ) from None


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that a reader, or a power cut, sees the old bytes or the new ones."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
