import csv
import json
import lzma

import numpy as np
import pytest
from click.testing import CliRunner

from ridgeline.cli.validate import validate_command
from ridgeline.errors import BadInput
from ridgeline.measure.validate import prediction as prediction_module
from ridgeline.measure.validate.prediction import Interval, Prediction, each_row
from ridgeline.measure.validate.run import validate_files
from ridgeline.truth_data import shipped_file, shipped_tables

HEAD = ("id,protocol,backend,model_path,system,mode,isl,osl,concurrency,"
        "silicon_ttft_ms,silicon_tpot_ms\n")
ROW = "{id},{protocol},vllm,m,h100_sxm,agg,{isl},128,4,{ttft},{tpot}\n"


def serving_file(folder):
    rows = [ROW.format(id=f"a{i}", protocol="dynamo" if i % 2 else "inferencex", isl=1000 + i,
                       ttft=100 + i, tpot=10) for i in range(8)]
    rows.append(ROW.format(id="bad", protocol="dynamo", isl="?", ttft=1, tpot=1))
    rows.append(rows[0])
    rows.append(ROW.format(id="empty", protocol="dynamo", isl=10, ttft="", tpot=""))
    path = folder / "anything.txt"
    path.write_text(HEAD + "".join(rows))
    return path


def fake(table, advance):
    """TTFT 10 % too high, no TPOT for every fourth row, one row refused."""
    def answer(row):
        if row["id"] == "a3":
            raise BadInput("model 'm' has no config")
        ttft = Interval(row["silicon_ttft_ms"] * 1.1e-3 if row["silicon_ttft_ms"] else 1.0)
        tpot = {} if row["id"] in ("a0", "a4") else {"tpot": Interval(0.010, 0.009, 0.011)}
        return {"ttft": ttft, **tpot}

    return each_row(table, advance, answer)


@pytest.fixture
def report(tmp_path, monkeypatch):
    monkeypatch.setattr(prediction_module, "find_predictor", lambda schema: fake)
    return validate_files([serving_file(tmp_path)], by=["system"])[0]


def test_scores_by_metric_and_group(report):
    groups = {(g.group, g.metric): g for g in report.groups}
    assert report.groups[0].group == "all"
    assert groups["all", "ttft"].n == 7
    assert groups["all", "ttft"].median_ape_pct == pytest.approx(10.0)
    assert groups["all", "tpot"].n == 5
    assert groups["all", "tpot"].coverage80_pct == 100.0
    assert groups["protocol=dynamo", "ttft"].n == 3
    assert groups["protocol=inferencex", "ttft"].n == 4
    assert groups["system=h100_sxm", "ttft"].n == 7


def test_every_row_is_scored_or_named(report):
    assert report.rows == 11 and report.predicted == 7
    assert {u.row: u.reason for u in report.unanswered} == {
        4: "model 'm' has no config", 9: "malformed: isl '?' is not a number",
        10: "duplicate of row 1", 11: "no measured value"}
    assert report.predicted + len(report.unanswered) == report.rows


def test_json_form(report):
    form = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert set(form) >= {"file", "schema", "rows", "predicted", "groups"}
    assert set(form["groups"][0]) == {"group", "metric", "n", "median_ape_pct", "p90_ape_pct",
                                      "bias_pct", "coverage80_pct", "coverage95_pct"}


def test_unknown_column_to_group_by(tmp_path):
    with pytest.raises(BadInput, match=r"no column 'colour'.*protocol"):
        validate_files([serving_file(tmp_path)], by=["colour"])


def test_a_kind_without_a_predictor_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(prediction_module, "find_predictor", lambda schema: None)
    report = validate_files([serving_file(tmp_path)])[0]
    assert report.predicted == 0
    assert report.unanswered[0].reason == "no predictor yet for serving_latency tables"


def test_training_rows_are_answered_with_the_reason():
    report = validate_files([shipped_file("training_throughput.csv.xz")])[0]
    assert report.rows == 468 and 0 < len(report.unanswered) < 100
    assert all(u.reason for u in report.unanswered)


def test_command_writes_its_files(tmp_path, monkeypatch):
    monkeypatch.setattr(prediction_module, "find_predictor", lambda schema: fake)
    source = serving_file(tmp_path)
    missing, plot = tmp_path / "u.csv", tmp_path / "p.svg"
    result = CliRunner().invoke(validate_command, [
        str(source), "--unanswered", str(missing), "--plot", str(plot), "--by", "mode"])
    assert result.exit_code == 0, result.output
    assert "protocol=dynamo" in result.output and "mode=agg" in result.output
    assert max(len(line) for line in result.output.splitlines() if "wrote" not in line) <= 100
    with missing.open() as file:
        assert [row["row"] for row in csv.DictReader(file)] == ["4", "9", "10", "11"]
    assert plot.read_text().count("<circle") == 7 + 5


def test_command_json(tmp_path, monkeypatch):
    monkeypatch.setattr(prediction_module, "find_predictor", lambda schema: fake)
    result = CliRunner().invoke(validate_command, [str(serving_file(tmp_path)), "--json"])
    form = json.loads(result.stdout)
    assert form["files"][0]["schema"] == "serving_latency"
    assert form["files"][0]["groups"][0]["group"] == "all"


def test_a_bad_figure_name_is_refused_before_any_work(tmp_path):
    result = CliRunner().invoke(validate_command, ["none.csv", "--plot", "x.pdf"])
    assert isinstance(result.exception, BadInput) and ".svg" in str(result.exception)


@pytest.mark.parametrize("option", ["--plot", "--unanswered", "--write"])
def test_a_missing_folder_is_refused_before_any_work(tmp_path, option):
    place = str(tmp_path / "none" / "out.svg")
    result = CliRunner().invoke(validate_command, ["none.csv", option, place])
    assert isinstance(result.exception, BadInput) and "no folder" in str(result.exception)


def test_put_and_refuse():
    out = Prediction.unanswered(3, "no")
    out.put(np.array([0, 2]), np.array([1.0, 2.0]))
    out.refuse(np.array([2]), "changed my mind")
    assert out.reason.tolist() == ["", "no", "changed my mind"]


def test_shipped_tables_are_small_and_whole():
    files = shipped_tables()
    assert {"serving_latency.csv.xz", "memory.csv.xz", "single_stream.csv.xz"} <= {
        f.name for f in files}
    assert sum(f.stat().st_size for f in files) <= 5.5e6
    for file in files:
        text = lzma.decompress(file.read_bytes()).decode()
        assert "deepseek_profile_data" not in text
