"""The formula book: complete, with units and sources, and refusing what lacks them."""

import inspect
import subprocess
import sys

import pytest

from ridgeline.errors import BadInput, UnknownName
from ridgeline.explain.book import book, entry
from ridgeline.explain.glossary import glossary
from ridgeline.explain.listing import formulas
from ridgeline.numeric import Numeric


def test_every_formula_and_every_term_is_in_the_book() -> None:
    pages = book()
    for name, function in formulas().items():
        room = name.split(".")[1]
        assert f"## {function.__name__}\n" in pages[f"{room}.md"]
        assert f"({room}.md#{function.__name__})" in pages["index.md"]
    assert all(f"| `{name}` |" in pages["glossary.md"] for name in glossary())


def test_an_entry_states_formula_units_and_source() -> None:
    from ridgeline.timing.bounds import arithmetic_intensity

    text = entry(arithmetic_intensity)
    assert "I = flop / memory_bytes" in text
    assert "| `memory_bytes` | `m` | B |" in text
    assert "Result in FLOP/B" in text and "Source: " in text
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) == len(inspect.signature(arithmetic_intensity).parameters)


def unsourced(*, flop: Numeric) -> Numeric:
    """A formula without a source.

    y = flop
    """
    return flop


def unheard_of(*, never_in_the_glossary: Numeric) -> Numeric:
    """A formula with an argument that nobody described.

    Sources: ours.
    """
    return never_in_the_glossary


def test_a_formula_without_source_or_glossary_is_refused() -> None:
    with pytest.raises(BadInput, match="unsourced states no source"):
        entry(unsourced)
    with pytest.raises(UnknownName, match="never_in_the_glossary"):
        entry(unheard_of)


def test_the_book_is_written_by_one_command(tmp_path) -> None:
    done = subprocess.run([sys.executable, "-m", "ridgeline.explain.book", str(tmp_path / "book")],
                          capture_output=True, text=True)
    assert done.returncode == 0
    assert {p.name for p in (tmp_path / "book").iterdir()} == set(book())
    assert subprocess.run([sys.executable, "-m", "ridgeline.explain.book"],
                          capture_output=True).returncode == 2
