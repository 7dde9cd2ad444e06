"""Which table speaks for a case, and what a unit says about chips it was not measured on."""

from dataclasses import replace

import numpy as np
import pytest

from ridgeline.errors import BadInput
from ridgeline.machine.chip import Chip
from ridgeline.timing.kernels.family import (
    Constant,
    Family,
    Table,
    Wanted,
    chip_cases,
    kernel_class,
    kernel_time,
    units_for,
)
from ridgeline.timing.kernels.residual import Spread
from ridgeline.timing.kernels.store import Entry, Store, content


def chip(name="H100-SXM", arch="Hopper", vendor="NVIDIA", peak=989e12, cores=132, band=3.35e12):
    return Chip(name, vendor, arch, {"bf16": peak, "fp8": 2 * peak}, 80e9, band, n_cores=cores,
                l2_bytes=50e6)


H100, H200 = chip(), chip("H200-SXM", band=4.8e12)
MADE_UP = chip("H150-SXM", band=4e12)
MI = chip("MI300X", "CDNA3", "AMD", 1307e12, 304, 5.3e12)


def form(*, bytes, peak, fastest_peak, memory_bandwidth, l2_bytes, n_cores, warm, launch, share):
    time = bytes / memory_bandwidth
    return {"seconds": launch + time / share, "floor": time}


TOY = Family("toy", (Constant("launch", 1e-6, 1e-7, 1e-4), Constant("share", 0.5, 0.1, 1.0)),
             form, lambda cases, terms: [np.log(cases["bytes"])])


def entry(target, backend, tables, kind="warp-group", vendor="NVIDIA"):
    spread = {d: Spread(np.array([]), np.array([[-2, -1, 1, 2.0]]) * w)
              for d, w in (("table", 0.1), ("architecture", 0.3))}
    return Entry("chip", target, backend, "*", "", {}, None, spread, 100,
                 extra={"tables": [t.to_json() for t in tables], "class": kind, "vendor": vendor})


def table(kernel, share, flag="", dims=(128,), rows=100):
    return Table({"kernel": kernel}, {"head_dim": dims}, rows, [2e-6, share], flag)


def store(*entries):
    return Store(content("toy", entries, ""))


BOTH = store(entry("H100-SXM", "vllm", [table("a", 0.5), table("b", 0.25, dims=(64,))]),
             entry("H100-SXM", "sglang", [table("a", 0.8)]),
             entry("H200-SXM", "vllm", [table("a", 0.9)]))


def ask(on, data, kernel="", head_dim=128.0, backend="vllm", warm=False, **more):
    wanted = Wanted({"kernel": kernel}, {"head_dim": head_dim}, measured=warm)
    cases = {"bytes": np.array([1e6, 1e9]), **chip_cases(on, "bf16")}
    return kernel_time(TOY, on, backend=backend, wanted=wanted, cases=cases, warm=warm,
                       store=data, **more)


def test_own_table_first():
    found = ask(H100, BOTH)
    assert found.distance == "table"
    assert found.seconds == pytest.approx(2e-6 + np.array([1e6, 1e9]) / 3.35e12 / 0.5)
    assert found.note == ""


def test_head_dim_picks_the_table_and_a_name_overrules_it():
    near = ask(H100, BOTH, head_dim=64.0).seconds[1]
    assert near == pytest.approx(2e-6 + 1e9 / 3.35e12 / 0.25)
    assert ask(H100, BOTH, kernel="a", head_dim=64.0).seconds[1] < near


def test_another_backend_then_chips_of_one_generation_then_all():
    assert ask(H100, BOTH, backend="trtllm").distance == "backend"
    far = ask(MADE_UP, BOTH)
    assert far.distance == "architecture"
    share = np.sqrt((2e-6 + 1e9 / 4e12 / 0.5) * (2e-6 + 1e9 / 4e12 / 0.9))
    assert far.seconds[1] == pytest.approx(share)
    assert "H100-SXM, H200-SXM" in far.note
    assert ask(MI, BOTH).distance == "pooled"


def test_farther_constants_have_wider_intervals():
    near, far = ask(H100, BOTH), ask(MADE_UP, BOTH)
    width = [np.log(np.divide(*reversed(t.interval(0.8)))) for t in (near, far)]
    assert (width[1] > width[0]).all()
    for time in (near, far):
        low, high = time.interval(0.95)
        assert (low < time.seconds).all() and (time.seconds < high).all()


def test_flagged_tables_only_reproduce_themselves():
    data = store(entry("H100-SXM", "vllm", [table("a", 0.9, flag="slow start")]),
                 entry("H100-SXM", "sglang", [table("a", 0.4)]))
    assert ask(H100, data).distance == "backend"
    again = ask(H100, data, warm=True)
    assert again.distance == "table" and again.note == "slow start"
    assert ask(H200, data, warm=True).note.endswith("H100-SXM")
    found, _ = units_for(data, H200, "vllm", Wanted({"kernel": "a"}, {}, measured=True))
    assert [u.entry.backend for u, _ in found] == ["sglang"]


def test_latencies_last_as_many_cycles_on_another_chip():
    slow = entry("H100-SXM", "vllm", [table("a", 0.5)])
    slow = replace(slow, extra={**slow.extra, "clock": 1.5e9})
    fast = replace(MADE_UP, clock=3e9)
    found = ask(fast, store(slow)).seconds
    assert found == pytest.approx(1e-6 + np.array([1e6, 1e9]) / 4e12 / 0.5)
    assert ask(MADE_UP, store(slow)).seconds[0] == pytest.approx(2e-6 + 1e6 / 4e12 / 0.5)


def test_leaving_a_chip_out():
    assert ask(H100, BOTH, skip=("H100-SXM",)).distance == "architecture"


def test_generations():
    assert kernel_class(H100) == kernel_class(H200) == "warp-group"
    data_centre = chip("B200-SXM", "Blackwell", peak=2250e12, cores=148)
    desk = chip("RTX", "Blackwell", peak=504e12, cores=188)
    assert kernel_class(data_centre) == "tensor-memory"
    assert kernel_class(replace(data_centre, architecture="Blackwell Ultra")) == "tensor-memory"
    assert kernel_class(desk) == kernel_class(chip("A100", "Ampere")) == "warp"
    assert kernel_class(MI) == "AMD CDNA3"


def test_a_chip_that_lacks_numbers():
    bare = Chip("X", "Y", "Z", {"fp16": 100e12}, 1e9, 1e11)
    cases = chip_cases(bare, "fp8")
    assert cases["peak"] == 100e12 and cases["n_cores"] == 20 and cases["l2_bytes"] > 0
    with pytest.raises(BadInput, match="no bf16"):
        chip_cases(replace(bare, peaks={"fp64": 1e12}), "bf16")


def test_sizes_that_do_not_broadcast():
    wanted = Wanted({"kernel": ""}, {})
    with pytest.raises(BadInput, match="broadcast"):
        kernel_time(TOY, H100, backend="vllm", wanted=wanted, warm=False, store=BOTH,
                    cases={"bytes": np.ones(3), **chip_cases(H100, "bf16"), "peak": np.ones(2)})
