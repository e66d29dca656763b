"""What was made already, so that a search that was cut short goes on where it ended."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from afterfit.core.digest import digest_of
from afterfit.core.frame import frame_digest
from afterfit.core.signature import Signature
from afterfit.errors import AfterfitError
from afterfit.models.convert import Converted
from afterfit.models.proposal import Proposal
from afterfit.models.wire import decode, encode
from afterfit.optimize.split import Part
from afterfit.store.environment import current_environment
from afterfit.store.files import write_bytes

__all__ = ["NOTHING_KEPT", "Kept", "KeptInFolder", "made_key"]


class Kept(Protocol):
    """Where variants that were made are kept, by a key of all that decides their bytes."""

    def get(self, key: str) -> Converted | None:
        """Return what was made, or None."""
        ...

    def put(self, key: str, made: Converted) -> None:
        """Keep what was made."""
        ...


class _Nothing:
    def get(self, key: str) -> Converted | None:
        """Return None."""
        del key
        return None

    def put(self, key: str, made: Converted) -> None:
        """Keep nothing."""


NOTHING_KEPT: Kept = _Nothing()


class KeptInFolder:
    """Keeps each variant as one file of a folder; one that cannot be read is made anew."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: str) -> Converted | None:
        """Return what was made, or None."""
        try:
            found = decode((self.folder / key).read_bytes())
        except (OSError, AfterfitError):
            return None
        return found if isinstance(found, Converted) else None

    def put(self, key: str, made: Converted) -> None:
        """Keep what was made, whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_bytes(self.folder / key, encode(made))


def made_key(
    subject: str, signature: Signature, proposal: Proposal, making: Part, base: str, seed: int
) -> str:
    """Return the key of a variant: the model, the proposal, its rows, its base, the libraries."""
    env = current_environment()
    rows = dict(making.frame)
    if making.truth is not None:
        rows["\0target"] = making.truth
    parts = [subject, signature, proposal, frame_digest(rows) if rows else "", base, seed]
    return digest_of([*parts, env.afterfit, env.python, env.packages])
