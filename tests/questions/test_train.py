import pytest

from ridgeline.errors import BadInput
from ridgeline.questions.train import TrainAsk, train
from ridgeline.training.layout import Layout

KEYS = {"step_s", "tokens_per_s_per_chip", "mfu", "hfu", "bubble_share", "memory_bytes", "fits",
        "days", "usd", "mwh", "flop"}


def test_a_run() -> None:
    answer = train(TrainAsk("Llama-3.1-70B", "1024xH100-SXM", 2e12, 8192, 16e6,
                            Layout(8, 4, 0), usd_per_chip_hour=2.0))
    assert set(answer.quantities) >= KEYS
    assert answer["fits"] is True
    assert 0.35 < answer.value("mfu") < 0.6
    days, seconds = answer.value("days"), answer.value("days") * 86400
    rate = answer.value("tokens_per_s_per_chip") * 1024 * answer.value("goodput")
    assert rate * seconds == pytest.approx(2e12)
    assert answer.value("usd") == pytest.approx(days * 24 * 1024 * 2)
    assert answer.value("mwh") == pytest.approx(1024 * 0.7 * 1.2 * days * 24 / 1e3)
    assert answer.value("flop") == pytest.approx(2e12 * 6 * 70.55e9, rel=0.1)
    memory = {row[0]: row[1] for row in answer.tables[1].rows}
    assert sum(memory.values()) == pytest.approx(answer.value("memory_bytes"))


def test_recomputation_raises_hfu_over_mfu() -> None:
    answer = train(TrainAsk("Llama-3.1-8B", "8xH100-SXM", 1e11, 8192, 1e6,
                            Layout(dp=0, recompute="full")))
    assert answer.value("hfu") == pytest.approx(answer.value("mfu") * 4 / 3)


def test_what_does_not_fit_says_by_how_much() -> None:
    answer = train(TrainAsk("Llama-3.1-70B", "8xH100-SXM", 1e11, 4096, 1e6, Layout(8, 1, 0)))
    assert answer["fits"] is False
    assert "short" in str(answer["bound"])


@pytest.mark.parametrize(("layout", "says"), [
    (Layout(tp=3, pp=8, dp=2), "Nearest valid"), (Layout(8, 100, 0), "Nearest|stages|chips"),
    (Layout(schedule="gpipe"), "schedule"),
])
def test_impossible_layouts_are_refused(layout: Layout, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        train(TrainAsk("Llama-3.1-70B", "64xH100-SXM", 1e11, 8192, 2e6, layout))
