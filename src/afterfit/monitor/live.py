"""Live counts of a server in place of inputs that were not captured."""

from __future__ import annotations

from pathlib import Path

import msgspec

from afterfit.monitor.cut import HOUR
from afterfit.monitor.state import WindowState
from afterfit.runtime.counts import CountsFile

__all__ = ["add_live_counts"]

SECOND = 1_000_000


def add_live_counts(folder: Path, state: WindowState) -> int:
    """Return the rows that were added to a window whose events have no inputs.

    The counts are of whole hours, so only a window of whole hours can have them; those of other
    bins, and files that cannot be read, are passed over.
    """
    whole_hours = state.start % HOUR == 0 and state.end % HOUR == 0
    if state.inputs_n or state.scope.slice or not state.n or not whole_hours:
        return 0
    before = state.counts.n_ref
    for start in range(state.start, state.end, HOUR):
        for path in sorted(folder.rglob(f"counts-*-{start // SECOND}-*.json")):
            _add(path, state, start // SECOND)
    return state.counts.n_ref - before


def _add(path: Path, state: WindowState, start: int) -> None:
    try:
        windows = msgspec.json.decode(path.read_bytes(), type=CountsFile).windows
    except (OSError, msgspec.MsgspecError):
        return
    scope = state.scope
    for window in windows:
        same = (window.model, window.digest, window.start) == (scope.model, scope.digest, start)
        if not same:
            continue
        # The output is counted from the events, which have it always.
        counts = msgspec.structs.replace(window.fingerprint, output=None)
        try:
            state.counts.blank().merge(counts)
        except ValueError:
            continue
        state.counts.merge(counts)
        state.inputs_n += counts.n_ref
