"""Names within a sentence: a machine, a model, a number format; and the sentence without them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from functools import lru_cache

from ridgeline.errors import RidgelineError

__all__ = ["find_format", "find_machine", "find_model"]

_WORD = re.compile(r"[^\s,;:()\"'?!]+")
_NUMBERS = {"a": 1, "an": 1, "one": 1, "single": 1, "two": 2, "four": 4, "eight": 8,
            "sixteen": 16}
_FORMATS = re.compile(r"^(?:(?:fp|bf|int|nvfp|mxfp|tf|nf|w)\d+\w*|i?q\d\w*|awq\w*|gptq\w*|ternary|"
                      r"\d{1,2}-?bits?)$", re.IGNORECASE)
_SPELLED = {"8-bit": "int8", "8bit": "int8", "4-bit": "int4", "4bit": "int4", "16-bit": "bf16",
            "16bit": "bf16", "2-bit": "q2_k", "fp4": "nvfp4", "32-bit": "fp32", "f16": "fp16"}


def find_machine(text: str) -> tuple[str | None, str]:
    """The first machine in a text ("8xH100", "eight H100s", "an A100"), and the text without it.

    >>> find_machine("prefill on 8 x H100s at batch 4")
    ('8xH100-SXM', 'prefill on   at batch 4')
    """
    found = [_with_count(text, *run) for run in _runs(text, _as_machine, longest=4)]
    if not found:
        return None, text
    # "2.7M H800 hours on 2048xH800": the mention with a count is the machine.
    start, end, name, count = next((f for f in found if f[3]), found[0])
    return f"{count}x{name}" if count and count != "1" else name, (
        text[:start] + " " + text[end:])


def _with_count(text: str, start: int, end: int, name: str, count: str
                ) -> tuple[int, int, str, str]:
    """A chip with the number of them that stands before it, in digits or as a word."""
    before = text[:start].rstrip()
    word = re.search(r"(?<![\w.,])(\d{1,7})\s*[x×*]?$|\b([a-z]+)$", before, re.IGNORECASE)
    if word and not count:
        number = word[1] or str(_NUMBERS.get(word[2].lower(), ""))
        if number:
            return word.start(), end, name, number
    return start, end, name, count


def find_model(text: str) -> tuple[str | None, str]:
    """The first known model in a text, and the text without it.

    >>> find_model("Llama-3-70B weights take 140 GB")[0]
    'meta-llama/Meta-Llama-3-70B'
    """
    for start, end, name, _ in _runs(text, _as_model, longest=4):
        return name, text[:start] + " " + text[end:]
    return None, text


def find_format(text: str) -> tuple[str | None, str]:
    """The first number format in a text, and the text without it.

    >>> find_format("70B in FP8 on one card")[0]
    'fp8'
    """
    from ridgeline.formats import get_format

    for match in _WORD.finditer(text):
        word = match[0].strip(".")
        if not _FORMATS.match(word):
            continue
        try:
            found = get_format(_SPELLED.get(word.lower(), word)).name
        except RidgelineError:
            continue
        return found, text[:match.start()] + " " + text[match.end():]
    return None, text


def _runs(text: str, read: Callable[[str], tuple[str, str] | None], *, longest: int
          ) -> Iterator[tuple[int, int, str, str]]:
    """(start, end, name, count) of runs of words that a reader knows, the longest at each place."""
    words = list(_WORD.finditer(text))
    for first in range(len(words)):
        for size in range(min(longest, len(words) - first), 0, -1):
            run = words[first:first + size]
            piece = text[run[0].start():run[-1].end()].rstrip(".")
            found = read(piece)
            if found and not _amount_at(text, run[0].start(), run[0].start() + len(piece)):
                yield run[0].start(), run[0].start() + len(piece), found[0], found[1]
                break


# Bare numbers are chips ("on 4090") where a chip is expected and no unit follows.
_EXPECTED = re.compile(r"(?:^|\b(?:on|a|an|the|one|single|two|four|eight|RTX|GTX)|\d\s?[x×*])\s*$",
                       re.IGNORECASE)
_UNIT_NEXT = re.compile(r"^\s?(?:tok|ms|us|s\b|[kMGTP]?i?B\b|%|FLOP|T?FLOP|/|users|requests|param)")


def _amount_at(text: str, start: int, end: int) -> bool:
    """Whether a run of bare digits is a number and no name."""
    if not re.fullmatch(r"[\d.,]+", text[start:end]):
        return False
    return bool(_UNIT_NEXT.match(text[end:])) or not _EXPECTED.search(text[:start])


def _as_machine(piece: str) -> tuple[str, str] | None:
    """(chip, count) when the words spell a chip, a count before it allowed."""
    counted = re.match(r"^((?:\d+\s?[x×*]\s?){0,2})(.+)$", piece, re.IGNORECASE)
    if counted is None:
        return None
    count = re.sub(r"\s|[x×*]\s?$", "", counted[1].strip()) if counted[1] else ""
    count = re.sub(r"[×*]", "x", count)
    for name in (counted[2], counted[2].removesuffix("s"), counted[2].removesuffix("'s")):
        known = _chips(os.environ.get("RIDGELINE_CATALOG", "")).get(_key(name))
        if known:
            return known, count
    return None


def _key(name: str) -> str:
    from ridgeline.catalog.names import key_of

    return key_of(name) if re.search(r"\d", name) else ""


@lru_cache(maxsize=4)
def _chips(extra: str) -> dict[str, str]:
    """Every spelling of every chip, by key; `extra` names the user's own catalog."""
    from ridgeline.catalog.files import DATA, read_index
    from ridgeline.catalog.loader import default_catalog
    from ridgeline.catalog.names import key_of

    index = read_index(DATA / "chips")
    known = {key_of(spelling): name for spelling, name in index["names"].items()}
    known |= {key_of(name): name for name in default_catalog().names("chips")}
    return {key: name for key, name in known.items() if len(key) > 1}


def _as_model(piece: str) -> tuple[str, str] | None:
    """(repository name, "") when the words spell a bundled model."""
    from ridgeline.model.load import bundled_models, load_architecture

    if not re.search(r"[A-Za-z]", piece) or not re.search(r"\d|gpt-oss", piece, re.IGNORECASE) \
            or re.fullmatch(r"[\d.]+\s?[A-Za-z]{1,3}", piece) or "/s" in piece:
        return None
    if piece[0] in "./~" and piece not in bundled_models():
        return None
    if len(_letters(piece)) < 4:
        return None
    try:
        return (load_architecture(piece).name, "") if _known_model(piece) else None
    except RidgelineError:
        return None


def _letters(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _known_model(piece: str) -> bool:
    """Whether the words may be a bundled model's, without touching the disk for each guess."""
    starts = _starts(os.environ.get("RIDGELINE_CATALOG", ""))
    return any(_letters(piece).removeprefix("meta").startswith(start) for start in starts)


@lru_cache(maxsize=4)
def _starts(extra: str) -> frozenset[str]:
    """First letters of every known model's name, with and without its owner."""
    from ridgeline.model.load import bundled_models

    names = {part for full in bundled_models() for part in (full, full.split("/")[-1])}
    return frozenset(_letters(n).removeprefix("meta")[:4] for n in names)
