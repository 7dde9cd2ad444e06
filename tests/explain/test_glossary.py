import inspect

import pytest

from ridgeline.errors import UnknownName
from ridgeline.explain.glossary import glossary, term
from ridgeline.explain.listing import formulas


def test_names_are_sorted_and_symbols_unique() -> None:
    assert list(glossary()) == sorted(glossary())
    symbols = [t.symbol for t in glossary().values()]
    assert len(symbols) == len(set(symbols))


def test_no_term_is_left_over() -> None:
    used = {name for f in formulas().values() for name in inspect.signature(f).parameters}
    assert set(glossary()) <= used


def test_unknown_term_gives_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'memory_bandwidth'"):
        term("memory_bandwith")
