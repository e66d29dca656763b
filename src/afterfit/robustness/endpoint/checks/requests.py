"""Requests that are wrong in one way: 4xx that names the field, never 5xx."""

from __future__ import annotations

from typing import Any

from afterfit.core.wire.answers import differences
from afterfit.core.wire.documents import UnreadableError
from afterfit.robustness.endpoint import findings
from afterfit.robustness.endpoint.check import FailedError, NotApplicableError, clause
from afterfit.robustness.endpoint.fields import ABSENT, Field, without
from afterfit.robustness.endpoint.target import Target

WRONG: dict[str, tuple[Any, ...]] = {
    "number": ("no number", {}),
    "integer": ("no number", {}),
    "boolean": ("no boolean", {}),
    "text": (12.5, {}),
}


@clause("request.empty-object", "must", findings.WrongRequestAnswered)
def empty_object(target: Target) -> None:
    """The body {} is refused, naming what it lacks."""
    names = [field.name for field in target.dialect.fields]
    holder = target.dialect.holder
    target.refused(b"{}", "the body {}", names=[holder] if holder else names)


@clause("request.empty-body", "must", findings.WrongRequestAnswered)
def empty_body(target: Target) -> None:
    """An empty body, and the empty text, are refused."""
    target.refused(b"", "an empty body")
    target.refused(b'""', 'the body ""')


@clause("request.no-rows", "must", findings.WrongRequestAnswered)
def no_rows(target: Target) -> None:
    """A batch of no rows is refused, or answered with no predictions."""
    target.need_batch()
    exchange = target.post(target.body([]))
    if exchange.status >= 400:
        return
    try:
        target.dialect.answers(exchange, 0)
    except UnreadableError as error:
        why = f"a batch of no rows got {exchange.status}: {error}"
        raise FailedError(findings.WrongRequestAnswered, why, exchange) from None


@clause("request.missing-field", "must", findings.WrongRequestAnswered)
def missing_field(target: Target) -> None:
    """A missing field is refused by its name; one that may be null is scored as null."""
    asked = [field for field in _each_kind(target) if field.required is not False]
    if not asked:
        raise NotApplicableError("no field is required")
    for field in asked:
        body = target.body([without(row, field.path) for row in target.rows()])
        if field.nullable and _as_null(target, field, body):
            continue
        named = isinstance(field.path[0], str)
        names = [str(field.path[0])] if named else []
        target.refused(body, f"a row without {field.name!r}", names=names)


@clause("request.extra-field", "should", findings.WrongRequestAnswered)
def extra_field(target: Target) -> None:
    """A field that the model does not have is refused by its name, not passed over."""
    extra = target.dialect.extra
    body = target.body([extra(row) for row in target.rows()])
    names = [ABSENT] if ABSENT.encode() in body else []
    target.refused(body, "a field that the model does not have", names=names)


@clause("request.wrong-type", "must", findings.WrongRequestAnswered)
def wrong_type(target: Target) -> None:
    """A value of another type is refused, naming the field."""
    for field in _each_kind(target):
        for value in WRONG[field.kind]:
            what = f"{value!r} for the {field.kind} {field.name!r}"
            target.refused(target.spoiled(field, value), what, names=target.dialect.names(field))


@clause("request.empty-text", "must", findings.WrongRequestAnswered)
def empty_text(target: Target) -> None:
    """The empty text is refused where a number belongs, and answered or refused as a text."""
    for field in _each_kind(target):
        body = target.spoiled(field, "")
        if field.kind == "text":
            target.fine(body, target.count, f"an empty {field.name!r}")
        else:
            what = f"an empty text for the {field.kind} {field.name!r}"
            target.refused(body, what, names=target.dialect.names(field))


@clause("request.wrong-shape", "must", findings.WrongRequestAnswered)
def wrong_shape(target: Target) -> None:
    """A value of another shape is refused, naming the field."""
    field = target.dialect.fields[0]
    body = target.body_of(target.dialect.misshapen(target.rows()))
    target.refused(body, f"{field.name!r} in another shape", names=target.dialect.names(field))


@clause("request.bad-json", "must", findings.WrongRequestAnswered)
def bad_json(target: Target) -> None:
    """A body that is not JSON is refused."""
    body = target.body(target.rows())
    for wrong in (b"{", b"no JSON", body[:-1], body + b" {}"):
        target.refused(wrong, f"the body …{wrong[-20:].decode(errors='replace')}")


@clause("request.bad-charset", "must", findings.WrongRequestAnswered)
def bad_charset(target: Target) -> None:
    """Bytes that are not UTF-8 are refused; UTF-16 is refused or read."""
    field = target.text_field()
    body = target.spoiled(field, "mark").replace(b"mark", b"\xff\xfe\xe9")
    target.refused(body, "a text that is not UTF-8")
    wide = target.body(target.rows()).decode().encode("utf-16")
    headers = (("Content-Type", "application/json; charset=utf-16"),)
    exchange = target.post(wide, headers)
    if exchange.status < 400:
        told = differences(target.plain, target.read(exchange, target.count, "a body in UTF-16"))
        if told and target.repeatable:
            why = f"a body in UTF-16 is misread: {told}"
            raise FailedError(findings.WrongRequestAnswered, why, exchange)


@clause("request.content-type", "should", findings.WrongRequestAnswered)
def content_type(target: Target) -> None:
    """A body that says that it is no JSON is refused."""
    body = target.body(target.rows())
    target.post(body, (("Content-Type", "no type at all"),))
    headers = (("Content-Type", "application/xml"),)
    if target.dialect.protocol != "JSON":
        target.post(body, headers)
        raise NotApplicableError("the protocol leaves the type open, and its clients send any")
    target.refused(body, "JSON that says it is XML", headers=headers)


def _each_kind(target: Target) -> list[Field]:
    return target.fields("number", "integer", "boolean", "text")


def _as_null(target: Target, field: Field, body: bytes) -> bool:
    """Return whether a row without the field is answered as one with null."""
    exchange = target.post(body)
    if exchange.status >= 400:
        return True
    rows = [target.nulled(row, field) for row in target.rows()]
    found = target.read(exchange, target.count, f"rows without {field.name!r}")
    told = differences(target.right(rows, f"null for {field.name!r}"), found)
    if told and target.repeatable:
        why = f"rows without {field.name!r} are answered otherwise than rows with null: {told}"
        raise FailedError(findings.WrongRequestAnswered, why, exchange)
    return True
