"""The readers of model types: one for each, and none hidden behind another."""

from collections import Counter
from inspect import signature

from ridgeline.model import families
from ridgeline.model.families import (
    FAMILIES,
    gemma,
    matrix_state,
    plain,
    sparse,
    state_space,
    varied,
)
from ridgeline.model.load import load_architecture
from ridgeline.model.towers import TOWERS, borrowed, own

MODULES = (plain, varied, sparse, matrix_state, state_space, gemma)


def test_no_type_is_read_by_two_modules():
    told = Counter(kind for module in MODULES for kind in module.FAMILIES)
    assert [kind for kind, times in told.items() if times > 1] == []
    assert set(told) == set(FAMILIES)


def test_a_module_left_out_of_the_package_would_be_seen():
    named = {name for name, value in vars(families).items() if hasattr(value, "FAMILIES")}
    assert named == {module.__name__.rsplit(".", 1)[1] for module in MODULES}


def test_every_reader_takes_fields_and_a_name():
    for read in FAMILIES.values():
        assert list(signature(read).parameters) == ["f", "name"]
        assert read.__doc__


def test_no_tower_is_read_by_two_modules():
    assert not set(own.TOWERS) & set(borrowed.TOWERS)
    assert set(TOWERS) == set(own.TOWERS) | set(borrowed.TOWERS)


def test_every_part_says_what_it_is():
    said = {text for name in ("Llama-3.1-70B", "DeepSeek-V3", "rwkv-4-7b-pile", "Kimi-K3")
            for block, _ in load_architecture(name).blocks for text in block.describe()}
    assert {"grouped-query attention, 64 heads of 128, 8 KV heads",
            "latent attention, 128 heads, rank 512 + 64 rotary",
            "RWKV-4 time mixing, width 4,096", "top 8 of 256 experts of 2,048, shared ones of "
            "2,048 in all"} <= said


def test_pair_width_of_each_form_of_attention():
    assert load_architecture("Llama-3.1-70B").blocks[0][0].mixer.pair_width == 64 * 128
    assert load_architecture("DeepSeek-V3").blocks[0][0].mixer.pair_width == 128 * (192 + 128) / 2
    assert load_architecture("mamba-2.8b-hf").blocks[0][0].mixer.pair_width == 0
