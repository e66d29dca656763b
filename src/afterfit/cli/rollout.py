"""``afterfit rollout``: a new version takes over step by step, and goes back by itself."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from afterfit.cli.common import Common, opened
from afterfit.cli.durations import seconds_of
from afterfit.cli.output import EXIT_GATE_FAILED, EXIT_INTERRUPTED, Answer, table
from afterfit.cli.stopping import stopping
from afterfit.core.shell import shell_word
from afterfit.errors import UsageError
from afterfit.records.codec import Stored
from afterfit.records.rollout import RolloutRecord
from afterfit.registry.version import GateRefusal
from afterfit.report import number
from afterfit.report.build import record_page
from afterfit.report.text import render
from afterfit.serve.rollout import parse_share
from afterfit.serve.rollouts.config import RolloutConfig, steps_of, watches_of
from afterfit.serve.rollouts.judge import compare
from afterfit.serve.rollouts.run import told_of
from afterfit.serve.rollouts.state import RolloutState
from afterfit.workspace.drilling import drill as time_rollback
from afterfit.workspace.rolling import (
    abort_rollout,
    known_rollout,
    resume_rollout,
    start_rollout,
)

NONE = Common()
Admin = Annotated[str, Parameter(help="The admin API, such as unix:PATH; found without it.")]


@Parameter(name="*")
@dataclass(frozen=True)
class Judged:
    """How the canary is judged."""

    false_alarms: Annotated[
        str, Parameter(help="Rollouts of a version no worse that may go back.")
    ] = "1%"
    margin: Annotated[
        str, Parameter(help="Failing, and slow, requests more that count as not worse.")
    ] = "1%"
    disagreement: Annotated[str, Parameter(help="Rows that may get another class.")] = "5%"
    slow: Annotated[str, Parameter(help="What is slow: 50ms; the primary's p99 without it.")] = ""
    key: Annotated[
        str, Parameter(help="A column, or entity: each of its values always meets one version.")
    ] = ""
    give_up: Annotated[str, Parameter(help="Go back where it is undecided after: 24h.")] = ""
    poll: Annotated[str, Parameter(help="Time between two looks.")] = "1s"


def start(
    name: str,
    *,
    to: Annotated[str, Parameter(help="The version that shall take over: a number or an alias.")],
    steps: Annotated[str, Parameter(help="Shares of the requests that rise.")] = "5%,25%,50%",
    watch: Annotated[
        str, Parameter(help="Of p99, error_rate and disagreement.")
    ] = "p99,error_rate",
    shadow_first: Annotated[
        str, Parameter(help="So long it gets copies alone, before the first step: 1h.")
    ] = "",
    min_requests: Annotated[int, Parameter(help="Requests of the canary in each step.")] = 200,
    hold: Annotated[str, Parameter(help="So long each step lasts at least: 10m.")] = "",
    alias: Annotated[str, Parameter(help="The alias that moves at the end.")] = "champion",
    judged: Judged = Judged(),
    admin: Admin = "",
    common: Common = NONE,
) -> Answer:
    """Let a version take over a running server step by step, and go back by itself if it is worse.

    At every look the canary is compared with the primary by tests that hold however often one
    looks. It is promoted when it was shown, beside the primary, not to be worse by the margin.
    Ctrl-C pauses: the canary gets nothing more until `rollout resume`.

    Exit 0: promoted; 1: it went back, or a gate failed; 130: paused.

    Parameters
    ----------
    name
        The model's name.

    """
    config = RolloutConfig(
        steps=steps_of(steps),
        watch=watches_of(watch),
        shadow_first_s=_seconds(shadow_first, "--shadow-first"),
        min_requests=_at_least_one(min_requests),
        hold_s=_seconds(hold, "--hold"),
        false_alarms=_share(judged.false_alarms, "--false-alarms", below=0.5),
        margin=_share(judged.margin, "--margin"),
        disagreement=_share(judged.disagreement, "--disagreement"),
        slow_ms=1000 * _seconds(judged.slow, "--slow"),
        key=judged.key,
        give_up_s=_seconds(judged.give_up, "--give-up"),
        poll_s=seconds_of(judged.poll, "--poll"),
        alias=alias,
    )
    with opened(common) as space, stopping() as stop:
        found = start_rollout(space, name, to, config, admin=admin, stop=stop)
    return _answer(found, space.warnings)


def resume(name: str, *, common: Common = NONE) -> Answer:
    """Go on with a rollout that was paused, or whose process was killed.

    Parameters
    ----------
    name
        The model's name.

    """
    with opened(common) as space, stopping() as stop:
        found = resume_rollout(space, name, stop=stop)
    return _answer(found, space.warnings)


def status(name: str, *, common: Common = NONE) -> Answer:
    """Show how far the rollout of a model is, and what its comparison says.

    Parameters
    ----------
    name
        The model's name.

    """
    with opened(common) as space:
        state, alone = known_rollout(space, name)
    warnings = [f"{alone}; {_still(state)}"] if alone else []
    return Answer({**_plain(state), "unwatched": alone}, _told(state, alone), warnings=warnings)


def abort(
    name: str,
    *,
    why: Annotated[str, Parameter(help="A reason for the audit log.")] = "",
    common: Common = NONE,
) -> Answer:
    """End a rollout now: the version before answers alone.

    Parameters
    ----------
    name
        The model's name.

    """
    with opened(common) as space:
        abort_rollout(space, name, why=why)
        state, _ = known_rollout(space, name)
    return Answer(_plain(state), _told(state), warnings=space.warnings)


def drill(
    name: str,
    *,
    seconds: Annotated[float, Parameter(help="Load before and after each change, in s.")] = 1.0,
    clients: Annotated[int, Parameter(help="Clients that send all the time.")] = 4,
    common: Common = NONE,
) -> Answer:
    """Roll back on a running server under load, time it, and go forward again.

    The server must follow the champion: afterfit serve NAME@champion. The load are the golden rows
    of the bundle, sent with the API key in AFTERFIT_KEY where the server asks for one. Both moves
    are lines of the audit log.

    Exit 1 where a request failed.

    Parameters
    ----------
    name
        The model's name.

    """
    if not 0 < seconds <= 600 or not 1 <= clients <= 64:
        raise UsageError(
            "a drill lasts up to 600 s, with 1 to 64 clients", fix="--seconds 1 --clients 4"
        )
    with opened(common) as space:
        key = os.environ.get("AFTERFIT_KEY", "")
        stored = time_rollback(space, name, seconds=seconds, clients=clients, key=key)
    code = EXIT_GATE_FAILED if stored.body.failed else 0  # type: ignore[union-attr]
    return Answer(
        msgspec.to_builtins(stored), render(record_page(stored)), code, warnings=space.warnings
    )


def _answer(found: Stored | RolloutState | GateRefusal, warnings: list[str]) -> Answer:
    if isinstance(found, GateRefusal):
        result = {"verdict": "not_started", "gates": msgspec.to_builtins(found.gates)}
        return Answer(result, f"not started: {found.why}", EXIT_GATE_FAILED, warnings)
    if isinstance(found, RolloutState):
        return Answer(_plain(found), _told(found), EXIT_INTERRUPTED, warnings)
    verdict = found.body.verdict if isinstance(found.body, RolloutRecord) else ""
    code = 0 if verdict == "promoted" else EXIT_GATE_FAILED
    result = {"verdict": verdict, **msgspec.to_builtins(found)}
    return Answer(result, render(record_page(found)), code, warnings)


def _plain(state: RolloutState) -> dict[str, Any]:
    found = msgspec.to_builtins(state)
    del found["judge"]
    return {**found, "share_ppm": state.share_ppm, "comparisons": _compared(state)}


def _compared(state: RolloutState) -> Any:
    return msgspec.to_builtins(compare(state.judge, state.config))


def _still(state: RolloutState) -> str:
    """Return what the server still does for a rollout that nobody watches."""
    name, version = shell_word(state.name), f"version {state.candidate_number}"
    share = f"{state.share_ppm / 10_000:g} % of the requests" if state.share_ppm else "copies"
    return (
        f"{version} may still get {share}, until its server sees that nobody watches: "
        f"afterfit rollout resume {name}, or afterfit rollout abort {name}"
    )


def _told(state: RolloutState, alone: str = "") -> str:
    name = shell_word(state.name)
    what = state.verdict or (f"{state.status}, and nobody watches" if alone else state.status)
    lines = [f"{state.name}: version {state.primary_number} to {state.candidate_number}: {what}"]
    lines += [f"  {state.why}"] if state.why else []
    if state.status != "ended":
        share = f"{state.share_ppm / 10_000:g} %" if state.share_ppm else "copies only"
        lasted = number.seconds(max(0.0, time.time() - state.step_began))
        at = f"step {state.step + 1} of {len(state.config.steps)}, {share}, for {lasted}"
        lines.append(f"  {at}; {state.judge.step_canary:.0f} requests of the canary")
    rows = [
        (
            told_of(each),
            f"{each.log_e:.1f} of {each.needed:.1f}",
            "worse" if each.worse else "not worse" if each.shown else "not known",
        )
        for each in compare(state.judge, state.config)
    ]
    lines += ["", table(rows, ("watch", "evidence of harm", "is"))]
    if state.status == "paused":
        lines.append(f"\nafterfit rollout resume {name}   # or: afterfit rollout abort {name}")
    return "\n".join(lines)


def _seconds(text: str, option: str) -> float:
    return seconds_of(text, option) if text else 0.0


def _share(text: str, option: str, *, below: float = 1.0) -> float:
    share = parse_share(text) / 1_000_000
    if not 0 < share < below:
        raise UsageError(f"{option} {text} is not above 0 and below {below:g}", fix=f"{option} 1%")
    return share


def _at_least_one(count: int) -> int:
    if count < 1:
        raise UsageError("a step needs a request", where="--min-requests", fix="--min-requests 200")
    return count
