"""A release: what ``ship`` gives back, and shows in a notebook."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from pathlib import Path

from afterfit.core.gate import GateResult
from afterfit.records.codec import Stored
from afterfit.records.ship import ShipRecord, Verdict
from afterfit.registry.version import Version
from afterfit.report import text
from afterfit.report.page import Page


@dataclass(frozen=True)
class Release:
    """One walk of the line: the version, the verdict, the gates and the page.

    ``path`` is where ``ship`` wrote the page, and where ``afterfit report`` writes it again.
    """

    record: ShipRecord
    digest: str
    version: Version
    page: Page
    html: str
    path: Path
    records: dict[str, Stored] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """``promoted``, ``registered`` or ``stopped``."""
        return self.record.verdict

    @property
    def gates(self) -> tuple[GateResult, ...]:
        """What each gate said."""
        return self.record.gates

    @property
    def exit_code(self) -> int:
        """0, or 1 where a gate stopped the promotion."""
        return 1 if self.verdict == "stopped" else 0

    def __repr__(self) -> str:
        """Return one line: the version, the verdict and where the page is."""
        return f"<Release {self.version}: {self.verdict}; {self.path}>"

    def __str__(self) -> str:
        """Return the page as plain text."""
        return text.render(self.page)

    def _repr_html_(self) -> str:
        """Return the page for a notebook, in a frame of its own so that styles do not mix."""
        return (
            f'<iframe title="{html.escape(str(self.version))}" sandbox="" '
            f'style="width:100%;height:720px;border:1px solid #8886;border-radius:6px" '
            f'srcdoc="{html.escape(self.html)}"></iframe>'
        )
