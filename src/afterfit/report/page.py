"""A page: typed parts that HTML, plain text, Markdown and JSON all show, none of them marked up.

A page says first what was decided, then what is wrong and how to mend it, then everything else.
Texts are plain and may be hostile (column names, class labels): each renderer escapes them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from afterfit.core.finding import Finding

Tone = Literal["", "good", "bad", "warn", "info", "muted"]
State = Literal["ran", "reused", "partial", "failed", "not_run"]

STATE_WORDS: dict[State, str] = {
    "ran": "ran",
    "reused": "reused",
    "partial": "cut short",
    "failed": "failed",
    "not_run": "not run",
}
STATE_TONES: dict[State, Tone] = {
    "ran": "good",
    "reused": "good",
    "partial": "warn",
    "failed": "bad",
    "not_run": "muted",
}


@dataclass(frozen=True)
class Cell:
    """One cell of a table: its text, what the text means (``tone``), and whether it is code."""

    text: str
    tone: Tone = ""
    code: bool = False


@dataclass(frozen=True)
class Table:
    """Rows under named columns; ``numeric`` holds the positions of the columns of numbers."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    numeric: tuple[int, ...] = ()
    note: str = ""
    kind: str = field(default="table", init=False)


@dataclass(frozen=True)
class KeyValue:
    """Names and what they are, in order."""

    items: tuple[tuple[str, Cell], ...]
    kind: str = field(default="key_value", init=False)


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    tone: Tone = ""
    kind: str = field(default="text", init=False)


@dataclass(frozen=True)
class Commands:
    """Commands to paste, each with what it does."""

    items: tuple[tuple[str, str], ...]
    kind: str = field(default="commands", init=False)


@dataclass(frozen=True)
class Range:
    """One row of an interval plot: a value from ``low`` to ``high``, of the group ``series``."""

    label: str
    series: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Intervals:
    """Values with their intervals, one row a label, series beside one another."""

    ranges: tuple[Range, ...]
    x_title: str = ""
    kind: str = field(default="intervals", init=False)


@dataclass(frozen=True)
class Heat:
    """Counts of rows by true (down) and decided (across) label; shaded by the share of the row."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    kind: str = field(default="heat", init=False)


@dataclass(frozen=True)
class Line:
    """A line through points; ``reference`` marks what the others are compared with.

    ``low`` and ``high`` are the bounds of a band around it, or empty.
    """

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    reference: bool = False
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


@dataclass(frozen=True)
class Lines:
    """Lines on common axes; ``unit_square`` fixes both axes to 0..1, ``log_y`` is for decades."""

    lines: tuple[Line, ...]
    x_title: str
    y_title: str
    unit_square: bool = False
    log_y: bool = False
    kind: str = field(default="lines", init=False)


@dataclass(frozen=True)
class Histogram:
    """Shares of two samples on the same bins.

    ``edges`` has one more entry than the shares when the bins lie on a number line; otherwise it
    is empty and ``labels`` names the bins.
    """

    title: str
    reference: tuple[float, ...]
    live: tuple[float, ...]
    edges: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()
    kind: str = field(default="histogram", init=False)


@dataclass(frozen=True)
class Bars:
    """Amounts by name, the ``chosen`` one marked."""

    names: tuple[str, ...]
    values: tuple[float, ...]
    x_title: str
    chosen: str = ""
    kind: str = field(default="bars", init=False)


@dataclass(frozen=True)
class Quantiles:
    """(quantile in 0..1, milliseconds) pairs, drawn so that the tail is as wide as the middle."""

    points: tuple[tuple[float, float], ...]
    kind: str = field(default="quantiles", init=False)


@dataclass(frozen=True)
class Dot:
    """One thing of a `Front`: its name, place, series, and the text beside it (may be empty)."""

    name: str
    x: float
    y: float
    series: str
    label: str = ""


@dataclass(frozen=True)
class Front:
    """What is given up (upwards) for what is gained (to the left), on a logarithmic x axis."""

    dots: tuple[Dot, ...]
    x_title: str
    y_title: str
    kind: str = field(default="front", init=False)


@dataclass(frozen=True)
class Stacked:
    """Amounts in parts, one bar a name; each part is its name and one amount a bar, in order."""

    names: tuple[str, ...]
    parts: tuple[tuple[str, tuple[float, ...]], ...]
    x_title: str
    kind: str = field(default="stacked", init=False)


@dataclass(frozen=True)
class Swing:
    """What a number is at both ends of one assumption, and what each end is."""

    name: str
    low: float
    high: float
    at_low: str
    at_high: str


@dataclass(frozen=True)
class Tornado:
    """Assumptions one below another, the number being ``now`` as long as none of them moves."""

    swings: tuple[Swing, ...]
    now: float
    x_title: str
    kind: str = field(default="tornado", init=False)


Drawing = Intervals | Heat | Lines | Histogram | Bars | Quantiles | Front | Stacked | Tornado


@dataclass(frozen=True)
class Chart:
    """A drawing with the sentence that says what it shows, and its numbers as a table.

    ``repeats`` says that the page has these numbers in another table already, so that plain text
    leaves the chart out.
    """

    title: str
    description: str
    drawing: Drawing
    table: Table
    repeats: bool = False
    kind: str = field(default="chart", init=False)


@dataclass(frozen=True)
class FindingList:
    """Findings of several steps with their step, the worst first; ``left_out`` are not shown."""

    items: tuple[tuple[str, Finding], ...]
    left_out: int = 0
    kind: str = field(default="findings", init=False)


@dataclass(frozen=True)
class Details:
    """Blocks that stay folded until somebody asks."""

    summary: str
    blocks: tuple[Table | FindingList | KeyValue | Text, ...]
    kind: str = field(default="details", init=False)


Block = Table | KeyValue | Text | Commands | Chart | FindingList | Details


@dataclass(frozen=True)
class Section:
    """A heading with its blocks; a section that has not run has a ``why`` and no blocks."""

    anchor: str
    title: str
    blocks: tuple[Block, ...] = ()
    state: State = "ran"
    why: str = ""


@dataclass(frozen=True)
class Figure:
    """One number of the head: what it is, the number, and how sure it is."""

    label: str
    value: str
    detail: str = ""
    tone: Tone = ""


@dataclass(frozen=True)
class StepState:
    """One step of the line and what became of it."""

    step: str
    state: State
    detail: str = ""


@dataclass(frozen=True)
class Verdict:
    """What was decided: one word, one sentence, and the gates that decided it."""

    word: str
    sentence: str
    tone: Tone
    gates: Table | None = None
    tallies: tuple[Cell, ...] = ()


@dataclass(frozen=True)
class Page:
    """Everything that a person sees, in the order of reading."""

    kind: Literal["release", "record", "monitor"]
    title: str
    subtitle: str = ""
    verdict: Verdict | None = None
    figures: tuple[Figure, ...] = ()
    steps: tuple[StepState, ...] = ()
    sections: tuple[Section, ...] = ()
    footer: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the page as plain values, for JSON; every block and drawing tells its ``kind``."""
        return asdict(self, dict_factory=_plain)


def _plain(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: _value(value) for name, value in pairs}


def _value(value: Any) -> Any:
    if isinstance(value, Finding):
        return {name: getattr(value, name) for name in value.__struct_fields__}
    if isinstance(value, list | tuple):
        return [_value(item) for item in value]
    return value
