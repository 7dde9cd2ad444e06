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
