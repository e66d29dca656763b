"""The version that serves now, for the step that compares a new model with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from afterfit.core.bundle import Bundle
from afterfit.core.frame import Frame, Predictions
from afterfit.core.signature import Signature
from afterfit.errors import NotFoundError, UsageError
from afterfit.models.hosted import HostedVariant
from afterfit.registry.names import CHAMPION
from afterfit.registry.version import Version

if TYPE_CHECKING:
    from afterfit.workspace.space import Workspace

__all__ = ["champion_of", "made_of", "opened_champion"]


@dataclass
class _Champion:
    """A version that can be asked; its process starts when it is first asked."""

    version: Version
    bundle: Bundle
    same: bool
    hosted: HostedVariant | None = None

    @property
    def name(self) -> str:
        return f"the champion {self.version.name}@{self.version.number}"

    @property
    def digest(self) -> str:
        return self.version.digest

    @property
    def signature(self) -> Signature:
        return self.bundle.signature

    def predict(self, frame: Frame) -> Predictions:
        if self.hosted is None:
            bundle = self.bundle
            self.hosted = HostedVariant(bundle.folder, bundle.variant, bundle.signature)
        return self.hosted.predict(frame)


def champion_of(space: Workspace, name: str) -> Version | None:
    """Return the version that the alias ``champion`` of a name points to, None where none does."""
    try:
        return space.registry.resolve(f"{name}@{CHAMPION}")
    except (NotFoundError, UsageError):
        return None


def made_of(space: Workspace, version: Version, subject: str) -> bool:
    """Return whether a version was made of the model with that digest."""
    assessed = version.evidence.get("assess")
    return assessed is not None and space.records.get(assessed).body.subject == subject


@contextmanager
def opened_champion(
    space: Workspace, version: Version | None, subject: str
) -> Iterator[_Champion | None]:
    """Yield the champion, every byte of it verified, or None; its process ends with the block.

    ``subject`` is the digest of the model that it is compared with. Raises IntegrityError for
    damaged bytes.
    """
    if version is None:
        yield None
        return
    bundle = Bundle(space.registry.checkout(version))
    champion = _Champion(version, bundle, made_of(space, version, subject))
    try:
        yield champion
    finally:
        if champion.hosted is not None:
            champion.hosted.close()
