import numpy as np
import pytest

from ridgeline.measure.truth import ship
from ridgeline.measure.truth.reader import read_table

HEAD = "source,gpu,backend,version,kernel,op,dtype,m,k,time_us,power_w\n"


def table_file(folder, name, slower=1.0, rows=400):
    path = folder / name
    path.write_text(HEAD + "".join(
        f"lab,H100-SXM,vllm,1,x,scale_matrix,fp8,{m},4096,{round(m * 0.37 * slower, 4)},300\n"
        for m in range(1, rows + 1)))
    return path


def test_shipping_is_deterministic_and_can_be_read_back(tmp_path, monkeypatch):
    monkeypatch.delitem(ship.COMPACT, "quantize")
    source = table_file(tmp_path, "q.csv")
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    first, second = (ship.ship(source, tmp_path / f) for f in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()
    table = read_table(first)
    assert table.schema.name == "quantize" and len(table) == 400 and not table.rejected
    assert "power_w" not in table.columns
    assert table.columns["time_us"] == pytest.approx(read_table(source).columns["time_us"])


def test_rows_are_chosen_by_shape_whatever_their_time(tmp_path):
    fast, slow = (read_table(table_file(tmp_path, n, s)) for n, s in (("f", 1.0), ("s", 9.0)))
    kept = ship.shape_sample(fast, 100)
    assert 60 <= kept.sum() <= 140
    assert np.array_equal(kept, ship.shape_sample(slow, 100))
    assert ship.shape_sample(fast, 400).all()


def test_empty_cells_and_whole_numbers(tmp_path):
    text = ship.to_csv({"a": np.array([1.0, np.nan, 2.5]), "b": np.array(["x,y", "", "z"], object),
                        "nothing": np.array([np.nan] * 3)})
    assert text == 'a,b\n1,"x,y"\n,\n2.5,z\n'


def test_every_family_rule_exists():
    for kind in ship.COMPACT:
        assert callable(ship._rule(kind))
    assert ship._rule("wideep_moe") is None
