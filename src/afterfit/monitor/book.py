"""The windows of a daemon in its store: written as they grow, and taken out when they close.

Memory holds some of them only. A window that went to the store is added to there, so that a long
log that was never read before, of which every window is open at once, takes no more memory.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import msgspec

from afterfit.core.digest import digest_of
from afterfit.monitor.cut import Windows
from afterfit.monitor.state import WindowState
from afterfit.monitor.store import MonitorStore
from afterfit.records.signals import Scope

__all__ = ["Book"]

PREFIX = "window/"
MOST_OPEN = 64
Key = tuple[Scope, str, int]


class Book:
    """Keeps ``windows`` in a store; ``by_count`` ones all stay in memory, which is one a scope."""

    def __init__(
        self,
        store: MonitorStore,
        endpoint: str,
        windows: Windows,
        *,
        by_count: bool = False,
        most: int = MOST_OPEN,
    ) -> None:
        self._store, self._endpoint, self._windows = store, endpoint, windows
        self._by_count, self._most = by_count, most
        names = store.part_names(endpoint, PREFIX)
        back = names if by_count else names[-most:]
        self._away = set(names) - set(back)
        for name in back:
            windows.put_back(self._read(name))
        self._sizes = {_name(key): _size(state) for key, state in windows.open.items()}

    def changes(self) -> dict[str, bytes | None]:
        """Return the parts that differ from what the store holds."""
        parts: dict[str, bytes | None] = {}
        named = {_name(key): state for key, state in self._windows.open.items()}
        for name, state in named.items():
            # Of windows by count one may be full and the next as long as it was when last kept.
            if self._by_count or self._sizes.get(name) != _size(state):
                whole = self._whole(name, state)
                parts[name] = zlib.compress(msgspec.msgpack.encode(whole), 1)
        # Windows by count that are full are closed already.
        gone = self._sizes.keys() - named.keys() - self._away
        return parts | dict.fromkeys(gone)

    def saved(self) -> None:
        """Take note that changes are in the store, and let the oldest windows go from memory."""
        opened = self._windows.open
        if not self._by_count:
            for key in sorted(opened, key=lambda key: key[2])[: -self._most]:
                self._away.add(_name(key))
                del opened[key]
        self._sizes = {_name(key): _size(state) for key, state in opened.items()}

    def due(self, before: int, width_us: int) -> Iterator[tuple[int, list[str], list[WindowState]]]:
        """Yield the windows in the store that end by a moment, those that begin together at once.

        Each comes with the names of its parts. All changes must be saved. Of the roles of one
        version in a window those that answered somebody count together, and else its shadow.
        """
        names: dict[int, list[str]] = {}
        for name in self._store.part_names(self._endpoint, PREFIX):
            start = int(name.split("/")[1])
            if start + width_us <= before:
                names.setdefault(start, []).append(name)
        for start, group in sorted(names.items()):
            yield start, group, _by_scope([self._read(name) for name in group])

    def closed(self, names: list[str]) -> None:
        """Forget windows that are gone from the store."""
        gone = set(names)
        self._away -= gone
        for key in [key for key in self._windows.open if _name(key) in gone]:
            del self._windows.open[key]
        for name in gone:
            self._sizes.pop(name, None)

    def _whole(self, name: str, state: WindowState) -> WindowState:
        """Return a window with what of it went to the store before."""
        if name not in self._away:
            return state
        kept = self._read(name)
        kept.merge(state)
        self._windows.open[state.scope, state.role, state.start] = kept
        self._away.discard(name)
        return kept

    def _read(self, name: str) -> WindowState:
        body = self._store.parts(self._endpoint, name)[name]
        return msgspec.msgpack.decode(zlib.decompress(body), type=WindowState)


def _by_scope(states: list[WindowState]) -> list[WindowState]:
    found: dict[Scope, WindowState] = {}
    for state in sorted(states, key=lambda state: (state.role == "shadow", state.role)):
        before = found.get(state.scope)
        if before is None:
            found[state.scope] = state
        elif state.role != "shadow":
            before.merge(state)
    return sorted(found.values(), key=lambda state: msgspec.json.encode(state.scope))


def _name(key: Key) -> str:
    scope, role, start = key
    return f"{PREFIX}{start:020d}/{role}/{digest_of(scope)[:16]}"


def _size(state: WindowState) -> int:
    """Return how many predictions a window has seen: it changes with every one that is added."""
    return sum(state.kinds.values())
