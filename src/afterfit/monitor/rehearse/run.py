"""The verb: traffic and a monitor make the record of a rehearsal."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import msgspec
import numpy as np
import numpy.typing as npt

from afterfit.core.progress import SILENT, Progress
from afterfit.core.sections import AlarmsSection
from afterfit.errors import InputError
from afterfit.monitor.alarms import Alarms
from afterfit.monitor.calibrate import LEAST_ROWS
from afterfit.monitor.cut import HOUR
from afterfit.monitor.producers import Watched
from afterfit.monitor.rehearse.config import RehearsalConfig
from afterfit.monitor.rehearse.faults import raised_share
from afterfit.monitor.rehearse.monitors import Monitor, OwnMonitor, min_labels, table_of
from afterfit.monitor.rehearse.play import Case, Played, Stage, cases_of, play, ring
from afterfit.monitor.rehearse.score import (
    delay_metric,
    dummies,
    false_alarms,
    outcome_of,
    periods,
    share_metric,
)
from afterfit.monitor.rehearse.traffic import Traffic
from afterfit.monitor.rehearse.verdict import missed, verdict
from afterfit.monitor.score_table import ScoreTable
from afterfit.monitor.settings import Watch
from afterfit.records.record import Environment, given
from afterfit.records.rehearsal import Dummy, Outcome, RehearsalRecord, Remedy, Trial

__all__ = ["Pace", "Plan", "halved", "limits_of", "own_monitor", "pace_of", "rehearse"]

USUAL_ROWS = 500
FEW_REPLAYS = 10
"""What was missed is tried with other settings in at most so many replays."""
LARGER = 4
MORE_ALARMS = 10.0
MonitorMaker = Callable[[float], Monitor]
"""Makes a monitor that may raise so many times the false alarms."""


@dataclass(frozen=True)
class Pace:
    """How many rows a window holds, and how long it lasts (µs); ``timed`` where rows tell it."""

    window_rows: int
    window_us: int
    timed: bool = False


def pace_of(watch: Watch, n: int, ts: npt.NDArray[np.int64] | None, window_rows: int = 0) -> Pace:
    """Return the pace of n rows at times ``ts`` (µs, 0 unknown) under the settings of a watch.

    Without times a window has 500 rows and lasts as ``[monitor] window`` says, or an hour.
    """
    known = np.empty(0, np.int64) if ts is None else ts[ts > 0]
    span = int(known.max() - known.min()) if len(known) > 1 else 0
    if not span:
        rows = window_rows or watch.rows or USUAL_ROWS
        return Pace(rows, watch.width_us or HOUR)
    per_us = n / span
    rows = window_rows or watch.rows or max(1, round(per_us * watch.width_us))
    width = watch.width_us or max(1, round(rows / per_us))
    return Pace(rows, width, timed=not (window_rows and watch.width_us))


def halved(traffic: Traffic, watch: Watch) -> tuple[ScoreTable | None, Traffic]:
    """Return the quality of the first half of the rows, and the traffic that the second half is.

    Without enough labels all rows are traffic, and no quality is measured.
    """
    half = len(traffic) // 2
    first, known = np.arange(half), traffic.known()
    if min(int(known[:half].sum()), int(known[half:].sum())) < min_labels(watch):
        return None, traffic
    rows = traffic.rows(first)
    answers = traffic.answer(rows.frame, first)
    table = table_of(traffic.signature, answers, rows.truth)
    if not table.labelled:
        return None, traffic
    rest = traffic.rows(np.arange(half, len(traffic)))
    later = replace(
        traffic,
        frame=rest.frame,
        truth=rest.truth,
        answer=lambda frame, places: traffic.answer(frame, places + half),
    )
    return table, later


def limits_of(watched: Watched, watch: Watch) -> tuple[int, int]:
    """Return the least and most rows of windows that our monitor says anything of."""
    fingerprint = watched.reference.fingerprint
    return max(LEAST_ROWS, watch.min_rows), 0 if fingerprint is None else fingerprint.n_ref


def own_monitor(
    watched: Watched,
    watch: Watch,
    settings: AlarmsSection,
    quality: ScoreTable | None,
    pace: Pace,
    label_delay: int,
) -> MonitorMaker:
    """Return what makes our monitor; raises InputError for windows that it does not judge whole."""
    least, most = limits_of(watched, watch)
    if watched.calibration is None or not least <= pace.window_rows <= most:
        raise InputError(
            f"windows of {pace.window_rows} rows are not rehearsed",
            where="[monitor] window",
            why=f"the monitor judges windows of {least} rows ([monitor] min_rows) to {most}, as "
            "many as the reference has; of larger ones it draws so many",
            fix="change [monitor] window or min_rows, or give --window-rows",
        )

    def make(factor: float) -> Monitor:
        allowed = watch.false_alarms_per_month * factor
        other = replace(watch, false_alarms_per_month=allowed)
        return OwnMonitor(watched, other, Alarms(settings), quality, label_delay)

    return make


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is rehearsed: ``make`` makes any `Monitor`, of the subject with this digest.

    ``asked_per_month`` is how many false alarms it may raise; ``labelled`` says whether it measures
    quality, ``inputs`` are the digests of the rows. ``limits`` are the least and most rows of
    windows that it says anything of: no others are tried.
    """

    traffic: Traffic
    make: MonitorMaker
    pace: Pace
    subject: str = ""
    inputs: dict[str, str] = field(default_factory=dict)
    asked_per_month: float = 1.0
    labelled: bool = False
    limits: tuple[int, int] = (LEAST_ROWS, 1 << 62)

    def stage(self, config: RehearsalConfig) -> Stage:
        """Return how the traffic is replayed."""
        pace = self.pace
        return Stage(
            self.traffic,
            pace.window_rows,
            pace.window_us,
            config.before,
            config.after,
            config.seed,
        )


def rehearse(
    plan: Plan, config: RehearsalConfig, *, env: Environment, progress: Progress = SILENT
) -> RehearsalRecord:
    """Return what a monitor says of scripted faults in traffic; seeded, and bounded in time.

    It is partial where ``config.seconds`` ended it before all replays.
    """
    stage = plan.stage(config)
    cases, skipped = cases_of(plan.traffic)
    ends = time.monotonic() + config.seconds
    progress.step(f"replay {len(cases)} faults", config.replays)
    played = play(
        stage, lambda: plan.make(1.0), cases, config.replays, ends=ends, progress=progress
    )
    outcomes = tuple(_outcome(case, played, config) for case in cases)
    progress.step("try other settings on what was missed")
    unseen = [case for case, outcome in zip(cases, outcomes, strict=True) if missed(outcome)]
    remedies = _remedies(stage, plan, unseen, ends, config) if config.remedies else []
    null = played.null_alarms, played.null_windows, stage.window_us, config.level
    record = RehearsalRecord(
        subject=plan.subject,
        env=env,
        inputs=plan.inputs,
        args=given(config),
        resolved=msgspec.to_builtins(config),
        status="complete" if played.replays == config.replays else "partial",
        window_rows=stage.window_rows,
        window_us=stage.window_us,
        timed=plan.pace.timed,
        block=plan.traffic.stretch(stage.window_rows),
        replays=played.replays,
        labelled=plan.labelled,
        raised=raised_share(plan.traffic),
        rescored=plan.traffic.rescored,
        outcomes=outcomes,
        skipped=skipped,
        null_windows=played.null_windows,
        null_alarms=played.null_alarms,
        null_scores=tuple(round(score, 4) for score in played.null_scores),
        false_alarms=false_alarms(*null),
        asked_per_month=plan.asked_per_month,
        dummies=_dummies(stage, played, config),
        remedies=tuple(remedies),
    )
    return msgspec.structs.replace(record, findings=tuple(verdict(record)))


def _outcome(case: Case, played: Played, config: RehearsalConfig) -> Outcome:
    titles = (case.fault.name, case.fault.title, case.level.name, case.level.told)
    scores = played.scores[case.key]
    return outcome_of(titles, played.trials[case.key], scores, config.before, config.level)


def _dummies(stage: Stage, played: Played, config: RehearsalConfig) -> tuple[Dummy, ...]:
    every = periods(played.null_alarms, played.null_windows, config.level)
    clock = f"a clock, every {every} windows"
    rung = {
        "always": ring(stage, 1, played.replays),
        clock: ring(stage, every, played.replays),
    }
    return dummies(rung, {"always": 1.0, clock: 1 / every}, stage.window_us, config.level)


def _remedies(
    stage: Stage,
    plan: Plan,
    unseen: Sequence[Case],
    ends: float,
    config: RehearsalConfig,
) -> list[Remedy]:
    """Return what other settings see of what was missed, on as many rows."""
    found: list[Remedy] = []
    for told, other, factor in _settings(stage, plan.limits) if unseen else ():
        if time.monotonic() > ends:
            break
        tried = [_at(case, stage, other) for case in unseen]
        replays = min(FEW_REPLAYS, config.replays)
        played = play(other, partial(plan.make, factor), tried, replays, ends=ends)
        found += [_remedy(case, told, played.trials[case.key], config.level) for case in tried]
    return found


def _remedy(case: Case, setting: str, trials: Sequence[Trial], level: float) -> Remedy:
    seen = sum(trial.windows is not None for trial in trials)
    return Remedy(
        fault=case.fault.name,
        severity=case.level.name,
        setting=setting,
        detected=share_metric("detected_share", seen, len(trials), level),
        delay_rows=delay_metric("delay", [trial.rows for trial in trials], level, "rows"),
    )


def _settings(stage: Stage, limits: tuple[int, int]) -> list[tuple[str, Stage, float]]:
    """Return settings with their names, on the same number of rows as the replays."""
    larger = replace(
        stage,
        window_rows=stage.window_rows * LARGER,
        window_us=stage.window_us * LARGER,
        before=max(1, stage.before // LARGER),
        after=max(2, stage.after // LARGER),
    )
    smaller = replace(
        stage,
        window_rows=stage.window_rows // LARGER,
        window_us=stage.window_us // LARGER,
        before=stage.before * LARGER,
        after=stage.after * LARGER,
    )
    least, most = limits
    sizes = [each for each in (larger, smaller) if least <= each.window_rows <= most]
    return [
        *((f"windows of {each.window_rows} rows", each, 1.0) for each in sizes),
        (f"{MORE_ALARMS:g} times the false alarms", stage, MORE_ALARMS),
    ]


def _at(case: Case, stage: Stage, other: Stage) -> Case:
    """Return the same fault where windows are longer; a drift is as fast as before."""
    if case.fault.name != "slow":
        return case
    size = case.level.size * other.window_rows / stage.window_rows
    return Case(case.fault, replace(case.level, size=size))
