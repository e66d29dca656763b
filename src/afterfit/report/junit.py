"""Checks as a JUnit file, which CI servers show as tests: the findings of a record and more."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from afterfit.core.finding import Finding
from afterfit.records.codec import Stored

__all__ = ["Demand", "junit"]

_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no place for (section 2.2, Char)."""


@dataclass(frozen=True)
class Demand:
    """Something that decides the exit code: its name, whether it was met, and a sentence."""

    name: str
    met: bool
    told: str


def junit(stored: Stored, demands: Sequence[Demand] = ()) -> bytes:
    """Return a JUnit document of a record: what was demanded, then each finding, as a test.

    Only demands that are not met fail, as only they make the command fail; a finding that could
    not be looked into is skipped, and an issue is told in its output.
    """
    body, name = stored.body, f"afterfit {stored.body.step}"
    suite = ET.Element(
        "testsuite",
        name=name,
        tests=str(len(demands) + len(body.findings)),
        failures=str(sum(not demand.met for demand in demands)),
        skipped=str(sum(finding.outcome == "skipped" for finding in body.findings)),
        errors="0",
        time=f"{stored.envelope.duration_s:.3f}",
        timestamp=stored.envelope.created,
    )
    for demand in demands:
        case = _case(suite, name, demand.name)
        tag = "system-out" if demand.met else "failure"
        _told(case, tag, demand.told)
    for finding in body.findings:
        _add(suite, name, finding)
    root = ET.Element("testsuites")
    root.append(suite)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))


def _add(suite: ET.Element, name: str, finding: Finding) -> None:
    place = f" {finding.where}" if finding.where else ""
    case = _case(suite, f"{name}.findings", f"{finding.code}{place}")
    fix = f"\nFix: {finding.fix}" if finding.fix else ""
    if finding.outcome == "skipped":
        _told(case, "skipped", finding.message + fix)
    else:
        _told(case, "system-out", f"{finding.outcome}: {finding.message}{fix}")


def _case(suite: ET.Element, group: str, name: str) -> ET.Element:
    return ET.SubElement(suite, "testcase", classname=group, name=_NO_XML.sub("?", name))


def _told(case: ET.Element, tag: str, text: str) -> None:
    text = _NO_XML.sub("?", text)
    told = ET.SubElement(case, tag)
    if tag == "system-out":
        told.text = text
    else:
        told.set("message", text)
