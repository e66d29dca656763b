"""How to ask from a shell and from Python: the page's script writes the same as people type."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["curl", "python"]


def curl(url: str, row: Mapping[str, Any], *, secured: bool) -> str:
    """Return a command for a POSIX shell; a key comes from ``$AFTERFIT_KEY``."""
    key = ' \\\n  -H "authorization: Bearer $AFTERFIT_KEY"' if secured else ""
    body = json.dumps({"rows": [dict(row)]}, ensure_ascii=False)
    kind = "-H 'content-type: application/json'"
    return f"curl -s {_quoted(url)} \\\n  {kind}{key} \\\n  --data {_quoted(body)}"


def python(url: str, row: Mapping[str, Any], *, secured: bool) -> str:
    """Return a program that needs nothing but Python."""
    key = ',\n    "authorization": "Bearer " + os.environ["AFTERFIT_KEY"]' if secured else ""
    values = [f"    {_string(name)}: {_value(value)}," for name, value in row.items()]
    lines = [
        "import json",
        *(["import os"] if secured else []),
        "import urllib.request",
        "",
        "row = {",
        *values,
        "}",
        "request = urllib.request.Request(",
        f"    {_string(url)},",
        '    json.dumps({"rows": [row]}).encode(),',
        f'    {{"content-type": "application/json"{key}}},',
        ")",
        "with urllib.request.urlopen(request) as answer:",
        '    print(json.load(answer)["predictions"])',
    ]
    return "\n".join(lines)


def _quoted(text: str) -> str:
    """Return one word of a POSIX shell, always quoted."""
    return "'" + text.replace("'", "'\\''") + "'"


def _string(text: str) -> str:
    """Return a text as JSON writes it, which Python reads alike."""
    return json.dumps(text, ensure_ascii=False)


def _value(value: Any) -> str:
    return _string(value) if isinstance(value, str) else repr(value)
