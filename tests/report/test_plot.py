import json
import math
import xml.etree.ElementTree as ET

import pytest

from ridgeline.errors import BadInput
from ridgeline.report.plot import (
    Axis,
    Band,
    Bar,
    Figure,
    Line,
    Scatter,
    Text,
    render_html,
    render_svg,
    write_figure,
)
from ridgeline.report.ticks import linear_ticks, tick_text, ticks

SVG = "{http://www.w3.org/2000/svg}"


def figure(**change):
    parts = {
        "title": "Predicted < measured & so on",
        "x": Axis("measured", "s", log=True), "y": Axis("predicted", "s", log=True),
        "series": (
            Scatter([1e-3, 1e-2, 1e-1], [2e-3, 1e-2, 8e-2], "gemm", hover=("a", "b<c", "d")),
            Line([1e-3, 1e-1], [1e-3, 1e-1], "equal", dash=True),
            Band([1e-3, 1e-1], [8e-4, 8e-2], [1.2e-3, 1.2e-1], "20 %"),
            Text(1e-2, 5e-2, "note"))}
    return Figure(**(parts | change))


def test_svg_is_well_formed_and_complete():
    root = ET.fromstring(render_svg(figure()))
    circles = root.findall(f".//{SVG}circle")
    assert len(circles) == 3
    assert [c.find(f"{SVG}title").text for c in circles] == ["a", "b<c", "d"]
    texts = [t.text for t in root.iter(f"{SVG}text")]
    for wanted in ("Predicted < measured & so on", "measured [s]", "predicted [s]", "gemm", "note",
                   "1 ms", "10 ms", "100 ms"):
        assert wanted in texts


def test_equal_values_lie_on_the_diagonal_of_equal_axes():
    square = figure(width=560, height=560, series=(Scatter([1.0, 10.0], [1.0, 10.0]),),
                    x=Axis(log=True, low=1.0, high=10.0), y=Axis(log=True, low=1.0, high=10.0))
    points = ET.fromstring(render_svg(square)).findall(f".//{SVG}circle")
    (x0, y0), (x1, y1) = [(float(p.get("cx")), float(p.get("cy"))) for p in points]
    assert (x0, y0) == (112.0, 560 - 62.0)
    assert (x1, y1) == (560 - 24.0, 58.0)


def test_points_without_a_place_are_counted_not_lost():
    svg = render_svg(figure(series=(Scatter([1.0, 0.0, math.nan], [1.0, 1.0, 1.0]),)))
    assert svg.count("<circle") == 1
    assert "2 points not drawn" in svg


def test_bars_stack_to_their_sum():
    def tops(stacked):
        drawn = figure(x=Axis(categories=("weights", "KV")), y=Axis("memory", "B"),
                       stacked=stacked, series=(Bar([0, 1], [3e9, 1e9], "a"),
                                                Bar([0, 1], [1e9, 1e9], "b")))
        rects = ET.fromstring(render_svg(drawn)).findall(f".//{SVG}g/{SVG}rect")
        return [(float(r.get("x")), float(r.get("y"))) for r in rects]

    stacked, beside = tops(True), tops(False)
    assert stacked[0][0] == stacked[2][0] and stacked[2][1] < stacked[0][1]
    assert beside[0][0] < beside[2][0] and beside[2][1] > beside[0][1]


def test_ticks():
    assert linear_ticks(0.0, 1.0) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert [t for _, t in ticks(Axis(unit="B/s", log=True), 1e9, 1e12)] == [
        "1 GB/s", "2 GB/s", "5 GB/s", "10 GB/s", "20 GB/s", "50 GB/s", "100 GB/s", "200 GB/s",
        "500 GB/s", "1 TB/s"]
    assert len(ticks(Axis(log=True), 1e-9, 1e15)) <= 12
    assert len(ticks(Axis(log=True), 3.1, 3.4)) >= 2
    assert tick_text(1.5e6, "token/s") == "1.5M"


@pytest.mark.parametrize("x, y", [([], []), ([1.0], [1.0]), ([0.0], [0.0]), ([math.inf], [1.0])])
@pytest.mark.parametrize("log", [True, False])
def test_degenerate_data_still_draws(x, y, log):
    drawn = figure(series=(Scatter(x, y, "few"), Line(x, y)), x=Axis(log=log), y=Axis(log=log))
    assert ET.fromstring(render_svg(drawn)) is not None


def test_plotly_form_is_json_and_log_ranges_are_exponents():
    form = figure(x=Axis("m", "s", log=True, low=1e-3, high=1.0)).to_plotly()
    again = json.loads(json.dumps(form))
    assert again["layout"]["xaxis"]["range"] == [-3.0, 0.0]
    assert again["layout"]["annotations"][0]["x"] == pytest.approx(-2.0)
    assert [t["type"] for t in again["data"]] == ["scattergl", "scatter", "scatter", "scatter"]
    plotly = pytest.importorskip("plotly.graph_objects")
    assert len(plotly.Figure(form).data) == 4


def test_files(tmp_path):
    for ending in (".svg", ".html", ".json"):
        path = write_figure(figure(), tmp_path / f"f{ending}")
        assert path.stat().st_size > 500
    assert "http://" not in render_html(figure()).replace("http://www.w3.org/2000/svg", "")
    pytest.importorskip("resvg_py")
    png = write_figure(figure(), tmp_path / "f.png").read_bytes()
    assert png[:8] == b"\x89PNG\r\n\x1a\n" and len(png) > 10_000
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f.html", "f.json", "f.png", "f.svg"]


def test_bad_requests(tmp_path):
    with pytest.raises(BadInput, match=r"\.svg, \.png, \.html or \.json"):
        write_figure(figure(), tmp_path / "f.pdf")
    with pytest.raises(BadInput, match="cannot write"):
        write_figure(figure(), tmp_path / "missing" / "f.svg")
    with pytest.raises(BadInput, match="different lengths"):
        Figure("t", series=(Line([1.0], [1.0, 2.0]),))
    assert list(tmp_path.iterdir()) == []
