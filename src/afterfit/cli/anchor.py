"""``afterfit version anchor``: keep the end of the audit log where its writers cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter

from afterfit.cli.common import Common, opened
from afterfit.cli.output import Answer
from afterfit.registry.anchor import AnchorCheck, check_anchors, known_places
from afterfit.registry.anchor import anchor as put_anchor

if TYPE_CHECKING:
    from afterfit.workspace import Workspace

NONE = Common()


def anchor(
    *,
    to: Annotated[
        tuple[str, ...],
        Parameter(negative="", help="A file, git-note, or a web address that takes a POST."),
    ],
    common: Common = NONE,
) -> Answer:
    """Put the number and the hash of the last line of the audit log where others keep it.

    Whoever may write the workspace can rebuild its whole log; `afterfit version verify` sees it by
    an anchor. A file stands best where the writers of the workspace may only add; git-note is the
    note of the commit that is checked out here (push it: git push origin refs/notes/afterfit).
    """
    with opened(common) as space:
        made = put_anchor(space.registry, to, who=space.who)
    text = f"line {made.line} of the audit log is anchored in {len(to)} "
    text += f"{'place' if len(to) == 1 else 'places'}: {made.hash}"
    return Answer(msgspec.to_builtins(made), text)


def anchored(space: Workspace, places: tuple[str, ...]) -> AnchorCheck | None:
    """Return what the anchors say, those put before and those in ``places``; None without any.

    Raises IntegrityError where the log is another one by now.
    """
    known = tuple(dict.fromkeys((*known_places(space.folder), *places)))
    return check_anchors(space.registry.log(), known) if known else None


def anchored_text(found: AnchorCheck | None) -> str:
    """Return the line of ``version verify`` about anchors."""
    if found is None:
        return "no anchors: afterfit version anchor --to FILE   # shows a log that was rebuilt"
    count = "1 anchor" if found.anchors == 1 else f"{found.anchors} anchors"
    return f"anchors: the log agrees with {count} (the newest of line {found.line})"
