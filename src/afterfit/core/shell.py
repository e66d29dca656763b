"""What a person can paste: words of a command as a shell takes them."""

from __future__ import annotations

import shlex

__all__ = ["shell_word"]


def shell_word(value: object) -> str:
    """Return a value as one word of a command, quoted where a shell would read it otherwise."""
    return shlex.quote(str(value))
