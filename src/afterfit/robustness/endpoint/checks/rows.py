"""The same rows in other company, order and number: equal answers, and valid probabilities."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from afterfit.core.finding import Check as Kind
from afterfit.core.wire.answers import differences, leaves, named
from afterfit.core.wire.client import Exchange, NoAnswerError
from afterfit.robustness.endpoint import findings
from afterfit.robustness.endpoint.check import FailedError, NotApplicableError, clause
from afterfit.robustness.endpoint.fields import with_value
from afterfit.robustness.endpoint.target import BUSY, Target

ROUNDS = 4


@clause("rows.twice", "must", findings.AnswerChanges)
def twice(target: Target) -> None:
    """The same row gets the same answer, asked again and twice in one batch."""
    rows = target.rows()
    for _ in range(2):
        _same(target, rows, target.plain, findings.AnswerChanges, "the same request again")
    if target.dialect.batched:
        expected = [target.plain[0]] * 3
        _same(target, [rows[0]] * 3, expected, findings.AnswerChanges, "one row three times")


@clause("rows.alone", "must", findings.BatchChangesServedAnswer)
def alone(target: Target) -> None:
    """A row is answered alike alone and among others."""
    target.need_batch()
    target.need_repeatable()
    for row, expected in zip(target.rows(), target.plain, strict=True):
        kind = findings.BatchChangesServedAnswer
        _same(target, [row], [expected], kind, "a row alone, against the batch")


@clause("rows.order", "must", findings.BatchChangesServedAnswer)
def order(target: Target) -> None:
    """Rows in another order get the same answers in that order."""
    target.need_batch()
    target.need_repeatable()
    shuffled = np.random.default_rng(target.config.seed).permutation(target.count).tolist()
    for chosen in (list(reversed(range(target.count))), shuffled):
        rows = target.rows()
        expected = [target.plain[index] for index in chosen]
        kind = findings.BatchChangesServedAnswer
        _same(target, [rows[index] for index in chosen], expected, kind, f"rows {chosen}")


@clause("rows.field-order", "must", findings.OrderOfFieldsMatters)
def field_order(target: Target) -> None:
    """Fields in another order change nothing."""
    target.need_repeatable()
    rows = target.rows()
    if not all(isinstance(row, dict) and len(row) > 1 for row in rows):
        raise NotApplicableError("a row has no fields whose order could change")
    backwards = [dict(reversed(row.items())) for row in rows]
    kind = findings.OrderOfFieldsMatters
    _same(target, backwards, target.plain, kind, "the fields in reverse")


@clause("rows.concurrent", "must", findings.MixedUp)
def concurrent(target: Target) -> None:
    """Requests at once get each its own answer."""
    target.need_repeatable()
    clients = target.config.clients
    tables = [target.rows(1, start) for start in range(clients)]
    expected = [target.right(table, "a row alone") for table in tables]
    with ThreadPoolExecutor(clients) as pool:
        for _ in range(ROUNDS):
            sent = [target.sent(target.body(table)) for table in tables]
            for index, got in enumerate(pool.map(lambda s: _asked(target, s), sent)):
                if isinstance(got, NoAnswerError):
                    raise FailedError(
                        findings.MixedUp,
                        f"{clients} requests at once: {got.reason}",
                        sent=sent[index],
                    )
                _own(target, got, expected[index])


@clause("rows.constant", "must", findings.NotAProbability)
def constant(target: Target) -> None:
    """Rows that are all alike are answered alike, with valid probabilities."""
    target.need_batch()
    target.need_repeatable()
    row = target.rows(1)[0]
    _same(target, [row] * 20, [target.plain[0]] * 20, findings.AnswerChanges, "20 equal rows")


@clause("rows.far", "must", findings.NotAProbability)
def far(target: Target) -> None:
    """Rows far from any that were seen get valid probabilities, or are refused."""
    rows = target.rows()
    for sign in (1, -1):
        for field in target.dialect.fields:
            size = max(abs(field.low or 0), abs(field.high or 0), 1.0) * 1e6 * sign
            value: Any = int(size) if field.kind == "integer" else size
            if field.kind == "text":
                value = f"far{sign}"
            if field.kind != "boolean":
                rows = [with_value(row, field.path, value) for row in rows]
        target.fine(target.body(rows), target.count, "rows far from the others")
    if not any(named(path) for path, _ in leaves(target.plain[0])):
        raise NotApplicableError("the answers name no probability")


def _same(
    target: Target, rows: list[Any], expected: list[Any], kind: type[Kind], what: str
) -> None:
    """Raise FailedError where right rows are answered otherwise than expected."""
    told = differences(expected, target.right(rows, what))
    if told:
        raise FailedError(kind, f"{what}: {told}", target.last)


def _asked(target: Target, sent: Any) -> Exchange | NoAnswerError:
    try:
        return target.client.request(sent)
    except NoAnswerError as error:
        return error


def _own(target: Target, exchange: Exchange, expected: list[Any]) -> None:
    target.look(exchange, busy=True)
    if exchange.status in BUSY:
        return
    if exchange.status != 200:
        why = f"{target.config.clients} requests at once: one got {exchange.status}"
        raise FailedError(findings.MixedUp, why, exchange)
    told = differences(expected, target.read(exchange, 1, "a request among others"))
    if told:
        raise FailedError(findings.MixedUp, f"requests at once: {told}", exchange)
