"""Kept cases outside of the workspace: files that ask them again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from afterfit.core.bundle import Bundle
from afterfit.core.digest import canonical_json
from afterfit.core.shell import shell_word
from afterfit.records.robustness_cases import ExportedCases, KeptCase
from afterfit.registry.version import Version
from afterfit.store.files import os_errors, write_bytes
from afterfit.workspace.case_book import cases_of, portable

if TYPE_CHECKING:
    from afterfit.workspace.space import Workspace

__all__ = ["TESTS", "export"]

CASES, CURL, TESTS = "cases.json", "cases.sh", "test_cases.py"
PATH = "/predict"
_TESTS = '''"""What {ref} failed at, asked again: one test a case.

AFTERFIT_URL=http://127.0.0.1:8080 pytest {tests}   asks a running server (AFTERFIT_KEY: its key);
pytest {tests}   asks a version of the workspace: AFTERFIT_REF of AFTERFIT_WORKSPACE,
by default {ref} of .afterfit.
"""

from pathlib import Path

import pytest

from afterfit.testing.cases import opened_target, read_cases

EXPORTED = read_cases(Path(__file__).with_name("{cases}"))


@pytest.fixture(scope="module")
def target():
    with opened_target(EXPORTED) as found:
        yield found


@pytest.mark.parametrize("case", EXPORTED.cases, ids=lambda case: f"{{case.code}}-{{case.id}}")
def test_case(target, case):
    seen = target.replay(case)
    assert seen.holds, f"{{case.case}}: {{seen.happened}}: {{seen.message}}"
'''


def export(
    space: Workspace, version: Version, folder: Path, *, real_rows: bool
) -> tuple[KeptCase, ...]:
    """Return the cases of a version that may leave, now files: a test of them, a curl command each.

    Without ``real_rows`` a case that only real rows show is left out. Raises NotFoundError where
    the version has no cases, ForbiddenError for a folder that cannot be written.
    """
    cases = portable(cases_of(space, version), real_rows=real_rows)
    signature = Bundle(space.registry.checkout(version)).signature
    ref = f"{version.name}@{version.number}"
    found = ExportedCases(ref=ref, digest=version.digest, signature=signature, cases=cases)
    with os_errors(folder, "create"):
        folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / CASES, msgspec.json.format(canonical_json(found), indent=2) + b"\n")
    write_bytes(folder / TESTS, _TESTS.format(ref=ref, tests=TESTS, cases=CASES).encode())
    write_bytes(folder / CURL, _curls(ref, cases).encode())
    return cases


def _curls(ref: str, cases: tuple[KeptCase, ...]) -> str:
    usage = f"AFTERFIT_URL=http://127.0.0.1:8080 sh {CURL}"
    lines = ["#!/bin/sh", f"# What {ref} failed at: {usage}", ""]
    post = "curl -sS -i -X POST -H 'content-type: application/json'"
    for case in cases:
        body = shell_word(msgspec.json.encode({"rows": list(case.rows)}).decode())
        must = case.expectation.replace("_", " ")
        lines += [
            f"# {case.id} {case.code} {case.case}: {must}",
            f'{post} --data-binary {body} "$AFTERFIT_URL{PATH}"; echo',
            "",
        ]
    return "\n".join(lines)
