"""Figures to files: .svg, .html and .json from here, .png with the `plots` extra.

    figure = Figure("Decode", x=Axis("batch size"), y=Axis("time", "s", log=True),
                    series=(Line([1, 2, 4], [0.01, 0.011, 0.013], "H100"),))
    write_figure(figure, "decode.svg")
"""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

from ridgeline.errors import BadInput, MissingExtra
from ridgeline.files import write_atomically
from ridgeline.report.figure import Axis, Band, Bar, Figure, Line, Scatter, Series, Text
from ridgeline.report.svg import render_svg

__all__ = ["ENDINGS", "Axis", "Band", "Bar", "Figure", "Line", "Scatter", "Series", "Text",
           "check_ending", "render_html", "render_png", "render_svg", "write_figure"]

ENDINGS = (".svg", ".png", ".html", ".json")


def check_ending(path: str | Path) -> str:
    """The ending of a figure file, refused before any work is done for it.

    Raises:
        BadInput: not one of ENDINGS.
    """
    ending = Path(path).suffix.lower()
    if ending not in ENDINGS:
        raise BadInput(f"cannot write a figure to {str(path)!r}; the name must end in "
                       + ", ".join(ENDINGS[:-1]) + f" or {ENDINGS[-1]} (Plotly figure)")
    return ending


def write_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure in the form its ending names; the file appears whole or not at all.

    Raises:
        BadInput: unknown ending or a place that cannot be written.
        MissingExtra: .png without the `plots` extra.
    """
    ending = check_ending(path)
    if ending == ".svg":
        return write_atomically(path, render_svg(figure))
    if ending == ".html":
        return write_atomically(path, render_html(figure))
    if ending == ".json":
        return write_atomically(path, json.dumps(figure.to_plotly()) + "\n")
    return write_atomically(path, render_png(figure))


def render_html(figure: Figure) -> str:
    """A page of its own with the figure inside: no script, no network."""
    return ("<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
            f"<title>{escape(figure.title)}</title>"
            "<style>body{margin:2rem;background:#fff}svg{max-width:100%;height:auto}"
            "circle:hover,rect:hover{stroke:#000}</style></head>\n<body>\n"
            f"{render_svg(figure)}</body></html>\n")


def render_png(figure: Figure, zoom: float = 2.0) -> bytes:
    """The figure as PNG, drawn from its SVG.

    Args:
        figure: what to draw.
        zoom: pixels of the image for one of the figure.

    Raises:
        MissingExtra: the renderer is not installed.
        BadInput: the system has no font to write the labels with.
    """
    try:
        import resvg_py
    except ImportError as error:
        raise MissingExtra.needed("a .png figure", "plots") from error

    def draw(svg: str) -> bytes:
        return bytes(resvg_py.svg_to_bytes(svg_string=svg, background="#ffffff", zoom=zoom,
                                           sans_serif_family="DejaVu Sans"))

    frame = "<svg xmlns='http://www.w3.org/2000/svg' width='40' height='20'>{}</svg>"
    word = "<text x='2' y='15' font-family='DejaVu Sans, Helvetica, Arial, sans-serif'>8</text>"
    if draw(frame.format(word)) == draw(frame.format("")):
        raise BadInput("no font is installed to label a .png figure (for instance DejaVu Sans); "
                       "write .svg or .html instead")
    return draw(render_svg(figure))
