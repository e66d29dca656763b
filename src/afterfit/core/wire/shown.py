"""Requests and answers as a person reads them, each in one line."""

from __future__ import annotations

from typing import Any

from afterfit.core.wire.client import Exchange, Sent

__all__ = ["show_came", "show_sent"]

SHOWN = 400


def show_sent(sent: Sent) -> str:
    """Return a request in one line, without the headers of the user (they may be keys)."""
    headers = "".join(f" [{name}: {value[:80]}]" for name, value in sent.headers)
    return f"{sent.method} {sent.path}{headers} {_text(sent.body)}".strip()


def show_came(exchange: Exchange) -> str:
    """Return an answer in one line."""
    kind = exchange.header("content-type") or "no content-type"
    try:
        body: Any = exchange.content()
    except ValueError:
        body = exchange.body
    return f"{exchange.status} ({kind}) {_text(body)}".strip()


def _text(body: bytes) -> str:
    text = body[: 4 * SHOWN].decode("utf-8", "backslashreplace")
    text = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in " ".join(text.split()))
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}… ({len(body)} bytes)"
