"""A variant that is worth trying, and the function that makes it in the model's process."""

from __future__ import annotations

from typing import Any, Literal, Protocol

import msgspec
import numpy as np

from afterfit.core.frame import Frame
from afterfit.core.signature import Signature
from afterfit.models.convert import Converted
from afterfit.models.native import NativeModel

__all__ = ["Make", "Proposal", "Propose", "Technique"]

Technique = Literal["convert", "quantize", "prune", "distil", "recalibrate"]


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """One variant to make; nothing is made yet.

    ``make`` names the function (``module:function``, see `Make`) and ``options`` its plain values.
    ``base`` is the name of the proposal whose graph it starts from, or empty for the model itself
    (for ``quantize``: its exact graph, or the one nearest to it). ``exact`` says that it should
    answer as the model does, so it is judged by parity and not by a certificate. ``needs`` lists
    what it cannot be made without. ``seconds`` is what making it is expected to take, and ``told``
    one line for people. ``no_faster`` says why it computes as much as what it is made of: it counts
    for its size alone, whatever was timed.
    """

    name: str
    technique: Technique
    make: str
    options: dict[str, Any] = {}
    base: str = ""
    exact: bool = False
    needs: tuple[Literal["rows", "labels", "code"], ...] = ()
    seconds: float = 5.0
    told: str = ""
    no_faster: str = ""


class Propose(Protocol):
    """Run in the model's process; cheap: it looks at the model's kind and size only."""

    def __call__(
        self, native: NativeModel, *, signature: Signature, labelled: bool, rows: int
    ) -> list[Proposal]:
        """Return what is worth trying, the most promising first; empty where nothing fits.

        ``rows`` are the training rows at hand (0 without), ``labelled`` whether they have labels.
        """
        ...


class Make(Protocol):
    """Run in the model's process; it may be ended at any time and leaves nothing behind."""

    def __call__(
        self,
        native: NativeModel,
        *,
        signature: Signature,
        options: dict[str, Any],
        rows: Frame,
        target: np.ndarray | None,
        graph: Converted | None,
        seed: int,
        seconds: float,
    ) -> Converted:
        """Return the variant, or ``Converted(error=...)`` that says why there is none.

        ``rows`` are rows for training or calibration, disjoint from all that judge the variant;
        ``target`` holds their class codes (int64) or values (float64), None without labels.
        ``graph`` is the base's graph. ``seconds`` is the time there is: stop early rather than
        be ended.
        """
        ...
