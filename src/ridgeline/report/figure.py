"""A figure as plain data: axes and series, with its Plotly form.

The same description becomes an SVG, a page, a PNG or a Plotly dictionary (the JSON that notebooks
and the web page draw), so a figure is defined once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ridgeline.errors import BadInput

# Okabe and Ito's palette: told apart by colour-blind readers.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999933",
           "#882255", "#44aa99")


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes:
        label: what is measured, without its unit.
        unit: SI unit of the values ("s", "B/s", "token/s", "USD", "1" or "" for none).
        log: logarithmic scale; values that are not positive are then not drawn.
        low, high: ends; None: from the data.
        categories: names of the positions 0, 1, 2, ... on a categorical axis.
    """

    label: str = ""
    unit: str = ""
    log: bool = False
    low: float | None = None
    high: float | None = None
    categories: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Label with its unit."""
        return f"{self.label} [{self.unit}]" if self.unit not in ("", "1") else self.label


@dataclass(frozen=True)
class Scatter:
    """Points; `hover` has one text a point, `size` is the diameter in pixels."""

    x: Sequence[float]
    y: Sequence[float]
    name: str = ""
    size: float = 5.0
    hover: Sequence[str] = ()
    color: str | None = None
    opacity: float = 0.7


@dataclass(frozen=True)
class Line:
    """A line through points in the given order."""

    x: Sequence[float]
    y: Sequence[float]
    name: str = ""
    width: float = 2.0
    dash: bool = False
    hover: Sequence[str] = ()
    color: str | None = None


@dataclass(frozen=True)
class Band:
    """The area between two lines over the same x: an interval."""

    x: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    name: str = ""
    color: str | None = None


@dataclass(frozen=True)
class Bar:
    """Upright bars at x; several Bar series stand side by side, or on each other when stacked."""

    x: Sequence[float]
    y: Sequence[float]
    name: str = ""
    hover: Sequence[str] = ()
    color: str | None = None


@dataclass(frozen=True)
class Text:
    """A note at a point."""

    x: float
    y: float
    text: str
    color: str = "#333333"


Series = Scatter | Line | Band | Bar | Text


@dataclass(frozen=True)
class Figure:
    """Title, two axes and any number of series.

    Raises:
        BadInput: a series whose x and y differ in length.
    """

    title: str
    x: Axis = field(default_factory=Axis)
    y: Axis = field(default_factory=Axis)
    series: tuple[Series, ...] = ()
    subtitle: str = ""
    stacked: bool = False
    width: int = 900
    height: int = 560

    def __post_init__(self) -> None:
        object.__setattr__(self, "series", tuple(self.series))
        for item in self.series:
            lengths = {len(part) for part in _columns(item)}
            if len(lengths) > 1:
                raise BadInput(f"figure {self.title!r}: series {getattr(item, 'name', '')!r} has "
                               f"columns of different lengths {sorted(lengths)}")

    def to_dict(self) -> dict[str, Any]:
        """Plain data, each series with its kind; numbers that are not finite become None."""
        return {"title": self.title, "subtitle": self.subtitle, "stacked": self.stacked,
                "x": asdict(self.x), "y": asdict(self.y),
                "series": [{"kind": type(item).__name__.lower(), **_plain(asdict(item)),
                            "color": color_of(item, i)} for i, item in enumerate(self.series)]}

    def _repr_html_(self) -> str:
        """What a notebook shows: the drawing, without script."""
        from ridgeline.report.svg import render_svg

        # Drawings of one page share its names, and each has a frame of its own.
        name = f"plot-{id(self):x}"
        return render_svg(self).replace("id='plot'", f"id='{name}'").replace(
            "url(#plot)", f"url(#{name})")

    def to_plotly(self) -> dict[str, Any]:
        """The figure as a Plotly dictionary: {"data": [...], "layout": {...}}."""
        marks = [mark for i, item in enumerate(self.series)
                 for mark in _trace(item, color_of(item, i))]
        notes = [_annotation(item, self) for item in self.series if isinstance(item, Text)]
        title = self.title + (f"<br><sub>{self.subtitle}</sub>" if self.subtitle else "")
        return {"data": marks, "layout": {
            "title": {"text": title}, "template": "plotly_white",
            "xaxis": _plotly_axis(self.x), "yaxis": _plotly_axis(self.y),
            "barmode": "stack" if self.stacked else "group", "annotations": notes,
            "width": self.width, "height": self.height}}


def color_of(item: Series, index: int) -> str:
    """The colour of a series: its own, or the palette's at its place."""
    return item.color or PALETTE[index % len(PALETTE)]


def _plain(value: Any) -> Any:
    """Lists and Python numbers for JSON."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, str) or value is None:
        return value
    if hasattr(value, "__len__"):
        return [_plain(inner) for inner in value]
    number = value.item() if hasattr(value, "item") else value
    return number if math.isfinite(number) else None


def _columns(item: Series) -> tuple[Sequence[Any], ...]:
    if isinstance(item, Text):
        return ()
    if isinstance(item, Band):
        return item.x, item.low, item.high
    hover = (item.hover,) if len(item.hover) else ()
    return (item.x, item.y, *hover)


def _trace(item: Series, color: str) -> list[dict[str, Any]]:
    """Plotly traces of one series."""
    if isinstance(item, Text):
        return []
    base: dict[str, Any] = {"name": item.name, "x": [float(v) for v in item.x],
                            "showlegend": bool(item.name)}
    if isinstance(item, Band):
        edge = {**base, "type": "scatter", "mode": "lines", "line": {"width": 0, "color": color}}
        return [{**edge, "y": [float(v) for v in item.low], "showlegend": False},
                {**edge, "y": [float(v) for v in item.high], "fill": "tonexty", "opacity": 0.3}]
    base["y"] = [float(v) for v in item.y]
    if len(item.hover):
        base["text"] = list(item.hover)
        base["hoverinfo"] = "text"
    if isinstance(item, Scatter):
        marker = {"size": item.size, "color": color, "opacity": item.opacity}
        return [{**base, "type": "scattergl", "mode": "markers", "marker": marker}]
    if isinstance(item, Bar):
        return [{**base, "type": "bar", "marker": {"color": color}}]
    line = {"width": item.width, "color": color, "dash": "dash" if item.dash else "solid"}
    return [{**base, "type": "scatter", "mode": "lines", "line": line}]


def _plotly_axis(axis: Axis) -> dict[str, Any]:
    out: dict[str, Any] = {"title": {"text": axis.title}, "type": "log" if axis.log else "linear"}
    if axis.categories:
        out |= {"tickvals": list(range(len(axis.categories))), "ticktext": list(axis.categories)}
    if axis.low is not None and axis.high is not None:
        out["range"] = [_position(axis, axis.low), _position(axis, axis.high)]
    return out


def _annotation(item: Text, figure: Figure) -> dict[str, Any]:
    return {"x": _position(figure.x, item.x), "y": _position(figure.y, item.y), "text": item.text,
            "showarrow": False, "font": {"color": item.color}}


def _position(axis: Axis, value: float) -> float:
    """Plotly places ranges and notes of log axes by exponent."""
    if axis.log and value > 0:
        return math.log10(value)
    return float(value)
