"""Which regions lie in the United States and in the European Union.

Names are those of the providers' own lists of regions (AWS, Azure, Google Cloud; 2026). London and
Zurich are in Europe and not in the Union; regions that are not known here have no place.
"""

from __future__ import annotations

import re
from typing import Literal

__all__ = ["PLACES", "Place", "place_of_region"]

Place = Literal["us", "eu"]
PLACES: tuple[Place, ...] = ("us", "eu")

_US = re.compile(
    r"us|us-.+|(?:east|west|central|northcentral|southcentral|westcentral)us\d?|usgov.+|usdod.+"
)
_EU = re.compile(
    r"eu|eu-west-[13]|eu-central-1|eu-north-1|eu-south-[12]|eusc-de-.+"
    r"|(?:west|north)europe|germany.+|france.+|sweden.+|italynorth|spaincentral|polandcentral"
    r"|austriaeast|belgiumcentral|denmarkeast|finlandcentral"
    r"|europe-west(?:1|3|4|8|9|10|12)|europe-north[12]|europe-southwest1|europe-central2"
)


def place_of_region(region: str) -> Place | None:
    """Return where a region lies; None outside of both, and where that is not known."""
    if _US.fullmatch(region):
        return "us"
    return "eu" if _EU.fullmatch(region) else None
