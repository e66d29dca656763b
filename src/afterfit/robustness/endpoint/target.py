"""The endpoint under examination: requests to it, what is known of it, what no answer may do."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Any

from afterfit.core.finding import Check as Kind
from afterfit.core.wire.answers import (
    TOKEN,
    differences,
    improbable,
    not_finite,
)
from afterfit.core.wire.client import Client, Exchange, Headers, NoAnswerError, Sent
from afterfit.core.wire.documents import UnreadableError, json_of
from afterfit.robustness.endpoint import findings
from afterfit.robustness.endpoint.check import FailedError, NotApplicableError, SkippedError
from afterfit.robustness.endpoint.config import EndpointConfig
from afterfit.robustness.endpoint.dialect import Dialect
from afterfit.robustness.endpoint.fields import Field, with_value, written
from afterfit.robustness.endpoint.fields import Kind as FieldKind

JSON_TYPE: Headers = (("Content-Type", "application/json"),)
ROWS = 7
NOT_IMPLEMENTED = 501
BUSY = frozenset({429, 503})
PER_KIND = 2
"""Fields of a kind that are spoiled: others of the same kind go the same way."""
TRACE = re.compile(
    rb"Traceback \(most recent call last\)|File \\?\"[^\"\n]+\\?\", line \d+|site-packages[/\\]"
    rb"|\bat [\w$.]+\([\w]+\.(?:java|kt|scala):\d+\)|goroutine \d+ \[|panicked at "
)
_TRIES, _PAUSE_S = 4, 0.5


class Target:
    """A route with its rows; ``plain`` are the answers to the first seven rows."""

    def __init__(self, client: Client, dialect: Dialect, config: EndpointConfig) -> None:
        self.client = client
        self.dialect = dialect
        self.config = config
        self.count = ROWS if dialect.batched else 1
        self.plain: list[Any] = []
        self.repeatable = True
        self.pids: frozenset[int] = frozenset()
        self.growth: int | None = None

    # Rows and fields.

    def rows(self, count: int | None = None, start: int = 0) -> list[Any]:
        """Return right rows, those of the plain request unless told otherwise."""
        return self.dialect.rows(self.count if count is None else count, start)

    def fields(self, *kinds: FieldKind) -> list[Field]:
        """Return up to two fields of each kind; raises NotApplicableError where there is none."""
        found = []
        for kind in kinds:
            found += [each for each in self.dialect.fields if each.kind == kind][:PER_KIND]
        if not found:
            raise NotApplicableError(f"no field is {' or '.join(kinds)}")
        return found

    def text_field(self) -> Field:
        """Return the first field that takes texts, or the first of all."""
        return next((f for f in self.dialect.fields if f.kind == "text"), self.dialect.fields[0])

    def body(self, rows: Sequence[Any]) -> bytes:
        """Return the body of a request."""
        return written(self.dialect.document(rows))

    def body_of(self, document: Any) -> bytes:
        """Return a document as the body of a request."""
        return written(document)

    def nulled(self, row: Any, field: Field) -> Any:
        """Return the row with null in a field."""
        return with_value(row, field.path, None)

    def spoiled(self, field: Field, value: Any) -> bytes:
        """Return the plain request with another value in one field of its first row."""
        rows = self.rows()
        return self.body([with_value(rows[0], field.path, value), *rows[1:]])

    def need_batch(self) -> None:
        """Raise NotApplicableError where a request has one row."""
        if not self.dialect.batched:
            raise NotApplicableError("a request has one row")

    def need_repeatable(self) -> None:
        """Raise SkippedError where the same request gets other answers."""
        if not self.repeatable:
            raise SkippedError("the same row gets other answers: see rows.twice")

    # Requests.

    def sent(self, body: bytes, headers: Headers = JSON_TYPE) -> Sent:
        """Return a request for predictions."""
        return Sent("POST", self.dialect.route, headers, body)

    def send(self, sent: Sent, *, busy: bool = False) -> Exchange:
        """Return the answer to any request, after a look at what none may be."""
        try:
            exchange = self.client.request(sent)
        except NoAnswerError as error:
            raise self.unanswered(error) from None
        self.look(exchange, busy=busy)
        return exchange

    def unanswered(self, error: NoAnswerError, command: str = "") -> FailedError:
        """Return the failure that a request without an answer is."""
        kind = findings.EndpointStops if error.gone else findings.ServerErrorOnWrongRequest
        return FailedError(kind, error.reason, sent=error.sent, level="must", command=command)

    def look(self, exchange: Exchange, *, busy: bool = False, command: str = "") -> None:
        """Raise FailedError for 5xx, a stack trace, or NaN in an answer, whatever was asked.

        ``busy`` lets 429 and 503 pass: a server may refuse more than it can do.
        """
        broken: tuple[type[Kind], str] | None = None
        if TRACE.search(exchange.body):
            broken = findings.StackTraceShown, "the answer shows a stack trace"
        elif exchange.status >= 500 and not _allowed(exchange, busy=busy):
            broken = findings.ServerErrorOnWrongRequest, f"the status is {exchange.status}"
        elif exchange.status < 300 and _has_token(exchange.body):
            broken = findings.NonFiniteAnswered, "the answer holds NaN or Infinity"
        if broken:
            raise FailedError(*broken, exchange, level="must", command=command)

    def post(self, body: bytes, headers: Headers = JSON_TYPE, *, busy: bool = False) -> Exchange:
        """Return the answer to a request for predictions."""
        return self.send(self.sent(body, headers), busy=busy)

    def refused(
        self,
        body: bytes,
        what: str,
        *,
        names: Sequence[str] = (),
        kind: type[Kind] = findings.WrongRequestAnswered,
        headers: Headers = JSON_TYPE,
        busy: bool = False,
    ) -> Exchange:
        """Return the refusal of a wrong request, which must say one of ``names``."""
        exchange = self.post(body, headers, busy=busy)
        if exchange.status < 400:
            raise FailedError(kind, f"{what} got {exchange.status}", exchange)
        said = exchange.body.decode("utf-8", "replace").lower()
        if names and exchange.status not in BUSY and not any(n.lower() in said for n in names):
            why = f"{what}: the refusal names none of {', '.join(map(repr, names))}"
            raise FailedError(findings.FieldNotNamed, why, exchange)
        return exchange

    def fine(self, body: bytes, rows: int, what: str) -> list[Any] | None:
        """Return the answers, None where the request was refused with 4xx.

        Raises FailedError for answers that are not finite, or too many or too few.
        """
        exchange = self.post(body, busy=True)
        if exchange.status >= 400:
            return None
        return self.read(exchange, rows, what)

    @property
    def last(self) -> Exchange:
        """Return the last exchange."""
        return self.client.log[-1]

    def right(self, rows: Sequence[Any], what: str, *, busy: bool = False) -> list[Any]:
        """Return the answers to right rows; raises FailedError where they are refused."""
        exchange = self.post(self.body(rows), busy=busy)
        if exchange.status != 200:
            why = f"{what} got {exchange.status}"
            raise FailedError(findings.RightRequestRefused, why, exchange)
        return self.read(exchange, len(rows), what)

    def read(self, exchange: Exchange, rows: int, what: str) -> list[Any]:
        """Return the answers in an exchange; raises FailedError where they are no good."""
        try:
            answers = self.dialect.answers(exchange, rows)
        except UnreadableError as error:
            why = f"{what}: {error}"
            raise FailedError(findings.NonFiniteAnswered, why, exchange) from None
        for answer in answers:
            if self.plain and (told := not_finite(answer, self.plain[0])):
                raise FailedError(findings.NonFiniteAnswered, f"{what}: {told}", exchange)
            if self.plain and (told := improbable(answer, self.plain[0])):
                raise FailedError(findings.NotAProbability, f"{what}: {told}", exchange)
        return answers

    def missing(self, field: Field) -> list[Any] | None:
        """Return the answers to null in a field, None where it is refused: the declared policy."""
        return self.fine(self.spoiled(field, None), self.count, "null")

    # Afterwards.

    def well(self) -> None:
        """Raise FailedError where the plain request is not answered as at first.

        A server that says that it is busy gets two seconds.
        """
        sent = self.sent(self.body(self.rows()))
        for attempt in range(_TRIES):
            exchange = self.client.request(sent)
            if exchange.status not in BUSY:
                break
            time.sleep(_PAUSE_S * (attempt < _TRIES - 1))
        kind = findings.NotWellAfterwards
        if exchange.status != 200:
            raise FailedError(kind, f"the next right request got {exchange.status}", exchange)
        answers = self.read(exchange, self.count, "the next right request")
        told = differences(self.plain, answers) if self.repeatable else ""
        if told:
            raise FailedError(kind, f"the next right request: {told}", exchange)


def _allowed(exchange: Exchange, *, busy: bool) -> bool:
    """Return whether a 5xx is right: a busy server, or a method that is not implemented (501)."""
    if exchange.status == NOT_IMPLEMENTED:
        return exchange.sent.method != "POST"
    return busy and exchange.status in BUSY


def _has_token(body: bytes) -> bool:
    """Return whether NaN or Infinity stands in a body outside of texts."""
    if not TOKEN.search(body):
        return False
    try:
        json_of(body)
    except UnreadableError:
        return True
    return False
