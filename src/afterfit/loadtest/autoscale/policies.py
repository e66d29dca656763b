"""Autoscalers as their controllers decide, step by step; every default is the controller's own.

- HPA: kubernetes.io, Horizontal Pod Autoscaling, and ``podautoscaler/replica_calculator.go``:
  desired = ceil(current x metric / target) every 15 s, tolerance 0.1, pods that are not ready count
  as idle when scaling up; at most max(x 2, + 4) in 15 s; down to the greatest wish of 300 s.
- KEDA: the same HPA on a sum of Prometheus; between 0 and 1 its own poll (30 s), down to 0 after
  300 s without work.
- Knative: ``pkg/autoscaler/scaling/autoscaler.go``: mean concurrency of 60 s, of 6 s in panic.
- Ray Serve: ``autoscaling_policy.py``: mean ongoing requests of 30 s, and a wish counts only when
  it was held for 30 s (up) or 600 s (down).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from afterfit.loadtest.autoscale.view import View

Metric = Literal["cpu", "answered", "inside"]
NEAR = 1e-9


class Policy(Protocol):
    """What decides how many replicas there should be."""

    tick_s: float
    least: int
    most: int

    def decide(self, now: float, view: View) -> int:
        """Return how many replicas there should be; asked every ``tick_s`` seconds."""
        ...


@dataclass
class Static:
    """Always as many."""

    least: int
    most: int = 0
    tick_s: float = 15.0

    def decide(self, now: float, view: View) -> int:  # noqa: ARG002 - as every policy's
        """Return the same number."""
        return self.least


@dataclass
class Hpa:
    """The HPA on one metric: busy share of a replica, answered requests/s, or requests inside.

    ``target`` is per replica, in the metric's unit. Metrics are means of ``window_s`` seconds and
    were read every ``scrape_s``, ``phase_s`` after the start. ``floor`` is a lower bound that
    moves, for what is scheduled. ``concurrency`` is that of a replica.
    """

    metric: Metric
    target: float
    least: int
    most: int
    concurrency: int = 1
    tick_s: float = 15.0
    window_s: float = 15.0
    scrape_s: float = 15.0
    phase_s: float = 0.0
    tolerance: float = 0.1
    up_period_s: float = 15.0
    up_factor: float = 2.0
    up_pods: int = 4
    down_window_s: float = 300.0
    floor: Callable[[float], int] | None = None
    _wishes: deque[tuple[float, int]] = field(default_factory=deque)
    _ups: deque[tuple[float, int]] = field(default_factory=deque)

    def decide(self, now: float, view: View) -> int:
        """Return the wish, within the limits of speed and number."""
        least = max(self.least, min(self.most, self.floor(now))) if self.floor else self.least
        wish = min(self.most, max(least, self._wish(now, view)))
        self._wishes.append((now, wish))
        while self._wishes[0][0] < now - self.down_window_s:
            self._wishes.popleft()
        current = view.current
        if wish < current:
            wish = min(current, max(each for _, each in self._wishes))
        if wish > current:
            wish = max(min(wish, self._fastest(now, current)), min(least, self.most))
            self._ups.append((now, wish - current))
        return wish

    def demand(self, now: float, view: View) -> float:
        """Return the metric of the whole fleet, as the last scrape saw it."""
        age = (now - self.phase_s) % self.scrape_s
        if self.metric == "cpu":
            return view.mean(view.busy, self.window_s, age) / self.concurrency
        if self.metric == "answered":
            return view.rate(view.answered, self.window_s, age)
        return view.mean(view.inside, self.window_s, age)

    def _wish(self, now: float, view: View) -> int:
        total, current = self.demand(now, view), view.current
        counted = max(1, view.ready)
        ratio = total / counted / self.target
        if abs(ratio - 1) <= self.tolerance:
            return current
        if ratio > 1 and current > counted:
            counted, ratio = current, total / current / self.target
            if ratio <= 1 + self.tolerance:
                return current
        wish = math.ceil(ratio * counted - NEAR)
        return min(wish, current) if ratio < 1 else wish

    def _fastest(self, now: float, current: int) -> int:
        while self._ups and self._ups[0][0] <= now - self.up_period_s + NEAR:
            self._ups.popleft()
        before = current - sum(each for _, each in self._ups)
        return max(math.ceil(before * self.up_factor), before + self.up_pods)


@dataclass
class Keda:
    """An HPA between 1 and ``most``, and KEDA's own steps between 0 and 1."""

    inner: Hpa
    least: int
    most: int
    poll_s: float = 30.0
    cooldown_s: float = 300.0
    tick_s: float = 15.0
    _worked: float = 0.0

    def decide(self, now: float, view: View) -> int:
        """Return the inner wish, or 0 where nothing came for so long."""
        if view.rate(view.arrived, self.poll_s) > 0:
            self._worked = now
        if view.current == 0:
            polled = now % self.poll_s < self.tick_s
            return 1 if polled and self._worked == now else 0
        if self.least == 0 and now - self._worked >= self.cooldown_s:
            return 0
        return self.inner.decide(now, view)


@dataclass
class OnInside:
    """What policies share that aim at ``target`` requests inside of a replica, or a fraction."""

    target: float
    least: int
    most: int

    def bounded(self, wish: int) -> int:
        """Return a wish within the limits of number."""
        return min(self.most, max(self.least, wish))

    def carrying(self, inside: float) -> int:
        """Return how many replicas carry so many requests, whatever floats add."""
        return math.ceil(inside / self.target - NEAR)


@dataclass
class Knative(OnInside):
    """The KPA on concurrency."""

    tick_s: float = 2.0
    stable_s: float = 60.0
    panic_s: float = 6.0
    panic_at: float = 2.0
    up_factor: float = 1000.0
    down_factor: float = 2.0
    grace_s: float = 30.0
    _panicked: float | None = None
    _panic_most: int = 0
    _idle_since: float | None = None

    def decide(self, now: float, view: View) -> int:
        """Return what the stable window asks for, in panic at least what the short one does."""
        ready = max(1, view.ready)
        top, bottom = math.ceil(self.up_factor * ready), math.floor(ready / self.down_factor)
        stable = self.carrying(view.mean(view.inside, self.stable_s))
        panic = self.carrying(view.mean(view.inside, self.panic_s))
        wish = min(max(stable, bottom), top)
        if panic / ready >= self.panic_at:
            self._panicked = now
        elif self._panicked is not None and self._panicked + self.stable_s < now:
            self._panicked, self._panic_most = None, 0
        if self._panicked is not None:
            self._panic_most = max(self._panic_most, wish, min(max(panic, bottom), top))
            wish = self._panic_most
        return self.bounded(self._after_grace(now, wish))

    def _after_grace(self, now: float, wish: int) -> int:
        if wish > 0:
            self._idle_since = None
            return wish
        self._idle_since = now if self._idle_since is None else self._idle_since
        return 0 if now - self._idle_since >= self.grace_s else 1


@dataclass
class Ray(OnInside):
    """Ray Serve on ongoing requests: a wish must be held for a while before it is done."""

    look_back_s: float = 30.0
    up_delay_s: float = 30.0
    down_delay_s: float = 600.0
    tick_s: float = 1.0
    _held: float = 0.0

    def decide(self, now: float, view: View) -> int:  # noqa: ARG002 - as every policy's
        """Return the wish once it was held for its delay."""
        current, total = view.current, view.mean(view.inside, self.look_back_s)
        if current == 0:
            return max(1, self.least) if total > 0 else 0
        wish = self.bounded(self.carrying(total))
        if wish > current:
            self._held = max(0.0, self._held) + self.tick_s
            held = self._held > self.up_delay_s
        elif wish < current:
            self._held = min(0.0, self._held) - self.tick_s
            held = self._held < -self.down_delay_s
            wish = wish if current == 1 else max(1, wish)
        else:
            self._held, held = 0.0, False
        if held:
            self._held = 0.0
        return wish if held else current
