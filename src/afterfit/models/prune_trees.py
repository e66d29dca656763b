"""Fewer trees, or smaller ones: a forest's or a boosted model's own, written as an exact graph.

Every framework's trees are read into one table (`convert_trees`), made smaller there, and written
back into the graph of the whole model, steps before the trees included.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from msgspec.structs import replace

from afterfit.core.frame import Frame, row_count, take
from afterfit.core.signature import Signature
from afterfit.errors import AfterfitError, ModelError
from afterfit.models.convert import Converted, brief
from afterfit.models.convert_trees import Trees
from afterfit.models.decision import final_step
from afterfit.models.native import NativeModel, family
from afterfit.models.proposal import Proposal
from afterfit.models.prune_trees_choose import Chosen, choose, refit
from afterfit.models.prune_trees_graph import reaching, trees_of, with_trees
from afterfit.models.prune_trees_table import (
    averaged,
    collapse,
    cuts,
    first,
    leaves_of,
    margin,
    size,
)

__all__ = ["collapsed", "fewer_rounds", "fewer_trees", "proposals"]

LEAST_TREES = 10
"""Trees below which there is nothing to leave out."""

LEAST_LEAVES = 8
"""Leaves that are left at least; of several trees two each."""

LEAST_ROWS = 200
MOST_ROWS = 5000
"""Rows on which trees are compared, at most."""

MOST_NUMBERS = 40_000_000
"""Numbers held at once for it: rows by trees by outputs."""

_HERE = "afterfit.models.prune_trees"
_SHARES = (0.7, 0.4, 0.2, 0.1)
_LEAVES = (0.3, 0.1, 0.03)


def proposals(
    native: NativeModel, *, signature: Signature, labelled: bool, rows: int
) -> list[Proposal]:
    """Return ladders of fewer rounds, fewer trees and fewer leaves; none without trees."""
    del labelled
    if getattr(native, "own_labels", False) or signature.own_labels is True:
        return []
    try:
        trees = trees_of(native)
    except AfterfitError:
        return []
    seconds = 2.0 + 5e-6 * size(trees)
    count = len(cuts(trees))
    found: list[Proposal] = []
    if count >= LEAST_TREES:
        found += _fewer(trees, count, rows, seconds)
    if _fitted_trees(native) is not None:
        told = "the least worth splits collapsed"
        leaves = (size(trees) + len(trees.trees)) / 2
        found += [
            _proposal("leaves", share, "collapsed", (), seconds, told)
            for share in _LEAVES
            if share * leaves >= max(LEAST_LEAVES, 2 * len(trees.trees))
        ]
        if averaged(trees) and 0.1 * leaves >= 2 * len(trees.trees) >= 20 * LEAST_TREES:
            both = _proposal("leaves", 0.1, "collapsed", (), seconds, f"a fifth of trees, {told}")
            options = {**both.options, "trees": 0.2}
            found.append(replace(both, name="prune-leaves-10-trees-20", options=options))
    return found


def _fewer(trees: Trees, count: int, rows: int, seconds: float) -> list[Proposal]:
    word = "trees" if averaged(trees) else "rounds"
    found = []
    if rows >= LEAST_ROWS:
        told = f"the {word} that say together most nearly what all say, their leaves refitted"
        longer = seconds + 2e-6 * min(rows, MOST_ROWS) * len(trees.trees)
        found += [_proposal("trees", s, "fewer_trees", ("rows",), longer, told) for s in _SHARES]
    told = f"the first {word} of {count}"
    found += [_proposal("rounds", s, "fewer_rounds", (), seconds, told) for s in _SHARES]
    return found


def _proposal(
    what: str, share: float, make: str, needs: tuple[Any, ...], seconds: float, told: str
) -> Proposal:
    return Proposal(
        name=f"prune-{what}-{round(100 * share)}",
        technique="prune",
        make=f"{_HERE}:{make}",
        options={"share": share},
        needs=needs,
        seconds=seconds,
        told=f"{told} ({share:.0%})",
    )


def fewer_rounds(
    native: NativeModel, *, signature: Signature, options: dict[str, Any], **_given: Any
) -> Converted:
    """Return the model of its first rounds, or trees; ``options``: ``share`` of them."""
    try:
        trees = trees_of(native)
        places = cuts(trees)
        kept = max(1, round(float(options["share"]) * len(places)))
        made = with_trees(native, signature, first(trees, int(places[kept - 1])))
    except AfterfitError as error:
        return Converted(error=brief(error))
    word = "trees" if averaged(trees) else "rounds"
    return _noted(made, f"the first {kept:,} of {len(places):,} {word}")


def fewer_trees(
    native: NativeModel,
    *,
    signature: Signature,
    options: dict[str, Any],
    rows: Frame,
    seed: int,
    seconds: float,
    **_given: Any,
) -> Converted:
    """Return the model of the trees that keep its margin best on the rows, leaves refitted.

    ``options``: ``share`` of the trees to keep, ``refit`` (True) of their leaves.
    """
    deadline = time.monotonic() + 0.6 * seconds
    if row_count(rows) < LEAST_ROWS:
        return Converted(error=f"{row_count(rows)} rows tell no trees apart; {LEAST_ROWS} would")
    try:
        trees = trees_of(native)
        few = _sample(rows, trees, seed)
        leaves = _leaves(native, signature, trees, few, deadline)
        count = max(1, round(float(options["share"]) * len(trees.trees)))
        chosen = choose(trees, leaves, count)
        smaller = chosen.trees
        if options.get("refit", True):
            smaller = refit(chosen, [leaves[k] for k in chosen.kept], margin(trees, leaves))
        made = with_trees(native, signature, smaller)
    except AfterfitError as error:
        return Converted(error=brief(error))
    text = f"{len(chosen.kept):,} of {len(trees.trees):,} trees, chosen on {len(leaves[0]):,} rows"
    return _noted(made, text)


def collapsed(
    native: NativeModel,
    *,
    signature: Signature,
    options: dict[str, Any],
    rows: Frame,
    seed: int,
    seconds: float,
    **_given: Any,
) -> Converted:
    """Return the model with its least worth splits collapsed.

    ``options``: ``share`` of leaves to keep, and ``trees``, the share of a forest's trees (1).
    Minimal cost-complexity pruning, with what scikit-learn's trees remember of their training.
    With rows, the leaves of trees that are added up are refitted.
    """
    deadline = time.monotonic() + 0.6 * seconds
    try:
        trees = trees_of(native)
        fitted = _fitted_trees(native)
        if fitted is None:
            raise ModelError(
                "the trees do not remember the impurity of their nodes",
                fix="fit them with scikit-learn, or leave out --allow prune",
            )
        before = size(trees)
        if "trees" in options:
            trees = first(trees, max(1, round(float(options["trees"]) * len(trees.trees))))
            fitted = fitted[: len(trees.trees)]
        weights = [np.asarray(tree.weighted_n_node_samples, dtype=np.float64) for tree in fitted]
        pairs = zip(fitted, weights, strict=True)
        risks = [np.asarray(tree.impurity) * weight / weight[0] for tree, weight in pairs]
        smaller = collapse(trees, risks, weights, float(options["share"]))
        if row_count(rows) >= LEAST_ROWS and not averaged(trees) and len(trees.trees) > 1:
            few = _sample(rows, trees, seed)
            wanted = margin(trees, _leaves(native, signature, trees, few, deadline))
            chosen = Chosen(smaller, (), (1,) * len(smaller.trees))
            smaller = refit(chosen, _leaves(native, signature, smaller, few, deadline), wanted)
        made = with_trees(native, signature, smaller)
    except AfterfitError as error:
        return Converted(error=brief(error))
    return _noted(made, f"{size(smaller):,} of {before:,} nodes")


def _noted(made: Converted, note: str) -> Converted:
    return made if made.error else replace(made, notes=(note,))


def _fitted_trees(native: NativeModel) -> list[Any] | None:
    """Return scikit-learn's own trees in the order of the table, or None for other trees."""
    final = final_step(native.estimator)
    if not family(final, "sklearn") or hasattr(final, "_predictors"):
        return None
    members = getattr(final, "estimators_", None)
    flat = [final] if members is None else np.asarray(members, dtype=object).ravel().tolist()
    found = [getattr(member, "tree_", None) for member in flat]
    return None if any(tree is None for tree in found) else found


def _sample(rows: Frame, trees: Trees, seed: int) -> Frame:
    limit = max(LEAST_ROWS, min(MOST_ROWS, MOST_NUMBERS // (len(trees.trees) * trees.n_outputs)))
    count = row_count(rows)
    if count <= limit:
        return rows
    return take(rows, np.sort(np.random.default_rng(seed).choice(count, limit, replace=False)))


def _leaves(
    native: NativeModel, signature: Signature, trees: Trees, rows: Frame, deadline: float
) -> list[np.ndarray]:
    """Return each tree's leaf for each row; raises ModelError where the time is over before."""
    numbers = reaching(native, signature, trees)(rows)
    found = []
    for tree in trees.trees:
        found.append(leaves_of(tree, numbers))
        if time.monotonic() >= deadline:
            raise ModelError(
                f"the rows passed {len(found)} of {len(trees.trees)} trees in time",
                fix="give more time: --budget 600s",
            )
    return found
