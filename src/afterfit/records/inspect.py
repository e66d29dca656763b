"""The record of ``inspect``: what the model is, before anything is measured."""

from __future__ import annotations

from afterfit.core.model import ModelDescription
from afterfit.core.signature import Signature
from afterfit.records.record import Record


class InspectRecord(Record, frozen=True, kw_only=True, tag="inspect"):
    """What the file is, what the adapter told, and the signature of model and data together.

    ``format`` is what the bytes are; ``audited`` counts the names the audit looked up;
    ``trusted`` lists those that the user let in on purpose.
    """

    format: str
    description: ModelDescription
    signature: Signature
    audited: int = 0
    trusted: tuple[str, ...] = ()
    n_data: int = 0
    n_train: int = 0
