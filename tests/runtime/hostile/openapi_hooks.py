"""What ``schemathesis`` loads by name: bodies that it cannot write itself, and one more check."""

from __future__ import annotations

import json
import re
from typing import Any

import schemathesis

# Tokens that are no JSON, and what only a stack trace has.
NEVER = re.compile(rb"[\[,:]\s*-?(NaN|Infinity)\b|Traceback|site-packages|\.py\b")


@schemathesis.serializer("application/jsonlines", "application/vnd.apache.arrow.stream")
def as_it_is(_: Any, value: Any) -> bytes:
    """The bytes of a body without a schema: hardly ever right, and never the server's end."""
    if isinstance(value, bytes):
        return value
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text.encode("utf-8", "replace")


@schemathesis.check
def safe_answer(_: Any, response: Any, case: Any) -> None:
    """No NaN and no trace leaves; only a request with a time-out can be late."""
    found = NEVER.search(response.content)
    if found is not None:
        raise AssertionError(f"the answer has {found[0]!r}")
    if response.status_code == 504:
        assert "x-request-timeout-ms" in {name.lower() for name in case.headers}
