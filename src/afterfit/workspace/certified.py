"""The certificate of load of a version, and whether it still holds here."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from afterfit.core.finding import Finding
from afterfit.loadtest.findings import CertificateLapsed
from afterfit.loadtest.holds import holds_for
from afterfit.records.codec import Stored
from afterfit.records.loadtest import Certificate, LoadtestRecord
from afterfit.serve.run import ServedBundle
from afterfit.store.environment import current_environment
from afterfit.workspace.age import max_age
from afterfit.workspace.loading import usual_settings

if TYPE_CHECKING:
    from afterfit.workspace.space import Workspace

__all__ = ["Certified", "certificate_of", "certified"]

MOST_TOLD = 3


class Certified(NamedTuple):
    """The newest certificate, the digest of its record, and why it says nothing here."""

    certificate: Certificate
    record: str
    lapsed: tuple[str, ...]

    def finding(self) -> Finding:
        """Return whether it still holds, as a finding."""
        if not self.lapsed:
            return CertificateLapsed.passed(
                f"the certificate of {self.certificate.rate:.4g} requests/s still holds",
                record=self.record,
            )
        more = len(self.lapsed) - MOST_TOLD
        told = "; ".join(self.lapsed[:MOST_TOLD]) + (f"; and {more} more" if more > 0 else "")
        return CertificateLapsed.issue(
            f"the certificate of {self.certificate.rate:.4g} requests/s no longer holds: {told}",
            fix='afterfit loadtest NAME@champion --slo "p99<50ms"',
            record=self.record,
        )


def certified(
    space: Workspace, digest: str, served: Callable[[], ServedBundle]
) -> Certified | None:
    """Return the newest certificate of a version beside what `serve` would run here.

    None where there is none; only then ``served`` is not called.
    """
    found = (
        certificate_of(space, stored, digest, served)
        for stored in space.records.list("loadtest", digest)
    )
    return next((each for each in found if each is not None), None)


def certificate_of(
    space: Workspace, stored: Stored, digest: str, served: Callable[[], ServedBundle]
) -> Certified | None:
    """Return the certificate of a record beside what `serve` would run here; None without one."""
    record = stored.body
    if not isinstance(record, LoadtestRecord) or record.certificate is None:
        return None
    usual = usual_settings(space, served())
    settings = {"workers": usual.workers, "threads": usual.intra_op, "batch_cap": usual.batch_cap}
    lapsed = holds_for(
        record,
        datetime.fromisoformat(stored.envelope.created),
        max_age("loadtest"),
        subject=digest,
        settings=settings,
        env=current_environment(),
        now=datetime.now(UTC),
    )
    return Certified(record.certificate, stored.digest, lapsed)
