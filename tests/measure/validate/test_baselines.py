import numpy as np
import pytest

from ridgeline.measure.truth.measured import measured
from ridgeline.measure.truth.reader import read_table
from ridgeline.measure.validate.baselines import one_efficiency, roofline

HEAD = "source,gpu,backend,version,kernel,dtype,m,n,k,time_us\n"


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(HEAD + "".join(
        f"lab,{gpu},vllm,1,x,bfloat16,{m},8192,28672,{t}\n"
        for gpu, m, t in (("H100-SXM", 64, 200), ("H100-SXM", 16384, 12000),
                          ("unknown chip", 64, 1))))
    return read_table(path)


def test_roofline_by_hand(table):
    floor = roofline(table)
    # 64 x 8192 x 28672 in bf16 on an H100: memory bound, 141.6 us with the activations
    moved = 2 * (28672 * 8192 + 64 * (28672 + 8192))
    assert floor[0] == pytest.approx(moved / 3.35e12)
    assert floor[1] == pytest.approx(2 * 16384 * 8192 * 28672 / 989.4e12, rel=1e-3)
    assert np.isnan(floor[2])


def test_one_efficiency_is_the_best_single_factor(table):
    floor, seconds = roofline(table), measured(table)["time"]
    single = one_efficiency(table, floor, seconds)
    factor = np.median(seconds[:2] / floor[:2])
    assert single[:2] == pytest.approx(floor[:2] * factor)
    assert np.isnan(single[2])
