import gzip
import lzma

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.errors import BadInput
from ridgeline.measure.truth.measured import measured
from ridgeline.measure.truth.reader import read_table
from ridgeline.measure.truth.schema import SCHEMAS, detect_schema

GEMM = "source,gpu,backend,version,kernel,dtype,m,n,k,time_us,power_w\n"
ROW = "lab,H100-SXM,vllm,1,x,bfloat16,{m},4096,4096,{t},\n"


def write(folder, text, name="table.csv"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_reads_plain_gzip_and_xz_alike_whatever_the_name(tmp_path):
    text = GEMM + ROW.format(m=1, t=10.5) + ROW.format(m=2, t=11)
    raw = text.encode()
    files = [write(tmp_path, raw, "a.dat"), write(tmp_path, gzip.compress(raw), "b.csv"),
             write(tmp_path, lzma.compress(raw), "c")]
    tables = [read_table(f) for f in files]
    assert {t.schema.name for t in tables} == {"gemm"}
    for table in tables:
        assert table.columns["m"].tolist() == [1.0, 2.0]
        assert measured(table)["time"].tolist() == pytest.approx([10.5e-6, 11e-6])
    assert tables[0].ids(np.array([0])) == ["H100-SXM/vllm/bfloat16/1/4096/4096"]


def test_every_bad_row_is_named_and_the_others_kept(tmp_path):
    text = GEMM + "".join([
        ROW.format(m=1, t=10), ROW.format(m="one", t=10), ROW.format(m=1, t=10),
        "too,short\n", ROW.format(m=-4, t=10), ROW.format(m=8, t="nan"), "\n",
        ROW.format(m="", t=3), ROW.format(m="inf", t=3), ROW.format(m=16, t=12)])
    table = read_table(write(tmp_path, text))
    assert table.n_rows == 10
    assert table.row.tolist() == [1, 10]
    named = {r.row: r.reason for r in table.rejected}
    assert named == {
        2: "malformed: m 'one' is not a number", 3: "duplicate of row 1",
        4: "malformed: 2 cells instead of 11", 5: "malformed: m -4 must be positive",
        6: "malformed: time_us 'nan' is not a number",
        7: "malformed: empty line", 8: "malformed: m is empty",
        9: "malformed: m 'inf' is not a number"}


def test_repeated_measurements_are_kept_when_they_differ(tmp_path):
    text = GEMM + ROW.format(m=1, t=10) + ROW.format(m=1, t=10.1)
    assert len(read_table(write(tmp_path, text))) == 2


def test_bad_rows_are_found_across_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr("ridgeline.measure.truth.reader._CHUNK", 3)
    text = GEMM + "".join(ROW.format(m=m, t=5) for m in (1, 2, 3, 4, 2, 0, 7, 8))
    table = read_table(write(tmp_path, text))
    assert table.row.tolist() == [1, 2, 3, 4, 7, 8]
    assert [r.row for r in table.rejected] == [5, 6]


@pytest.mark.parametrize("text, message", [
    ("", "not a truth table"),
    ("a,b\n1,2\n", "not a truth table"),
    ("source,gpu,backend,dtype,m,n,time_us\n", "closest is gemm, which also needs the column k"),
    (GEMM, "a gemm table without rows"),
    (GEMM.replace("power_w", "m"), "'m' stands twice"),
    (b"\x1f\x8bbroken", "cannot read"),
    (b"\xfd7zXZ\x00broken", "cannot read"),
    (b"\xff\xfe\x00\x01", "not a text file"),
])
def test_files_that_are_no_table_give_one_line(tmp_path, text, message):
    with pytest.raises(BadInput, match=message) as caught:
        read_table(write(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_missing_file_and_folder(tmp_path):
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(BadInput, match="cannot read"):
            read_table(path)


@given(st.binary(max_size=400))
def test_random_bytes_never_raise_anything_else(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "fuzz.csv"
    path.write_bytes(data)
    with pytest.raises(BadInput):
        read_table(path)


@given(st.lists(st.text(alphabet="0123456789.eE-+ naif,\n\"x", max_size=30), max_size=8))
def test_random_rows_are_kept_or_named(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "rows.csv"
    path.write_text(GEMM + ROW.format(m=1, t=2) + "\n".join(rows), newline="")
    try:
        table = read_table(path)
    except BadInput:
        return  # an unclosed quote or a control character the csv module refuses
    assert len(table) + len(table.rejected) == table.n_rows
    assert sorted(table.row.tolist() + [r.row for r in table.rejected]) == list(
        range(1, table.n_rows + 1))


def test_each_schema_is_recognised_by_its_own_columns():
    for name, schema in SCHEMAS.items():
        columns = [*schema.required, "something", "else"]
        assert detect_schema(columns, "t.csv").name == name


def test_memory_units(tmp_path):
    head = ("source,gpu,framework,model,phase,quantity,value_gib,value_gb_as_reported,"
            "unit_as_reported\n")
    row = "s,g,f,m{n},inference,peak,{gib},{gb},\"{unit}\"\n"
    text = head + "".join([
        row.format(n=1, gib="2", gb="2", unit="GB (torch max memory / 1024^3)"),
        row.format(n=2, gib="", gb="2", unit="GB (max_memory_allocated / 1e9)"),
        row.format(n=3, gib="", gb="2", unit="GB (nvidia-smi, likely GiB)"),
        row.format(n=4, gib="", gb="OOM", unit="OOM (>80GB)")])
    values = measured(read_table(write(tmp_path, text)))["memory"]
    assert values[:3].tolist() == [2 * 2**30, 2e9, 2 * 2**30]
    assert np.isnan(values[3])
