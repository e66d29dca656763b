"""What a PEM file holds, read far enough to know from when to when a certificate is valid."""

from __future__ import annotations

import binascii
import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

__all__ = ["Validity", "certificates", "validity_of"]

SOON = timedelta(days=14)
_BLOCK = re.compile(rb"-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----(.*?)-----END ", re.DOTALL)
_SEQUENCE, _INTEGER, _VERSION = 0x30, 0x02, 0xA0
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18


class Validity(NamedTuple):
    """From when to when, in UTC."""

    begins: datetime
    ends: datetime

    def state(self, now: datetime) -> str:
        """Return ``valid``, ``expires soon`` (14 days), ``expired`` or ``not yet valid``."""
        if now < self.begins:
            return "not yet valid"
        if now >= self.ends:
            return "expired"
        return "expires soon" if self.ends - now < SOON else "valid"


def certificates(pem: bytes) -> list[bytes]:
    """Return the certificates of a PEM file in DER; a server's own is the first."""
    found = []
    for block in _BLOCK.findall(pem):
        try:
            found.append(binascii.a2b_base64(block))
        except binascii.Error:
            continue
    return found


def validity_of(der: bytes) -> Validity:
    """Return the validity of a certificate (RFC 5280, 4.1.2.5); raises ValueError.

    The standard library shows a certificate's fields only after a handshake in which it was
    verified, and a server's own never is.
    """
    try:
        _, certificate, _ = _element(der)
        _, fields, _ = _element(certificate)
        tag, _, rest = _element(fields)
        if tag == _VERSION:
            tag, _, rest = _element(rest)
        if tag != _INTEGER:
            raise ValueError("no serial number")
        for _ in ("signature", "issuer"):
            _, _, rest = _element(rest)
        tag, validity, _ = _element(rest)
        if tag != _SEQUENCE:
            raise ValueError("no validity")
        begins_tag, begins, rest = _element(validity)
        ends_tag, ends, _ = _element(rest)
        return Validity(_time(begins_tag, begins), _time(ends_tag, ends))
    except IndexError:
        raise ValueError("the certificate ends too early") from None


def _element(data: bytes) -> tuple[int, bytes, bytes]:
    """Return tag and content of the first DER element, and what follows it."""
    tag, length, start = data[0], data[1], 2
    if length & 0x80:
        size = length & 0x7F
        length, start = int.from_bytes(data[2 : 2 + size], "big"), 2 + size
    if len(data) < start + length:
        raise IndexError
    return tag, data[start : start + length], data[start + length :]


def _time(tag: int, content: bytes) -> datetime:
    text = content.decode("ascii")
    if tag == _UTC_TIME:
        # Two digits of the year: 50 to 99 are of the last century.
        text = ("19" if text[:2] >= "50" else "20") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("not a time")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
