import numpy as np
import pytest

from ridgeline.errors import BadInput
from ridgeline.measure.truth.reader import read_table
from ridgeline.measure.validate import kernels
from ridgeline.measure.validate.run import validate_table
from ridgeline.timing.kernels.result import KernelTime

HEAD = "source,gpu,backend,version,kernel,dtype,m,n,k,time_us\n"
QUANTILES = np.log([0.5, 0.8, 1.25, 2.0])


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "t.csv"
    rows = [("H100-SXM", "vllm", "bfloat16"), ("B200-SXM", "vllm", "bfloat16"),
            ("H100-SXM", "trtllm", "bfloat16"), ("H100-SXM", "vllm", "bfloat16"),
            ("No such chip", "vllm", "fp8")]
    path.write_text(HEAD + "".join(f"lab,{g},{b},1,x,{d},{2**i},64,64,10\n"
                                   for i, (g, b, d) in enumerate(rows)))
    return read_table(path)


@pytest.fixture
def calls(monkeypatch):
    seen = []

    def run(at, c):
        kernels.chip_named(at["gpu"])
        if at["backend"] == "trtllm":
            raise BadInput("no constants")
        seen.append((at["gpu"], c["m"].tolist()))
        seconds = c["m"] * 1e-5
        return KernelTime(seconds, np.broadcast_to(QUANTILES, (len(seconds), 4)), "table",
                          note="borrowed" if at["gpu"] == "B200-SXM" else "")

    monkeypatch.setitem(kernels.CALLS, "gemm", kernels.Call(("gpu", "backend", "dtype"), run))
    return seen


def test_one_call_for_each_machine_and_rows_go_back_to_their_place(table, calls):
    done = []
    prediction = kernels.predict(table, done.append)["time"]
    assert sorted(calls) == [("B200-SXM", [2.0]), ("H100-SXM", [1.0, 8.0])]
    assert prediction.value[[0, 1, 3]] == pytest.approx([1e-5, 2e-5, 8e-5])
    assert prediction.low80[0] == pytest.approx(0.8e-5)
    assert prediction.high95[3] == pytest.approx(16e-5)
    assert prediction.reason[2] == "no constants"
    assert "unknown chip 'No such chip'" in prediction.reason[4]
    assert sum(done) == 5


def test_notes_reach_the_report(table, calls):
    report = validate_table(table)
    assert report.notes == {"B200-SXM vllm: borrowed": 1}
    assert report.to_dict()["notes"] == [{"note": "B200-SXM vllm: borrowed", "rows": 1}]
    assert report.predicted == 3 and len(report.unanswered) == 2


def test_groups_cover_every_row_once(table):
    found = list(kernels.groups(table, ("gpu", "backend")))
    assert sorted(i for _, where in found for i in where.tolist()) == list(range(5))
    assert [labels["gpu"] for labels, _ in found] == [
        "B200-SXM", "H100-SXM", "H100-SXM", "No such chip"]


# Kind of table -> median error in sample that only a slip in units or columns would exceed.
WIRED = {"attention_prefill": 10, "attention_decode": 10, "collective": 10, "ep_a2a": 10,
         "gemm": 8, "grouped_gemm": 20, "elementwise": 8, "quantize": 8,
         "mla": 8, "mla_bmm": 8, "linear_attention": 8, "moe": 12, "wideep_moe": 20,
         "attention_module": 10, "attention_mixed": 6}


@pytest.mark.parametrize("kind", WIRED)
def test_shipped_tables_reach_their_kernel_model(kind):
    from ridgeline.truth_data import shipped_file

    table = read_table(shipped_file(f"{kind}.csv.xz"))
    some = table.take(np.arange(0, len(table), max(1, len(table) // 2000)))
    report = validate_table(some)
    everything = next(g for g in report.groups if g.group == "all")
    assert report.predicted >= 0.95 * len(some)
    assert everything.median_ape_pct < WIRED[kind]
    if kind != "grouped_gemm":  # too few rows, on a machine measured by nobody else
        assert everything.coverage80_pct > 60 and everything.coverage95_pct > 80
