"""A fleet request by request, in virtual time: the exact form, for short traces and for tests.

``OwnQueues`` is what a Service of Kubernetes does: each request goes to a replica by chance and
waits there, whatever happens elsewhere; a new replica takes none of what waits at an old one.
``SharedQueue`` lets every request wait in one line for the first replica that is free.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from heapq import heappop, heappush, heapreplace

import numpy as np

from afterfit.loadtest.autoscale.queueing import Floats, Replica
from afterfit.loadtest.autoscale.view import Sample

CHUNK = 4096


class _Times:
    """Draws service times (s), many at once."""

    def __init__(self, replica: Replica, random: np.random.Generator) -> None:
        self.random = random
        self.sigma = math.sqrt(math.log1p(replica.cv**2))
        self.mu = math.log(replica.service_s) - self.sigma**2 / 2
        self.left: list[float] = []

    def draw(self) -> float:
        if not self.left:
            self.left = self.random.lognormal(self.mu, self.sigma, CHUNK).tolist()
        return self.left.pop()


class _Counts:
    """How often something happened in each step, and how much of the steps was left then."""

    def __init__(self, steps: int) -> None:
        self.number = [0] * (steps + 1)
        self.rest = [0.0] * (steps + 1)

    def add(self, moment: float, step_s: float) -> None:
        place = int(moment / step_s)
        if place < len(self.number):
            self.number[place] += 1
            self.rest[place] += place + 1 - moment / step_s


class _Exact(ABC):
    """What both kinds of queue share: arrivals, service times and counts.

    ``due`` are the moments (s, ascending) of all requests; ``latency`` gets one item a request in
    order of arrival, infinite for what was lost. ``holds`` says whether requests wait somewhere
    while there is no replica at all.
    """

    def __init__(
        self, replica: Replica, due: Floats, steps: int, step_s: float, seed: int, *, holds: bool
    ) -> None:
        random = np.random.default_rng([seed, 1])
        self.replica, self.step_s, self.holds = replica, step_s, holds
        self.due = due.tolist()
        self.latency = np.full(len(due), math.inf)
        self.times = _Times(replica, random)
        self.chance = random.random(len(due)).tolist()
        self.next = 0
        self.starts, self.ends = _Counts(steps), _Counts(steps)
        self.inside = self.busy = 0
        self.held: deque[int] = deque()

    def step(self, place: int) -> Sample:
        """Return what happened until the end of this step."""
        end, first = (place + 1) * self.step_s, self.next
        rest, lost = 0.0, 0
        while self.next < len(self.due) and self.due[self.next] < end:
            moment = self.due[self.next]
            if self.offer(self.next, moment):
                rest += (end - moment) / self.step_s
            else:
                lost += 1
            self.next += 1
        self.advance(end)
        arrived = self.next - first
        ended, begun = self.ends.number[place], self.starts.number[place]
        inside = self.inside + rest - self.ends.rest[place]
        busy = self.busy + self.starts.rest[place] - self.ends.rest[place]
        self.inside += arrived - lost - ended
        self.busy += begun - ended
        return Sample(arrived, ended, lost, busy, inside)

    def served(self, request: int, start: float) -> float:
        """Return the moment at which a request that starts then is answered."""
        end = start + self.times.draw()
        self.starts.add(start, self.step_s)
        self.ends.add(end, self.step_s)
        self.latency[request] = end - self.due[request]
        return end

    @abstractmethod
    def offer(self, request: int, moment: float) -> bool:
        """Return whether the request was taken in."""

    @abstractmethod
    def advance(self, moment: float) -> None:
        """Let everything happen that happens until then."""

    @abstractmethod
    def add(self, replicas: int, moment: float) -> None:
        """Make so many more replicas ready."""

    @abstractmethod
    def remove(self, replicas: int) -> None:
        """Send no more requests to so many; they finish what they have."""


class _Server:
    """One replica: when each of its places is free, and when what waits will start."""

    __slots__ = ("free", "waiting")

    def __init__(self, places: int, moment: float) -> None:
        self.free = [moment] * places
        self.waiting: deque[float] = deque()


class OwnQueues(_Exact):
    """Each request goes to a replica by chance and waits in that one's queue."""

    def __init__(
        self, replica: Replica, due: Floats, steps: int, step_s: float, seed: int, *, holds: bool
    ) -> None:
        super().__init__(replica, due, steps, step_s, seed, holds=holds)
        self.servers: list[_Server] = []

    def offer(self, request: int, moment: float) -> bool:
        """Return whether the replica that chance chose has room."""
        servers = self.servers
        if not servers:
            if self.holds:
                self.held.append(request)
            return self.holds
        return self._take(servers[int(self.chance[request] * len(servers))], request, moment)

    def _take(self, server: _Server, request: int, moment: float) -> bool:
        waiting = server.waiting
        while waiting and waiting[0] <= moment:
            waiting.popleft()
        start = server.free[0]
        if start <= moment:
            start = moment
        elif len(waiting) >= self.replica.queue:
            return False
        else:
            waiting.append(start)
        heapreplace(server.free, self.served(request, start))
        return True

    def advance(self, moment: float) -> None:
        """Do nothing: when each request starts was certain when it came."""

    def add(self, replicas: int, moment: float) -> None:
        """Make replicas ready; what was held goes to them first."""
        servers = self.servers
        servers += [_Server(self.replica.concurrency, moment) for _ in range(replicas)]
        while servers and self.held:
            request = self.held.popleft()
            server = servers[int(self.chance[request] * len(servers))]
            heapreplace(server.free, self.served(request, max(moment, server.free[0])))

    def remove(self, replicas: int) -> None:
        """Take the newest away."""
        del self.servers[-replicas:]


class SharedQueue(_Exact):
    """All requests wait in one line for whichever place is free first."""

    def __init__(
        self, replica: Replica, due: Floats, steps: int, step_s: float, seed: int, *, holds: bool
    ) -> None:
        super().__init__(replica, due, steps, step_s, seed, holds=holds)
        self.ending: list[float] = []
        self.places = 0

    def offer(self, request: int, moment: float) -> bool:
        """Return whether the line has room."""
        self.advance(moment)
        if not self.places and not self.holds:
            return False
        if len(self.ending) < self.places:
            heappush(self.ending, self.served(request, moment))
            return True
        if (
            self.places
            and len(self.held) >= self.replica.queue * self.places / self.replica.concurrency
        ):
            return False
        self.held.append(request)
        return True

    def advance(self, moment: float) -> None:
        """Start what waits as places become free."""
        while self.ending and self.ending[0] <= moment:
            end = heappop(self.ending)
            if self.held and len(self.ending) < self.places:
                heappush(self.ending, self.served(self.held.popleft(), end))

    def add(self, replicas: int, moment: float) -> None:
        """Give the line more places."""
        self.advance(moment)
        self.places += replicas * self.replica.concurrency
        while self.held and len(self.ending) < self.places:
            heappush(self.ending, self.served(self.held.popleft(), moment))

    def remove(self, replicas: int) -> None:
        """Take places away; who is being answered is answered."""
        self.places -= replicas * self.replica.concurrency
