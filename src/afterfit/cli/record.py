"""``afterfit record``: the records of past steps."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from afterfit.cli.common import Common, opened
from afterfit.cli.output import Answer, table
from afterfit.core.digest import short
from afterfit.errors import AfterfitError, IntegrityError
from afterfit.report.build import record_page
from afterfit.report.text import render

NONE = Common()


def list_(*, step: str = "", common: Common = NONE) -> Answer:
    """List the records, the newest first; files that cannot be read are named as warnings.

    Parameters
    ----------
    step
        Only those of one step, such as assess.

    """
    with opened(common) as space:
        rows = space.records.list(step=step or None)
        broken = space.records.verify()
    result = [{"step": r.body.step, **msgspec.to_builtins(r.envelope)} for r in rows]
    shown = [
        (r.envelope.created, r.body.step, short(r.digest), short(r.body.subject), r.body.status)
        for r in rows
    ]
    text = table(shown, ("created", "step", "record", "subject", "status"))
    warnings = [f"{path} is left out: {error.message} ({error.why})" for path, error in broken]
    empty = "no records that can be read" if broken else "no records yet"
    return Answer(result, text if rows else empty, warnings=warnings)


def show(digest: str, *, common: Common = NONE) -> Answer:
    """Show one record.

    Parameters
    ----------
    digest
        Its digest, or the first digits of it.

    """
    with opened(common) as space:
        stored = space.records.get(digest)
    return Answer(msgspec.to_builtins(stored), render(record_page(stored)))


def verify(*, common: Common = NONE) -> Answer:
    """Hash every record and every blob; exit 2 naming each that was changed."""
    with opened(common) as space:
        broken = space.verify_store()
        count = len(space.records.list())
    if broken:
        raise _damaged(broken)
    return Answer({"records": count, "broken": []}, f"{count} records: each is what its name says")


def _damaged(broken: Sequence[AfterfitError]) -> IntegrityError:
    files = "file" if len(broken) == 1 else "files"
    return IntegrityError(
        f"{len(broken)} damaged {files}",
        where=broken[0].where,
        why="; ".join(f"{error.where}: {error.message}" for error in broken),
        fix="restore the files from a copy of the workspace, or delete them and ship again",
    )
