"""A version's score and card, from its records, the audit log and what people vouch for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from afterfit.errors import ConflictError, InputError, UsageError
from afterfit.records.codec import Stored
from afterfit.records.ship import ShipRecord
from afterfit.registry.audit import Entry
from afterfit.registry.history import ROLLBACK
from afterfit.registry.version import Version
from afterfit.report.model_card import card_markdown, card_page
from afterfit.report.page import Page
from afterfit.report.score import Attestation, Score, score
from afterfit.report.score_items import ITEMS

if TYPE_CHECKING:
    from afterfit.workspace.space import Workspace

__all__ = ["Card", "attest", "card_of", "score_of"]

ATTEST = "attest"
MOST_DAYS = 366
"""A person's word is good for a year at most: what nobody looked at since is not known."""


def attest(
    space: Workspace, ref: str, item: str, *, why: str, days: int, today: date | None = None
) -> Attestation:
    """Return a person's word that an item is looked after, now a line of the audit log.

    It holds for every version of the model until it expires. Raises UsageError for an item that
    does not exist or a word without a reason, ConflictError where a check failed.
    """
    known = {each.key for each in ITEMS}
    if item not in known:
        raise UsageError(f"no item is called {item!r}", fix=f"one of: {', '.join(sorted(known))}")
    if not why.strip():
        raise UsageError(
            "nobody says why", fix="--why 'reviewed in merge request 12'   # what can be looked at"
        )
    if not 1 <= days <= MOST_DAYS:
        raise UsageError(f"{days} days are not between 1 and {MOST_DAYS}", fix="--days 180")
    version = space.registry.resolve(ref)
    standing = next(line for line in score_of(space, version).lines if line.item.key == item)
    if standing.standing == "failed":
        raise ConflictError(
            f"{item} failed for {version}",
            why=standing.why,
            fix="mend it: a word does not outweigh a check that failed",
        )
    expires = (today or datetime.now(UTC).date()) + timedelta(days=days)
    details = {"item": item, "expires": expires.isoformat()}
    entry = space.registry.note(
        ATTEST, who=space.who, name=version.name, why=why.strip(), details=details
    )
    return _word(entry)


def score_of(space: Workspace, version: Version, today: date | None = None) -> Score:
    """Return the ML Test Score of a version."""
    entries = space.registry.log(version.name)
    return score(
        records_of(space, version),
        _words(entries),
        today=today or datetime.now(UTC).date(),
        rolled_back=max((e.seq for e in entries if e.action == ROLLBACK), default=0),
    )


class Card(NamedTuple):
    """A model card: a page for every renderer, and Markdown as Hugging Face reads it."""

    page: Page
    markdown: str


def card_of(space: Workspace, version: Version) -> Card:
    """Return the card of a version, from its records and ``[card]`` of the configuration."""
    records, told = records_of(space, version), space.config.card
    page = card_page(version.name, version.number, version.digest, records, told)
    return Card(page, card_markdown(page, records, told))


def records_of(space: Workspace, version: Version) -> dict[str, Stored]:
    """Return the records attached to a version by step, and the last one of ``ship``."""
    records = space.evidence(version)
    for stored in space.records.list(step="ship"):
        body = stored.body
        if isinstance(body, ShipRecord) and (body.name, body.version) == (
            version.name,
            version.number,
        ):
            return {**records, "ship": stored}
    return records


def _words(entries: Iterable[Entry]) -> Iterator[Attestation]:
    return (_word(entry) for entry in entries if entry.action == ATTEST)


def _word(entry: Entry) -> Attestation:
    try:
        return Attestation(
            item=entry.details["item"],
            owner=entry.who,
            made=datetime.fromisoformat(entry.time).date(),
            expires=date.fromisoformat(entry.details["expires"]),
            why=entry.why,
            line=entry.seq,
        )
    except (KeyError, ValueError) as error:
        raise InputError(
            "a word in the audit log cannot be read",
            where=f"line {entry.seq}",
            why=repr(error),
            fix="afterfit version log",
        ) from None
