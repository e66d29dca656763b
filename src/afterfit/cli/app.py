"""The tree of commands, each loaded when it is called."""

from __future__ import annotations

import inspect
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from cyclopts import App, CycloptsError

from afterfit.cli import interrupt
from afterfit.cli.output import (
    EXIT_INTERRUPTED,
    Answer,
    as_afterfit_error,
    print_answer,
    print_error,
)
from afterfit.errors import AfterfitError, UsageError
from afterfit.store.remote.secret import redacted

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": (
        "afterfit.cli.demo:demo",
        "Make a fraud model and take it all the way, to see how it works.",
    ),
    "init": ("afterfit.cli.init:init", "Write a commented afterfit.toml."),
    "ship": (
        "afterfit.cli.ship:ship",
        "Walk the whole line: from a model file to a promoted version.",
    ),
    "inspect": (
        "afterfit.cli.steps:inspect",
        "Look at a model file, and infer its signature with the data.",
    ),
    "assess": ("afterfit.cli.steps:assess", "Measure quality, with intervals, beside a baseline."),
    "optimize": ("afterfit.cli.steps:optimize", "Make it faster, and prove that nothing was lost."),
    "robustness": (
        "afterfit.cli.steps:robustness",
        "Send strange rows through what would ship, or strange requests to a server.",
    ),
    "loadtest": (
        "afterfit.cli.steps:loadtest",
        "Find what a server carries, and how sure that is.",
    ),
    "autoscale": (
        "afterfit.cli.autoscale:autoscale",
        "How many replicas your traffic needs, and the autoscaler's settings with reasons.",
    ),
    "serve": (
        "afterfit.cli.serve:serve",
        "Answer over HTTP, and follow promotions and roll-backs.",
    ),
    "conform": (
        "afterfit.cli.conform:conform",
        "Check any server of the Open Inference Protocol, clause by clause.",
    ),
    "predict": ("afterfit.cli.predict:predict", "Score a file, in constant memory."),
    "replay": (
        "afterfit.cli.replay:replay",
        "What another version would have said of rows that were served.",
    ),
    "report": ("afterfit.cli.report:report", "Write the page of a release."),
    "incident": (
        "afterfit.cli.incident:incident",
        "What changed, whom it touched, the way back, and the proof.",
    ),
    "ui": ("afterfit.cli.ui:ui", "Show everything in a browser: the dashboard."),
    "trust": (
        "afterfit.cli.trust:trust",
        "See what a file holds, and let something in on purpose.",
    ),
    "explain": ("afterfit.cli.explain:explain", "What a finding means and how to mend it."),
    "doctor": (
        "afterfit.cli.doctor:doctor",
        "Check the installation, the workspace and the machine.",
    ),
}
DEFAULT = ""
"""The member of a group that is meant where no other is named."""
GROUPS: dict[str, tuple[str, dict[str, tuple[str, str]]]] = {
    "package": (
        "Write what a place needs to run a version.",
        {
            DEFAULT: ("afterfit.cli.package:package", "Write what a place needs."),
            "push": ("afterfit.cli.package_push:push", "Send an image to a registry."),
            "diff": (
                "afterfit.cli.package_diff:diff",
                "What another version changes in what is deployed.",
            ),
        },
    ),
    "labels": (
        "Add what turned out to be true.",
        {"add": ("afterfit.cli.labels:add", "Labels of a CSV, Parquet or Arrow file.")},
    ),
    "version": (
        "List, show, compare, promote, roll back and verify versions.",
        {
            "list": ("afterfit.cli.version:list", "List versions."),
            "show": (
                "afterfit.cli.version:show",
                "One version: digest, aliases, evidence, history.",
            ),
            "diff": (
                "afterfit.cli.version_diff:diff",
                "What changes from one version to another, on the same rows too.",
            ),
            "attach": ("afterfit.cli.version:attach", "Give a version a record as evidence."),
            "promote": ("afterfit.cli.version:promote", "Move an alias, if every gate passes."),
            "approve": (
                "afterfit.cli.version_approve:approve",
                "Agree to a version that somebody else shall promote.",
            ),
            "rollback": ("afterfit.cli.version:rollback", "Go back to the version before."),
            "verify": (
                "afterfit.cli.prune:verify",
                "Hash every byte and the audit log; what is broken has its cure.",
            ),
            "prune": ("afterfit.cli.prune:prune", "Let the bytes of old versions go."),
            "anchor": (
                "afterfit.cli.anchor:anchor",
                "Keep the end of the audit log where its writers cannot.",
            ),
            "log": ("afterfit.cli.version:log", "Who moved what, when and why."),
            "score": ("afterfit.cli.score:score", "The ML Test Score, each point with evidence."),
            "attest": ("afterfit.cli.score:attest", "Vouch for an item that no check can show."),
            "card": ("afterfit.cli.score:card", "The model card, filled from the records."),
            "cases": ("afterfit.cli.cases:cases", "What it failed at, as a list or as tests."),
            "export": ("afterfit.cli.mlflow:export", "Send versions to an MLflow server."),
            "lineage": (
                "afterfit.cli.lineage:lineage",
                "From its data to the endpoints that have it.",
            ),
            "tag": ("afterfit.cli.version_tag:tag", "Put a tag of Git on its commit."),
        },
    ),
    "record": (
        "List, show and verify the records of past steps.",
        {
            "list": ("afterfit.cli.record:list", "List the records, the newest first."),
            "show": ("afterfit.cli.record:show", "Show one record."),
            "verify": ("afterfit.cli.record:verify", "Hash every record and every blob."),
        },
    ),
    "endpoint": (
        "See and change who answers on a running server.",
        {
            "set": (
                "afterfit.cli.endpoint:set",
                "Give a version a share, copies of the requests, or the place of a stand-in.",
            ),
            "status": (
                "afterfit.cli.endpoint:status",
                "Shares, answers, differences, latency and workers.",
            ),
        },
    ),
    "rollout": (
        "Let a version take over step by step, and go back by itself.",
        {
            "start": (
                "afterfit.cli.rollout:start",
                "Give a version more and more requests while it is not worse.",
            ),
            "status": ("afterfit.cli.rollout:status", "How far it is, and what it compares."),
            "resume": ("afterfit.cli.rollout:resume", "Go on after a pause or a kill."),
            "abort": ("afterfit.cli.rollout:abort", "End it: the version before alone."),
            "drill": ("afterfit.cli.rollout:drill", "Time a rollback under load, and undo it."),
        },
    ),
    "key": (
        "Make, list and revoke the API keys of a server.",
        {
            "create": ("afterfit.cli.key:create", "Make a key, and print it this once."),
            "list": ("afterfit.cli.key:list", "List the keys, without their secrets."),
            "revoke": ("afterfit.cli.key:revoke", "Let a key in no more."),
        },
    ),
    "monitor": (
        "See what served versions saw and said.",
        {
            "report": (
                "afterfit.cli.monitor:report",
                "Counts, latency and distributions of a period.",
            ),
            "alarms": (
                "afterfit.cli.monitor_alarms:alarms",
                "What is wrong, the worst first, and who was told.",
            ),
            "silence": (
                "afterfit.cli.monitor_alarms:silence",
                "Keep alarms from people for a while.",
            ),
            "test-channel": (
                "afterfit.cli.monitor_alarms:try_",
                "Send one message by a channel, now.",
            ),
            "rules": (
                "afterfit.cli.monitor_alarms:rules",
                "Rules for Prometheus and a dashboard for Grafana.",
            ),
            "run": ("afterfit.cli.monitor_run:run", "Watch an endpoint, window by window."),
            "status": ("afterfit.cli.monitor_run:status", "What is watched, and what lasts."),
            "backfill": (
                "afterfit.cli.monitor_run:backfill",
                "Judge windows of the past anew.",
            ),
            "rehearse": (
                "afterfit.cli.monitor_rehearse:rehearse",
                "Put faults into replayed traffic: which are seen, and when?",
            ),
        },
    ),
    "platforms": (
        "Choose where a version is best run.",
        {
            DEFAULT: (
                "afterfit.cli.platforms:platforms",
                "Where a version is best run, what that costs, and why not elsewhere.",
            ),
            "import": (
                "afterfit.cli.platforms_import:import",
                "Take price lists and your own discounts into the workspace.",
            ),
            "prices": (
                "afterfit.cli.platforms_import:prices",
                "The prices that were imported, with their age.",
            ),
            "forget": ("afterfit.cli.platforms_import:forget", "Remove imported prices."),
            "probe": (
                "afterfit.cli.platforms_probe:probe",
                "A kit that measures a version on the machines of the finalists.",
            ),
        },
    ),
    "mlflow": (
        "Take models from an MLflow server.",
        {
            "import": ("afterfit.cli.mlflow:import", "Copy a model into the workspace."),
            "check": ("afterfit.cli.mlflow:check", "What is unsafe about the server."),
        },
    ),
    "ci": (
        "Write a pipeline, and judge a version in it.",
        {
            "init": ("afterfit.cli.ci:init", "Write it for GitHub, GitLab or Azure."),
            "check": ("afterfit.cli.ci:check", "May a version go on? Reports for a CI server."),
        },
    ),
    "config": (
        "See the configuration.",
        {"show": ("afterfit.cli.config:show", "Every setting with its value and origin.")},
    ),
}
RENAMED = {"import": "import_", "list": "list_", "set": "set_"}


def build(asked: Sequence[str] = ()) -> App:
    """Return the command line; nothing is imported for a command before it is called.

    The command whose words are ``asked`` is told of by its own docstring, which says more than the
    line in a list: what it writes, and what its exit codes mean.
    """
    from afterfit import __version__

    app = App(
        name="afterfit",
        help="Everything after .fit(): from a trained model to a service that is proven ready.",
        version=__version__,
        help_format="plaintext",
    )
    for name, (target, text) in COMMANDS.items():
        told = _in_full(target, text) if [name] == [*asked] else text
        app.command(target, name=name, help=told)
    for name, (text, members) in GROUPS.items():
        whole = DEFAULT in members and [name] == [*asked]
        group = App(name=name, help=_in_full(members[DEFAULT][0], text) if whole else text)
        for member, (target, about) in members.items():
            module, _, function = target.partition(":")
            if member == DEFAULT:
                # This one has to be there to be called, so it is loaded where it may be.
                if asked[:1] in ((), [name]):
                    group.default(getattr(import_module(module), function))
                continue
            path = f"{module}:{RENAMED.get(function, function)}"
            told = _in_full(path, about) if [name, member] == [*asked] else about
            group.command(path, name=member, help=told)
        app.command(group)
    return app


def _in_full(target: str, text: str) -> str:
    """Return the paragraphs of a command's docstring before its parameters; else ``text``."""
    module, _, function = target.partition(":")
    docstring = getattr(import_module(module), function).__doc__ or text
    before = inspect.cleandoc(docstring).partition("\nParameters\n")[0]
    paragraphs = (" ".join(part.split()) for part in before.split("\n\n"))
    return "\n\n".join(paragraphs).replace("``", "").strip()


def run(arguments: Sequence[str]) -> int:
    """Return the exit code of one command line; prints its answer or its error."""
    as_json = "--json" in arguments
    command = " ".join(_words(arguments))
    try:
        return print_answer(command, _call(arguments), as_json=as_json)
    except BrokenPipeError:
        # The reader of our output went away (as `head` does): no error, but nothing more to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else 2
    except BaseException as error:  # noqa: BLE001 - the last line of defence: no traceback leaves
        told = _in_workspace(as_afterfit_error(error), arguments)
        return print_error(command, told, as_json=as_json)


def _in_workspace(error: AfterfitError, arguments: Sequence[str]) -> AfterfitError:
    """Return the error; a fix that is a command names the workspace that was named."""
    place = ""
    for word, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if word == "--workspace":
            place = following
        elif word.startswith("--workspace="):
            place = word.partition("=")[2]
    place = redacted(place)
    if place and error.fix.startswith("afterfit ") and "--workspace" not in error.fix:
        command, mark, comment = error.fix.partition("   #")
        error.fix = f"{command} --workspace {shlex.quote(place)}{mark}{comment}"
    return error


def _call(arguments: Sequence[str]) -> Answer:
    app = build(_words(arguments))
    try:
        command, bound, _ = app.parse_args(
            list(arguments), print_error=False, exit_on_error=False, help_on_error=False
        )
    except CycloptsError as error:
        name = " ".join(_words(arguments))
        raise UsageError(
            _first_line(str(error)), where=f"afterfit {name}".strip(), fix=f"afterfit {name} --help"
        ) from None
    answer: Any = command(*bound.args, **bound.kwargs)
    if not isinstance(answer, Answer) or answer.exit != EXIT_INTERRUPTED:
        interrupt.check()
    return answer if isinstance(answer, Answer) else Answer(silent=True)


def _words(arguments: Sequence[str]) -> list[str]:
    """Return the command's own words: ``version rollback`` of ``version rollback churn``."""
    words: list[str] = []
    for argument in arguments:
        if not words and (argument in COMMANDS or argument in GROUPS):
            words.append(argument)
        elif len(words) == 1 and argument and argument in GROUPS.get(words[0], ("", {}))[1]:
            words.append(argument)
            break
        else:
            break
    return words


def _first_line(text: str) -> str:
    return " ".join(text.split())


__all__ = ["build", "run"]
