"""Models that are held in the test's own process, behind the door of those that have their own.

Starting a process and importing scikit-learn there takes two seconds of a processor, which most
tests ask nothing about: what is loaded, sent and answered is the same here, each message encoded
and decoded as it would be between two processes.
"""

from __future__ import annotations

import io
from typing import Any

from afterfit.errors import AfterfitError, ModelError, error_from
from afterfit.models import wire
from afterfit.models.child import Child, explain
from afterfit.models.host import Host


class InlineHost:
    """What `Host` offers, without a process that could be killed."""

    pid = None

    def __init__(self, load: dict[str, Any]) -> None:
        self._load = load
        self._child: Child | None = None
        self.loaded: Any = None

    def start(self) -> Any:
        """Return the answer to loading the model, loading it where that was not done."""
        if self._child is None:
            self._child = Child(isolated=True)
            try:
                self.loaded = self._answer(self._child, self._load)
            except AfterfitError:
                self._child = None
                raise
        return self.loaded

    def ask(self, request: dict[str, Any]) -> Any:
        """Return the answer; raises the error that was met, as it would arrive."""
        self.start()
        assert self._child is not None
        return self._answer(self._child, request)

    def remember(self, load: dict[str, Any]) -> None:
        """Load like this the next time."""
        self._load = load

    def close(self) -> None:
        """Forget the model."""
        self._child = None

    def _answer(self, child: Child, request: dict[str, Any]) -> Any:
        asked = _sent(request)
        action = str(asked["op"])
        try:
            reply = {"ok": child.answer(asked)}
        except Exception as error:  # noqa: BLE001 - whatever a model raises is told, as by a child
            reply = {"error": explain(error, action).as_dict()}
        told = _sent(reply)
        if "error" in told:
            raise error_from(told["error"], ModelError)
        return told["ok"]


def host_of(load: dict[str, Any], **options: Any) -> InlineHost | Host:
    """Return where a model is held: in its own process where it brings code of its own."""
    if load["source"].code:
        return Host(load, **options)
    return InlineHost(load)


def _sent(message: dict[str, Any]) -> Any:
    return wire.receive(io.BytesIO(wire.framed(message)))
