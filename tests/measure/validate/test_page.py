import json

import numpy as np
from click.testing import CliRunner

from ridgeline.cli.validate import validate_command
from ridgeline.measure.validate.figure import figures_of
from ridgeline.measure.validate.page import accuracy_page
from ridgeline.measure.validate.run import FileReport, validate_files
from ridgeline.timing.constants import ENVIRONMENT
from ridgeline.truth_data import shipped_file


def test_page_holds_every_table_and_the_held_out_errors(tmp_path, monkeypatch):
    (tmp_path / "accuracy.json").write_text(json.dumps({"gemm": {
        "pooled": {"n": 10, "median_ape_pct": 17.6, "p90_ape_pct": 64.8, "bias_pct": -3.0},
        "table": {"n": 2000, "median_ape_pct": 3.2, "p90_ape_pct": 12.3, "bias_pct": 0.1,
                  "coverage80_pct": 79.9},
        "flags": [{"reason": "not a split"}]}}))
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path))
    files = [shipped_file(f"{n}.csv.xz") for n in ("grouped_gemm", "training_throughput")]
    page = accuracy_page(validate_files(files))
    lines = page.splitlines()
    seen = "| gemm | table | 2,000 | 3.2 % | 12.3 % | +0.1 % | 79.9 % |"
    pooled = "| gemm | pooled | 10 | 17.6 % | 64.8 % | -3.0 % | - |"
    assert lines.index(seen) < lines.index(pooled)
    assert "### grouped_gemm.csv.xz: 18 rows, 100.0% predicted" in lines
    assert any(line.startswith("| grouped_gemm | 18 | 38.7 % | 9.7 % |") for line in lines)
    assert any(line.startswith("### training_throughput.csv.xz: 468 rows, ") for line in lines)


def test_a_written_page_has_its_pictures_beside_it(tmp_path):
    page = tmp_path / "errors.md"
    result = CliRunner().invoke(validate_command, [
        str(shipped_file("grouped_gemm.csv.xz")), "--write", str(page)])
    assert result.exit_code == 0, result.output
    assert "![Predicted against measured: kernels](errors/kernels.svg)" in page.read_text()
    assert (tmp_path / "errors" / "kernels.svg").read_text().count("<circle") > 10


def test_two_tables_of_one_schema_have_a_figure_each():
    one = np.array([1.0, 2.0])
    reports = [FileReport(file, "serving_latency", 2, 2, (), (), {"tpot": (one, one, one)},
                          {"tpot": "s"}, ())
               for file in ("serving_latency.csv.xz", "serving_latency_partial.csv.xz")]
    assert list(figures_of(reports)) == ["serving_latency", "serving_latency_partial"]
