"""The baseline of a load test: which record it is, and what the comparison adds to the new one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from afterfit.errors import NotFoundError, UsageError
from afterfit.loadtest.compare import compare
from afterfit.records.codec import Stored, decode
from afterfit.records.loadtest import LoadtestRecord

if TYPE_CHECKING:
    from afterfit.workspace.space import Workspace

__all__ = ["LAST", "Baseline", "baselines_of", "beside"]

LAST = "last"
WHERE = "--baseline"


class Baseline(NamedTuple):
    """An earlier load test: the digest of its record, and the record."""

    digest: str
    record: LoadtestRecord


def baselines_of(space: Workspace, told: str, endpoint: str) -> tuple[Baseline, ...]:
    """Return the load tests that ``told`` may mean, the likeliest first; never none.

    It is ``last`` (of the same endpoint), a version (``churn@1``), an alias of the endpoint's own
    model (``champion``), the path of a record's file, or the first digits of a record's digest.
    Raises NotFoundError where there is none, UsageError for a record of something else.
    """
    if Path(told).is_file():
        found = _tests((decode(Path(told).read_bytes(), where=told),), told)
    elif told == LAST:
        found = _of_place(space, endpoint)
    elif "@" in told or _is_alias(space, told, endpoint):
        name = endpoint.partition("@")[0]
        version = space.registry.resolve(told if "@" in told else f"{name}@{told}")
        found = _tests(space.records.list("loadtest", version.digest), told)
    else:
        found = _tests((space.records.get(told),), told)
    if not found:
        raise NotFoundError(
            "no load test to compare with",
            where=f"{WHERE} {told}",
            fix=f"run it once without {WHERE}, or see: afterfit record list --step loadtest",
        )
    return found


def _tests(stored: Iterable[Stored], told: str) -> tuple[Baseline, ...]:
    """Return the load tests among records; raises UsageError for one of something else."""
    found = []
    for each in stored:
        if not isinstance(each.body, LoadtestRecord):
            raise UsageError(
                f"a record of {each.body.step}, not of a load test",
                where=f"{WHERE} {told}",
                fix="see: afterfit record list --step loadtest",
            )
        found.append(Baseline(each.digest, each.body))
    return tuple(found)


def _is_alias(space: Workspace, told: str, endpoint: str) -> bool:
    if "@" not in endpoint:
        return False
    versions = space.registry.list(endpoint.partition("@")[0])
    return any(told in version.aliases for version in versions)


def _of_place(space: Workspace, endpoint: str) -> tuple[Baseline, ...]:
    """Return the load tests of the same endpoint, the newest first: of a model, of any version."""
    tests = _tests(space.records.list("loadtest"), LAST)
    if "://" in endpoint:
        base = f"{endpoint.rstrip('/')}/"
        return tuple(test for test in tests if f"{test.record.target}/".startswith(base))
    if "@" not in endpoint:
        return tuple(test for test in tests if test.record.target == endpoint)
    versions = space.registry.list(endpoint.partition("@")[0])
    subjects = {version.digest for version in versions}
    return tuple(test for test in tests if test.record.subject in subjects)


def beside(
    record: LoadtestRecord, baselines: tuple[Baseline, ...], *, anyway: bool
) -> LoadtestRecord:
    """Return the record with its comparison: metrics, findings, verdicts and the baseline's digest.

    Of several baselines the first that was measured alike counts.
    """
    pairs = [(each.digest, compare(each.record, record, anyway=anyway)) for each in baselines]
    digest, found = next((pair for pair in pairs if pair[1].alike), pairs[0])
    return msgspec.structs.replace(
        record,
        baseline=digest,
        verdicts=found.verdicts,
        metrics=(*record.metrics, *found.metrics),
        findings=(*record.findings, *found.findings),
    )
