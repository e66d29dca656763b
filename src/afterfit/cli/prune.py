"""``afterfit version prune`` and ``version verify``: let old bytes go, look at all bytes."""

from __future__ import annotations

from typing import Annotated

import msgspec
from cyclopts import Parameter

from afterfit.cli.anchor import anchored, anchored_text
from afterfit.cli.common import Common, opened
from afterfit.cli.durations import seconds_of
from afterfit.cli.output import Answer, table
from afterfit.errors import IntegrityError
from afterfit.registry.retention import Fate, Policy
from afterfit.report import number
from afterfit.workspace.pruning import Broken, Pruned, broken
from afterfit.workspace.pruning import prune as prune_versions

NONE = Common()


def prune(
    *,
    keep: Annotated[int, Parameter(help="So many of the newest of each model stay.")] = 10,
    older: Annotated[str, Parameter(help="Only versions older than this go.")] = "90d",
    grace: Annotated[
        str, Parameter(help="In a shared store, bytes put more recently than this stay.")
    ] = "7d",
    yes: Annotated[bool, Parameter(name="--yes", negative="", help="Do it.")] = False,
    dry_run: Annotated[
        bool, Parameter(name="--dry-run", negative="", help="Only say what would go (the default).")
    ] = False,
    common: Common = NONE,
) -> Answer:
    """Let the bytes of old versions go: files that nothing else needs, checkouts, monitoring rows.

    Whatever an alias, the next two rollbacks of one, or an endpoint (running or recorded) stands
    on stays, with the newest and the young ones. Numbers, digests, records and the audit log stay
    for all. In a shared workspace what servers of other machines stand on stays, and bytes go that
    no version and no record needs, such as those of a push that died. Nothing is touched without
    --yes.
    """
    with opened(common) as space:
        policy = Policy(
            keep=keep, older=seconds_of(older, "--older"), grace=seconds_of(grace, "--grace")
        )
        found = prune_versions(space, policy, really=yes and not dry_run)
    return Answer(_plain(found), _text(found), warnings=space.warnings)


def _plain(found: Pruned) -> dict[str, object]:
    def one(fate: Fate) -> dict[str, object]:
        state = "gone" if fate.gone else "goes" if fate.goes else "stays"
        version = fate.version
        return {"name": version.name, "version": version.number, "digest": version.digest,
                "fate": state, "why": fate.why, "bytes": fate.size_bytes}  # fmt: skip

    return {"done": found.done, "freed_bytes": found.freed,
            "versions": [one(fate) for fate in found.fates]}  # fmt: skip


def _text(found: Pruned) -> str:
    gone = sum(fate.gone for fate in found.fates)
    rows = [
        (
            fate.version.name,
            fate.version.number,
            ("went" if found.done else "would go") if fate.goes else "stays",
            number.size(fate.size_bytes) if fate.goes else "",
            fate.why,
        )
        for fate in found.fates
        if not fate.gone
    ]
    lines = [table(rows, ("model", "version", "fate", "frees", "why")), ""] if rows else []
    if gone:
        lines.append(f"the bytes of {number.plural(gone, 'version')} went before")
    going = number.plural(len(found.going), "version")
    if found.done:
        lines.append(f"{going} went, {number.size(found.freed)} were freed; the audit log says so")
    elif found.going:
        lines.append(f"{going} would go and free {number.size(found.freed)}; to do it: add --yes")
    else:
        lines.append("nothing would go")
    return "\n".join(lines)


def verify(
    name: str = "",
    *,
    anchors: Annotated[
        tuple[str, ...], Parameter(negative="", help="A file of anchors, or git-note.")
    ] = (),
    common: Common = NONE,
) -> Answer:
    """Hash every byte there is, and the chain of the audit log; each thing broken has its cure.

    Without a name: versions, aliases and evidence against the log, records, and every blob.
    Exit 2 where anything is broken. The log is held against the anchors that `version anchor` put
    into files and notes, and those that are named.

    Parameters
    ----------
    name
        The model's name; all models, records and blobs without it.

    """
    with opened(common) as space:
        wrong = broken(space, name or None)
        if wrong:
            raise _told(wrong)
        found = space.registry.verify(name or None)
        log = space.registry.verify_log()
        held = anchored(space, anchors)
    result = {
        "versions": msgspec.to_builtins(found),
        "log": msgspec.to_builtins(log),
        "anchors": msgspec.to_builtins(held),
    }
    text = (
        f"{found.versions} versions, {found.files} files, {found.size_bytes} bytes: each is what "
    )
    text += f"its digest says\naudit log: {log.lines} lines, each follows the one before\n"
    text += f"head of the log: {log.head}   # keep it where nobody who writes here can\n"
    text += anchored_text(held)
    back = [f"line {n} is dated before the line before: a clock was set back" for n in log.set_back]
    return Answer(result, text, warnings=back)


def _told(wrong: list[Broken]) -> IntegrityError:
    lines = [f"\n    {each.where}: {each.what}\n      fix: {each.fix}" for each in wrong]
    return IntegrityError(
        f"the workspace is damaged: {number.plural(len(wrong), 'thing')}",
        where=wrong[0].where,
        why="".join(lines),
        fix=wrong[0].fix if len(wrong) == 1 else "each has its own, above",
    )
