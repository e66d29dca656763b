"""Whether one version can answer the requests that another one takes."""

from __future__ import annotations

from afterfit.core.signature import Signature
from afterfit.errors import UsageError

__all__ = ["check_same_contract"]


def check_same_contract(primary: Signature, other: Signature, where: str) -> None:
    """Raise UsageError where clients of ``primary`` could tell by the form of an answer.

    The same columns in the same order, and the same classes: a request is read once, whoever
    answers it.
    """
    problem = _difference(primary, other)
    if problem:
        raise UsageError(
            "this version cannot answer the same requests as the primary",
            where=where,
            why=problem,
            fix="promote it, or serve it under another name",
            code="incompatible",
        )


def _difference(primary: Signature, other: Signature) -> str:
    return _outputs_differ(primary, other) or _columns_differ(primary, other)


def _outputs_differ(primary: Signature, other: Signature) -> str:
    if primary.task != other.task:
        return f"it is a {other.task} model, the primary a {primary.task} one"
    if (primary.classes, primary.positive) != (other.classes, other.positive):
        return f"its classes are {list(other.classes)}, the primary's {list(primary.classes)}"
    if primary.probabilities != other.probabilities:
        return "one of them gives probabilities and the other does not"
    return ""


def _columns_differ(primary: Signature, other: Signature) -> str:
    if primary.names != other.names:
        missing = sorted(set(primary.names) ^ set(other.names))
        return f"they differ in {', '.join(missing)}" if missing else "the order of columns differs"
    for mine, theirs in zip(primary.columns, other.columns, strict=True):
        if mine.kind != theirs.kind:
            return f"{mine.name!r} is {theirs.kind} there, and {mine.kind} in the primary"
        if mine.nullable and not theirs.nullable:
            return f"{mine.name!r} may be null in the primary, and not there"
    return ""
