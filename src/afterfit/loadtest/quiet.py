"""What a quiet server answers: before the load, each distinct request is sent once, alone.

Its answers are the expected ones: under load a batch may be mixed up, and then somebody gets the
answer to another one's row. What differs between two answers to the same request without being a
prediction (ids, times) is found by sending a few of them again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from afterfit.core.wire.answers import VOLATILE, VOLATILE_WORDS, Path, difference, leaves
from afterfit.core.wire.client import Client, Exchange, NoAnswerError, OutOfBudgetError, Sent
from afterfit.core.wire.documents import HEADER_LENGTH, UnreadableError, answer_of, json_of
from afterfit.core.wire.tensors import alike
from afterfit.errors import InputError, UnavailableError

__all__ = ["Expectation", "Judge", "ask_quietly", "expectation", "must_agree"]

TWICE = 8
"""So many requests are sent again, after all others, so that clocks have moved."""
PROBES = 3
"""So many refusals at the beginning are enough: a row of the data may be the odd one."""
OK = 200


@dataclass(frozen=True)
class Expectation:
    """The requests that were answered with 200, and what is expected of each under load.

    ``expected`` is empty where the same request gets other predictions each time.
    """

    sent: tuple[Sent, ...] = field(repr=False)
    expected: tuple[bytes, ...] = field(repr=False)
    volatile: str
    judge: Judge
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Judge:
    """Says whether an answer with other bytes is another answer, floats up to rounding."""

    expected: tuple[bytes, ...] = field(repr=False)
    names: re.Pattern[str] | None

    def __call__(self, request: int, body: bytes) -> bool:
        """Return whether the body is wrong as the answer to a request."""
        return bool(self.difference(self.expected[request], body))

    def difference(self, expected: bytes, body: bytes) -> str:
        """Return how two answers to one request differ, "" where they do not."""
        if expected == body:
            return ""
        try:
            return difference(json_of(expected), json_of(body), self.names)
        except UnreadableError:
            return _raw_difference(expected, body)


def _raw_difference(expected: bytes, body: bytes) -> str:
    """Return how two answers differ that are tensors with raw bytes, or no JSON at all."""
    try:
        one, other = (answer_of(_with_length(each)).outputs for each in (expected, body))
    except (UnreadableError, ValueError):
        return "its bytes are others"
    if [(t.name, t.shape) for t in one] != [(t.name, t.shape) for t in other]:
        return "the answers have different outputs"
    for mine, theirs in zip(one, other, strict=True):
        if not alike(mine.values, theirs.values):
            return f"{mine.name} has other values"
    return ""


def _with_length(body: bytes) -> Exchange:
    """Return an exchange of an answer whose JSON is followed by raw bytes."""
    _, end = json.JSONDecoder().raw_decode(body.decode("latin-1"))
    headers = ((HEADER_LENGTH, str(end)),)
    return Exchange(Sent("POST", "/"), OK, headers, body)


def ask_quietly(client: Client, sent: Sequence[Sent], where: str) -> Expectation:
    """Return what the server answers to each request alone.

    Ends with the client's seconds: then fewer requests are distinct. Raises UnavailableError where
    nothing answers, InputError where the first three, or most of all, get another status.
    """
    answers: list[tuple[Sent, Exchange]] = []
    refused: list[Exchange] = []
    try:
        for each in sent:
            exchange = client.request(each)
            if exchange.status == OK:
                answers.append((each, exchange))
                continue
            refused.append(exchange)
            none = not answers and len(refused) == min(PROBES, len(sent))
            if none or len(refused) > len(sent) / 2:
                raise _refused(exchange, len(refused), where)
        again = [client.request(each).body for each, _ in answers[:TWICE]]
    except OutOfBudgetError:
        again = []
        if not answers:
            raise UnavailableError(
                "the server answered no request in time", where=where, fix=f"curl -i {where}"
            ) from None
    except NoAnswerError as error:
        raise UnavailableError(
            "the server does not answer", where=where, why=error.reason, fix=f"curl -i {where}"
        ) from None
    found = expectation(tuple(e for e, _ in answers), tuple(x.body for _, x in answers), again)
    if not refused:
        return found
    first = f"{refused[0].status}: {refused[0].body[:200]!r}"
    told = (
        f"{len(refused)} of {len(sent)} requests were refused and are not sent; the first {first}"
    )
    return Expectation(
        found.sent, found.expected, found.volatile, found.judge, (*found.notes, told)
    )


def must_agree(found: Expectation, sent: Sequence[Sent], golden: Sequence[bytes]) -> None:
    """Do nothing where a quiet server gives the answers that the caller expects, in their order.

    Raises InputError for the first that differs, and for another number of answers.
    """
    if len(golden) != len(sent):
        raise InputError(
            f"{len(golden)} expected answers for {len(sent)} requests",
            fix="give one for each distinct request, in their order",
        )
    expected = dict(zip(sent, golden, strict=True))
    for place, (each, answer) in enumerate(zip(found.sent, found.judge.expected, strict=True)):
        told = found.judge.difference(expected[each], answer)
        if told:
            raise InputError(
                "the quiet server gives another answer than the expected one",
                where=f"request {place + 1} of {len(found.sent)}",
                why=told,
                fix="see that this version serves, or leave the expected answers out",
            )


def expectation(
    sent: tuple[Sent, ...], answers: tuple[bytes, ...], again: Sequence[bytes]
) -> Expectation:
    """Return what is expected, learnt from answers and second ones to the first few requests."""
    pairs = list(zip(answers, again, strict=False))
    words = "" if _all_volatile(answers[0]) else VOLATILE_WORDS
    moving = sorted({name for pair in pairs for name in _moving(*pair, named=bool(words))})
    names = _names(words, moving)
    judge = Judge(answers, names)
    notes: list[str] = []
    told = next((told for pair in pairs if (told := judge.difference(*pair))), "")
    if told or (moving and _nothing_left(answers[0], names)):
        why = told or f"{', '.join(moving)} differ"
        notes.append(f"answers are not compared: the same request gets others ({why})")
        return Expectation(sent, (), "", judge, tuple(notes))
    if moving:
        notes.append(f"not compared, since it differs from one answer to the next: {moving[0]}")
    return Expectation(sent, answers, _pattern(words, moving), judge, tuple(notes))


def _moving(one: bytes, other: bytes, *, named: bool) -> set[str]:
    """Return the names of fields that differ between two answers to one request."""
    try:
        pattern = VOLATILE if named else None
        mine, theirs = dict(leaves(json_of(one), pattern)), dict(leaves(json_of(other), pattern))
    except UnreadableError:
        return set()
    if mine.keys() != theirs.keys():
        return set()
    paths = [path for path, value in mine.items() if not alike([value], [theirs[path]])]
    # A text that moves is a name of the request; a number that moves is the model's.
    texts = [path for path in paths if isinstance(mine[path], str)]
    return {name for path in texts if (name := _last_name(path))}


def _last_name(path: Path) -> str:
    return path[-1] if path and isinstance(path[-1], str) else ""


def _all_volatile(answer: bytes) -> bool:
    """Return whether only fields with the names of ids and times are in an answer."""
    try:
        document = json_of(answer)
    except UnreadableError:
        return False
    return not leaves(document) and bool(leaves(document, None))


def _nothing_left(answer: bytes, names: re.Pattern[str] | None) -> bool:
    try:
        return not leaves(json_of(answer), names)
    except UnreadableError:
        return False


def _names(words: str, moving: Sequence[str]) -> re.Pattern[str] | None:
    parts = [rf"(^|_)({words})$"] if words else []
    parts += [rf"^{re.escape(name)}$" for name in moving]
    return re.compile("|".join(parts), re.IGNORECASE) if parts else None


def _pattern(words: str, moving: Sequence[str]) -> str:
    """Return the pattern of volatile fields in the text of JSON: their names and values."""
    names = [rf'(?:[^"\\]*_)?(?:{words})'] if words else []
    names += [re.escape(name) for name in moving]
    if not names:
        return ""
    value = r'(?:"(?:[^"\\]|\\.)*"|[-+.0-9eE]+|null)'
    return rf'"(?:{"|".join(names)})"\s*:\s*{value}'


def _refused(exchange: Exchange, count: int, where: str) -> InputError:
    said = exchange.body[:300].decode("utf-8", "replace")
    return InputError(
        f"the server refuses the request{'s' if count > 1 else ''}",
        where=where,
        why=f"{exchange.status}: {said}",
        fix="give --data with the model's columns, or --route /predict --example example.json",
    )
