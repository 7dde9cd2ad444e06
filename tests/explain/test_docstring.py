from ridgeline.explain.docstring import read_docstring


def documented() -> None:
    """Time of a thing that has
    a long title.

        t = a / b
          + c

    More words with x: not an argument [kg].

    Args:
        a: first, on
            two lines [B].
        b: second [B/s].
        c: no unit.
    Returns:
        time [s].
    Raises:
        nothing.
    Valid for: things
        of all sizes.
    Sources: Paper One, arXiv 1; own derivation.

    >>> 1 + 1
    2
    """


def bare() -> None: ...


def test_every_section_is_read() -> None:
    text = read_docstring(documented)
    assert text.title == "Time of a thing that has a long title"
    assert text.formula == "t = a / b + c"
    assert text.units == {"a": "B", "b": "B/s"}
    assert text.result_unit == "s"
    assert text.valid_for == "things of all sizes."
    assert text.sources == ("Paper One, arXiv 1", "own derivation")


def test_a_missing_docstring_is_empty_not_an_error() -> None:
    text = read_docstring(bare)
    assert (text.title, text.formula, text.sources, text.result_unit) == ("", "", (), "1")
