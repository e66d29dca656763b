"""The tables of ``afterfit.toml``: what can be set in each, with its default and its limits."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import msgspec

from afterfit.core.effort import Effort
from afterfit.core.signature import Label, Task

__all__ = [
    "AlarmsSection",
    "ApprovalsSection",
    "CardSection",
    "CompareSection",
    "CostSection",
    "DataSection",
    "Direction",
    "FairnessSection",
    "LineSection",
    "LoadtestSection",
    "ModelSection",
    "MonitorSection",
    "OodSection",
    "OptimizeSection",
    "PlatformsSection",
    "RobustnessSection",
    "ServeSection",
    "TriggersSection",
]

Direction = Literal["up", "down"]


class ModelSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[model]``: what the file cannot tell."""

    name: str = ""
    positive: Label | None = None
    classes: tuple[Label, ...] = ()
    task: Task | None = None
    threshold: float | None = None
    code: str = ""


class DataSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[data]``: the tables and the roles of their columns."""

    data: str = ""
    train: str = ""
    target: str = ""
    time: str = ""
    group: str = ""
    entity: str = ""


class LineSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[line]``: how much work to do, and the seed of everything random.

    ``folds`` are as many as the effort allows where nothing is said: 3, 5 or 10. ``goal`` decides
    which form ships where one is faster with single rows and the other with many.
    """

    effort: Effort = "standard"
    seed: int = 0
    folds: Annotated[int, msgspec.Meta(ge=0, le=100)] | None = None
    refit: str = ""
    goal: Literal["latency", "throughput", "size"] = "latency"


class CostSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[cost]``: what a miss and a false alarm cost, in any one unit, so that thresholds have one.

    ``true_positive`` and ``true_negative`` are gains of right decisions. Without the two costs no
    threshold is judged by cost.
    """

    false_negative: Annotated[float, msgspec.Meta(ge=0)] | None = None
    false_positive: Annotated[float, msgspec.Meta(ge=0)] | None = None
    true_positive: float = 0.0
    true_negative: float = 0.0

    def problem(self) -> tuple[str, str] | None:
        """Return the name of a setting and what is wrong with it; None where all fit together."""
        told = {name: getattr(self, name) for name in self.__struct_fields__}
        for name, value in told.items():
            if value is not None and not math.isfinite(value):
                return name, f"it is a finite number, not {value}"
        absent = [name for name, value in told.items() if value is None]
        if absent:
            said = any(told.values())
            why = "false_negative and false_positive only say something together: give it too"
            return (absent[0], why) if said else None
        for lost, gained in (
            ("false_positive", "true_negative"),
            ("false_negative", "true_positive"),
        ):
            if not told[lost] + told[gained] > 0:
                return lost, f"{lost} + {gained} is above 0: else one decision is always cheapest"
        return None


class FairnessSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[fairness]``: columns whose groups ``assess`` compares; the model need not take them."""

    columns: tuple[str, ...] = ()


class CompareSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[compare]``: the loss beside the champion or a baseline that would not matter.

    ``margin`` is of a rate itself (0.005 of accuracy), of an error a share of the other's.
    """

    margin: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.005


class OptimizeSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[optimize]``: which techniques may change answers, and how much may be lost by it.

    ``allow`` is empty for exact variants only. ``max_drop`` is the largest certified loss of
    ``metric`` (by default accuracy, or mae). ``batch`` is the rows to time at once, ``budget`` the
    seconds of the step (0: by effort).
    """

    allow: tuple[Literal["quantize", "prune", "distil", "recalibrate"], ...] = ()
    max_drop: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.005
    metric: str = ""
    batch: Annotated[int, msgspec.Meta(ge=2, le=100_000)] = 256
    budget: Annotated[float, msgspec.Meta(ge=0)] = 0.0


class OodSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[ood]``: how rows unlike the reference are told, and how many usual ones may be flagged.

    ``scorer`` of ``auto`` is the method that tells made-up rows best, ``none`` is no scorer.
    ``rate`` is the share of usual rows that may be flagged.
    """

    scorer: Literal["auto", "mahalanobis", "distance", "forest", "softmax", "none"] = "auto"
    rate: Annotated[float, msgspec.Meta(ge=0.0001, le=0.5)] = 0.01


class RobustnessSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[robustness]``: what is known of the model that no data can show.

    ``monotone`` says which way the answer may move when a column rises: ``{income = "up"}``. For
    two classes the answer is the probability of the positive one. ``fixed`` names columns that
    nobody can move, for the search of small changes that turn a decision.
    """

    monotone: dict[str, Direction] = {}
    fixed: tuple[str, ...] = ()


class LoadtestSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[loadtest]``: the objective of the service, and how long it is tried.

    With ``slo``, such as ``p99<50ms``, the greatest rate that holds it is searched and certified
    at ``confidence``, in runs of ``seconds``; without one the latency of a quiet service is
    measured. ``budget`` is the seconds of the step in a line (0: by effort); for ``expected_rps``
    requests/s replicas are told.
    """

    slo: str = ""
    seconds: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 5.0
    confidence: Annotated[float, msgspec.Meta(gt=0.5, lt=1)] = 0.99
    budget: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    expected_rps: Annotated[float, msgspec.Meta(ge=0)] = 0.0


class CardSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[card]``: what only people can say, for the model card."""

    title: str = ""
    owner: str = ""
    license: str = ""
    dataset: str = ""
    intended_use: str = ""
    out_of_scope: str = ""
    training_data: str = ""
    limits: str = ""


class ServeSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[serve]``: where and how the server listens; loopback unless told otherwise.

    ``workers`` and ``threads`` are those of the last load test on such a machine, else by the
    processors; ``batch_cap`` and ``queue_rows`` of 0 by measurement; ``deadline_ms`` of 0 is none.
    Beyond ``admission_rps`` requests/s the endpoint turns away (0: only what does not fit in the
    queue). A worker whose model does not
    come back within ``hang_seconds`` is replaced (0: never). ``capture`` is which inputs events
    keep: none, all, or the columns named.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8080
    workers: Annotated[int, msgspec.Meta(ge=1, le=256)] | None = None
    threads: Annotated[int, msgspec.Meta(ge=1, le=256)] | None = None
    keys: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    client_ca: str = ""
    public_docs: bool = False
    access_log: Literal["none", "errors", "all"] = "errors"
    batch_cap: Annotated[int, msgspec.Meta(ge=0)] = 0
    queue_rows: Annotated[int, msgspec.Meta(ge=0)] = 0
    deadline_ms: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    admission_rps: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    hang_seconds: Annotated[float, msgspec.Meta(ge=0)] = 30.0
    repository_control: bool = False
    capture: Literal["none", "all"] | tuple[str, ...] = "none"


class MonitorSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[monitor]``: how served versions are watched.

    ``window`` is a time (``1h``) or a number of predictions (``5000 rows``); it closes ``grace``
    after its end, for what comes late. ``slices`` are columns whose values are watched apart (the
    columns of ``[fairness]`` are too). ``slo`` are objectives: ``p99 < 50 ms``, ``available 99.9``
    (percent). ``store`` is empty for a folder of the workspace, or ``postgresql://…``. ``ship``
    keeps ``reference_rows`` rows of each table in the workspace, for signals that need rows.
    """

    window: str = "1h"
    grace: str = "10m"
    false_alarms_per_month: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    min_rows: Annotated[int, msgspec.Meta(ge=2)] = 200
    slices: tuple[str, ...] = ()
    slo: tuple[str, ...] = ()
    usd_per_hour: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    metrics_url: str = ""
    poll_seconds: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    retention_days: Annotated[int, msgspec.Meta(ge=1)] = 400
    reference_rows: Annotated[int, msgspec.Meta(ge=0, le=200_000)] = 50_000
    store: str = ""


class PlatformsSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[platforms]``: what a place to run a version must have, and what counts.

    ``require`` is in the words of ``--require`` (``hipaa``, ``region=eu``, ``budget=50``),
    ``weights`` what the way from the worst to the best of each criterion is worth (empty: cost 4,
    the others 1.5). ``best_usd`` and ``worst_usd`` (USD per month) anchor the value of cost.
    ``survive`` is the loss that must do no harm, ``confirmed`` what you found out of what is
    unknown. Sizes are means: bytes of a request and of an answer, GB kept.
    """

    require: tuple[str, ...] = ()
    weights: dict[str, Annotated[float, msgspec.Meta(ge=0)]] = {}
    slo: str = ""
    survive: Literal["none", "replica", "zone"] = "replica"
    zones: Annotated[int, msgspec.Meta(ge=1, le=6)] = 2
    confirmed: tuple[str, ...] = ()
    best_usd: Annotated[float, msgspec.Meta(gt=0)] | None = None
    worst_usd: Annotated[float, msgspec.Meta(gt=0)] | None = None
    request_bytes: Annotated[float, msgspec.Meta(ge=0)] = 2_000.0
    response_bytes: Annotated[float, msgspec.Meta(ge=0)] = 500.0
    storage_gb: Annotated[float, msgspec.Meta(ge=0)] = 5.0
    cdn: bool = False


class AlarmsSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[alarms]``: when somebody is told, where, and what is done.

    An alarm fires with ``windows`` alarmed windows of the last ``of``, and ends after
    ``good_windows`` in a row whose value came back by ``hysteresis`` of the way from the threshold
    to what is usual. ``gates`` are further gates, also on ``figures``: ``column:NAME`` or a query
    in SQL that is asked of ``database``. A gate is judged from ``min_rows`` on; ``confirm`` says
    whether its whole interval must be beyond, or the value alone. ``channels`` name addresses,
    those with secrets as ``env:NAME`` or ``file:PATH``. ``actions`` are tried with ``dry_run``
    first; after one there is none of its kind for ``cool_down_hours``.
    """

    windows: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1
    of: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1
    good_windows: Annotated[int, msgspec.Meta(ge=1, le=100)] = 3
    hysteresis: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.1
    gates: tuple[str, ...] = ()
    figures: dict[str, str] = {}
    database: str = ""
    min_rows: Annotated[int, msgspec.Meta(ge=1)] = 200
    confirm: Literal["interval", "value"] = "interval"
    channels: dict[str, str] = {}
    severity: Literal["info", "low", "medium", "high"] = "low"
    maintenance: tuple[str, ...] = ()
    actions: tuple[Literal["rollback", "pause_canary", "retrain"], ...] = ()
    dry_run: bool = True
    confirm_windows: Annotated[int, msgspec.Meta(ge=1, le=100)] = 2
    cool_down_hours: Annotated[float, msgspec.Meta(gt=0)] = 24.0
    retrain: tuple[str, ...] = ()
    retrain_seconds: Annotated[float, msgspec.Meta(gt=0)] = 3600.0

    def problem(self) -> tuple[str, str] | None:
        """Return the name of a setting and what is wrong with it; None where all fit together."""
        if self.windows > self.of:
            return "windows", f"{self.windows} windows of the last {self.of} can never alarm"
        if "retrain" in self.actions and not self.retrain:
            return "retrain", 'the action needs a command, such as ["python", "train.py"]'
        return None


class ApprovalsSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[approvals]``: how many others must approve before an alias moves, and who may override.

    An approval is of a version's bytes and of what its gates said; who promotes cannot give it.
    ``approvers`` empty is anybody else. ``override`` names who may pass by gates and approvals;
    where approvals are required and it is empty, nobody may. A rollback never waits for approval.
    """

    required: Annotated[int, msgspec.Meta(ge=0, le=9)] = 0
    aliases: tuple[str, ...] = ("champion",)
    approvers: tuple[str, ...] = ()
    override: tuple[str, ...] = ()


class TriggersSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[triggers]``: who is told of a change of the registry, each a webhook or a command.

    ``webhooks://host/path?secret=env:NAME`` is posted to and signed; ``command:python notify.py``
    gets the same JSON on its standard input. ``env:NAME`` and ``file:PATH`` hold an address.
    """

    new_version: tuple[str, ...] = ()
    moved_alias: tuple[str, ...] = ()
    failed_gate: tuple[str, ...] = ()
    rollback: tuple[str, ...] = ()

    def problem(self) -> tuple[str, str] | None:
        """Return the name of a setting and what is wrong with it; None where all can be told."""
        kinds = ("webhooks://", "webhook://", "command:", "env:", "file:")
        for name in self.__struct_fields__:
            for address in getattr(self, name):
                if not address.startswith(kinds):
                    return (
                        name,
                        f"{address!r} is neither a webhook nor a command: {', '.join(kinds)}",
                    )
        return None
