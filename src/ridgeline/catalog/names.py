"""Forgiving names: 'NVIDIA H100 80GB HBM3', 'h100_sxm' and 'H100-SXM' are one chip.

A name is cut into lower-case tokens. It matches exactly when its tokens spell a known name or
alias, whatever the punctuation. Else words that carry no choice (vendors, memory types, "server
edition") are set aside, and a known name whose tokens all appear wins if the rest is noise or the
chip's own memory size.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

__all__ = ["candidates", "key_of", "tokens_of"]

_DROPPED = frozenset({
    "nvidia", "amd", "intel", "google", "apple", "aws", "amazon", "qualcomm", "huawei", "tesla",
    "geforce", "radeon", "instinct", "cloud", "tm", "r", "habana", "gpu", "gpus"})
_NOISE = _DROPPED | frozenset({
    "hbm", "hbm2", "hbm2e", "hbm3", "hbm3e", "gddr5", "gddr6", "gddr6x", "gddr7", "ddr4", "ddr5",
    "lpddr5", "lpddr5x", "card", "server", "edition", "workstation", "virtualized", "cts", "oam",
    "accelerator", "node", "dgx", "hgx", "system", "cluster", "cpu", "core", "cores", "processor",
    "mac", "studio", "macbook", "mini", "pro5", "chip", "custom", "pc", "generation", "tensor",
    "graphics", "unified", "memory", "ram", "vram", "soc", "desktop", "the", "with", "dual"})
_SIZE = re.compile(r"^(\d+)(g|gb|gib)$")
_GLUED = re.compile(r"(\d+(?:\.\d+)?)\s+(gb|gib|g)\b")
_WORD = re.compile(r"[a-z0-9]+(?:\+)?")
_COUNT = re.compile(r"^(\d+x|x\d+)$")
_JOINED = re.compile(r"[,;&]|\s\+\s|\sand\s")


def tokens_of(name: str) -> tuple[str, ...]:
    """Lower-case words of a name without vendors; '80 GB' and '80G' become '80gb'.

    >>> tokens_of("NVIDIA A100-SXM4-80GB"), tokens_of("h100_sxm")
    (('a100', 'sxm4', '80gb'), ('h100', 'sxm'))
    """
    text = _GLUED.sub(r"\1\2", re.sub(r"\((tm|r)\)", " ", name.lower()))
    words = (w.rstrip("+") for w in _WORD.findall(text))
    return tuple(f"{m[1]}gb" if (m := _SIZE.match(w)) else w for w in words if w not in _DROPPED)


def key_of(name: str) -> str:
    """What two spellings of one name have in common.

    >>> key_of("RTX 4090") == key_of("GeForce rtx4090")
    True
    """
    return "".join(tokens_of(name))


def candidates(name: str, aliases: Mapping[str, str],
               sizes: Mapping[str, float]) -> tuple[list[str], bool]:
    """Names an inexact spelling may mean, and whether a single one is the answer.

    Args:
        name: as given; text in parentheses is tried first, since it names the device in machines
            such as "Ryzen 9 7950X (NVIDIA RTX 4080)".
        aliases: every accepted spelling, to the catalog name.
        sizes: memory of chips whose size is fixed [bytes], by catalog name.

    Returns:
        The names. One that says all the text says is an answer; several, or one that says more
        than the text, are a choice for the user.
    """
    inner = re.findall(r"\(([^()]*)\)", name)
    outer = re.sub(r"\([^()]*\)", " ", name)
    keys = {key_of(alias): canonical for alias, canonical in aliases.items()}
    for part in [name, *inner, outer]:
        if (found := keys.get(key_of(part))) is not None:
            return [found], True
    indexed = [(frozenset(tokens_of(alias)), canonical) for alias, canonical in aliases.items()]
    for part in [*inner, outer, name]:
        if found_names := _contained(part, indexed, sizes):
            return found_names, len(found_names) == 1
    pieces = [_contained(piece, indexed, sizes) for piece in _JOINED.split(outer)]
    several = sorted({found for piece in pieces if len(piece) == 1 for found in piece})
    return several if len(several) > 1 else _containing(outer, indexed), False


def _contained(part: str, indexed: Iterable[tuple[frozenset[str], str]],
               sizes: Mapping[str, float]) -> list[str]:
    """Chips one of whose spellings lies inside the text, the most specific spelling first."""
    words = frozenset(tokens_of(part))
    best: dict[str, int] = {}
    for tokens, canonical in indexed:
        if tokens and tokens <= words and all(
                _is_noise(word, sizes.get(canonical)) for word in words - tokens):
            best[canonical] = max(best.get(canonical, 0), len(tokens))
    longest = max(best.values(), default=0)
    return sorted(name for name, length in best.items() if length == longest)


def _is_noise(word: str, memory_bytes: float | None) -> bool:
    """Whether a word left over says nothing against the chip."""
    size = _SIZE.match(word)
    if size is None:
        return word in _NOISE or _COUNT.match(word) is not None
    return memory_bytes is None or abs(float(size[1]) * 1e9 / memory_bytes - 1) < 0.1


def _containing(part: str, indexed: Iterable[tuple[frozenset[str], str]]) -> list[str]:
    """Chips whose spelling has all words of a name that is too short ("RTX 5060 Ti", "MI300")."""
    words = [w for w in tokens_of(part) if w not in _NOISE]
    if max(map(len, words), default=0) < 2:
        return []
    return sorted({canonical for tokens, canonical in indexed
                   if all(any(t.startswith(w) for t in tokens) for w in words)})
