"""The public verbs: what ``afterfit.ship`` and ``afterfit.load`` are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from afterfit.config import load_config
from afterfit.core.effort import Effort
from afterfit.core.progress import SILENT, Progress
from afterfit.core.signature import Label, Task
from afterfit.runtime.embed import EmbeddedModel
from afterfit.workspace import Release, Workspace

__all__ = ["load", "ship"]


def ship(  # noqa: PLR0913 - the one call that has every option of the line
    model: Any,
    data: Any,
    target: Any = None,
    *,
    train: Any = None,
    name: str = "",
    positive: Label | None = None,
    classes: tuple[Label, ...] = (),
    threshold: float | None = None,
    task: Task | None = None,
    code: Path | str | None = None,
    gates: tuple[str, ...] | None = None,
    effort: Effort | None = None,
    seed: int | None = None,
    promote: bool = True,
    override: str | None = None,
    fresh: bool = False,
    workspace: Path | str = ".afterfit",
    progress: Progress = SILENT,
) -> Release:
    """Return the Release of a model: inspected, assessed, optimized, packaged, tested, registered.

    ``model`` is a fitted estimator in memory, a path, or ``"module:function"`` with ``code``.
    ``data`` are held-out rows (DataFrame, array or path) and ``target`` their labels or the name
    of the column that has them; ``train`` are training rows: a path, a DataFrame that has the
    same target column, or ``(rows, labels)``. ``gates`` replace those of ``afterfit.toml``.

    The version is promoted if every gate passes; otherwise ``release.verdict`` is ``stopped``.
    Shown in a notebook, a Release is its page. Raises the errors of `afterfit.errors`.
    """
    overrides = {"gates": gates, "line.effort": effort, "line.seed": seed}
    config = load_config(overrides=overrides)
    space = Workspace(workspace, config=config, progress=progress)
    release: Release = space.ship(
        model,
        data,
        target,
        train=train,
        name=name,
        promote=promote,
        override=override,
        fresh=fresh,
        code=None if code is None else Path(code),
        classes=tuple(classes),
        positive=positive,
        threshold=threshold,
        task=task,
    )
    return release


def load(ref: str, *, workspace: Path | str = ".afterfit", events: bool = True) -> EmbeddedModel:
    """Return a version to be asked in this process, as one's own web service would.

    ``ref`` is ``churn@champion``, ``churn@3`` or ``churn@DIGEST``. Its bytes are verified; rows
    are validated by the signature, and predictions become events unless ``events`` is False.
    """
    return Workspace(workspace, create=False).load(ref, events=events)
