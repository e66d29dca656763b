"""Where the cases of earlier versions come from, and where those of this one go."""

from __future__ import annotations

from typing import Protocol

from afterfit.records.robustness import RobustnessRecord
from afterfit.records.robustness_cases import CaseFile

__all__ = ["CaseBook", "NoBook"]


class CaseBook(Protocol):
    """What a workspace hands to ``robustness``: it alone knows of versions and keeps real rows."""

    @property
    def earlier(self) -> CaseFile | None:
        """The document of the newest earlier version that has one."""
        ...

    @property
    def previous(self) -> RobustnessRecord | None:
        """The record of the version before; None where there is none."""
        ...

    def keep(self, document: CaseFile) -> dict[str, str]:
        """Return name to digest of the blob that holds the document."""
        ...


class NoBook:
    """Nothing is known of earlier versions, and nothing is kept."""

    earlier: CaseFile | None = None
    previous: RobustnessRecord | None = None

    def keep(self, document: CaseFile) -> dict[str, str]:
        """Return no blob."""
        del document
        return {}
