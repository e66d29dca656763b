"""Streams, JSON and exit codes: the only place that prints.

Results go to stdout; narration and progress to stderr. With ``--json`` stdout holds one object::

    {schema, ok, command, exit, result, error {kind, code, message, where, why, fix}, warnings[]}

Exit codes: 0 pass, 1 a gate failed, 2 usage or input, 101 a defect of Afterfit, 130 ctrl-C.
"""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from afterfit.cli import interrupt
from afterfit.errors import AfterfitError, InternalError, InterruptedRun, ResourceError

JSON_SCHEMA = 1
EXIT_GATE_FAILED = 1
EXIT_INTERRUPTED = 130


@dataclass
class Answer:
    """What a command gives back: ``result`` for machines, ``text`` for people.

    ``silent`` answers print nothing (a daemon has printed its own lines).
    """

    result: Any = None
    text: str = ""
    exit: int = 0
    warnings: list[str] = field(default_factory=list)
    silent: bool = False


def print_answer(command: str, answer: Answer, *, as_json: bool) -> int:
    """Return the exit code after printing a command's answer."""
    if answer.silent:
        return answer.exit
    if as_json:
        _print_envelope(command, exit_code=answer.exit, answer=answer)
        return answer.exit
    for warning in answer.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if answer.text:
        print(answer.text)
    return answer.exit


def print_error(command: str, error: AfterfitError, *, as_json: bool) -> int:
    """Return the exit code after printing an error: what, where, why, fix."""
    if as_json:
        _print_envelope(command, exit_code=error.exit_code, error=error)
    print(f"error: {error}", file=sys.stderr)
    return error.exit_code


def as_afterfit_error(error: BaseException) -> AfterfitError:
    """Return any exception as one of ours; a defect keeps its traceback in a file.

    After ctrl-C every error is an interruption: what it cut short fails in ways of its own.
    """
    if interrupt.seen() or _interrupted(error):
        return InterruptedRun("interrupted", why="what was finished is kept; run it again to go on")
    if isinstance(error, AfterfitError):
        return error
    if isinstance(error, MemoryError):
        return ResourceError("out of memory", fix="give fewer rows, or use a larger machine")
    return _internal(error)


def _interrupted(error: BaseException) -> bool:
    """Return whether ctrl-C is at the bottom of it: an import cut short raises other errors."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, KeyboardInterrupt):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _internal(error: BaseException) -> InternalError:
    handle, path = tempfile.mkstemp(prefix="afterfit-defect-", suffix=".txt")
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        traceback.print_exception(error, file=stream)
    return InternalError(
        f"a defect of Afterfit: {type(error).__name__}: {error}",
        where=path,
        why="this should not happen whatever the input",
        fix="please report it with that file",
    )


def _print_envelope(
    command: str,
    *,
    exit_code: int,
    answer: Answer | None = None,
    error: AfterfitError | None = None,
) -> None:
    envelope = {
        "schema": JSON_SCHEMA,
        "ok": error is None,
        "command": command,
        "exit": exit_code,
        "result": None if answer is None else answer.result,
        "error": None if error is None else error.as_dict(),
        "warnings": [] if answer is None else answer.warnings,
    }
    sys.stdout.write(msgspec.json.encode(envelope, enc_hook=_plain).decode() + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(f"cannot show {type(value).__name__} as JSON")


def table(rows: list[tuple[Any, ...]], headings: tuple[str, ...]) -> str:
    """Return rows as aligned plain text under their headings."""
    cells = [tuple(str(cell) for cell in row) for row in rows]
    widths = [
        max([len(heading), *(len(row[column]) for row in cells)])
        for column, heading in enumerate(headings)
    ]
    lines = [headings, tuple("-" * width for width in widths), *cells]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
