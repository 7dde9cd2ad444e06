"""Search is exact: nothing valid is faster, and what is returned is valid."""

from ridgeline.machine.parse import parse_machine
from ridgeline.model.load import load_architecture
from ridgeline.questions.train import TrainAsk, best_layout, train
from ridgeline.training.constants import shipped
from ridgeline.training.layout import Batch, Layout, broken_rules
from ridgeline.training.search import layouts, ranked


def test_every_layout_is_valid_and_ranked() -> None:
    model, cluster = load_architecture("Llama-3.1-8B"), parse_machine("32xH100-SXM")
    batch = Batch(128, 8192)
    found = ranked(model, batch, cluster, "bf16", shipped())
    assert len(found) == len(set(layouts(model, batch, cluster))) > 100
    assert all(not broken_rules(model, one, batch, 32) for _, one in found)
    assert [s for s, _ in found] == sorted(s for s, _ in found)


def test_the_best_layout_fits_and_beats_a_plain_one() -> None:
    ask = TrainAsk("Llama-3.1-8B", "32xH100-SXM", 1e11, 8192, 128 * 8192.0,
                   Layout(tp=8, dp=0))
    best = train(best_layout(ask))
    assert best["fits"] is True
    assert best.value("step_s") < train(ask).value("step_s")
