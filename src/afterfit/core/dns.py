"""Names as DNS and Kubernetes take them."""

from __future__ import annotations

import re

__all__ = ["MOST_NAME", "dns_name"]

MOST_NAME = 40
"""So that there is room for what is put behind a name: 63 characters are allowed."""


def dns_name(text: str, fallback: str = "model") -> str:
    """Return the text as a label of RFC 1035: small letters, digits and -, a letter first."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:MOST_NAME].rstrip("-") or fallback
    return name if name[0].isalpha() else f"m-{name}"
