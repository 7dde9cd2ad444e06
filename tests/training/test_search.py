"""Search is exact: nothing valid is faster, and what is returned is valid."""

import dataclasses

import numpy as np
import pytest

from ridgeline.errors import BadInput, Infeasible
from ridgeline.machine.parse import parse_machine
from ridgeline.memory.engines import device_memory
from ridgeline.model.load import load_architecture
from ridgeline.questions.train import TrainAsk, best_layout, train
from ridgeline.training.constants import shipped
from ridgeline.training.layout import Batch, Layout, broken_rules
from ridgeline.training.search import layouts, ranked

MODEL = load_architecture("Llama-3.1-8B")
CLUSTER = parse_machine("8xH100-SXM")
BATCH = Batch(8, 8192)


def ask(layout: Layout, model: str = "Llama-3.1-8B") -> TrainAsk:
    return TrainAsk(model, "8xH100-SXM", 1e11, 8192, 8 * 8192.0, layout)


def test_every_layout_is_valid_ranked_and_listed_once() -> None:
    found = ranked(MODEL, BATCH, CLUSTER, "bf16", shipped())
    every = list(layouts(MODEL, BATCH, CLUSTER))
    assert len(every) == len(set(every)) == len(found) > 100
    assert {found.layout(i) for i in range(len(found))} == set(every)
    assert all(not broken_rules(MODEL, one, BATCH, 8) for one in every)
    assert (np.diff(found.seconds) >= 0).all()


def test_layouts_cover_every_degree() -> None:
    every = list(layouts(load_architecture("Qwen3-30B-A3B"), Batch(64, 8192),
                         parse_machine("16xH100-SXM")))
    for name, least in (("tp", 4), ("pp", 4), ("dp", 4), ("cp", 4), ("ep", 4), ("vp", 3),
                        ("micro_batch", 4), ("recompute", 2), ("zero", 4)):
        assert len({getattr(one, name) for one in every}) >= least, name


@pytest.mark.parametrize("model", ["Llama-3.1-8B", "Qwen3-30B-A3B"])
def test_the_search_agrees_with_asking_train_for_every_layout(model: str) -> None:
    cluster = parse_machine("4xH100-SXM")
    architecture, batch = load_architecture(model), Batch(8, 4096)
    found = ranked(architecture, batch, cluster, "bf16", shipped())
    asked = [TrainAsk(model, "4xH100-SXM", 1e11, 4096, 8 * 4096.0, one) for one in
             map(found.layout, range(len(found)))]
    # Every layout by the question itself, one by one.
    answers = [train(one) for one in asked[::7]]
    assert [a.value("step_s") for a in answers] == pytest.approx(found.seconds[::7].tolist())
    assert [a.value("memory_bytes") for a in answers] == pytest.approx(found.memory[::7].tolist())


def test_the_best_layout_is_the_fastest_that_fits_by_brute_force() -> None:
    room = device_memory(CLUSTER.chip)
    fits = []
    for one in layouts(MODEL, BATCH, CLUSTER):
        answer = train(ask(one))
        assert answer["fits"] is bool(answer.value("memory_bytes") <= room)
        if answer["fits"]:
            fits.append(answer.value("step_s"))
    best = train(best_layout(ask(Layout(tp=8, dp=0))))
    assert best["fits"] is True
    assert best.value("step_s") == pytest.approx(min(fits))
    assert best.value("step_s") < train(ask(Layout(tp=8, dp=0))).value("step_s")


def test_the_512_chip_search_finds_a_layout() -> None:
    asked = TrainAsk("DeepSeek-V3", "512xH100-SXM", 1e12, 4096, 2048 * 4096.0)
    best = best_layout(asked)
    assert best.layout.chips == 512 and train(best)["fits"] is True


def test_a_model_that_fits_nowhere_is_infeasible() -> None:
    with pytest.raises(Infeasible, match="no layout"):
        best_layout(dataclasses.replace(ask(Layout()), model="Llama-3.1-405B"))


def test_no_layout_at_all_says_so() -> None:
    with pytest.raises((BadInput, Infeasible), match="no layout"):
        best_layout(dataclasses.replace(ask(Layout()), machine="37xH100-SXM", batch_tokens=8192.0))
