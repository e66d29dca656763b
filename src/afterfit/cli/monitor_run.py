"""``afterfit monitor run|status|backfill``: the daemon of an endpoint, and how it stands."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from afterfit.cli.common import Common, opened
from afterfit.cli.output import Answer
from afterfit.cli.stopping import stopping
from afterfit.errors import NotFoundError, UsageError
from afterfit.monitor.backfill import backfill as fill
from afterfit.monitor.daemon import Daemon
from afterfit.monitor.log import iso, moment
from afterfit.monitor.setup import now_us
from afterfit.monitor.table import parse_mapping
from afterfit.report import number
from afterfit.workspace.watch import Foreign, Status, monitor_store, setup_of, status_of

Events = Annotated[Path | None, Parameter(help="The folder that the server writes events to.")]
Reference = Annotated[
    Path | None, Parameter(help="Labelled rows to judge by; kept beside the version.")
]
Log = Annotated[str, Parameter(help="Anyone's log in their place: tables, or a database.")]
Query = Annotated[str, Parameter(help="SQL whose rows are the log, new ones last.")]
Map = Annotated[str, Parameter(name="--map", help="Its columns: score=prob,y=label,ts=time.")]


def run(
    name: str,
    *,
    events: Events = None,
    log: Log = "",
    query: Query = "",
    map: Map = "",  # noqa: A002 - the option's name
    reference: Reference = None,
    once: Annotated[bool, Parameter(negative="", help="Read what is there, and end.")] = False,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Answer:
    """Watch an endpoint until interrupted: judge its windows, and say when something is wrong.

    It may be killed at any moment: the next one goes on where it stood, and repeats nothing. With
    --json each thing that happens is an object on a line of its own.

    Parameters
    ----------
    name
        A model, such as churn@champion, whose versions are all watched; or one version, churn@3.

    """
    say = _say_json if common.json else _teller()
    with opened(common) as space, stopping() as stop:
        store = monitor_store(space)
        try:
            setup = setup_of(
                space,
                name,
                store,
                events=events,
                foreign=_foreign(log, query, map),
                reference=reference,
                tell=say,
            )
            with store.writer(setup.endpoint):
                say({"event": "watching", "at": iso(now_us()), "endpoint": setup.endpoint})
                daemon = Daemon(setup)
                daemon.stopped = stop
                if once:
                    daemon.poll()
                    daemon.close()
                else:
                    daemon.run(space.config.monitor.poll_seconds)
        finally:
            store.close()
    return Answer(silent=True)


def status(name: str = "", *, common: Common = Common()) -> Answer:  # noqa: B008 - frozen
    """Show what is watched, until when it is judged, and which alarms last.

    Parameters
    ----------
    name
        A model; without it all that are watched.

    """
    with opened(common) as space:
        store = monitor_store(space, make=False)
        try:
            names = [n for n in store.endpoints() if name.partition("@")[0] in ("", n, _model(n))]
            if not names:
                raise NotFoundError(
                    f"{name or 'a model'} is not watched here",
                    where=str(space.folder),
                    fix=f"afterfit monitor run {name or 'NAME@champion'}",
                )
            found = [status_of(store, each) for each in names]
            size = store.size_bytes()
        finally:
            store.close()
    now = now_us()
    lines = [_status_text(each, now) for each in found]
    lines.append(f"The store takes {size / 1e6:.1f} MB.")
    result = {"endpoints": msgspec.to_builtins(found), "store_bytes": size, "now": now}
    return Answer(result, "\n".join(lines))


def backfill(
    name: str,
    *,
    since: Annotated[str, Parameter(name="--from", help="From this moment on (ISO 8601).")] = "",
    until: Annotated[str, Parameter(name="--to", help="Before this moment.")] = "",
    events: Events = None,
    log: Log = "",
    query: Query = "",
    map: Map = "",  # noqa: A002 - the option's name
    reference: Reference = None,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Answer:
    """Judge windows of the past anew from the log, with today's thresholds.

    For rows that came after their window had closed, or after a change of settings. Run twice it
    changes nothing more; alarms are left alone.

    Parameters
    ----------
    name
        A model, such as churn@champion, or one version, churn@3.

    """
    with opened(common) as space, tempfile.TemporaryDirectory() as scratch:
        store = monitor_store(space)
        try:
            foreign = _foreign(log, query, map)
            setup = setup_of(
                space, name, store, events=events, foreign=foreign, reference=reference
            )
            first = moment(since) if since else 0
            last = moment(until) if until else now_us()
            found = fill(setup, first, last, Path(scratch))
        finally:
            store.close()
    text = f"{found.points:,} points of {found.rows:,} predictions were judged anew."
    return Answer(msgspec.to_builtins(found), text)


def _foreign(log: str, query: str, mapping: str) -> Foreign | None:
    """Return the log that was asked for in place of a server's events, None where none was."""
    if not log and not query:
        if mapping:
            raise UsageError("there is no log to map", where="--map", fix="give --log or --query")
        return None
    if not mapping:
        raise UsageError(
            "what the columns of the log mean is not known",
            fix="--map score=COLUMN,ts=COLUMN,y=COLUMN",
        )
    return Foreign(log, parse_mapping(mapping), query)


def _model(endpoint: str) -> str:
    return endpoint.partition("@")[0]


def _status_text(status: Status, now: int) -> str:
    lines = [f"{status.endpoint}: {'watched now' if status.running else 'nobody watches it now'}"]
    lines.append(f"  versions seen: {', '.join(status.versions) or 'none'}")
    lines.append(f"  predictions read: {status.rows:,}, the newest {_ago(status.newest, now)}")
    lines.append(f"  log read to its end: {_ago(status.read, now)}")
    until = iso(status.closed) if status.closed else "no window yet"
    lines.append(f"  judged until: {until}; windows open: {status.open_windows}")
    lines += [f"  late rows of {version}: {n:,}" for version, n in status.late.items()]
    lines += [f"  rows {what}: {n:,}" for what, n in status.impossible.items()]
    lines += [f"  no {signal}: {why}" for signal, why in status.failed.items()]
    lines += [f"  skipped, {version}: {what}" for version, what in status.missing.items()]
    lines += [f"  alarm, {alarm}" for alarm in status.alarms] or ["  no alarm lasts"]
    return "\n".join(lines)


def _ago(moment_us: int, now: int) -> str:
    if not moment_us:
        return "never"
    return f"{number.age((now - moment_us) / 1e6)} ago"


def _say_json(line: dict[str, Any]) -> None:
    print(msgspec.json.encode(line).decode(), flush=True)


def _teller() -> Callable[[dict[str, Any]], None]:
    """Return what tells a person: an alarm that only lasts is told once."""
    said: dict[str, tuple[Any, ...]] = {}

    def say(line: dict[str, Any]) -> None:
        words = _WORDS.get(line["event"])
        if words is None:
            return
        if line["event"] == "alarm":
            news = (line["state"], line["severity"], line["silenced"])
            if said.get(line["id"]) == news:
                return
            said[line["id"]] = news
        print(f"{line['at']}  {words(line)}", flush=True)

    return say


def _window(line: dict[str, Any]) -> str:
    scope = line["scope"]
    version = f"{scope.get('model', '')}@{scope.get('version', 0)}"
    place = f"{version} {scope['slice']}" if scope.get("slice") else version
    said = f"{line['alarmed']} of {line['points'] - line['unjudged']} signals alarm"
    if line["unjudged"]:
        said += f", {line['unjudged']} not judged ({line['why']})"
    return f"{place}, from {line['start']}: n = {line['n']:,}, {said}"


def _alarm(line: dict[str, Any]) -> str:
    what = f"{line['signal']} {line['subject']}".strip()
    quiet = f" (quiet: {line['silenced']})" if line["silenced"] else ""
    return (
        f"{line['severity']} alarm {line['id']}, {line['state']}: {what}. {line['message']}{quiet}"
    )


_WORDS: dict[str, Callable[[dict[str, Any]], str]] = {
    "watching": lambda line: f"watching {line['endpoint']}; ctrl-C ends it",
    "window": _window,
    "alarm": _alarm,
    "late": lambda line: f"{line['rows']:,} late rows: {line['why']}. {line['fix']}",
    "impossible": lambda line: (
        f"there are rows {line['what']}; afterfit monitor status counts them"
    ),
    "skipped": lambda line: (
        f"{line['version']}, skipped: {', '.join(line['signals'])}: {line['why']}. {line['fix']}"
    ),
    "signal_failed": lambda line: f"no {line['signal']}: {line['why']}",
    "store_away": lambda line: f"the store is away: {line['why']}",
}
