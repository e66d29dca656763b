"""Drives a canary through its steps: looks, judges, goes on, goes back, or asks for the promotion.

Whatever ends a rollout but the promotion leaves the primary alone. A kill that nothing can catch
leaves the canary with its share, until somebody sees that nobody watches (`lapse`): the server's
own `afterfit serve` within seconds, else the server itself when its lease has run out.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from afterfit.errors import AfterfitError, ConflictError, UnavailableError
from afterfit.records.rollout import Comparison, RolloutStep, RolloutVerdict
from afterfit.runtime.client import AdminClient
from afterfit.runtime.endpoint import MILLION, ModelRoute
from afterfit.runtime.lease import Lease
from afterfit.serve.rollout import Plan, divided
from afterfit.serve.rollouts.judge import Reading, compare, look, may_go_on, reading_of
from afterfit.serve.rollouts.state import RARE, RolloutState

__all__ = ["Hands", "Rollout"]

PATIENCE_S = 60.0
"""So long a server may not answer before the rollout ends with an error, to be resumed."""
TRIES = 5
LEASE_S = 30.0
"""So long after the last look a server takes the share away by itself, unless looks are rare."""


class Hands(Protocol):
    """What a rollout asks of the workspace."""

    def save(self, state: RolloutState) -> None:
        """Keep the state."""
        ...

    def note(self, why: str, details: dict[str, Any]) -> None:
        """Write a line of the audit log."""
        ...

    def promote(self, why: str) -> str:
        """Make the candidate the primary; return why not, empty where it is."""
        ...

    def asked_to_abort(self) -> str | None:
        """Return why somebody wants it to end, None where nobody does."""
        ...


class Rollout:
    """One rollout on one server; ``clock`` is seconds since 1970."""

    def __init__(
        self,
        state: RolloutState,
        admin: AdminClient,
        hands: Hands,
        *,
        say: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.state = state
        self.admin = admin
        self.hands = hands
        self._say = say
        self._clock = clock

    def begin(self) -> None:
        """Take the first step: copies, or the first share."""
        state, now = self.state, self._clock()
        state.began = state.step_began = now
        state.step = -1 if state.config.shadow_first_s else 0
        look(state.judge, self._reading(), state.config)
        state.judge.watches.clear()
        state.judge.step_canary = state.judge.step_primary = 0.0
        # Kept before the server changes: a crash in between is taken back by resume or abort.
        self._save()
        self._hold()
        self._divide()
        self._note("start", "", {"steps": list(state.config.steps)})

    def resume(self) -> None:
        """Go on from where it was: the share of its step again."""
        state = self.state
        if self._route().primary == state.candidate:
            self._end("promoted", "it was promoted when the rollout was cut short")
            return
        state.status, state.why = "running", ""
        state.judge.last = self._reading()
        self._save()
        self._hold()
        self._divide()
        self._note("resume", "", {})

    def run(self, stop: threading.Event) -> None:
        """Look until it has ended, or until ``stop`` is set, which pauses it."""
        silent_since: float | None = None
        while self.state.status == "running":
            if stop.wait(self.state.config.poll_s):
                self.pause()
                return
            try:
                self.tick()
                silent_since = None
            except UnavailableError as error:
                silent_since = silent_since or self._clock()
                if self._clock() - silent_since > PATIENCE_S:
                    raise
                self._say(f"the server does not answer: {error.why or error.message}")
                self._save()

    def tick(self) -> None:
        """Look once, and do what that leads to."""
        state = self.state
        asked = self.hands.asked_to_abort()
        if asked is not None:
            self.abort(asked)
            return
        if (why := self._overtaken()) is not None:
            self._back("overtaken", why)
            return
        self._hold()
        look(state.judge, self._reading(), state.config)
        found = compare(state.judge, state.config)
        worse = [each for each in found if each.worse]
        if worse:
            self._back("rolled_back", "; ".join(told_of(each) for each in worse))
        elif self._is_due(found):
            self._go_on(found)
        elif state.config.give_up_s and self._clock() - state.began > state.config.give_up_s:
            self._back("gave_up", f"undecided after {state.config.give_up_s:g} s")
        self._save()

    def pause(self, why: str = "interrupted") -> None:
        """Give the canary no more requests, and keep all that is known."""
        state = self.state
        self._divide(share=0)
        self._hold(0.0)
        state.status, state.why = "paused", why
        self._note("pause", why, {})
        self.hands.save(state)

    def lapse(self, why: str) -> None:
        """Step back for whoever watched and is gone: it is paused, unless it is over already."""
        route, state = self._route(), self.state
        others = route.canary is not None and route.canary.digest != state.candidate
        if route.primary == state.candidate:
            self._end("promoted", "it was promoted when the rollout was cut short")
        elif route.primary != state.primary or others:
            self._back("overtaken", "somebody changed who answers meanwhile")
        else:
            self.pause(why)

    def abort(self, why: str) -> None:
        """End it: the primary alone."""
        self._back("aborted", why)
        self.hands.save(self.state)

    def _hold(self, seconds: float | None = None) -> None:
        """Tell the server that somebody watches; it steps back by itself when that is long ago."""
        state = self.state
        long = max(LEASE_S, RARE * state.config.poll_s) if seconds is None else seconds
        # A server that is away is noticed by whatever is asked of it next.
        with suppress(UnavailableError):
            self.admin.hold(Lease(model=state.name, digest=state.candidate, seconds=long))

    def _save(self) -> None:
        """Keep the state, and that somebody watches."""
        self.state.seen = self._clock()
        self.hands.save(self.state)

    def _is_due(self, found: tuple[Comparison, ...]) -> bool:
        """Whether this step has lasted long enough and has seen and shown enough."""
        state, spent = self.state, self._clock() - self.state.step_began
        if not may_go_on(state.judge, state.config, state.step, found):
            return False
        if state.step < 0:
            return spent >= state.config.shadow_first_s
        return spent >= state.config.hold_s

    def _go_on(self, found: tuple[Comparison, ...]) -> None:
        state = self.state
        if not state.is_last:
            self._close_step()
            if state.config.is_alone(state.step + 1):
                state.settled = found
            state.step += 1
            state.step_began = self._clock()
            state.judge.next_step()
            self._save()
            self._divide()
            self._note("step", "", {})
            return
        self._close_step()
        told = "; ".join(told_of(each) for each in state.settled or found)
        why = f"shown to be worse by at most {100 * state.config.margin:g} %: {told}"
        refusal = self.hands.promote(why)
        if refusal:
            self._back("refused", refusal)
        else:
            self._end("promoted", why)

    def _back(self, verdict: RolloutVerdict, why: str) -> None:
        started = time.monotonic()
        self._divide(share=None)
        self.state.back_s = time.monotonic() - started
        if verdict != "refused":
            self._close_step()
        self._end(verdict, why)

    def _end(self, verdict: RolloutVerdict, why: str) -> None:
        state = self.state
        self._hold(0.0)
        state.status, state.verdict, state.why = "ended", verdict, why
        self._note(verdict, why, {})
        self.hands.save(state)

    def _close_step(self) -> None:
        state = self.state
        state.steps.append(
            RolloutStep(
                share_ppm=state.share_ppm,
                seconds=round(self._clock() - state.step_began, 3),
                canary=round(state.judge.step_canary),
                primary=round(state.judge.step_primary),
            )
        )

    def _overtaken(self) -> str | None:
        """Return what somebody else changed, None where all is as it was left."""
        route, state = self._route(), self.state
        if route.primary != state.primary:
            return f"version {route.number(route.primary)} became the primary meanwhile"
        if state.step < 0:
            return None if state.candidate in route.shadow else "somebody took the copies away"
        canary = route.canary
        if canary is None or (canary.digest, canary.share_ppm) != (
            state.candidate, state.share_ppm,
        ):  # fmt: skip
            return "somebody changed the canary meanwhile"
        return None

    def _divide(self, share: int | None = -1) -> None:
        """Give the candidate the share of this step, another, or (None) no place at all."""
        state = self.state
        for attempt in range(TRIES):
            try:
                divided(self.admin, state.name, self._plan(share))
            except ConflictError:
                if attempt == TRIES - 1:
                    raise
                time.sleep(0.1 * 2**attempt)
            else:
                return

    def _plan(self, share: int | None) -> Plan:
        state, route = self.state, self._route()
        others = tuple(each for each in route.shadow if each != state.candidate)
        ours = route.canary is None or route.canary.digest == state.candidate
        if share is None:
            return Plan(canary=("", 0, "") if ours else None, shadow=others)
        copies = state.step < 0 or "disagreement" in state.config.watch
        shadow = (*others, state.candidate) if copies and share else others
        wanted = state.share_ppm if share < 0 else share
        if state.step < 0:
            place = ("", 0, "")
            shadow = (*others, state.candidate) if share else others
        else:
            place = (state.candidate, wanted, state.config.key)
        return Plan(canary=place, shadow=shadow, numbers={state.candidate: state.candidate_number})

    def _route(self) -> ModelRoute:
        return self.admin.get().models[self.state.name]

    def _reading(self) -> Reading:
        return reading_of(self.admin.status().models[self.state.name], self.state.candidate)

    def _note(self, event: str, why: str, details: dict[str, Any]) -> None:
        state = self.state
        share = f"{100 * state.share_ppm / MILLION:g} %"
        told = {"event": event, "share": share, "canary": round(state.judge.step_canary), **details}
        try:
            self.hands.note(why, told)
        except AfterfitError as error:
            self._say(f"not in the audit log: {error.message}")
        words = f"{state.name}@{state.candidate_number}: {event} at {share}"
        self._say(f"{words} ({why})" if why else words)


def told_of(each: Comparison) -> str:
    """Return one watch in a few words, with n and what it is held against."""
    name = each.watch.replace("_", " ")
    if each.canary.value is None:
        return f"{name}: nothing to compare"
    own = f"{100 * each.canary.value:.3g} % of {each.canary.n}"
    if each.primary is None:
        return f"{name} {own} rows (limit {100 * each.margin:g} %)"
    other = each.primary
    slow = f" slower than {each.slow_ms:.3g} ms" if each.slow_ms else ""
    beside = "" if other.value is None else f", primary {100 * other.value:.3g} % of {other.n}"
    return f"{name} {own} requests{slow}{beside}"
