"""How every drawing looks: sizes, and colours that become classes of the page's style sheet."""

from __future__ import annotations

from typing import Any

from afterfit.report.svg import COLOURS


def theme() -> dict[str, Any]:
    """Return the configuration of a drawing; Vega-Lite names its settings."""
    text, muted, grid = COLOURS["ink"], COLOURS["muted"], COLOURS["grid"]
    axis = {
        "labelColor": muted,
        "titleColor": muted,
        "gridColor": grid,
        "domainColor": grid,
        "tickColor": grid,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titlePadding": 8,
        "labelLimit": 170,
        "labelPadding": 5,
        "labelFlush": False,
    }
    legend = {"labelColor": text, "labelFontSize": 12, "orient": "top", "title": None}
    return {
        "background": "transparent",
        "font": "sans-serif",
        "axis": axis,
        "legend": {
            **legend,
            "labelLimit": 150,
            "columns": 2,
            "columnPadding": 28,
            "symbolStrokeWidth": 2.5,
        },
        "view": {"stroke": None},
        "padding": {"left": 16, "right": 12, "top": 4, "bottom": 4},
    }
