"""Controllers decide as theirs do: the examples of their own documentation and sources."""

from __future__ import annotations

from afterfit.loadtest.autoscale.policies import Hpa, Keda, Knative, Ray, Static
from afterfit.loadtest.autoscale.view import Sample, View


def seen(ready: int, starting: int = 0, *, seconds: int = 60, **means: float) -> View:
    """A fleet of which every second so far looked like this."""
    view = View(1.0, ready, starting)
    told = {"arrived": 0.0, "answered": 0.0, "lost": 0.0, "busy": 0.0, "inside": 0.0}
    for _ in range(seconds):
        view.add(Sample(**{**told, **means}))
    return view


def hpa(**changed: object) -> Hpa:
    """An HPA on 100 answered requests/s a replica."""
    told: dict[str, object] = {"metric": "answered", "target": 100.0, "least": 1, "most": 100}
    return Hpa(**{**told, **changed})  # type: ignore[arg-type]


def test_the_hpa_is_the_ratio_of_its_documentation() -> None:
    """Twice the target doubles the replicas, half of it halves them (after the window)."""
    assert hpa().decide(60, seen(3, answered=600)) == 6
    assert hpa(down_window_s=0).decide(60, seen(4, answered=200)) == 2


def test_the_hpa_does_nothing_within_its_tolerance() -> None:
    """9 % above the target is no reason, 11 % is one."""
    assert hpa().decide(60, seen(10, answered=1090)) == 10
    assert hpa().decide(60, seen(10, answered=1110)) == 12


def test_replicas_that_start_count_as_idle() -> None:
    """What is on its way is not asked for again: 4 ready ones at twice the target, 4 starting."""
    assert hpa().decide(60, seen(4, 4, answered=800)) == 8


def test_the_hpa_grows_by_the_double_or_four_in_a_period() -> None:
    """From 2 to 6 at the most, and no further within the same 15 s."""
    policy = hpa()
    assert policy.decide(60, seen(2, answered=5000)) == 6
    assert policy.decide(61, seen(2, 4, answered=5000)) == 6
    assert policy.decide(76, seen(6, answered=5000)) == 12


def test_the_hpa_shrinks_to_the_greatest_wish_of_its_window() -> None:
    """A dip of less than 300 s takes no replica away."""
    policy = hpa()
    assert policy.decide(60, seen(6, answered=600)) == 6
    assert policy.decide(200, seen(6, answered=100)) == 6
    assert policy.decide(361, seen(6, answered=100)) == 1


def test_cpu_is_the_busy_share_of_a_replica() -> None:
    """Of 4 replicas with 2 places 6 places are busy: 75 %, and the target is 50 %."""
    assert hpa(metric="cpu", target=0.5, concurrency=2).decide(60, seen(4, busy=6.0)) == 6


def test_a_scheduled_floor_is_reached_at_once() -> None:
    """The floor is minReplicas, which no limit of speed holds back."""
    policy = hpa(floor=lambda now: 30 if now >= 60 else 2)
    assert policy.decide(59, seen(2, answered=100)) == 2
    assert policy.decide(60, seen(2, answered=100)) == 30


def test_keda_stops_the_last_replica_after_its_cooldown_and_polls_to_start_one() -> None:
    """300 s without a request, then none; the first request is seen at the next poll."""
    policy = Keda(hpa(), 0, 10)
    assert policy.decide(0, seen(1, arrived=1.0)) == 1
    assert policy.decide(295, seen(1)) == 1
    assert policy.decide(300, seen(1)) == 0
    assert policy.decide(315, seen(0, arrived=5.0)) == 0
    assert policy.decide(330, seen(0, arrived=5.0)) == 1


def test_knative_follows_the_short_window_in_panic() -> None:
    """6 s of five times the concurrency: the stable window sees half of it, the short one all."""
    view = seen(2, inside=2.0)
    for _ in range(6):
        view.add(Sample(0, 0, 0, 0, 20.0))
    policy = Knative(1.0, 1, 100)
    assert policy.decide(60, view) == 20
    calm = seen(20, inside=2.0)
    assert policy.decide(62, calm) == 20, "no replica goes while it panics"
    assert policy.decide(200, calm) == 10, "at most half of them at a time"


def test_knative_waits_before_it_goes_to_zero() -> None:
    """30 s of grace with the last replica."""
    policy = Knative(1.0, 0, 10)
    assert policy.decide(0, seen(1)) == 1
    assert policy.decide(28, seen(1)) == 1
    assert policy.decide(30, seen(1)) == 0


def test_ray_does_what_it_wished_for_long_enough() -> None:
    """30 s in a row for more, 600 s for fewer; a moment of another wish begins anew."""
    policy = Ray(2.0, 1, 10)
    busy, idle = seen(2, inside=12.0), seen(2, inside=1.0)
    assert [policy.decide(t, busy) for t in range(31)] == [2] * 30 + [6]
    assert {policy.decide(t, idle) for t in range(600)} == {2}
    policy.decide(0, busy)
    assert policy.decide(0, idle) == 2
    assert Ray(2.0, 0, 10).decide(0, seen(0, inside=1.0)) == 1


def test_a_fixed_number_stays() -> None:
    """Whatever comes."""
    assert Static(7).decide(0, seen(7, answered=1e6)) == 7
