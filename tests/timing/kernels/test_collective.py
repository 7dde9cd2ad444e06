"""Collectives: closed forms by hand, law 3, shapes, fallbacks, known measurements."""

import numpy as np
import pytest

from ridgeline.errors import BadInput, UnknownName
from ridgeline.machine.chip import Chip, Link
from ridgeline.timing.kernels import collective as c
from ridgeline.timing.kernels import collective_forms as f

NVLINK4 = Link("NVLink 4", 450e9, 1e-6)
NDR = Link("InfiniBand NDR", 50e9, 2e-6)
PCIE4 = Link("PCIe 4 x16", 31.5e9, 1e-6)
H100 = Chip("H100-SXM", "NVIDIA", "Hopper", {"bf16": 989e12}, 80e9, 3.35e12, domain_size=8,
            scale_up=NVLINK4, scale_out=NDR)
L40S = Chip("L40S", "NVIDIA", "Ada", {"bf16": 362e12}, 48e9, 0.864e12)
SIZES = 2.0 ** np.arange(8, 31)


def test_volumes_follow_the_ring():
    assert f.link_bytes(op="all_reduce", bytes=8.0, group=4) == pytest.approx(12.0)
    assert f.link_bytes(op="all_gather", bytes=8.0, group=4) == pytest.approx(6.0)
    assert f.link_bytes(op="send_recv", bytes=8.0, group=2) == 8.0
    assert f.least_link_bytes(op="all_reduce", bytes=8.0, group=4, in_switch=True) == 6.0


def test_formulas_agree_as_numbers_arrays_and_symbols():
    sympy = pytest.importorskip("sympy")
    s = sympy.Symbol("S", positive=True)
    p = {"launch": 2e-6, "hop": 1e-6, "fraction": 0.5, "extra": 1e-6}
    number = f.two_shot_time(bytes=1e6, group=4.0, bandwidth=4e11, p=p)
    array = f.two_shot_time(bytes=np.array([1e6]), group=np.array([4.0]), bandwidth=4e11, p=p)
    symbol = f.two_shot_time(bytes=s, group=sympy.Integer(4), bandwidth=4e11, p=p)
    assert number == pytest.approx(2e-6 + 1e-6 + 2e-6 + 1.5e6 / 2e11)
    assert float(array[0]) == pytest.approx(number)
    assert float(symbol.subs(s, 1e6)) == pytest.approx(number)


@pytest.mark.parametrize("op", f.OPS)
@pytest.mark.parametrize("backend", c.BACKENDS)
def test_never_faster_than_the_link(op, backend):
    group = np.array([2, 4, 8])[:, None]
    time = c.collective_time(H100, op=op, bytes=SIZES, group=group, link=NVLINK4,
                             backend=backend)
    least = f.least_link_bytes(op=op, bytes=SIZES, group=group, in_switch=True)
    assert time.seconds.shape == (3, len(SIZES))
    assert (time.seconds >= least / NVLINK4.bandwidth * (1 - 1e-12)).all()
    low, high = time.interval()
    assert (low < time.seconds).all() and (time.seconds < high).all()


# nccl-tests and engine timings on H100-SXM (AIConfigurator tables), microseconds.
@pytest.mark.parametrize(("op", "backend", "group", "size", "measured"), [
    ("all_reduce", "nccl", 4, 2.0**29, 2305.0), ("all_reduce", "nccl", 2, 2.0**13, 6.8),
    ("all_gather", "nccl", 4, 2.0**26, 190.1), ("all_to_all", "nccl", 8, 2.0**27, 403.9),
    ("all_reduce", "sglang", 8, 2.0**20, 13.5), ("all_reduce", "trtllm", 8, 2.0**24, 122.3),
    ("all_reduce", "vllm_eager", 4, 2.0**10, 22.3)])
def test_measured_cases_come_back(op, backend, group, size, measured):
    time = c.collective_time(H100, op=op, bytes=size, group=group, link=NVLINK4, backend=backend)
    assert time.distance == "table"
    assert float(time.seconds) * 1e6 == pytest.approx(measured, rel=0.1)


def test_an_all_gather_undoes_half_of_an_all_reduce():
    reduce = c.collective_time(H100, op="all_reduce", bytes=2.0**28, group=4, link=NVLINK4)
    gather = c.collective_time(H100, op="all_gather", bytes=2.0**28, group=4, link=NVLINK4)
    scatter = c.collective_time(H100, op="reduce_scatter", bytes=2.0**28, group=4, link=NVLINK4)
    ratio = gather.seconds + scatter.seconds
    assert float(ratio / reduce.seconds) == pytest.approx(1.0, abs=0.2)
    assert scatter.distance == "backend"


def test_a_pair_sends_as_fast_as_a_ring_runs():
    time = c.collective_time(H100, op="send_recv", bytes=2.0**30, group=2, link=NVLINK4)
    assert 0.7 * 450e9 < 2.0**30 / float(time.seconds) < 450e9


def test_a_group_of_one_takes_no_time_and_more_bytes_take_no_less():
    one = c.collective_time(H100, op="all_reduce", bytes=SIZES, group=1, link=NVLINK4)
    assert (one.seconds == 0).all()
    big = c.collective_time(H100, op="all_reduce", bytes=SIZES[SIZES >= 2**20], group=8,
                            link=NVLINK4)
    assert (np.diff(big.seconds) > 0).all()


def test_crossing_nodes_costs_more_and_is_said_to_be_assumed():
    inside = c.collective_time(H100, op="all_reduce", bytes=2.0**26, group=8, link=NVLINK4)
    across = c.collective_time(H100, op="all_reduce", bytes=2.0**26, group=16, link=NVLINK4,
                               cross_domain_link=NDR, nodes=2)
    assert float(across.seconds) > float(inside.seconds)
    assert across.distance == "physics" and across.basis == "assumed"


def test_a_card_without_tables_borrows_and_says_so():
    time = c.collective_time(L40S, op="all_reduce", bytes=2.0**26, group=4, link=PCIE4,
                             backend="vllm")
    assert time.distance == "pooled"
    assert float(time.seconds) > 1.5 * 2.0**26 / PCIE4.bandwidth


@pytest.mark.parametrize(("change", "error"), [
    ({"op": "allreduce"}, UnknownName), ({"backend": "ncll"}, UnknownName),
    ({"bytes": -1}, BadInput), ({"bytes": float("nan")}, BadInput), ({"group": 0}, BadInput),
    ({"nodes": 2}, BadInput), ({"nodes": 0}, BadInput)])
def test_nonsense_is_refused(change, error):
    good = {"op": "all_reduce", "bytes": 1e6, "group": 8, "link": NVLINK4, "backend": "nccl"}
    with pytest.raises(error):
        c.collective_time(H100, **{**good, **change})
