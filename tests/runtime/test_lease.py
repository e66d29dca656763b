"""Leases of canaries: what runs out steps back, what is renewed or ended does not."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from afterfit.errors import ConflictError, UnavailableError
from afterfit.runtime.endpoint import Canary, Endpoint, ModelRoute
from afterfit.runtime.lease import Lease, Leases

ONE, TWO, SIX = ("1" * 64, "2" * 64, "6" * 64)
ROUTE = ModelRoute(primary=ONE, canary=Canary(digest=TWO, share_ppm=50_000, key="user"),
                   shadow=(SIX, TWO))  # fmt: skip


class Server:
    """An endpoint document; ``errors`` are raised by the next changes, one each."""

    def __init__(self, *errors: Exception) -> None:
        self.endpoint = Endpoint(name="here", generation=1, models={"churn": ROUTE})
        self.errors = list(errors)

    async def apply(self, wanted: Endpoint, if_generation: int) -> Endpoint:
        """Take the document, or fail."""
        assert if_generation == self.endpoint.generation
        if self.errors:
            raise self.errors.pop(0)
        self.endpoint = msgspec.structs.replace(wanted, generation=if_generation + 1)
        return self.endpoint


def after(server: Server, *leases: Lease, wait: float = 0.05) -> ModelRoute:
    """The route some time after these leases came."""

    async def run() -> None:
        held = Leases(server)
        for lease in leases:
            held.hold(lease)
        await asyncio.sleep(wait)

    asyncio.run(run())
    return server.endpoint.models["churn"]


def lease(seconds: float, digest: str = TWO) -> Lease:
    """A lease of churn's canary."""
    return Lease(model="churn", digest=digest, seconds=seconds)


def test_a_canary_whose_lease_runs_out_gets_nothing_and_is_copied_nothing() -> None:
    """The primary, other shadows and the canary's place stay; a conflict is tried again."""
    server = Server(ConflictError("changed", fix="again"))
    route = after(server, lease(0.005))
    assert route == msgspec.structs.replace(
        ROUTE, canary=Canary(digest=TWO, share_ppm=0, key="user"), shadow=(SIX,)
    )
    assert server.endpoint.generation == 2


@pytest.mark.parametrize(
    "leases",
    [
        (lease(0.005), lease(60.0)),  # renewed
        (lease(0.005), lease(0.0)),  # ended
        (lease(0.005, SIX[:-1] + "7"),),  # of another canary
        (Lease(model="other", digest=TWO, seconds=0.005),),
    ],
)
def test_nothing_is_changed_while_somebody_watches(leases: tuple[Lease, ...]) -> None:
    """Nor where the canary is another one meanwhile."""
    assert after(Server(), *leases) == ROUTE


def test_a_change_that_fails_is_told_in_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    """And harms nothing."""
    assert after(Server(UnavailableError("no worker", fix="look")), lease(0.005)) == ROUTE
    assert '"event":"lease_failed","model":"churn"' in capsys.readouterr().err
