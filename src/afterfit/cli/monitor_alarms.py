"""``afterfit monitor alarms|silence|test-channel|rules``: who is told of what, and who is not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from afterfit.cli.common import Common, opened
from afterfit.cli.output import EXIT_GATE_FAILED, Answer, table
from afterfit.errors import UsageError
from afterfit.monitor.channels import open_channel
from afterfit.monitor.channels.trial import try_channel
from afterfit.monitor.evidence import scope_text
from afterfit.monitor.grafana import dashboard_file
from afterfit.monitor.log import iso, moment
from afterfit.monitor.notify import failed_channels
from afterfit.monitor.prometheus import burn_rules, gate_rules, rules_file, server_rules
from afterfit.monitor.rank import loss_text, rank
from afterfit.monitor.runbooks import steps_of
from afterfit.monitor.settings import objective_of, span_us
from afterfit.monitor.setup import now_us
from afterfit.monitor.silence import Silence, SilenceBook
from afterfit.records.signals import Alarm
from afterfit.report import html
from afterfit.report.alarms import alarms_page
from afterfit.store.files import os_errors, write_bytes
from afterfit.workspace import Workspace
from afterfit.workspace.watch import monitor_store

NONE = Common()
RULES, DASHBOARD = "afterfit-rules.yml", "afterfit-dashboard.json"


def alarms(
    *,
    ended: Annotated[bool, Parameter(negative="", help="Those that are over, too.")] = False,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    common: Common = NONE,
) -> Answer:
    """Show the alarms, the one with the greatest estimated loss first, and who was told.

    A channel whose last news were given up is a warning.

    Parameters
    ----------
    output
        Where to write a page with plots, runbooks and deliveries, as HTML.

    """
    with opened(common) as space:
        store = monitor_store(space, make=False)
        try:
            found = rank(store.alarms(lasting=not ended))
        finally:
            store.close()
    lost = failed_channels(found)
    warnings = [f"the channel {name} was given up: {why}" for name, why in sorted(lost.items())]
    rows = [
        (a.id, a.severity, f"{a.signal} {a.subject}".strip(), scope_text(a.scope), _state(a),
         loss_text(a.worst), iso(a.opened), _told(a))
        for a in found
    ]  # fmt: skip
    columns = ("alarm", "severity", "signal", "of", "state", "loss", "since", "told")
    text = table(rows, columns) if rows else "no alarm"
    if output is not None:
        write_bytes(output, html.render(alarms_page(found, steps_of)).encode())
        text = f"{text}\nPage: {output}"
    result = [{"id": a.id, **msgspec.to_builtins(a)} for a in found]
    return Answer(result, text, warnings=warnings)


def silence(
    pattern: str = "",
    *,
    lasts: Annotated[str, Parameter(name="--for", help="For how long: 30m, 4h or 2d.")] = "",
    until: Annotated[str, Parameter(help="Or until when, in ISO 8601.")] = "",
    why: Annotated[str, Parameter(help="The reason, for the audit log.")] = "",
    model: Annotated[str, Parameter(help="Of this model alone.")] = "",
    end: Annotated[bool, Parameter(negative="", help="End this silence now.")] = False,
    common: Common = NONE,
) -> Answer:
    """Keep alarms from people for a while; without a pattern, list the silences that hold.

    Parameters
    ----------
    pattern
        An alarm's id, a signal (drift) or a signal and its subject (drift/age), with * and ?; with
        --end the name of a silence.

    """
    now = now_us()
    with opened(common) as space:
        book = SilenceBook(space.folder / "monitor" / "silences.json", space.registry)
        if not pattern:
            return _silences([held for held in book.read() if held.until > now])
        if end:
            ended = book.end(pattern, who=space.who, now=now)
            return Answer({"id": ended.id}, f"the silence {ended.id} is over")
        held = book.add(
            Silence(
                pattern=pattern, model=model, since=now, until=_until(lasts, until, now),
                who=space.who, why=why,
            )
        )  # fmt: skip
    result = {"id": held.id, **msgspec.to_builtins(held)}
    return Answer(result, f"silence {held.id}: {pattern} until {iso(held.until)}")


def try_(name: str = "", *, common: Common = NONE) -> Answer:
    """Send one message by a channel now, and say whether it arrived.

    Exit 0: it was taken. Exit 1: it was not.

    Parameters
    ----------
    name
        One of alarms.channels of afterfit.toml; the only one where there is one.

    """
    with opened(common, create=True) as space:
        addresses = space.config.alarms.channels
    if not name and len(addresses) == 1:
        name = next(iter(addresses))
    if name not in addresses:
        raise UsageError(
            f"there is no channel {name!r}" if name else "which channel?",
            where="alarms.channels",
            why=f"there are: {', '.join(addresses) or 'none'}",
            fix='name one; in afterfit.toml: channels = { ops = "env:OPS_CHANNEL" }',
        )
    told = try_channel(open_channel(name, addresses[name]), now_us())
    arrived = told.state == "sent"
    words = f"{name}: {told.state}" + (f" ({told.message})" if not arrived else "")
    return Answer(msgspec.to_builtins(told), words, 0 if arrived else EXIT_GATE_FAILED)


def rules(
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = Path(),
    common: Common = NONE,
) -> Answer:
    """Write rules for Prometheus and a dashboard for Grafana, from gates and objectives.

    Parameters
    ----------
    output
        The folder for afterfit-rules.yml and afterfit-dashboard.json.

    """
    with opened(common, create=True) as space:
        files = _files(space)
    with os_errors(output, "write rules"):
        output.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        write_bytes(output / name, data)
    paths = [str(output / name) for name in files]
    return Answer({"files": paths}, "\n".join(paths))


def _files(space: Workspace) -> dict[str, bytes]:
    gates = space.config.alarm_gates()
    objectives = [objective_of(text) for text in space.config.monitor.slo]
    found = [*server_rules(), *gate_rules(gates), *burn_rules(objectives)]
    return {RULES: rules_file(found).encode(), DASHBOARD: dashboard_file(gates)}


def _until(lasts: str, until: str, now: int) -> int:
    if bool(lasts) == bool(until):
        raise UsageError("until when?", fix="give --for 4h, or --until 2026-12-01T08:00")
    return now + span_us(lasts, where="--for") if lasts else moment(until)


def _silences(held: list[Silence]) -> Answer:
    result: list[dict[str, Any]] = [{"id": s.id, **msgspec.to_builtins(s)} for s in held]
    rows = [(s.id, s.pattern, s.model, iso(s.until), s.who, s.why) for s in held]
    columns = ("silence", "pattern", "model", "until", "who", "why")
    return Answer(result, table(rows, columns) if rows else "nothing is silenced")


def _state(alarm: Alarm) -> str:
    return f"{alarm.state}, silenced" if alarm.silenced else alarm.state


def _told(alarm: Alarm) -> str:
    """Return what became of the last news by each channel."""
    last = {delivery.channel: delivery.state for delivery in alarm.deliveries}
    return ", ".join(f"{name} {state}" for name, state in sorted(last.items())) or "nobody"
