"""Measured kernels: what larger working sets add, and chips as models of a size meet them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline.catalog.loader import Catalog
from ridgeline.errors import BadInput
from ridgeline.machine.chip import Chip
from ridgeline.machine.kernels import KernelTimes, MatmulCurve, between

NEAR = MatmulCurve("q8_0", 1024, 8e6, (1, 2, 8), (4e-11, 8e-11, 2e-10))
DEEP = MatmulCurve("q8_0", 4096, 8e6, (1, 2, 8), (3e-11, 6e-11, 1.5e-10))
FAR = MatmulCurve("q8_0", 1024, 128e6, (1, 2), (7e-11, 1e-10))
KERNELS = KernelTimes("llama.cpp", (NEAR, DEEP, FAR), step=1e-5, layer=2e-6)
CHIP = Chip("box", "AMD", "x", {"fp32": 1e11}, 16e9, 2e10,
            levels=((1e6, 9e10), (1e7, 6e10), (1e9, 2e10)), kernels={"llamacpp": KERNELS})

FILE = """
name = "box"
vendor = "AMD"
architecture = "x"
source = "measured"
date = "2026-11-21"
confidence = "medium"
basis = "measured"
[peaks]
fp32 = 1e11
[memory]
bytes = 16e9
bandwidth = 2e10
levels = [[1e6, 9e10], [1e9, 2e10]]
[kernels.llamacpp]
software = "llama.cpp on 1 thread"
layer = 2e-6
[[kernels.llamacpp.matmul]]
format = "q8_0"
depth = 1024
set_bytes = 8e6
rows = [1, 2]
seconds = [4e-11, 8e-11]
[[kernels.llamacpp.attention]]
phase = "decode"
head_dim = 64
tokens = [64, 512]
seconds = [1e-10, 2e-10]
"""


def test_a_larger_working_set_adds_what_it_added_where_it_was_measured():
    held = KERNELS.holding(128e6)
    near, deep = held.matmul
    assert near.seconds[:2] == pytest.approx((7e-11, 1e-10))
    assert deep.seconds[:2] == pytest.approx((3e-11 + 3e-11, 6e-11 + 2e-11))
    assert near.seconds[2] == pytest.approx(2e-10 + 2e-11)   # as at the last rows measured
    assert {c.set_bytes for c in held.matmul} == {128e6}
    assert KERNELS.holding(1e3).matmul[0].seconds == NEAR.seconds


@settings(deadline=None)
@given(st.floats(1e3, 1e12), st.floats(1.0, 100.0))
def test_more_weights_never_make_a_kernel_faster(size, factor):
    for small, large in zip(KERNELS.holding(size).matmul, KERNELS.holding(size * factor).matmul,
                            strict=True):
        assert all(a <= b * (1 + 1e-9) for a, b in zip(small.seconds, large.seconds, strict=True))


@settings(deadline=None)
@given(st.lists(st.floats(0, 100), min_size=2, max_size=6, unique=True), st.floats(-10, 110))
def test_between_stays_between(x, at):
    x, y = sorted(x), [v * v for v in sorted(x)]
    assert min(y) - 1e-9 <= between(x, y, at) <= max(y) + 1e-9


def test_a_chip_is_as_fast_as_the_level_that_holds_the_model():
    assert CHIP.holding(1e7).memory_bandwidth == pytest.approx(6e10)
    assert CHIP.holding(1e12).memory_bandwidth == 2e10
    assert CHIP.holding(1e7).holding(1e12).memory_bandwidth == pytest.approx(6e10)
    assert CHIP.kernels_of("llamacpp").matmul[0].seconds[0] == pytest.approx(7e-11)
    assert CHIP.holding(8e6).kernels_of("llamacpp").matmul[0].seconds[0] == 4e-11
    assert CHIP.kernels_of("vllm") is None
    plain = Chip("h", "v", "a", {"fp32": 1e12}, 1e9, 1e10)
    assert plain.holding(1e6) is plain and plain.kernels_of("llamacpp") is None


def test_engines_on_pytorch_share_its_kernels():
    import dataclasses

    chip = dataclasses.replace(CHIP, kernels={"transformers": KERNELS})
    assert chip.kernels_of("vllm") and chip.kernels_of("sglang") and not chip.kernels_of("llamacpp")


def test_kernels_come_from_a_file(tmp_path):
    file = tmp_path / "box.toml"
    file.write_text(FILE)
    chip = Catalog.of([file]).chip("box")
    assert chip.levels == ((1e6, 9e10), (1e9, 2e10))
    times = chip.kernels["llamacpp"]
    assert times.layer == 2e-6 and times.formats == ("q8_0",)
    assert times.attention[0].tokens == (64, 512)


@pytest.mark.parametrize(("old", "new", "says"), [
    ("rows = [1, 2]", "rows = [2, 1]", "rise"), ("rows = [1, 2]", "rows = [1, 2, 3]", "3 rows"),
    ("rows = [1, 2]", "rows = []", "length"), ("4e-11, 8e-11", "4e-11, -8e-11", "> 0"),
    ("layer = 2e-6", "layer = -1.0", ">= 0"), ("depth = 1024", "depth = 0", ">= 1"),
    ("depth = 1024", "deep = 1024", "deep"), ('phase = "decode"', 'phase = "both"', "both"),
    ("[[1e6, 9e10], [1e9, 2e10]]", "[[1e9, 9e10], [1e6, 2e10]]", "levels must rise")])
def test_malformed_kernels_are_refused(tmp_path, old, new, says):
    file = tmp_path / "box.toml"
    file.write_text(FILE.replace(old, new))
    with pytest.raises(BadInput, match=says) as refused:
        Catalog.of([file]).chip("box")
    assert "\n" not in str(refused.value) and "box.toml" in str(refused.value)
