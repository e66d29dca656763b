"""What the variant of a version was proven on, as its records tell."""

from __future__ import annotations

from functools import lru_cache

from afterfit.core.proof import Proven
from afterfit.errors import (
    ForbiddenError,
    IntegrityError,
    NotFoundError,
    UnavailableError,
    UsageError,
)
from afterfit.records.optimize import OptimizeRecord
from afterfit.registry.version import Version
from afterfit.store.records import RecordStore

__all__ = ["commit_of", "proven_of"]


def proven_of(records: RecordStore, version: Version) -> Proven | None:
    """Return what a version was proven on; None where no record of it can be read.

    Nothing of it decides what is answered, so a server does not wait for it.
    """
    try:
        return _told(records, version.evidence.get("optimize", ""), version.digest)
    except (NotFoundError, IntegrityError, ForbiddenError, UnavailableError):
        return None


def commit_of(records: RecordStore, version: Version) -> str:
    """Return the Git commit that a version was packaged from, empty where none is known for sure.

    Where the folder had changes beside the commit, the commit alone would mislead.
    """
    try:
        env = records.get(version.evidence.get("package", "")).body.env
    except (NotFoundError, IntegrityError, UsageError):
        return ""
    return "" if env.git_dirty else env.git_commit


# Whoever follows an alias asks twice a second.
@lru_cache(maxsize=64)
def _told(records: RecordStore, record: str, bundle: str) -> Proven | None:
    body = records.get(record).body if record else None
    return body.proven(bundle) if isinstance(body, OptimizeRecord) else None
