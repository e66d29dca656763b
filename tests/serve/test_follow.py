"""Following an alias: changes, failures that change nothing, and when they are tried again."""

from __future__ import annotations

import threading
from pathlib import Path

from afterfit.errors import AfterfitError, IntegrityError, UnavailableError
from afterfit.runtime.endpoint import Endpoint
from afterfit.serve.follow import Follower
from afterfit.serve.run import ServedBundle

ONE, TWO, BAD = (ServedBundle(n, str(n) * 64, Path(str(n))) for n in (1, 2, 3))


class World:
    """An alias, a server that takes every bundle but the third, and a clock."""

    def __init__(self) -> None:
        self.alias: ServedBundle | AfterfitError = ONE
        self.tried: list[int] = []
        self.fetched = 0
        self.broken: AfterfitError | None = None
        self.said: list[str] = []
        self.now = 0.0
        self.served = threading.Event()
        self.follower = Follower(
            self,
            "churn",
            self.pointed,
            self.resolve,
            serving=ONE.digest,
            say=self.said.append,
            clock=self.clock,
        )

    def pointed(self) -> str:
        """Return the digest that the alias points to."""
        if isinstance(self.alias, AfterfitError):
            raise self.alias
        return self.alias.digest

    def resolve(self) -> ServedBundle:
        """Return where the alias points, fetched and hashed, or fail to."""
        self.fetched += 1
        assert isinstance(self.alias, ServedBundle)
        if self.broken is not None:
            raise self.broken
        return self.alias

    def clock(self) -> float:
        """Return the time of this world."""
        return self.now

    def replace(self, name: str, bundle: ServedBundle) -> Endpoint:
        """Take the bundle, or refuse it as a server does."""
        self.tried.append(bundle.version)
        if bundle is BAD:
            raise IntegrityError("model.onnx is not the file that was registered")
        self.served.set()
        return Endpoint(name=name)


def test_nothing_is_done_while_the_alias_stays() -> None:
    """No change, no words, and no byte is read."""
    world = World()
    assert [world.follower.look() for _ in range(3)] == [(None, None)] * 3
    assert (world.tried, world.said, world.fetched) == ([], [], 0)


def test_a_moved_alias_changes_the_server_once() -> None:
    """And one line says so; going back is a change like any other."""
    world = World()
    world.alias = TWO
    assert world.follower.look().version == 2
    world.follower.look()
    world.alias = ONE
    assert world.follower.look().version == 1
    assert world.tried == [2, 1]
    assert world.said == [
        f"churn now serves version 2 ({'2' * 12})",
        f"churn now serves version 1 ({'1' * 12})",
    ]


def test_a_version_that_fails_leaves_the_old_one_and_is_said_once() -> None:
    """It is tried again after waits that double; the alias moving on ends it at once."""
    world = World()
    world.alias = BAD
    assert isinstance(world.follower.look().error, IntegrityError)
    assert world.follower.serving == ONE.digest
    for second in range(1, 61):
        world.now = second / 10
        world.follower.look()
    assert world.tried == [3] * 4  # at 0, 0.5, 1.5 and 3.5 s; the next would be at 7.5 s
    assert len(world.said) == 1
    assert "not the file" in world.said[0]
    world.alias = TWO
    assert world.follower.look().version == 2


def test_a_version_that_cannot_be_fetched_is_not_fetched_at_each_look() -> None:
    """The store may be away while the registry answers; waits double here, too."""
    world = World()
    world.alias, world.broken = TWO, UnavailableError("the store does not answer")
    for second in range(61):
        world.now = second / 10
        world.follower.look()
    assert (world.fetched, world.tried, len(world.said)) == (4, [], 1)
    world.now, world.broken = 60.0, None
    assert world.follower.look().version == 2


def test_a_registry_that_does_not_answer_changes_nothing() -> None:
    """The server goes on; the next look may succeed."""
    world = World()
    world.alias = UnavailableError("the registry does not answer")
    assert isinstance(world.follower.look().error, UnavailableError)
    world.alias = TWO
    assert world.follower.look().version == 2


def test_run_looks_until_it_is_stopped() -> None:
    """In a thread of its own."""
    world = World()
    world.alias = TWO
    world.follower.poll_seconds = 0.001
    stop = threading.Event()
    thread = threading.Thread(target=world.follower.run, args=(stop,))
    thread.start()
    assert world.served.wait(10)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
