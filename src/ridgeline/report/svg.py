"""Draws a figure as SVG: no dependency, no script, hover texts by <title>."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from ridgeline.report.figure import Axis, Band, Bar, Figure, Line, Scatter, Series, Text, color_of
from ridgeline.report.ticks import axis_range, ticks

_FONT = "font-family='DejaVu Sans, Helvetica, Arial, sans-serif'"
_LEFT, _TOP, _BOTTOM, _RIGHT, _LEGEND = 112.0, 58.0, 62.0, 24.0, 190.0


@dataclass(frozen=True)
class _Frame:
    """The drawing area: functions from values to pixels, and its edges."""

    x: Callable[[float], float]
    y: Callable[[float], float]
    left: float
    right: float
    top: float
    bottom: float
    x_ends: tuple[float, float]
    y_ends: tuple[float, float]


def render_svg(figure: Figure) -> str:
    """The figure as the text of an SVG file."""
    frame = _frame(figure)
    body = [*_heading(figure), *_grid(figure, frame)]
    clip = (f"<clipPath id='plot'><rect x='{frame.left:g}' y='{frame.top:g}' "
            f"width='{frame.right - frame.left:g}' height='{frame.bottom - frame.top:g}'/>"
            "</clipPath>")
    body += [clip, "<g clip-path='url(#plot)'>", *_marks(figure, frame), "</g>"]
    body += [*_legend(figure, frame), *_not_drawn(figure, frame)]
    return (f"<svg xmlns='http://www.w3.org/2000/svg' width='{figure.width}' "
            f"height='{figure.height}' viewBox='0 0 {figure.width} {figure.height}' {_FONT}>\n"
            f"<title>{escape(figure.title)}</title>\n"
            f"<rect width='{figure.width}' height='{figure.height}' fill='#ffffff'/>\n"
            + "\n".join(body) + "\n</svg>\n")


def _values(item: Series) -> tuple[list[float], list[float]]:
    """All x and y values of a series."""
    if isinstance(item, Text):
        return [item.x], [item.y]
    if isinstance(item, Band):
        return list(item.x), [*item.low, *item.high]
    return list(item.x), list(item.y)


def _stack_heights(figure: Figure) -> list[float]:
    """Tops of stacked bars, so that the axis has room for them."""
    tops: dict[float, float] = {}
    for item in figure.series:
        if figure.stacked and isinstance(item, Bar):
            for x, y in zip(item.x, item.y, strict=True):
                tops[x] = tops.get(x, 0.0) + y
    return list(tops.values())


def _frame(figure: Figure) -> _Frame:
    pairs = [_values(item) for item in figure.series]
    bars = any(isinstance(item, Bar) for item in figure.series)
    xs = [v for x, _ in pairs for v in x]
    ys = [v for _, y in pairs for v in y] + _stack_heights(figure)
    if bars:
        xs += [v + side for v in xs for side in (-0.6, 0.6)]
        ys += [] if figure.y.log else [0.0]
    legend = _LEGEND if any(getattr(item, "name", "") for item in figure.series) else 0.0
    left, right = _LEFT, figure.width - _RIGHT - legend
    top, bottom = _TOP, figure.height - _BOTTOM
    x_ends, y_ends = axis_range(figure.x, xs), axis_range(figure.y, ys)
    return _Frame(_scale(figure.x, x_ends, left, right), _scale(figure.y, y_ends, bottom, top),
                  left, right, top, bottom, x_ends, y_ends)


def _scale(axis: Axis, ends: tuple[float, float], start: float,
           stop: float) -> Callable[[float], float]:
    low, high = (math.log(e) for e in ends) if axis.log else ends

    def place(value: float) -> float:
        if not math.isfinite(value) or (axis.log and value <= 0):
            return math.nan
        at = math.log(value) if axis.log else value
        return start + (at - low) / (high - low) * (stop - start)

    return place


def _text(x: float, y: float, text: str, *, size: float = 12, anchor: str = "middle",
          color: str = "#333333", extra: str = "") -> str:
    return (f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size:g}' text-anchor='{anchor}' "
            f"fill='{color}'{extra}>{escape(text)}</text>")


def _heading(figure: Figure) -> Iterator[str]:
    yield _text(_LEFT, 24, figure.title, size=16, anchor="start", extra=" font-weight='bold'")
    if figure.subtitle:
        yield _text(_LEFT, 43, figure.subtitle, anchor="start", color="#666666")


def _grid(figure: Figure, frame: _Frame) -> Iterator[str]:
    for value, label in ticks(figure.x, *frame.x_ends):
        x = frame.x(value)
        yield (f"<line x1='{x:.1f}' x2='{x:.1f}' y1='{frame.top:g}' y2='{frame.bottom:g}' "
               "stroke='#e6e6e6'/>")
        yield _text(x, frame.bottom + 18, label)
    for value, label in ticks(figure.y, *frame.y_ends):
        y = frame.y(value)
        yield (f"<line x1='{frame.left:g}' x2='{frame.right:g}' y1='{y:.1f}' y2='{y:.1f}' "
               "stroke='#e6e6e6'/>")
        yield _text(frame.left - 8, y + 4, label, anchor="end")
    yield (f"<rect x='{frame.left:g}' y='{frame.top:g}' width='{frame.right - frame.left:g}' "
           f"height='{frame.bottom - frame.top:g}' fill='none' stroke='#888888'/>")
    middle = (frame.top + frame.bottom) / 2
    yield _text((frame.left + frame.right) / 2, frame.bottom + 42, figure.x.title, size=13)
    yield _text(18, middle, figure.y.title, size=13,
                extra=f" transform='rotate(-90 18 {middle:.1f})'")


def _hover(texts: Sequence[str], index: int) -> str:
    return f"<title>{escape(texts[index])}</title>" if len(texts) else ""


def _marks(figure: Figure, frame: _Frame) -> Iterator[str]:
    """Every series in order; bars know how many stand beside them."""
    bars = [item for item in figure.series if isinstance(item, Bar)]
    base: dict[float, float] = {}
    for index, item in enumerate(figure.series):
        color = color_of(item, index)
        if isinstance(item, Text):
            yield _text(frame.x(item.x), frame.y(item.y), item.text, anchor="start", color=color)
        elif isinstance(item, Band):
            yield from _band(item, frame, color)
        elif isinstance(item, Scatter):
            yield from _points(item, frame, color)
        elif isinstance(item, Line):
            yield from _line(item, frame, color)
        else:
            place = 0 if figure.stacked else next(i for i, b in enumerate(bars) if b is item)
            share = 1 if figure.stacked else len(bars)
            yield from _bars(item, frame, color, place, share, base if figure.stacked else {})


def _points(item: Scatter, frame: _Frame, color: str) -> Iterator[str]:
    for i, (x, y) in enumerate(zip(item.x, item.y, strict=True)):
        px, py = frame.x(x), frame.y(y)
        if math.isfinite(px) and math.isfinite(py):
            yield (f"<circle cx='{px:.1f}' cy='{py:.1f}' r='{item.size / 2:g}' fill='{color}' "
                   f"fill-opacity='{item.opacity:g}'>{_hover(item.hover, i)}</circle>")


def _line(item: Line, frame: _Frame, color: str) -> Iterator[str]:
    places = [(frame.x(x), frame.y(y)) for x, y in zip(item.x, item.y, strict=True)]
    dash = " stroke-dasharray='6 4'" if item.dash else ""
    for run in _runs(places):
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in run)
        yield (f"<polyline points='{points}' fill='none' stroke='{color}' "
               f"stroke-width='{item.width:g}'{dash}>"
               + (f"<title>{escape(item.name)}</title>" if item.name else "") + "</polyline>")


def _runs(places: list[tuple[float, float]]) -> Iterator[list[tuple[float, float]]]:
    """Pieces of a line between points that cannot be drawn."""
    run: list[tuple[float, float]] = []
    for x, y in places:
        if math.isfinite(x) and math.isfinite(y):
            run.append((x, y))
        elif run:
            yield run
            run = []
    if run:
        yield run


def _band(item: Band, frame: _Frame, color: str) -> Iterator[str]:
    upper = [(frame.x(x), frame.y(y)) for x, y in zip(item.x, item.high, strict=True)]
    lower = [(frame.x(x), frame.y(y)) for x, y in zip(item.x, item.low, strict=True)]
    kept = [(u, low) for u, low in zip(upper, lower, strict=True)
            if all(math.isfinite(v) for v in (*u, *low))]
    edge = [u for u, _ in kept] + [low for _, low in reversed(kept)]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in edge)
    yield f"<polygon points='{points}' fill='{color}' fill-opacity='0.2'/>"


def _bars(item: Bar, frame: _Frame, color: str, place: int, share: int,
          base: dict[float, float]) -> Iterator[str]:
    width = 0.8 / share
    for i, (x, y) in enumerate(zip(item.x, item.y, strict=True)):
        start = base.get(x, 0.0)
        left = frame.x(x - 0.4 + place * width)
        right = frame.x(x - 0.4 + (place + 1) * width)
        foot = frame.y(start)
        foot, top = (frame.bottom if math.isnan(foot) else foot), frame.y(start + y)
        base[x] = start + y
        if math.isfinite(top):
            yield (f"<rect x='{left:.1f}' y='{min(top, foot):.1f}' width='{right - left:.1f}' "
                   f"height='{abs(foot - top):.1f}' fill='{color}'>{_hover(item.hover, i)}</rect>")


def _legend(figure: Figure, frame: _Frame) -> Iterator[str]:
    named = [(item, color_of(item, i)) for i, item in enumerate(figure.series)
             if getattr(item, "name", "")]
    for row, (item, color) in enumerate(named):
        x, y = frame.right + 14, frame.top + 12 + row * 18
        name = getattr(item, "name", "")
        short = name if len(name) <= 24 else name[:23] + "…"
        yield (f"<rect x='{x:.1f}' y='{y - 9:.1f}' width='12' height='10' fill='{color}'/>")
        yield _text(x + 18, y, short, anchor="start",
                    extra="" if short == name else f" aria-label='{escape(name, quote=True)}'")


def _not_drawn(figure: Figure, frame: _Frame) -> Iterator[str]:
    """Says how many points have no place on the axes, instead of losing them in silence."""
    lost = sum(not (math.isfinite(frame.x(x)) and math.isfinite(frame.y(y)))
               for item in figure.series if isinstance(item, Scatter)
               for x, y in zip(item.x, item.y, strict=True))
    if lost:
        note = f"{lost} points not drawn: no place on the axes"
        yield _text(frame.right, figure.height - 6, note, size=10, anchor="end", color="#999999")
