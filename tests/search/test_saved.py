"""Every evaluated row on disk, whole or not at all."""

import duckdb
import pytest

from ridgeline.errors import BadInput, Infeasible
from ridgeline.questions.plan import PlanAsk, plan


def rows_of(path):
    return duckdb.sql(f"SELECT * FROM '{path}'")


def one(table, what):
    return table.aggregate(what).fetchall()[0][0]


def test_every_row_is_there(tmp_path):
    path = tmp_path / "rows.parquet"
    answer = plan(PlanAsk("Llama-3.1-8B", ("2xH100-SXM",), prompt=1000, output=200, tpot=0.03,
                          batches=(1, 8, 64), save=str(path)))
    table = rows_of(path)
    data = answer.to_dict()["answer"]
    assert len(table) == data["evaluated"]["value"]
    good = table.filter("verdict = 'meets'")
    assert len(good) == data["feasible"]["value"]
    assert one(good, "max(tpot_s)") <= 0.03
    assert {"chip", "tp", "pp", "weights", "mode", "batch", "ttft_s", "usd_per_mtok"} <= set(
        table.columns)
    modes = {m for (m,) in table.project("mode").distinct().fetchall()}
    assert modes == {"aggregated", "disaggregated"}
    best = data["best"]
    if best["mode"] == "aggregated":
        same = table.filter(f"tp = {best['tp']} AND pp = {best['pp']} AND batch = {best['batch']} "
                            "AND mode = 'aggregated'")
        assert one(same, f"min(abs(tpot_s - {best['tpot_s']}))") < 0.15 * best["tpot_s"]
    assert [p.name for p in tmp_path.iterdir()] == ["rows.parquet"]


def test_nothing_is_left_when_it_cannot_be_written(tmp_path):
    with pytest.raises(BadInput, match="cannot write"):
        plan(PlanAsk("Llama-3.1-8B", ("1xH100-SXM",), batches=(1,),
                     save=str(tmp_path / "missing" / "rows.parquet")))


def test_rows_are_kept_even_when_none_will_do(tmp_path):
    path = tmp_path / "rows.parquet"
    with pytest.raises(Infeasible):
        plan(PlanAsk("Llama-3.1-8B", ("1xH100-SXM",), tpot=1e-6, batches=(1, 2),
                     mode="aggregated", save=str(path)))
    assert len(rows_of(path)) == 4


def test_an_interrupted_sweep_leaves_nothing(tmp_path):
    def stop(what, done, whole):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plan(PlanAsk("Llama-3.1-8B", ("2xH100-SXM",), batches=(1, 2),
                     save=str(tmp_path / "rows.parquet")), stop)
    assert not list(tmp_path.iterdir())
