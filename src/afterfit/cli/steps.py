"""``afterfit inspect|assess|optimize|robustness|loadtest``: one step of the line alone."""

from __future__ import annotations

from typing import Any

import msgspec

from afterfit.cli.attack import Attack, attacked
from afterfit.cli.common import Common, opened
from afterfit.cli.load_results import Results
from afterfit.cli.loadtest import Load, is_endpoint, loaded
from afterfit.cli.lossy import Lossy
from afterfit.cli.output import Answer
from afterfit.cli.requests import Elsewhere
from afterfit.cli.sources import Tables
from afterfit.errors import UsageError
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


def assess(
    model: str, *, name: str = "", tables: Tables = NO_TABLES, common: Common = NONE
) -> Answer:
    """Measure how good the model is, with intervals, beside a baseline and beside the champion.

    Parameters
    ----------
    model
        A model file, or module:function with --code.
    name
        What the model is called; its file's name by default. The champion has the same name.

    """
    return _run("assess", model, tables, common, {"model.name": name or None})


NO_LOSSY = Lossy()


def optimize(
    model: str,
    *,
    tables: Tables = NO_TABLES,
    lossy: Lossy = NO_LOSSY,
    common: Common = NONE,
) -> Answer:
    """Make it faster, and prove that nothing was lost.

    Only variants that answer exactly as the model does are tried, unless ``--allow`` names
    techniques that may change answers; those ship only with a certificate.

    Parameters
    ----------
    model
        A model file, or module:function with --code.

    """
    return _run("optimize", model, tables, common, lossy.overrides())


NO_ATTACK = Attack()
NO_ELSEWHERE = Elsewhere()


def robustness(
    source: str,
    /,
    *,
    name: str = "",
    tables: Tables = NO_TABLES,
    attack: Attack = NO_ATTACK,
    elsewhere: Elsewhere = NO_ELSEWHERE,
    common: Common = NONE,
) -> Answer:
    """Send strange rows through the bundle that would ship, or strange requests to a server.

    With a URL every answer of the server is judged: exit 1 where a clause of level must does not
    hold. At most 2,000 requests are sent, in a minute.

    Parameters
    ----------
    source
        A model file, module:function with --code, or the URL of a running server.
    name
        What the model is called; its file's name by default. Its earlier failures are asked again.

    """
    if "://" in source:
        return attacked(source, attack, elsewhere, tables, common)
    if given := [*attack.given(), *elsewhere.given()]:
        raise UsageError(
            f"{', '.join(given)}: only for a running server",
            where=source,
            fix="afterfit robustness http://127.0.0.1:8080",
        )
    return _run("robustness", source, tables, common, {"model.name": name or None})


NO_LOAD = Load()
NO_RESULTS = Results()


def loadtest(
    endpoint: str,
    /,
    *,
    tables: Tables = NO_TABLES,
    load: Load = NO_LOAD,
    elsewhere: Elsewhere = NO_ELSEWHERE,
    results: Results = NO_RESULTS,
    common: Common = NONE,
) -> Answer:
    """Find out what a server carries, and how sure that is.

    With --slo the greatest rate is searched that holds the objective, and certified; with --at
    one rate is certified, as a gate: exit 1 where it does not hold. A version or a bundle is
    served on loopback for it. Of a model file the bundle that would ship is measured, as `ship`
    does. With --baseline it says what got faster or slower.

    Parameters
    ----------
    endpoint
        NAME@champion, the folder of a bundle, the URL of a running server, or a model file.

    """
    if is_endpoint(endpoint):
        return loaded(endpoint, load, elsewhere, results, tables, common)
    if given := [*load.given(), *elsewhere.given(), *results.given()]:
        raise UsageError(
            f"{', '.join(given)}: not for a model file, only for what serves",
            where=endpoint,
            fix="afterfit loadtest NAME@champion   # after: afterfit ship MODEL",
        )
    return _run("loadtest", endpoint, tables, common)


def _run(
    step: str, model: str, tables: Tables, common: Common, more: dict[str, Any] | None = None
) -> Answer:
    with opened(common, {**tables.overrides(), **(more or {})}, create=True) as space:
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
