"""``afterfit version``: list, show, compare, promote, roll back and verify versions."""

from __future__ import annotations

from typing import Annotated

import msgspec
from cyclopts import Parameter

from afterfit.cli.common import Common, opened
from afterfit.cli.output import EXIT_GATE_FAILED, Answer, table
from afterfit.core.digest import short
from afterfit.errors import UsageError
from afterfit.registry.lineage.chain import told
from afterfit.registry.version import GateRefusal, Promotion
from afterfit.report import number
from afterfit.report.load import certificate_text
from afterfit.workspace.certified import Certified, certified
from afterfit.workspace.last_good import last_good as good_version
from afterfit.workspace.lineage import chain_of

NONE = Common()


def list_(name: str = "", *, common: Common = NONE) -> Answer:
    """List the versions of a model, or of all models.

    Parameters
    ----------
    name
        The model's name.

    """
    with opened(common) as space:
        versions = space.registry.list(name or None)
    rows = [
        (v.name, v.number, short(v.digest), ", ".join(v.aliases), v.created, v.who)
        for v in versions
    ]
    text = table(rows, ("model", "version", "digest", "aliases", "created", "who"))
    return Answer(msgspec.to_builtins(versions), text if rows else "no versions yet")


def show(ref: str, *, common: Common = NONE) -> Answer:
    """Show one version: its digest, aliases, evidence, history, and its lineage.

    Parameters
    ----------
    ref
        churn, churn@champion, churn@3 or churn@DIGEST.

    """
    with opened(common) as space:
        version, entries = space.registry.show(ref)
        place = f"{version.name}@{version.number}"
        found = certified(space, version.digest, lambda: space.version(place))
        chain = chain_of(space, place)
    evidence = [(step, short(digest)) for step, digest in sorted(version.evidence.items())]
    moves = [(e.time, e.action, e.who, e.why) for e in entries]
    text = "\n".join(
        [
            str(version),
            f"digest   {version.digest}",
            f"created  {version.created} by {version.who}",
            *([] if found is None else _certificate_lines(found)),
            "",
            table(evidence, ("evidence", "record")),
            "",
            table(moves, ("when", "what", "who", "why")),
            "",
            told(chain),
        ]
    )
    result = {
        "version": msgspec.to_builtins(version),
        "log": msgspec.to_builtins(entries),
        "lineage": msgspec.to_builtins(chain),
    }
    if found is not None:
        result["certificate"] = {
            **msgspec.to_builtins(found.certificate),
            "record": found.record,
            "finding": msgspec.to_builtins(found.finding()),
        }
    return Answer(result, text)


def _certificate_lines(found: Certified) -> list[str]:
    told = certificate_text(found.certificate).replace(number.HARD_SPACE, " ")
    lines = [f"load     {told}"]
    if found.lapsed:
        finding = found.finding()
        lines.append(f"         {finding.code} {finding.message}")
    return lines


def promote(
    ref: str,
    *,
    to: Annotated[str, Parameter(help="The alias that shall point to it.")] = "champion",
    why: str = "",
    override: Annotated[str | None, Parameter(help="Why to promote in spite of the gates.")] = None,
    common: Common = NONE,
) -> Answer:
    """Move an alias to a version, if every gate of the configuration passes on its records.

    Parameters
    ----------
    ref
        A version, such as churn@3.
    why
        A reason for the audit log.

    """
    with opened(common) as space:
        version = space.registry.resolve(ref)
        moved = space.promote(version.name, version.number, alias=to, why=why, override=override)
    if isinstance(moved, GateRefusal):
        text = f"not promoted: {moved.why}\nTo promote all the same: --override 'REASON'"
        result = {"promoted": False, "gates": msgspec.to_builtins(moved.gates)}
        return Answer(result, text, exit=EXIT_GATE_FAILED)
    return Answer(_moved(moved), _told(moved))


def attach(ref: str, record: str, *, common: Common = NONE) -> Answer:
    """Attach a record to a version as its evidence of that step; its digest stays.

    The gates of `version promote` are judged on it from then on. `afterfit loadtest NAME@3`
    attaches its record by itself where the version has none that counts.

    Parameters
    ----------
    ref
        A version, such as churn@3.
    record
        The digest of the record, or its first digits, as `afterfit record list` shows it.

    """
    with opened(common) as space:
        version = space.attach(ref, record)
        stored = space.records.get(record)
    text = f"{version.name}@{version.number} has record {short(stored.digest)} as its evidence"
    return Answer(msgspec.to_builtins(version), f"{text} of {stored.body.step}")


def rollback(
    name: str,
    *,
    to: Annotated[str, Parameter(name="--alias", help="The alias to move back.")] = "champion",
    last_good: Annotated[
        bool,
        Parameter(negative="", help="To the last one that served well: 1 % failed at most."),
    ] = False,
    events: Annotated[
        str,
        Parameter(
            allow_leading_hyphen=True,
            help="For --last-good: where servers write, as s3://… or postgresql://….",
        ),
    ] = "",
    why: str = "",
    common: Common = NONE,
) -> Answer:
    """Go back to the version that was champion before, after verifying its bytes.

    Parameters
    ----------
    name
        The model's name.
    why
        A reason for the audit log.

    """
    if "@" in name:
        raise UsageError(
            f"a rollback takes a model's name, not {name!r}",
            fix=f"afterfit version rollback {name.partition('@')[0]}",
        )
    with opened(common) as space:
        health = good_version(space, name, to, events=events) if last_good else None
        target = None if health is None else health.number
        moved = space.rollback(name, why=why, alias=to, target=target)
    if health is None:
        return Answer(_moved(moved), _told(moved))
    served = f"it answered {health.served} rows when it served, failed {health.failed.text()}"
    result = {**_moved(moved), "health": msgspec.to_builtins(health)}
    return Answer(result, f"{_told(moved)}: {served}")


def log(name: str = "", *, common: Common = NONE) -> Answer:
    """Show the audit log: who moved what, when and why.

    Parameters
    ----------
    name
        The model's name; all models without it.

    """
    with opened(common) as space:
        entries = space.registry.log(name or None)
    rows = [
        (e.seq, e.time, e.who, e.action, e.name, _arrow(e.source, e.to), e.why) for e in entries
    ]
    text = table(rows, ("line", "when", "who", "what", "model", "from and to", "why"))
    return Answer(msgspec.to_builtins(entries), text if rows else "the audit log is empty")


def _arrow(source: str, to: str) -> str:
    return f"{source or '-'} -> {to}" if to else source


def _moved(moved: Promotion) -> dict[str, object]:
    return {
        "promoted": True,
        "name": moved.version.name,
        "alias": moved.alias,
        "from": moved.previous,
        "to": moved.version.number,
        "digest": moved.version.digest,
    }


def _told(moved: Promotion) -> str:
    before = f" (was {moved.previous})" if moved.previous else ""
    return f"{moved.version.name}@{moved.alias} is now version {moved.version.number}{before}"
