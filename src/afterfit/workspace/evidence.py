"""Evidence that comes later: records attached to a version that is registered already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from afterfit.core.digest import short
from afterfit.errors import ForbiddenError, NotFoundError, UsageError
from afterfit.records.codec import Stored
from afterfit.registry.version import Version
from afterfit.workspace.age import expired

if TYPE_CHECKING:
    from afterfit.workspace.space import Workspace

__all__ = ["attached", "refreshed"]

STEPS = ("inspect", "assess", "optimize", "package", "robustness", "loadtest")


def attached(space: Workspace, ref: str, stored: Stored) -> Version:
    """Return the version that ``ref`` names with a record as its evidence of that step.

    The record must be about the version's bundle, or about the model that the bundle was made of.
    Its digest is written to the audit log. Raises UsageError for a record of something else.
    """
    version = space.registry.resolve(ref)
    body = stored.body
    if body.step not in STEPS:
        raise UsageError(
            f"a record of {body.step} is no evidence of a version",
            where=stored.digest,
            why=f"gates are judged on {', '.join(STEPS)}",
            fix="afterfit record list   # shows the records and their steps",
        )
    about = {version.digest, *(each.body.subject for each in space.evidence(version).values())}
    if body.subject not in about:
        raise UsageError(
            f"the record is not about {version.name}@{version.number}",
            where=stored.digest,
            why=f"it is about {short(body.subject)}, the version is {short(version.digest)}",
            fix=f"afterfit version show {version.name}   # shows the digests",
        )
    # Its file may be of a read-only workspace that could not keep it.
    space.records.get(stored.digest)
    return space.registry.attach(version, who=space.who, evidence={body.step: stored.digest})


def refreshed(space: Workspace, stored: Stored) -> tuple[Version, ...]:
    """Return the versions that got the record because they had no evidence of its step that counts.

    They are those whose bundle it is about. One that has such evidence keeps it, and the command
    that attaches the record is said: what was tried with another load must not take the place of
    what gates were judged on. A record that is not complete is attached to none.
    """
    body = stored.body
    versions = [v for v in space.registry.list() if v.digest == body.subject]
    if body.status != "complete" or body.step not in STEPS:
        return ()
    found = []
    for version in versions:
        name = f"{version.name}@{version.number}"
        known = {k: v for k, v in space.evidence(version).items() if k == body.step}
        if known and not expired(known):
            attach = f"afterfit version attach {name} {short(stored.digest)}"
            space.progress.say(f"  {name} keeps its record of {body.step}; to replace it: {attach}")
            continue
        try:
            found.append(attached(space, name, stored))
        except (ForbiddenError, NotFoundError) as error:
            # What was asked for was the measurement, and it is made.
            space.warnings.append(f"the record was not attached to {name}: {error.message}")
            continue
        space.progress.say(f"  {name} has the record as its evidence of {body.step}")
    return tuple(found)
