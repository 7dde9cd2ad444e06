"""From measured points to bandwidth by working set and to an engine's kernels."""

from __future__ import annotations

from collections.abc import Iterable

from ridgeline.machine.kernels import AttentionCurve, KernelTimes, MatmulCurve
from ridgeline.measure.machine.points import Machine, Point

__all__ = ["ENGINES", "kernels_of", "levels_of"]

# Library measured -> engine whose kernels they are, and their name.
ENGINES = {"ggml": ("llamacpp", "llama.cpp"), "torch": ("transformers", "PyTorch")}
_FEW = 16      # rows from which products were measured with fewer weights


def levels_of(machine: Machine) -> list[tuple[float, float]]:
    """(Working set, bandwidth) by rising size, at the most threads.

    A product with one row reads its weights once: where that is faster than the plain probe, which
    is another program, the memory can do it.
    """
    threads = max((p.threads for p in machine.points), default=1)
    reads = [(p.size, p.rate) for p in machine.of("read", threads=1)]
    far = [p.rate for p in machine.of("read", threads=threads)]
    if not reads or not far:
        return []
    # Sizes were measured on one thread; more reach farther in the same proportion.
    scale = max(1.0, far[-1] / reads[-1][1])
    products = [(p.size, p.rate / 2 * _bytes(p.format)) for library in ENGINES
                for p in machine.of("product", library=library) if p.rows == 1]
    found = []
    for size, rate in reads:
        fast = [r for s, r in products if s >= size]
        found.append((size, max([rate * scale, *fast])))
    return found


def _bytes(format: str) -> float:
    from ridgeline.formats import get_format

    return get_format(format).bits / 8


def kernels_of(machine: Machine) -> dict[str, KernelTimes]:
    """What was measured of each engine's kernels, by engine."""
    found = {}
    for library, (engine, name) in ENGINES.items():
        products = machine.of("product", library=library)
        if products:
            found[engine] = _times(machine, library, name, products)
    return found


def _times(machine: Machine, library: str, name: str, products: Iterable[Point]) -> KernelTimes:
    threads = max(p.threads for p in products)
    moved = [1 / p.rate for p in machine.of("move", library=library)]
    launched = [p.rate for p in machine.of("launch", library=library)]
    costs = {p.format: p.rate for p in machine.of("cost", library=library)}
    if "layer" in costs:
        launched = []      # a layer of the engine counts its launches already
    return KernelTimes(
        f"{name} on {threads} thread{'s' if threads > 1 else ''}",
        tuple(_matmuls(list(products))), tuple(_attentions(machine.of("attend", library=library))),
        move=min(moved, default=0.0), launch=min(launched, default=0.0), **costs)


def _matmuls(points: list[Point]) -> list[MatmulCurve]:
    """Curves by format, depth and working set; many rows were measured on fewer weights."""
    widest = {(p.format, p.depth): max(q.size for q in points if q.rows < _FEW and (
        q.format, q.depth) == (p.format, p.depth)) for p in points}
    least = min(p.size for p in points if p.rows < _FEW)
    groups: dict[tuple[str, int, float], dict[int, float]] = {}
    for p in points:
        size = least if p.rows >= _FEW else p.size
        if size <= widest[p.format, p.depth]:
            groups.setdefault((p.format, p.depth, size), {})[p.rows] = 2.0 * p.rows / p.rate
    return [MatmulCurve(format, depth, size, tuple(sorted(at)), tuple(at[n] for n in sorted(at)))
            for (format, depth, size), at in sorted(groups.items())]


def _attentions(points: Iterable[Point]) -> list[AttentionCurve]:
    groups: dict[tuple[str, int], dict[int, float]] = {}
    for p in points:
        groups.setdefault((p.format, p.depth), {})[int(p.size)] = 1.0 / p.rate
    return [AttentionCurve(phase, width, tuple(sorted(at)), tuple(at[n] for n in sorted(at)))
            for (phase, width), at in sorted(groups.items())]
