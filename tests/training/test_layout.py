import pytest

from ridgeline.errors import BadInput
from ridgeline.model.load import load_architecture
from ridgeline.training.layout import Batch, Layout, broken_rules, check_layout, nearest_valid

LLAMA = load_architecture("Llama-3.1-70B")
BATCH = Batch(256, 8192)


def test_a_valid_layout_breaks_nothing() -> None:
    assert broken_rules(LLAMA, Layout(tp=4, pp=8, dp=2, vp=5), BATCH, 64) == []


@pytest.mark.parametrize(("layout", "says"), [
    (Layout(tp=3, dp=1), "the machine has 64"),
    (Layout(tp=5, dp=2), "attention heads do not divide by tp 5"),
    (Layout(pp=32, dp=2, vp=4), "more stages than the model's 80 layers"),
    (Layout(dp=64, micro_batch=8), "no multiple of dp 64"),
    (Layout(dp=64, ep=8), "is dense"),
    (Layout(dp=64, vp=2), "with pp 1"),
    (Layout(pp=2, dp=32, zero=3), "zero 3"),
])
def test_broken_rules_are_named(layout: Layout, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        check_layout(LLAMA, layout, BATCH, 64)


def test_the_nearest_valid_layout_is_offered_and_valid() -> None:
    close = nearest_valid(LLAMA, Layout(tp=3, pp=8, dp=2), BATCH, 64)
    assert close is not None and broken_rules(LLAMA, close, BATCH, 64) == []
    assert (close.tp, close.pp) in ((4, 8), (2, 8))
    with pytest.raises(BadInput, match="Nearest valid: tp"):
        check_layout(LLAMA, Layout(tp=3, pp=8, dp=2), BATCH, 64)
