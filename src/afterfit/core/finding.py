"""A finding: one coded observation and its outcome."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import msgspec

from afterfit.core.docstring import docstring

Outcome = Literal["issue", "tip", "passed", "not_applicable", "skipped", "ignored"]
Severity = Literal["info", "low", "medium", "high"]

LABELS = ("What it does", "What it looks for", "Why it matters", "Example", "Fix")
SEVERITIES: tuple[Severity, ...] = ("info", "low", "medium", "high")


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What a check saw: ``code``, ``outcome``, where, and how to mend it.

    ``evidence`` holds plain JSON values; a finding skipped for too few rows has ``needed_n``.
    """

    code: str
    outcome: Outcome
    severity: Severity = "info"
    where: str = ""
    message: str = ""
    fix: str = ""
    evidence: dict[str, Any] = {}


class Check:
    """A kind of finding: a subclass sets ``code``, ``title``, ``severity`` and its docstring.

    The docstring is the page that ``afterfit explain CODE`` prints: a sentence, and a paragraph for
    each of `LABELS` that says something. Subclasses register themselves by their code.
    """

    code: ClassVar[str]
    title: ClassVar[str]
    severity: ClassVar[Severity] = "medium"
    registry: ClassVar[dict[str, type[Check]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Register the check; two checks with one code are a defect."""
        super().__init_subclass__(**kwargs)
        other = Check.registry.setdefault(cls.code, cls)
        if other is not cls and other.__qualname__ != cls.__qualname__:
            raise TypeError(f"{cls.code} is taken by {other.__qualname__}")

    @classmethod
    def page(cls) -> dict[str, str]:
        """Return the docstring's texts by their labels, the sentence at its head by ``""``."""
        found, label = {"": ""}, ""
        for line in docstring(cls).splitlines():
            head, colon, rest = line.strip().partition(": ")
            begins = colon and head in LABELS
            label = head if begins else label
            text = rest if begins else line.strip()
            found[label] = f"{found.get(label, '')} {text}".strip()
        return found

    @classmethod
    def issue(cls, message: str, *, where: str = "", fix: str = "", **evidence: Any) -> Finding:
        """Return a finding that something is wrong, at this check's severity."""
        return cls._make("issue", cls.severity, message, where, fix, evidence)

    @classmethod
    def tip(cls, message: str, *, where: str = "", fix: str = "", **evidence: Any) -> Finding:
        """Return a finding that something could be better."""
        return cls._make("tip", "low", message, where, fix, evidence)

    @classmethod
    def passed(cls, message: str = "", *, where: str = "", **evidence: Any) -> Finding:
        """Return a finding that the check ran and all is well."""
        return cls._make("passed", "info", message or cls.title, where, "", evidence)

    @classmethod
    def skipped(cls, message: str, *, where: str = "", fix: str = "", **evidence: Any) -> Finding:
        """Return a finding that the check did not run, and why."""
        return cls._make("skipped", "info", message, where, fix, evidence)

    @classmethod
    def not_applicable(cls, message: str, *, where: str = "", **evidence: Any) -> Finding:
        """Return a finding that the check makes no sense here, and why."""
        return cls._make("not_applicable", "info", message, where, "", evidence)

    @classmethod
    def _make(
        cls,
        outcome: Outcome,
        severity: Severity,
        message: str,
        where: str,
        fix: str,
        evidence: dict[str, Any],
    ) -> Finding:
        return Finding(
            code=cls.code,
            outcome=outcome,
            severity=severity,
            where=where,
            message=message,
            fix=fix,
            evidence=evidence,
        )
