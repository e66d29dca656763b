"""What the parts of a load test have found so far."""

from __future__ import annotations

from dataclasses import dataclass, field

from afterfit.core.metric import Metric
from afterfit.core.serving_settings import ServingSettings
from afterfit.loadtest.certificate import Certified
from afterfit.loadtest.grid import Grid
from afterfit.loadtest.search import Search
from afterfit.loadtest.shot import Shot
from afterfit.loadtest.soak import Soaked
from afterfit.records.loadtest import LoadStep

__all__ = ["Found"]


@dataclass
class Found:
    """Each part is None until it has run; ``stopped`` says why the later ones did not.

    ``settings`` are those that the server ran with and ``workers`` its processes. ``shots`` are the
    runs whose latencies the record tells, ``steps`` all runs. ``tried`` are the rates that a
    certificate was tried at.
    """

    settings: ServingSettings
    workers: int = 0
    grid: Grid | None = None
    search: Search | None = None
    certified: Certified | None = None
    tried: tuple[float, ...] = ()
    soaked: Soaked | None = None
    starts: tuple[Metric, ...] = ()
    shots: list[Shot] = field(default_factory=list)
    steps: list[LoadStep] = field(default_factory=list)
    stopped: str = ""
    notes: tuple[str, ...] = ()
