"""What may be asked of ``autoscale``."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

POLICIES = ("static", "hpa-cpu", "hpa-rps", "keda", "knative", "ray", "scheduled", "hpa-as-is")


class AutoscaleConfig(msgspec.Struct, frozen=True, kw_only=True):
    """``policies`` are simulated (empty: all that make sense), each ``runs`` times (0: by size).

    ``most`` is the most replicas there can be (None: as many as are needed). ``survive`` is the
    loss that must do no harm. ``budget`` is the share of minutes that may break the objective.
    ``to_zero`` lets KEDA, Knative and Ray stop the last replica. ``usd_h`` is USD a replica-hour.
    """

    policies: tuple[str, ...] = ()
    runs: Annotated[int, msgspec.Meta(ge=0, le=50)] = 0
    seed: int = 0
    most: Annotated[int, msgspec.Meta(ge=1)] | None = None
    survive: Literal["none", "replica", "zone"] = "replica"
    zones: Annotated[int, msgspec.Meta(ge=2, le=20)] = 3
    budget: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.001
    to_zero: bool = False
    usd_h: Annotated[float, msgspec.Meta(gt=0)] | None = None


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a replica: ``rate`` requests/s hold the objective.

    ``low`` and ``high`` are its bounds at 95 % where it was measured. ``service_ms`` is the mean of
    a quiet server, ``cv`` its coefficient of variation, ``queue`` how many requests wait at the
    most. ``source`` says where the numbers are from.
    """

    rate: float
    service_ms: float
    cv: float
    concurrency: int
    queue: int
    cold_start_s: float
    low: float | None = None
    high: float | None = None
    source: str = "told"
