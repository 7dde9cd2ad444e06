"""What would save energy: ternary weights, skipped layers, larger batches, lossy retrieval."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from ridgeline.economics.energy_use import bit_energy
from ridgeline.errors import BadInput, RidgelineError
from ridgeline.memory.weights import ternary_energy_ratio
from ridgeline.quantity import check_positive
from ridgeline.questions.answer import Answer, Cell, Table
from ridgeline.questions.energy_account import Joules, Phase, joules
from ridgeline.questions.textbook import whole_model
from ridgeline.timing.speedups import layer_read_share

__all__ = ["lever_table", "retrieval_energy"]

# Arithmetic at 45 nm [J]: Horowitz, "Computing's energy problem", ISSCC 2014, figure 1.1.9.
_INT8_ADD, _FP16_ADD, _FP16_MULTIPLY = 3e-14, 4e-13, 1.1e-12
_TERNARY_BITS = 2.0
_SKIP = 0.25


def lever_table(found: Joules) -> Table:
    """Energy of an output token after each change, bottom-up, with what it asks for."""
    if found.decode is None:
        return Table.of("levers", {"change": "1"}, ())
    now = found.bottom_up(found.decode)
    rows: list[list[Cell]] = [[name, then, now / then, price]
                              for name, then, price in _changes(found, found.decode)]
    rows.sort(key=lambda row: -float(row[2]))  # type: ignore[arg-type]
    return Table.of("levers", {"change": "1", "a token": "J", "saves": "x", "price": "1"}, rows,
                    title=f"What would save energy, against {now:.3g} J an output token")


def _changes(found: Joules, phase: Phase) -> Iterator[tuple[str, float, str]]:
    weights = _weight_bytes(found, phase)
    yield ("ternary weights, 2 bits stored", found.bottom_up(_ternary(found, phase, weights)),
           "a model trained for it; adders instead of multipliers in the chip")
    yield (f"skip {_SKIP:.0%} of the layers", found.bottom_up(_skipped(phase, weights)),
           "early exits in training; a batch still reads nearly every layer")
    work = found.resolved.scenario.workload
    for name, fields, price in (
            ("fp8 weights", {"weights": "fp8"}, "quantise and check quality"),
            ("fp8 KV cache", {"kv": "fp8"}, "check quality at long context"),
            ("twice the batch", {"concurrency": work.concurrency * 2}, "slower for each user")):
        try:
            ask = dataclasses.replace(found.ask, scenario=found.ask.scenario.replace(**fields))
            then = joules(ask)
        except RidgelineError:
            continue
        if then.decode is not None and then.decode != phase:
            yield name, then.bottom_up(then.decode), price


def _weight_bytes(found: Joules, phase: Phase) -> float:
    """Of the bytes of a step, those of weights."""
    model = whole_model(found.resolved)
    read = float(model.params_read(phase.tokens) * model.read_bytes_per_param(phase.tokens))
    return min(read, phase.memory_bytes)


def _ternary(found: Joules, phase: Phase, weights: float) -> Phase:
    """Weights of two bits; their multiplications become additions of eight bits."""
    model = whole_model(found.resolved)
    bits = 8 * model.read_bytes_per_param(phase.tokens)
    ratio = float(ternary_energy_ratio(add_joules=_INT8_ADD, multiply_joules=_FP16_MULTIPLY,
                                       accumulate_joules=_FP16_ADD))
    products = min(phase.flop, 2 * model.active_params * phase.tokens)
    # Arithmetic counted as the operations of the same energy.
    return _less(phase, products * (1 - 1 / ratio), weights * max(0.0, 1 - _TERNARY_BITS / bits))


def _skipped(phase: Phase, weights: float) -> Phase:
    """Layers left out: operations and cache shrink, weights only if all sequences agree."""
    read = float(layer_read_share(skip_share=_SKIP, batch_size=phase.tokens))
    cache = phase.memory_bytes - weights
    return _less(phase, _SKIP * phase.flop, weights * (1 - read) + _SKIP * cache)


def _less(phase: Phase, flop: float, moved: float) -> Phase:
    """A step with so much less work; its time shrinks with its bytes (decoding waits for them)."""
    left = phase.memory_bytes - moved
    return dataclasses.replace(phase, flop=phase.flop - flop, memory_bytes=left,
                               seconds=phase.seconds * left / phase.memory_bytes)


def retrieval_energy(vectors: float, dimensions: float, pj_per_bit: float = 10.0,
                     kept: tuple[tuple[str, float], ...] = (
                         ("fp32", 32.0), ("int8", 8.0), ("PQ, 1 bit a value", 1.0))) -> Answer:
    """Energy of scanning a whole index once, exact and with lossy vectors.

    Args:
        vectors, dimensions: size of the index.
        pj_per_bit: of the memory it lies in.
        kept: (name, bits of a value) of each form.

    Raises:
        BadInput: sizes that are not positive.
    """
    check_positive(vectors=vectors, dimensions=dimensions, pj_per_bit=pj_per_bit)
    if not kept:
        raise BadInput("name at least one form of vectors")
    rows: list[list[Cell]] = []
    first = None
    for name, bits in kept:
        size = vectors * dimensions * bits / 8
        spent = float(bit_energy(memory_bytes=size, joules_per_bit=pj_per_bit * 1e-12))
        first = first or spent
        rows.append([name, size, spent, first / spent])
    table = Table.of("retrieval", {"vectors": "1", "index": "B", "a full scan": "J",
                                   "saves": "x"}, rows,
                     title=f"Scanning {vectors:,.0f} vectors of {dimensions:,.0f} values")
    return Answer("retrieval_energy", {"vectors": vectors, "dimensions": dimensions,
                                       "pj_per_bit": pj_per_bit}, {}, (table,),
                  ("Memory traffic alone; what lossy vectors lose in recall is a matter of "
                   "data.",))
