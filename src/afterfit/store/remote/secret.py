"""Addresses without what nobody may read in a message, a log or a record."""

from __future__ import annotations

import re

__all__ = ["redacted", "without_secrets"]

_USER = re.compile(r"(?<=://)([^\s/@:]*):[^\s/]*@")
_NAMED = re.compile(
    r"(?i)\b((?:\w+[_-])?(?:password|passwd|passfile|secret|token|sig|signature|credential|"
    r"sslpassword|access_key|secret_key|account_key)(?:[_-]\w+)?)=([^&\s'\"]+)"
)


def redacted(text: str) -> str:
    """Return ``text`` with the passwords, keys and tokens of the addresses in it left out.

    >>> redacted("postgresql://ana:secret@db/team?sslpassword=x&blobs=s3://bucket")
    'postgresql://ana@db/team?sslpassword=***&blobs=s3://bucket'
    """
    return _NAMED.sub(r"\1=***", _USER.sub(r"\1@", text))


def without_secrets(url: str) -> str:
    """Return a URL that can be written down and still be used, by whom the environment lets in.

    >>> without_secrets("postgresql://ana:secret@db/team?sslpassword=x&sslmode=require")
    'postgresql://ana@db/team?sslmode=require'
    """
    address, mark, query = redacted(url).partition("?")
    kept = [pair for pair in query.split("&") if pair and not pair.endswith("=***")]
    return f"{address}{mark}{'&'.join(kept)}" if kept else address
