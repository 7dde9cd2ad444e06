"""What each pool of a fleet does with a model: ceiling, floor, and an estimate with its reason."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from ridgeline.catalog import load_chip
from ridgeline.economics.demand import mixed_request_rate
from ridgeline.economics.fleets import Pool
from ridgeline.errors import BadInput, Infeasible, UnknownName
from ridgeline.quantity import parse_number
from ridgeline.questions.fit import shortfall
from ridgeline.questions.performance import Spread, calibrated_performance
from ridgeline.questions.resolve import Resolved, resolve
from ridgeline.questions.token_speeds import replica_speeds
from ridgeline.scenario import Scenario
from ridgeline.timing.textbook import forward_pass_ceiling, forward_pass_floor, prefill_ceiling

__all__ = ["Load", "Sizes", "Yield", "model_sizes", "pool_yield"]

_BYTES = {"bf16": 2.0, "fp16": 2.0, "fp8": 1.0, "int8": 1.0, "fp4": 0.5, "nvfp4": 0.5625}
_COMPUTE = {"nvfp4": "fp4"}


@dataclass(frozen=True)
class Sizes:
    """A model by its numbers: a bundled name, or only how large it is.

    Attributes:
        name: as asked.
        total, active: parameters.
        known: whether its architecture is known, so that speeds can be predicted.
    """

    name: str
    total: float
    active: float
    known: bool


@dataclass(frozen=True)
class Load:
    """What the fleet is asked to do.

    Attributes:
        prompt, output: tokens of a request.
        weights: number format; None: the model's own (bf16 for a model known by size only).
        prefill_mfu, decode_mfu: shares of the peak; None: predicted where the model is known.
        batch: sequences decoding at once on a replica; None: as many as fit.
        tpot: longest time of an output token [s]; limits the batch.
        ideal: the textbook at full utilisation instead of calibrated times.
    """

    prompt: int = 1000
    output: int = 300
    weights: str | None = None
    prefill_mfu: float | None = None
    decode_mfu: float | None = None
    batch: float | None = None
    tpot: float | None = None
    ideal: bool = False


@dataclass(frozen=True)
class Yield:
    """One pool at work.

    Attributes:
        pool: the chips.
        ceiling, floor: forward passes per second, all computing and one sequence alone.
        prefill, decode: tokens per second if the pool did only that.
        requests: per second with both, in the load's proportion.
        spread: 10 and 90 % quantiles of log(real / predicted) of rates.
        replica, batch: chips of a copy of the model and sequences it decodes; 0 when unknown.
        mfu: of decoding.
        peak: of one chip in the format used [FLOP/s].
        format: of the weights.
    """

    pool: Pool
    ceiling: float
    floor: float
    prefill: float
    decode: float
    requests: float
    spread: tuple[float, float]
    replica: int
    batch: float
    mfu: float
    peak: float
    format: str

    def tokens(self, load: Load) -> float:
        """Forward passes per second in the load's mix."""
        return self.requests * (load.prompt + load.output)


def model_sizes(name: str) -> Sizes:
    """A bundled model, a path, or sizes alone: "280B", "1831B/280B" (total/active).

    Raises:
        BadInput: sizes that are not positive, or more active than total parameters.
        UnknownName: neither.
    """
    parts = name.split("/")
    try:
        numbers = [parse_number(part.strip()) for part in parts]
    except BadInput:
        from ridgeline.model.load import load_architecture

        try:
            found = load_architecture(name)
        except UnknownName as error:
            raise UnknownName(f"{error} Or write parameters, such as 280B or 1831B/280B "
                              "(total/active).") from None
        return Sizes(name, float(found.total_params), float(found.active_params), True)
    total, active = numbers[0], numbers[-1]
    if len(numbers) > 2 or not (math.isfinite(total) and 1e6 <= active <= total):
        raise BadInput(f"model {name!r}: write a bundled name, or parameters as 280B or "
                       "TOTAL/ACTIVE such as 1831B/280B (at least 1M, active not above total)")
    return Sizes(name, total, active, False)


def pool_yield(pool: Pool, sizes: Sizes, load: Load) -> Yield:
    """Everything a pool does with a model.

    Raises:
        BadInput: a format the chip cannot compute in.
        Infeasible: no number of these chips in a scale-up domain holds the model.
    """
    chosen = _at_given_mfu(pool, sizes, load)
    if chosen is not None:
        return chosen
    return _predicted(pool, sizes, load)


def _bounds(pool: Pool, sizes: Sizes, weights: str, count: float) -> tuple[float, float, float]:
    """(peak of a chip, ceiling, floor) in forward passes per second."""
    chip = pool.chip
    if weights not in _BYTES:
        raise BadInput(f"weights {weights!r}: a fleet counts in {', '.join(_BYTES)}")
    peak = chip.rate(_COMPUTE.get(weights, weights))
    ceiling = forward_pass_ceiling(active_params=sizes.active, n_chips=count,
                                   peak_flops_per_s=peak)
    floor = forward_pass_floor(params_read=sizes.active, bytes_per_param=_BYTES[weights],
                               n_chips=count, memory_bandwidth=chip.memory_bandwidth)
    return peak, float(ceiling), float(floor)


def _requests(prefill: float, decode: float, load: Load) -> float:
    return float(mixed_request_rate(prompt_tokens=float(load.prompt),
                                    output_tokens=float(load.output), prefill_rate=prefill,
                                    decode_rate=decode))


def _at_given_mfu(pool: Pool, sizes: Sizes, load: Load) -> Yield | None:
    """From utilisations where they are given, or must be since only the size is known."""
    read, made = pool.prefill_mfu or load.prefill_mfu, pool.decode_mfu or load.decode_mfu
    if read is None and made is None and sizes.known and not load.ideal:
        return None
    if load.ideal:
        read, made = read or 1.0, made or 1.0
    # Usual figures where the owner gives only one of them or none.
    read, made = read or 0.5, made or 0.15
    weights = load.weights or "bf16"
    peak, ceiling, floor = _bounds(pool, sizes, weights, float(pool.count))
    busy = pool.count * pool.utilisation
    prefill, decode = (float(prefill_ceiling(active_params=sizes.active, n_chips=busy,
                                             peak_flops_per_s=peak, mfu=mfu))
                       for mfu in (read, made))
    return Yield(pool, ceiling, floor, prefill, decode, _requests(prefill, decode, load),
                 (0.0, 0.0), 0, 0.0, made, peak, weights)


def _predicted(pool: Pool, sizes: Sizes, load: Load) -> Yield:
    """Calibrated rates of the best replica, times the copies the pool holds.

    The narrowest copies that fit are tried, wider ones only while they stay in a scale-up domain.
    """
    best: tuple[float, Resolved, float, float, float] | None = None
    tried = 0
    for chips in _replicas(pool.count):
        if tried == 3 or (tried and chips > pool.chip.domain_size):
            break
        resolved = _replica(sizes.name, pool.chip.name, chips, load)
        if resolved is None:
            continue
        if not resolved.architecture.causal:
            raise BadInput(f"{sizes.name} generates nothing; a fleet counts generated tokens")
        tried += 1
        found = _rates(resolved, load)
        per_chip = _requests(found[0], found[1], load) / chips if found else 0.0
        if found and (best is None or per_chip > best[0]):
            best = (per_chip, resolved, *found)
    if best is None:
        many = f"{_replicas(pool.count)[-1]} {pool.chip.name}"
        if tried:
            raise Infeasible(f"{sizes.name} fits, but no copy on {pool.chip.name} makes a token in "
                             f"{(load.tpot or 0.0) * 1e3:g} ms, not even alone")
        raise Infeasible(f"{sizes.name} does not fit on any copy of up to {many}; quantise it "
                         "(--weights fp8) or give larger chips")
    return _scaled(pool, sizes, load, best)


def _scaled(pool: Pool, sizes: Sizes, load: Load,
            best: tuple[float, Resolved, float, float, float]) -> Yield:
    """One replica's rates times the copies that the pool holds."""
    _, resolved, prefill, decode, batch = best
    replica = resolved.deployment.chips_per_replica
    copies = pool.count // replica * pool.utilisation
    formats = resolved.formats
    routed = resolved.architecture.params_by_role.get("expert")
    form = formats.experts if routed else formats.dense
    peak = pool.chip.rate(form.compute)
    ceiling = forward_pass_ceiling(active_params=sizes.active, n_chips=float(pool.count),
                                   peak_flops_per_s=peak)
    floor = forward_pass_floor(params_read=sizes.active, bytes_per_param=form.bytes,
                               n_chips=float(pool.count),
                               memory_bandwidth=pool.chip.memory_bandwidth)
    spread = _spread(resolved)
    return Yield(pool, float(ceiling), float(floor), prefill * copies, decode * copies,
                 _requests(prefill, decode, load) * copies, (-spread[2], -spread[1]), replica,
                 batch, decode * 2 * sizes.active / (replica * peak), peak, form.name)


def _spread(resolved: Resolved) -> Spread:
    """Spread of times: the wider of both phases at either end."""
    found = calibrated_performance(resolved)
    pairs = zip(found.ttft_spread, found.tpot_spread, strict=True)
    low, lower, upper, high = ((a, b) for a, b in pairs)
    return min(low), min(lower), max(upper), max(high)


def _replicas(count: int) -> list[int]:
    """Numbers of chips a copy of the model may span."""
    return [2**i for i in range(7) if 2**i <= count]


@functools.lru_cache(maxsize=128)
def _replica(model: str, chip: str, chips: int, load: Load) -> Resolved | None:
    """A copy of the model on so many chips; None where it does not fit or breaks a rule."""
    domain = min(chips, load_chip(chip).domain_size)
    stages = chips // domain
    try:
        resolved = resolve(Scenario.from_fields({
            "model": model, "machine": f"{chips}x{chip}", "prompt": load.prompt,
            "output": load.output, "weights": load.weights, "context": load.prompt + load.output,
            # Wider than a domain: tensor parallel inside, pipeline stages across.
            **({"tp": domain, "pp": stages} if stages > 1 else {})}))
    except BadInput:
        if chips > 1:
            return None
        raise
    # A copy narrower than the machine would be counted again as a smaller replica.
    if resolved.deployment.chips_per_replica != chips or shortfall(resolved):
        return None
    return resolved


def _rates(resolved: Resolved, load: Load) -> tuple[float, float, float] | None:
    """(prompt tokens/s, output tokens/s, batch) of a replica; None if no batch is fast enough."""
    context = np.array([load.prompt + (load.output + 1) / 2])
    probe = replica_speeds(resolved, np.ones(1), context)
    most = max(1.0, math.floor(min(float(probe.room[0]), 1024.0)))
    most = min(most, load.batch or most)
    batches = np.unique(np.floor(np.geomspace(1.0, most, 24)))
    speeds = replica_speeds(resolved, batches, context)
    steps = speeds.decode[:, 0]
    held = steps <= (load.tpot or math.inf)
    if not held.any():
        return None
    at = int(np.flatnonzero(held)[-1])
    prompt = replica_speeds(resolved, np.ones(1), np.array([float(load.prompt)]))
    return float(prompt.prefill_rate[0]), float(batches[at] / steps[at]), float(batches[at])
