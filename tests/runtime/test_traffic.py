"""Traffic that is divided: who gets which share, who sees copies, and what is counted."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from tests.runtime.bundles import people_signature, store_bundle
from tests.runtime.traffic import BIASES, ROW, chance, divide, infer_body, rows, versions
from tests.runtime.waiting import until

from afterfit.core.digest import canonical_json, sha256_bytes
from afterfit.core.signature import Column, Signature
from afterfit.errors import ResourceError, UsageError
from afterfit.runtime.batch import Work
from afterfit.runtime.contract import check_same_contract
from afterfit.runtime.endpoint import Canary, Endpoint, ModelRoute, StandIn, check
from afterfit.runtime.events import read_segments
from afterfit.runtime.messages import Request, Response
from afterfit.runtime.rows import Parsed
from afterfit.runtime.tally import PairTotals
from afterfit.runtime.traffic import CanaryRule, Share
from afterfit.serve.config import ServeConfig
from afterfit.serve.run import ServedBundle, ServerHandle, start_server
from afterfit.stats.interval import wilson

if TYPE_CHECKING:
    from collections.abc import Iterator

    from afterfit.core.event import Event

DIGEST = "ab" * 32
IDLE_SECONDS = 90.0
"""A shadow gets what others leave of the processors, which may be little for a while."""


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[ServedBundle]:
    """Four versions of one model."""
    return versions(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def server(tmp_path: Path, bundles: list[ServedBundle]) -> Iterator[ServerHandle]:
    """Version 1 on two workers, with events."""
    config = ServeConfig(port=0, workers=2, events=str(tmp_path / "events"), grace_seconds=5)
    with start_server({"churn": bundles[0]}, config, tmp_path / "state") as handle:
        yield handle


def events(folder: Path) -> list[Event]:
    """Every event that was written."""
    return list(read_segments(folder / "events"))


# Shares, without a server.


@pytest.mark.parametrize("ppm", [0, 1000, 100_000, 500_000, 1_000_000])
def test_a_share_of_ids_is_exact_within_the_error_of_sampling(ppm: int) -> None:
    """Of 20,000 ids in a row as many are in it as chance allows, at 5 standard deviations."""
    share, n, p = Share(Canary(digest=DIGEST, share_ppm=ppm)), 20_000, ppm / 1e6
    inside = sum(share.holds(f"4f1c-{number:x}") for number in range(n))
    assert abs(inside - n * p) <= 5 * np.sqrt(n * p * (1 - p))


def test_a_larger_share_holds_the_smaller_one_and_another_canary_another_part() -> None:
    """Nobody leaves a canary whose share grows; two canaries are independent."""
    small, large = (Share(Canary(digest=DIGEST, share_ppm=ppm)) for ppm in (50_000, 100_000))
    other = Share(Canary(digest="cd" * 32, share_ppm=100_000))
    ids = [str(number) for number in range(20_000)]
    assert all(large.holds(each) for each in ids if small.holds(each))
    both = sum(large.holds(each) and other.holds(each) for each in ids)
    assert abs(both - 200) < 5 * np.sqrt(200)


class _Model:
    """As much of a model as a rule asks for."""

    signature = people_signature()


def work(parsed: Parsed, request_id: str = "r") -> Work:
    """A request for a model."""
    headers = {b"x-request-id": request_id.encode()}
    request = Request("POST", "/predict", headers, b"")
    return Work(parsed, request, "predict", lambda _: Response(200))


def rule(key: str, ppm: int = 500_000) -> CanaryRule:
    """A rule with a key."""
    return CanaryRule(Canary(digest=DIGEST, share_ppm=ppm, key=key), _Model())  # type: ignore[arg-type]


def test_a_key_decides_alike_however_its_value_is_written() -> None:
    """40, 40.0 and an array of either go the same way, whatever the request's id."""
    sticky = rule("hours")
    for value in range(50):
        forms = [
            Parsed(1, rows=[(1.0, value, "nurse")]),
            Parsed(1, rows=[(1.0, float(value), "nurse")]),
            Parsed(1, frame={"hours": np.array([value])}),
            Parsed(1, frame={"hours": np.array([float(value)])}),
        ]
        ways = {sticky.takes(work(form, f"{value}-{number}")) for number, form in enumerate(forms)}
        assert len(ways) == 1


def test_an_entity_decides_and_a_missing_key_leaves_it_to_the_id() -> None:
    """The first row's entity counts; a request without one is divided by its id."""
    sticky = rule("entity")
    with_entity = [
        sticky.takes(work(Parsed(1, rows=[()], entities=["ada"]), str(n))) for n in range(50)
    ]
    assert len(set(with_entity)) == 1
    without = [sticky.takes(work(Parsed(1, rows=[()]), str(n))) for n in range(50)]
    assert len(set(without)) == 2
    nothing = [rule("age").takes(work(Parsed(1, rows=[(None, 1, "x")]), str(n))) for n in range(50)]
    assert len(set(nothing)) == 2


def test_an_unknown_key_is_refused_with_the_columns_that_there_are() -> None:
    """Instead of a canary that nobody sticks to."""
    with pytest.raises(UsageError, match="customer_id") as caught:
        rule("customer_id")
    assert "age, hours, job" in caught.value.why


def signature(**changes: Any) -> Signature:
    """The signature of people with something changed."""
    return msgspec.structs.replace(people_signature(), **changes)


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (signature(task="multiclass"), "multiclass"),
        (signature(classes=("no", "maybe")), "maybe"),
        (signature(positive="no"), "classes"),
        (signature(probabilities=False), "probabilities"),
        (signature(columns=people_signature().columns[:2]), "job"),
        (signature(columns=people_signature().columns[::-1]), "order"),
        (
            signature(
                columns=(
                    Column(name="age", kind="number"),
                    *people_signature().columns[1:],
                )
            ),
            "null",
        ),
        (
            signature(
                columns=(
                    Column(name="age", kind="integer", nullable=True),
                    *people_signature().columns[1:],
                )
            ),
            "integer",
        ),
    ],
)
def test_a_version_of_another_contract_is_refused_with_the_difference(
    other: Signature, why: str
) -> None:
    """A client must not be able to tell by the form of the answer who gave it."""
    with pytest.raises(UsageError, match="same requests") as caught:
        check_same_contract(people_signature(), other, "canary")
    assert why in caught.value.why
    assert caught.value.code == "incompatible"


def test_ranges_and_categories_may_differ() -> None:
    """They are what the reference data held, and no part of the contract."""
    wider = [msgspec.structs.replace(c, low=-1e9) for c in people_signature().columns]
    check_same_contract(people_signature(), signature(columns=tuple(wider)), "canary")


@pytest.mark.parametrize(
    "route",
    [
        ModelRoute(primary=DIGEST, canary=Canary(digest=DIGEST, share_ppm=1)),
        ModelRoute(primary=DIGEST, canary=Canary(digest="cd" * 32, share_ppm=1_000_001)),
        ModelRoute(primary=DIGEST, canary=Canary(digest="cd" * 32, share_ppm=-1)),
        ModelRoute(primary=DIGEST, shadow=(DIGEST,)),
        ModelRoute(primary=DIGEST, shadow=("cd" * 32, "cd" * 32)),
        ModelRoute(primary=DIGEST, shadow=tuple(f"{n:064x}" for n in range(5))),
        ModelRoute(primary=DIGEST, stand_in=StandIn()),
        ModelRoute(primary=DIGEST, stand_in=StandIn(digest=DIGEST)),
        ModelRoute(primary=DIGEST, stand_in=StandIn(digest="cd" * 32, constant="no")),
        ModelRoute(primary=DIGEST, stand_in=StandIn(digest="../etc")),
    ],
)
def test_a_document_that_means_nothing_is_refused_with_its_path(route: ModelRoute) -> None:
    """Before a worker hears of it."""
    with pytest.raises(UsageError) as caught:
        check(Endpoint(name="e", models={"churn": route}))
    assert caught.value.where.startswith("$.models.churn")


# On a server.


def test_a_canary_gets_its_share_and_everybody_can_tell_who_answered(
    server: ServerHandle, bundles: list[ServedBundle], tmp_path: Path
) -> None:
    """Share, model_version, /version, events and counters tell the same story."""
    canary = Canary(digest=bundles[1].digest, share_ppm=300_000)
    assert divide(server, bundles, canary=canary).generation == 2
    share, expected = Share(canary), Counter[int]()
    answered: Counter[int] = Counter()
    with server.client() as client:
        for number in range(300):
            request_id = f"request-{number}"
            body = msgspec.json.encode({"rows": [ROW]})
            reply = client.request("POST", "/predict", body, x_request_id=request_id)
            answered[reply.json()["version"]] += 1
            expected[2 if share.holds(request_id) else 1] += 1
        seen = {
            client.post("/v2/models/churn/infer", infer_body(ROW)).json()["model_version"]
            for _ in range(60)
        }
        told = client.get("/version").json()["models"]["churn"]
    assert answered == expected
    low, high, _ = wilson(answered[2], 300, 0.9999)
    assert low <= 0.3 <= high
    assert seen == {"1", "2"}
    assert (told["version"], told["canary"]["version"], told["canary"]["share"]) == (1, 2, 0.3)
    until(lambda: sum(r.since.requests for r in server.admin.status().models["churn"].roles) == 360)
    roles = {role.role: role for role in server.admin.status().models["churn"].roles}
    routed = roles["primary"].since.routed + roles["canary"].since.routed
    assert routed == roles["primary"].since.requests + roles["canary"].since.requests == 360
    # At a bias of -1 this row is a yes, at -3 a no.
    assert roles["primary"].since.labels[:2] == [roles["primary"].since.rows, 0]
    assert roles["canary"].since.labels[:2] == [0, roles["canary"].since.rows]
    server.stop()
    found = Counter((event.role, event.version) for event in events(tmp_path))
    assert found["primary", 1] == roles["primary"].since.rows
    assert found["canary", 2] == roles["canary"].since.rows
    assert found.total() == 360


def test_a_sticky_canary_goes_by_the_key_on_every_worker(
    server: ServerHandle, bundles: list[ServedBundle]
) -> None:
    """New connections reach both workers, and each person always meets the same version."""
    canary = Canary(digest=bundles[1].digest, share_ppm=500_000, key="hours")
    divide(server, bundles, canary=canary)
    met: dict[int, set[int]] = {}
    for _ in range(6):
        with server.client() as client:
            for hours in range(20, 40):
                version = client.predict([{**ROW, "hours": hours}])["version"]
                met.setdefault(hours, set()).add(version)
    assert all(len(found) == 1 for found in met.values())
    assert {version for found in met.values() for version in found} == {1, 2}


def test_a_request_for_a_version_goes_to_that_version(
    server: ServerHandle, bundles: list[ServedBundle]
) -> None:
    """The share is for those who leave the choice to the server; others are not counted in it."""
    divide(server, bundles, canary=Canary(digest=bundles[1].digest, share_ppm=1_000_000))
    with server.client() as client:
        for number in ("1", "2"):
            path = f"/v2/models/churn/versions/{number}"
            reply = client.post(f"{path}/infer", infer_body(ROW)).json()
            assert reply["model_version"] == number
            assert client.get(path).json()["versions"] == [number] or number == "1"
        assert client.get("/v2/models/churn").json()["versions"] == ["1", "2"]
        missing = client.get("/v2/models/churn/versions/3")
    assert missing.status == 404
    assert "1, 2" in missing.json()["error"]
    assert {r.since.routed for r in server.admin.status().models["churn"].roles} == {0}


def test_a_shadow_sees_what_the_primary_answered_and_its_differences_are_counted(
    server: ServerHandle, bundles: list[ServedBundle], tmp_path: Path
) -> None:
    """Each event of a shadow names that of the primary; flips and differences are exact."""
    divide(server, bundles, shadow=(bundles[1].digest, bundles[3].digest))
    asked = rows(120)
    with server.client() as client:
        for start in range(0, 120, 3):
            reply = client.predict(asked[start : start + 3])
            assert reply["version"] == 1

    def compared() -> set[float]:
        return {pair.total.rows for pair in server.admin.status().models["churn"].pairs}

    until(lambda: compared() == {120}, IDLE_SECONDS)
    primary = np.array([chance(row, BIASES[0]) for row in asked])
    for pair, version in zip(server.admin.status().models["churn"].pairs, (2, 4), strict=True):
        shadow = np.array([chance(row, BIASES[version - 1]) for row in asked])
        gaps = shadow - primary
        assert (pair.number, pair.against_number) == (version, 1)
        assert pair.total.flips == np.sum((shadow >= 0.5) != (primary >= 0.5))
        assert pair.total.difference == pytest.approx(gaps.sum())
        assert pair.total.absolute == pytest.approx(np.abs(gaps).sum())
        assert pair.total.square == pytest.approx((gaps**2).sum())
        assert pair.total.largest == pytest.approx(np.abs(gaps).max())
        assert (pair.total.dropped, pair.total.failed) == (0, 0)
    with server.client() as client:
        text = client.get("/metrics").body.decode()
    assert 'afterfit_shadow_rows_total{model="churn",version="2",primary="1"} 120' in text
    assert "afterfit_rows_total 120" in text
    server.stop()
    written = events(tmp_path)
    own = {event.event_id for event in written if event.role == "primary"}
    shadows = [event for event in written if event.role == "shadow"]
    assert len(own) == 120
    assert Counter(event.version for event in shadows) == {2: 120, 4: 120}
    assert {event.parent for event in shadows} == own


def shadowed(server: ServerHandle) -> PairTotals:
    """How the first shadow differs."""
    return server.admin.status().models["churn"].pairs[0].total


def shadow_pid(server: ServerHandle) -> int:
    """The process that runs the shadows; 0 where none is ready."""
    found = [w.pid for w in server.admin.status().workers if w.kind == "shadow" and w.ready]
    return found[0] if found else 0


def test_a_shadow_that_stands_still_costs_copies_and_no_answer(
    server: ServerHandle, bundles: list[ServedBundle]
) -> None:
    """What finds no room is dropped and counted; killed, the process comes back by itself."""
    divide(server, bundles, shadow=(bundles[1].digest,))
    stopped = shadow_pid(server)
    os.kill(stopped, signal.SIGSTOP)
    asked, sent = rows(50), 0
    with server.client() as client:
        while not shadowed(server).dropped and sent < 200_000:
            for _ in range(50):
                assert len(client.predict(asked)["predictions"]) == 50
                sent += 50
        assert 0 < shadowed(server).dropped <= sent
        os.kill(stopped, signal.SIGKILL)
        until(lambda: shadow_pid(server) not in {0, stopped}, IDLE_SECONDS)
        before = shadowed(server).rows
        client.predict(asked)
        until(lambda: shadowed(server).rows > before, IDLE_SECONDS)
    assert {w.kind for w in server.admin.status().workers} == {"worker", "shadow"}
    divide(server, bundles)
    until(lambda: all(w.kind == "worker" for w in server.admin.status().workers))


def test_a_version_of_another_contract_changes_nothing(
    server: ServerHandle, bundles: list[ServedBundle], tmp_path: Path
) -> None:
    """A regression cannot shadow a classifier; the document stays."""
    digest, folder = store_bundle(tmp_path / "other", regression=True)
    other = ServedBundle(9, digest, folder)
    for parts in ({"shadow": (digest,)}, {"canary": Canary(digest=digest, share_ppm=1)}):
        with pytest.raises(UsageError, match="same requests") as caught:
            divide(server, [*bundles, other], **parts)
        assert "regression" in caught.value.why
        assert "version 9" in caught.value.where
    canary = Canary(digest=bundles[1].digest, share_ppm=1, key="customer_id")
    with pytest.raises(UsageError, match="customer_id"):
        divide(server, bundles, canary=canary)
    assert server.admin.get().generation == 1


def test_a_version_that_does_not_fit_into_memory_is_refused_with_the_numbers(
    server: ServerHandle, bundles: list[ServedBundle], tmp_path: Path
) -> None:
    """Before a byte of it is loaded: its manifest tells its size."""
    digest, folder = store_bundle(tmp_path / "large", bias=-2.5)
    manifest = msgspec.json.decode((folder / "manifest.json").read_bytes())
    manifest["files"]["model/model.onnx"]["size"] = 10**13
    data = canonical_json(manifest)
    (folder / "manifest.json").write_bytes(data)
    large = ServedBundle(9, sha256_bytes(data), folder)
    assert large.digest != digest
    with pytest.raises(ResourceError, match=r"needs about 40,000,000 MB .* MB are free") as caught:
        server.replace("churn", large)
    assert "20,000,000 MB in each of 2" in caught.value.why
    with pytest.raises(ResourceError, match="20,000,000 MB"):
        divide(server, [*bundles, large], shadow=(large.digest,))
    with server.client() as client:
        assert client.predict([ROW])["version"] == 1


def test_a_restart_keeps_the_division_of_the_same_primary(
    tmp_path: Path, bundles: list[ServedBundle]
) -> None:
    """Another primary begins undivided, and so does one whose canary is gone from the disk."""
    config, state = ServeConfig(port=0), tmp_path / "state"
    canary = Canary(digest=bundles[1].digest, share_ppm=1_000_000)
    with start_server({"churn": bundles[0]}, config, state) as server:
        divide(server, bundles, canary=canary)
    with start_server({"churn": bundles[0]}, config, state) as server:
        assert server.admin.get().models["churn"].canary == canary
        with server.client() as client:
            assert client.predict([ROW])["version"] == 2
    with start_server({"churn": bundles[2]}, config, state) as server:
        assert server.admin.get().models["churn"].canary is None
        divide(server, bundles, canary=canary)
        # What serves goes on without its files, and its status as well.
        (state / "bundles" / bundles[1].digest).unlink()
        (state / "bundles" / bundles[0].digest).unlink()
        status = server.admin.status().models["churn"]
        assert (status.classes, status.route.canary) == ((), canary)
    with start_server({"churn": bundles[0]}, config, state) as server:
        assert server.admin.get().models["churn"].canary is None
