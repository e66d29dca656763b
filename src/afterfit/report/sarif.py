"""Findings as SARIF 2.1.0, which code hosts show beside the change that brought them.

Only codes, messages, fixes and names of columns go in; the evidence of a finding, where rows of
data may be, stays out. Source: docs.oasis-open.org/sarif/sarif/v2.1.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from afterfit.core.digest import canonical_json, digest_of
from afterfit.core.finding import Finding
from afterfit.report.junit import Demand

__all__ = ["GATE", "sarif"]

GATE = "gate"
SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS = {"high": "error", "medium": "warning", "low": "note", "info": "note"}


def sarif(
    findings: Sequence[Finding], demands: Sequence[Demand], *, path: str, version: str
) -> bytes:
    """Return the document: demands that are not met, then issues; ``path`` is of the model.

    ``path`` is relative to the repository; ``version`` is Afterfit's own.
    """
    issues = [finding for finding in findings if finding.outcome == "issue"]
    failed = [demand for demand in demands if not demand.met]
    results = [_result(GATE, "error", f"{each.name}: {each.told}", path, each.name)
               for each in failed]  # fmt: skip
    results += [
        _result(
            each.code,
            LEVELS.get(each.severity, "warning"),
            each.message + (f" Fix: {each.fix}" if each.fix else ""),
            path,
            each.where,
        )
        for each in issues
    ]
    codes = dict.fromkeys(str(result["ruleId"]) for result in results)
    driver = {
        "name": "Afterfit",
        "version": version,
        "rules": [{"id": code, "shortDescription": {"text": _about(code)}} for code in codes],
    }
    run = {"tool": {"driver": driver}, "results": results}
    return canonical_json({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}) + b"\n"


def _about(code: str) -> str:
    return "A gate did not pass." if code == GATE else f"afterfit explain {code}"


def _result(rule: str, level: str, text: str, path: str, where: str) -> dict[str, Any]:
    place: dict[str, Any] = {
        "physicalLocation": {
            "artifactLocation": {"uri": path},
            "region": {"startLine": 1},
        }
    }
    if where:
        place["logicalLocations"] = [{"name": where, "kind": "member"}]
    return {
        "ruleId": rule,
        "level": level,
        "message": {"text": text},
        "locations": [place],
        "partialFingerprints": {"afterfit/v1": digest_of([rule, where, path])},
    }
