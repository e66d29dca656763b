"""The endpoint document: which digest answers under which name."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import msgspec

from afterfit.core.signature import Label
from afterfit.errors import IntegrityError, UsageError

__all__ = [
    "ENTITY",
    "MILLION",
    "Canary",
    "Endpoint",
    "ModelRoute",
    "StandIn",
    "check",
    "read_endpoint",
    "write_atomic",
]

ENTITY = "entity"
"""The key of a canary that is sticky by the entities that clients send beside the rows."""
MILLION = 1_000_000
MOST_SHADOWS = 4


class Canary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A share of the requests, in parts per million, for another digest.

    ``key`` is a column, or ``entity``, by whose value a request always goes the same way; without
    one the request's id decides.
    """

    digest: str
    share_ppm: int
    key: str = ""


class StandIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may answer when the model cannot: another digest, or a constant class or value."""

    digest: str = ""
    constant: Label | None = None


class ModelRoute(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the requests for one name go; ``versions`` has the number of each digest.

    A route that is not ``loaded`` keeps its place in the document and answers nothing.
    """

    primary: str
    canary: Canary | None = None
    shadow: tuple[str, ...] = ()
    stand_in: StandIn | None = None
    loaded: bool = True
    versions: dict[str, int] = {}

    @property
    def version(self) -> int:
        """The number of the primary; 0 where it has none."""
        return self.number(self.primary)

    def number(self, digest: str) -> int:
        """Return the number of a digest; 0 where it has none."""
        return self.versions.get(digest, 0)

    @property
    def answering(self) -> tuple[str, ...]:
        """The digests that may answer: primary, canary, stand-in; none where it is not loaded."""
        if not self.loaded:
            return ()
        found = [self.primary]
        if self.canary is not None:
            found.append(self.canary.digest)
        if self.stand_in is not None and self.stand_in.digest:
            found.append(self.stand_in.digest)
        return tuple(dict.fromkeys(found))

    @property
    def shadowing(self) -> tuple[str, ...]:
        """The digests that get a copy of what the primary answered."""
        return self.shadow if self.loaded else ()


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A running server's models; ``generation`` counts the changes."""

    name: str
    generation: int = 0
    models: dict[str, ModelRoute] = {}


def check(endpoint: Endpoint) -> None:
    """Raise UsageError for a document that means nothing, with the path of what is wrong."""
    if not endpoint.models:
        raise UsageError(
            "an endpoint needs at least one model",
            where="$.models",
            fix="name a model with its digest",
        )
    for name, route in endpoint.models.items():
        if not name or "/" in name or len(name) > 128:
            raise UsageError(
                "a model name has 1 to 128 characters and no '/'",
                where="$.models",
                fix="give it another name",
            )
        _check_route(route, f"$.models.{name}")


def _check_route(route: ModelRoute, where: str) -> None:
    digests = [route.primary, *route.versions, *route.shadow]
    if route.canary is not None:
        digests.append(route.canary.digest)
        _check_canary(route.canary, route.primary, f"{where}.canary")
    if route.stand_in is not None:
        digests += [route.stand_in.digest] if route.stand_in.digest else []
        _check_stand_in(route.stand_in, route.primary, f"{where}.stand_in")
    for digest in digests:
        if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
            raise UsageError(
                "a digest is 64 hexadecimal digits",
                where=where,
                fix="give the whole digest: afterfit version show NAME@NUMBER",
            )
    _check_shadow(route, f"{where}.shadow")


def _check_canary(canary: Canary, primary: str, where: str) -> None:
    if canary.digest == primary:
        raise UsageError(
            "the canary is the primary itself",
            where=where,
            fix="give the digest of another version, or leave the canary out",
        )
    if not 0 <= canary.share_ppm <= MILLION:
        raise UsageError(
            f"a share of {canary.share_ppm} parts per million",
            where=f"{where}.share_ppm",
            fix=f"0 to {MILLION}: 100000 are 10 %",
        )


def _check_stand_in(stand_in: StandIn, primary: str, where: str) -> None:
    if bool(stand_in.digest) == (stand_in.constant is not None):
        raise UsageError(
            "a stand-in is either a digest or a constant",
            where=where,
            fix="leave one of the two out",
        )
    if stand_in.digest == primary:
        raise UsageError(
            "the stand-in is the primary itself",
            where=where,
            fix="give the digest of another version",
        )


def _check_shadow(route: ModelRoute, where: str) -> None:
    if len(route.shadow) > MOST_SHADOWS:
        raise UsageError(f"more than {MOST_SHADOWS} shadows", where=where, fix="leave some out")
    if len(set(route.shadow)) < len(route.shadow):
        raise UsageError("a shadow is named twice", where=where, fix="name each digest once")
    if route.primary in route.shadow:
        raise UsageError(
            "the primary cannot be its own shadow",
            where=where,
            fix="leave the primary's digest out of the shadows",
        )


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
