"""The 28 items of the ML Test Score, and what in the records answers each.

Breck, Cai, Nielsen, Salib and Sculley (2017), "The ML Test Score: A Rubric for ML Production
Readiness and Technical Debt Reduction", IEEE Big Data, pages 1123 to 1132.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["ITEMS", "SECTIONS", "Item"]

Rule = Literal["findings", "record", "line", "gates", "rollback", ""]

SECTIONS: Mapping[str, str] = {
    "data": "Tests for features and data",
    "model": "Tests for model development",
    "infrastructure": "Tests for ML infrastructure",
    "monitoring": "Monitoring tests",
}


@dataclass(frozen=True)
class Item:
    """One item: ``key`` names it when somebody vouches for it.

    ``rule`` is what answers it: ``findings`` of ``step`` with these codes, which must all have
    passed; a complete ``record`` of ``step``; the whole ``line``; ``gates`` (of ``step``, or any);
    a ``rollback`` in the audit log. Without a rule only a person can vouch for it.
    """

    key: str
    section: str
    title: str
    rule: Rule = ""
    step: str = ""
    codes: tuple[str, ...] = ()


ITEMS: tuple[Item, ...] = (
    Item("schema", "data", "Feature expectations are in a schema", "record", "inspect"),
    Item("beneficial", "data", "All features are beneficial", "findings", "assess", ("A051",)),
    Item("cost", "data", "No feature costs too much"),
    Item("requirements", "data", "Features keep to meta-level requirements"),
    Item("privacy", "data", "The data pipeline has privacy controls"),
    Item("new-features", "data", "New features can be added quickly"),
    Item("feature-code", "data", "All code that makes features is tested"),
    Item("review", "model", "Every model specification is reviewed and checked in"),
    Item("proxy", "model", "Offline metrics go with what the model is for"),
    Item("tuned", "model", "All hyperparameters have been tuned"),
    Item("staleness", "model", "The effect of staleness is known"),
    Item("simpler", "model", "A simpler model is not better", "findings", "assess",
         ("A001", "A002")),
    Item("slices", "model", "Quality is sufficient on important slices", "findings", "assess",
         ("A020",)),
    Item("inclusion", "model", "The model was tested for inclusion", "findings", "assess",
         ("A022", "A023")),
    Item("reproducible", "infrastructure", "Training is reproducible"),
    Item("unit-tests", "infrastructure", "Model code is unit tested"),
    Item("integration", "infrastructure", "The whole pipeline is integration tested", "line"),
    Item("validated", "infrastructure", "Quality is validated before it serves", "gates", "assess"),
    Item("debug", "infrastructure", "A single example can be followed through the model"),
    Item("canary", "infrastructure", "A model is tried on a share before it serves"),
    Item("rollback", "infrastructure", "Serving can be rolled back", "rollback"),
    Item("dependencies", "monitoring", "Changes of dependencies are noticed"),
    Item("invariants", "monitoring", "Inputs are held to what training saw", "findings",
         "robustness", ("R006",)),
    Item("skew", "monitoring", "Training and serving compute the same", "findings", "optimize",
         ("O003",)),
    Item("stale", "monitoring", "Models are not too stale"),
    Item("stable", "monitoring", "The model is numerically stable", "findings", "robustness",
         ("R001", "R002")),
    Item("speed", "monitoring", "Speed and memory have not got worse", "gates", "loadtest"),
    Item("quality", "monitoring", "Quality on served data has not got worse"),
)  # fmt: skip
