"""``afterfit inspect|assess|optimize|robustness|loadtest``: one step of the line alone."""

from __future__ import annotations

import msgspec

from afterfit.cli.common import Common, opened
from afterfit.cli.output import Answer
from afterfit.cli.sources import Tables
from afterfit.records.codec import Stored
from afterfit.report.build import record_page
from afterfit.report.text import render

NO_TABLES = Tables()
NONE = Common()


def inspect(model: str, *, tables: Tables = NO_TABLES, common: Common = NONE) -> Answer:
    """Look at a model file before loading it, and infer its signature with the data.

    Parameters
    ----------
    model
        A model file, or module:function with --code.

    """
    return _run("inspect", model, tables, common)


def assess(model: str, *, tables: Tables = NO_TABLES, common: Common = NONE) -> Answer:
    """Measure how good the model is, with intervals and beside a trivial baseline.

    Parameters
    ----------
    model
        A model file, or module:function with --code.

    """
    return _run("assess", model, tables, common)


def optimize(model: str, *, tables: Tables = NO_TABLES, common: Common = NONE) -> Answer:
    """Make it faster, and prove that nothing was lost.

    Parameters
    ----------
    model
        A model file, or module:function with --code.

    """
    return _run("optimize", model, tables, common)


def robustness(model: str, *, tables: Tables = NO_TABLES, common: Common = NONE) -> Answer:
    """Send strange rows through the bundle that would ship.

    Parameters
    ----------
    model
        A model file, or module:function with --code.

    """
    return _run("robustness", model, tables, common)


def loadtest(model: str, *, tables: Tables = NO_TABLES, common: Common = NONE) -> Answer:
    """Serve the bundle that would ship on loopback and measure its latency.

    Parameters
    ----------
    model
        A model file, or module:function with --code.

    """
    return _run("loadtest", model, tables, common)


def _run(step: str, model: str, tables: Tables, common: Common) -> Answer:
    with opened(common, tables.overrides(), create=True) as space:
        data = space.config.data
        stored: Stored = getattr(space, step)(
            model,
            data.data or None,
            data.target or None,
            train=data.train or None,
            code=tables.code,
            fresh=tables.fresh,
        )
    return Answer(msgspec.to_builtins(stored), render(record_page(stored)))
