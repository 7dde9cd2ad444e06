"""A replica timed once, and from then on evaluated at any batch and token budget as arrays."""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ridgeline.deployment.sharding import DeviceWeights
from ridgeline.memory.inference import Footprint, Holdings, footprint, holdings
from ridgeline.memory.layout import CacheLayout
from ridgeline.model.architecture import Architecture
from ridgeline.search.curves import Array, Curve, StepCurves, curves_of
from ridgeline.search.lengths import Lengths
from ridgeline.search.space import Shape
from ridgeline.search.speculation import Draft, DraftedDeployed
from ridgeline.search.steady import Steady, Traffic, steady_times
from ridgeline.serving.deployed import Deployed
from ridgeline.serving.latency import Pools, case_of, corrected, first_steps
from ridgeline.serving.measured_run import STEADY, Protocol
from ridgeline.timing.adjust import BOUND, MEASURED, ServingCase
from ridgeline.timing.roofline import StepBounds, bound_name, step_bounds
from ridgeline.work.step import Step, decode_step, prefill_step

__all__ = ["Fitted", "Margins", "Rated", "Requests", "Times", "correction_lines", "fitted", "rated",
           "replica_of", "timed"]


# Value at a batch of 8, and slope a factor of 8.
Line = tuple[float, float]
# Corrections at their very bound have no line; this near to it they have a steep one.
_NEAR = 1 - 1e-9


@dataclass(frozen=True)
class Margins:
    """How far the replay may be from the steady form, as factors on the form's times.

    Attributes:
        fast_wait, fast: least of the replay's TTFT and TPOT over the form's.
        slow_wait, slow: most.
    """

    fast_wait: Any = 0.7
    fast: Any = 0.85
    slow_wait: Any = 1.28
    slow: Any = 1.18

    def or_wider(self, other: Margins) -> Margins:
        """The wider of both, each way."""
        return Margins(min(self.fast_wait, other.fast_wait), min(self.fast, other.fast),
                       max(self.slow_wait, other.slow_wait), max(self.slow, other.slow))


# Wider than the worst of the cases in docs/decisions/plan-search.md.
EQUAL_LENGTHS = Margins()
# Means over requests of very different lengths: short outputs that meet a prompt weigh heavily.
SPREAD_LENGTHS = Margins(0.62, 0.85, 2.8, 1.6)

# Outputs so short that hardly a request decodes beside another, and shorter still.
SHORT_OUTPUTS = Margins(0.5, 0.6, 2.2, 1.3)
FEW_TOKENS = Margins(0.5, 0.03, 5.0, 1.3)
_SHORT, _FEW = 32, 4
# Attention copies: how full each is follows chance, which the form counts on average; that weighs
# where prompts take most of the time, more of them than tokens out by this factor.
COPIES, CROWDED_COPIES = Margins(0.7, 0.85, 1.28, 1.22), Margins(0.7, 0.79, 1.3, 1.4)
_MOSTLY_PROMPTS = 10
# Batches beyond the sequences that the engine runs at once, which the form does not count.
CROWDED = Margins(0.5, 0.5, 1.5, 1.3)

# Pools apart are answered in closed form too: only the queue for prompts is approximated.
POOLS_APART = Margins(0.88, 0.98, 1.05, 1.02)


@dataclass(frozen=True)
class Requests:
    """What every request looks like.

    Attributes:
        prompt, output: tokens.
        prefix_hit: share of the prompt found in the prefix cache.
        draft: speculative decoding; None: plain.
        open: requests come at a rate, so that no first wave finds everybody waiting.
    """

    prompt: Lengths
    output: Lengths
    prefix_hit: float = 0.0
    draft: Draft | None = None
    open: bool = False

    @property
    def protocol(self) -> Protocol:
        """How the replay stands for these requests."""
        return dataclasses.replace(STEADY, prompt_law=self.prompt.law, output_law=self.output.law,
                                   warm=self.open)

    @property
    def new(self) -> float:
        """Mean prompt tokens to compute, as `estimate` counts them."""
        return float(max(1, round(self.mean_prompt * (1 - self.prefix_hit))))

    @property
    def margins(self) -> Margins:
        """How far the steady form may be off."""
        if self.mean_output < _FEW:
            return FEW_TOKENS
        if self.mean_output < _SHORT:
            return SHORT_OUTPUTS
        spread = self.prompt.law or self.output.law
        return SPREAD_LENGTHS if spread else EQUAL_LENGTHS

    @property
    def mean_prompt(self) -> int:
        """Whole tokens of a mean prompt."""
        return round(self.prompt.mean)

    @property
    def mean_output(self) -> int:
        """Whole tokens of a mean output."""
        return max(1, round(self.output.mean))

    @property
    def context(self) -> int:
        """Longest sequence to be held [tokens]."""
        return self.prompt.longest + self.output.longest

    @property
    def table_context(self) -> int:
        """How far step times are tabulated: as `questions.performance.deployed_of` does."""
        if self.prompt.law or self.output.law:
            return self.context
        return math.ceil((self.mean_prompt + self.mean_output) * 1.1)

    @property
    def decode_context(self) -> float:
        """Mean length of a sequence while it is decoded, its cached prefix included [tokens]."""
        return self.mean_prompt + (self.mean_output + 1) / 2

    @property
    def replayed_context(self) -> float:
        """The same as the replay counts it: new tokens, outputs weighted by their length."""
        longer = 1 + (self.output.cv**2 if self.output.law else 0.0)
        return self.new + self.mean_output * longer / 2


@dataclass(frozen=True)
class Times:
    """Mean times of a request at each batch and budget [s], the share that prompts take, and the
    time that one prompt keeps others waiting [s]."""

    ttft: Array
    tpot: Array
    e2e: Array
    prompt_share: Array
    service: Array


def replica_of(architecture: Architecture, shape: Shape, requests: Requests,
               budget: int | None = None) -> Deployed:
    """The shape ready for timing, with a token budget."""
    plan = dataclasses.replace(shape.deployment, max_num_batched_tokens=budget)
    given = (architecture, plan, shape.cluster, shape.formats, requests.table_context)
    if requests.draft is None:
        return Deployed(*given)
    return DraftedDeployed(*given, draft=requests.draft)


@dataclass(frozen=True)
class Rated:
    """One shape with everything that a row needs.

    Attributes:
        shape, requests: what.
        replica: at the engine's own token budget.
        budgets: token budgets (of a whole replica) by the setting that makes them; None: default.
        rooms: sequences that the cache holds at each budget.
        curves: step times at the widest budget.
        floors: least time of a decode step by batch.
        ttft_floor: least time of a prompt.
        ttft_line, tpot_line: the learned corrections (see correction_lines).
        cached_s: seconds that one cached token of a prompt adds.
    """

    shape: Shape
    requests: Requests
    replica: Deployed
    budgets: dict[int | None, int]
    rooms: tuple[float, ...]
    curves: StepCurves
    floors: Curve
    ttft_floor: float
    ttft_line: Line
    tpot_line: Line
    cached_s: float
    case: ServingCase = field(repr=False)

    def times(self, batch: Array, budget: Array) -> Times:
        """Corrected steady-state times.

        Args:
            batch: requests in flight on a replica.
            budget: tokens of a step, same shape.
        """
        found = self.steady(batch, budget)
        output = self.requests.mean_output
        tpot = found.tpot * np.exp(corrected_log(self.tpot_line, batch))
        ttft = self.outside + found.wait + first_steps(STEADY) * tpot
        if self.ttft_line != (0.0, 0.0):
            ttft = ttft * np.exp(corrected_log(self.ttft_line, batch))
        tpot = np.maximum(tpot, self.floors(batch))
        ttft = np.maximum(ttft, self.ttft_floor)
        share = found.prompt_share
        if output <= 1:
            share = np.ones_like(tpot)
        return Times(ttft, tpot, ttft + (output - 1) * tpot, share, found.service)

    @functools.cached_property
    def outside(self) -> float:
        """Time of a request outside the steps."""
        return self.replica.outside(self.requests.new * STEADY.stretch(self.requests.prompt.law))

    def margins(self, batch: Array) -> Margins:
        """How far the steady form may be off at each batch."""
        usual, crowded = self.requests.margins, batch > self.replica.policy.max_num_seqs
        if self.replica.deployment.attention_dp > 1:
            prompts = self.requests.new > _MOSTLY_PROMPTS * self.requests.mean_output
            usual = usual.or_wider(CROWDED_COPIES if prompts else COPIES)
        if not crowded.any():
            return usual
        wide = usual.or_wider(CROWDED)
        return Margins(*(np.where(crowded, getattr(wide, name), getattr(usual, name))
                         for name in ("fast_wait", "fast", "slow_wait", "slow")))

    def steady(self, batch: Array, budget: Array) -> Steady:
        """Steady state before corrections."""
        # The share of a replay's requests that belong to its first wave, and to its last.
        share = np.full_like(batch, 0.0 if self.requests.open else 1 / STEADY.waves)
        traffic = Traffic(self.requests.new, float(self.requests.mean_output), share,
                          self.requests.output.cv, self.requests.open)
        return steady_times(self.curves, traffic, batch=batch, budget=budget,
                            mixed=self.replica.policy.prompts == "mixed")

    def replica_at(self, budget: int | None) -> Deployed:
        """The replica at a token budget, timed once."""
        made = self._replicas
        if budget not in made:
            made[budget] = replica_of(self.replica.architecture, self.shape, self.requests, budget)
        return made[budget]

    @functools.cached_property
    def _replicas(self) -> dict[int | None, Deployed]:
        return {self.replica.deployment.max_num_batched_tokens: self.replica}

    @functools.cached_property
    def bounds(self) -> tuple[str, str]:
        """What limits a prompt, and a decode step of one sequence."""
        new, past = self.requests.new, self.requests.mean_prompt - self.requests.new
        return (bound_name(_bounds(self.replica, prefill_step(tokens=new, past=past))),
                self.decode_bound(1.0))

    def decode_bound(self, batch: float) -> str:
        """What limits a decode step."""
        step = decode_step(sequences=batch, context=self.requests.decode_context)
        return bound_name(_bounds(self.replica, step))


def corrected_log(line: Line, batch: Array) -> Array:
    """Learned log correction at each batch: timing.adjust's form over arrays."""
    low, high = MEASURED["concurrency"]
    size = (np.log2(np.clip(batch, low, high)) - 3) / 3
    return np.asarray(BOUND * np.tanh((line[0] + line[1] * size) / BOUND))


def correction_lines(case: ServingCase) -> tuple[Line, Line]:
    """The learned log corrections of time per token and of time to first token, as lines.

    Of what a correction is made of, only log2(batch) changes along a sweep, and before its bound
    the correction is linear in it. So two answers of serving.latency.corrected tell the line.

    Returns:
        for each: value at a batch of 8 before the bound, and slope a factor of 8.
    """
    found = [corrected(dataclasses.replace(case, concurrency=batch), 0.0, STEADY, 1.0, 1.0)
             for batch in (8.0, 64.0)]
    logs = [[math.log(one.tpot) for one in found],
            [math.log(one.ttft / (1.0 + first_steps(STEADY) * one.tpot))
             for one in found]]
    free = [[BOUND * math.atanh(min(max(v / BOUND, -_NEAR), _NEAR)) for v in pair]
            for pair in logs]
    return (free[0][0], free[0][1] - free[0][0]), (free[1][0], free[1][1] - free[1][0])


@dataclass(frozen=True)
class Fitted:
    """A shape that fits, before its steps are timed.

    Attributes:
        shape: the replica.
        replica: ready for timing, at the engine's own token budget where that fits.
        widest: the same at the widest budget.
        budgets, rooms, ttft_floor: as in `Rated`.
    """

    shape: Shape
    replica: Deployed
    widest: Deployed
    budgets: dict[int | None, int]
    rooms: tuple[float, ...]
    ttft_floor: float

    @property
    def tabulated(self) -> Deployed:
        """What has to be tabulated: drafts are put on top of plain steps."""
        return self.widest.plain if isinstance(self.widest, DraftedDeployed) else self.widest


def fitted(architecture: Architecture, shape: Shape, requests: Requests,
           budgets: tuple[int | None, ...] = (None,)) -> Fitted | float:
    """The shape's memory; or the bytes that are missing on each device when it does not fit.

    Args:
        architecture: the model.
        shape: the replica.
        requests: the workload.
        budgets: token budgets of a device's step to try; None: the engine's own.

    Raises:
        BadInput: the chips lack a link or a matrix rate that it needs.
    """
    base = replica_of(architecture, shape, requests)
    held = _unlike(holdings(architecture, shape.deployment))
    feet = {b: _footprint(base, b, held) for b in budgets}
    short = {b: _missing(foot, requests) for b, foot in feet.items()}
    fitting = {b: feet[b] for b in budgets if short[b] == 0.0}
    if not fitting:
        return min(short.values())
    if None in fitting:
        vars(base)["footprint"] = fitting[None]    # the same, of fewer stages
    # What a request sets aside when it is let in, by the engine's own rule.
    share = getattr(base.policy, "reserve", 1.0)
    tokens, rooms = _distinct(fitting, requests,
                              requests.mean_prompt + share * requests.mean_output)
    reach = max(tokens, key=lambda b: tokens[b])
    widest = base if reach is None else replica_of(architecture, shape, requests, reach)
    replica = base if None in fitting else widest
    past = max(0.0, requests.mean_prompt - requests.new)
    return Fitted(shape, replica, widest, tokens, rooms,
                  float(_bounds(replica, prefill_step(tokens=requests.new, past=past)).lower))


def timed(fits: Fitted, requests: Requests, most: int = 1024) -> Rated:
    """The shape with its times; `serving.deployed.tables_together` makes many tables at once.

    Args:
        fits: a shape that fits.
        requests: the workload.
        most: largest batch that will be asked for.
    """
    replica, widest = fits.replica, fits.widest
    prompts, shares = requests.prompt.points()
    new = [max(1.0, p * (1 - requests.prefix_hit)) for p in prompts]
    curves = curves_of(widest.table, context=requests.replayed_context, prompts=np.array(new),
                       weights=np.array(shares), most_tokens=max(fits.budgets.values()) + most,
                       most_sequences=most, copies=widest.deployment.attention_dp,
                       shared=widest.shared)
    case = case_of(Pools(replica), protocol="", concurrency=8.0, prompt=_nominal(requests),
                   output=_nominal_output(requests))
    tpot_line, ttft_line = correction_lines(case)
    return Rated(
        fits.shape, requests, replica, fits.budgets, fits.rooms, curves,
        _floors(replica, requests, most), fits.ttft_floor, ttft_line, tpot_line,
        _cached_seconds(widest, requests), case)


def rated(architecture: Architecture, shape: Shape, requests: Requests,
          budgets: tuple[int | None, ...] = (None,), most: int = 1024) -> Rated | float:
    """Fit and time a shape; or the bytes that are missing on each device when it does not fit.

    Args:
        architecture, shape, requests, budgets: as in `fitted`.
        most: as in `timed`.
    """
    fits = fitted(architecture, shape, requests, budgets)
    return timed(fits, requests, most) if isinstance(fits, Fitted) else fits


def _unlike(held: Holdings) -> Holdings:
    """Stages that differ, and always the last: equal ones cannot bind before their first."""
    seen: dict[object, tuple[DeviceWeights, CacheLayout]] = {}
    for weights, layout in held[:-1]:
        seen.setdefault((weights.total, layout), (weights, layout))
    return (*seen.values(), held[-1])


def _footprint(base: Deployed, budget: int | None, held: Holdings) -> Footprint:
    """Memory with a token budget, as `Deployed.footprint` has it."""
    plan = dataclasses.replace(base.deployment, max_num_batched_tokens=budget)
    return footprint(base.architecture, plan, base.cluster.chip, held=held,
                     max_model_len=base.architecture.max_context or base.max_context)


def _missing(foot: Footprint, requests: Requests) -> float:
    """Bytes short on each device for the model and one request; 0 when it fits."""
    if not foot.fits:
        return max(foot.missing, foot.sequence_bytes(1) - foot.kv_pool)
    return max(0.0, foot.sequence_bytes(requests.context) - foot.kv_pool)


def _distinct(fitting: dict[int | None, Footprint], requests: Requests, length: float
              ) -> tuple[dict[int | None, int], tuple[float, ...]]:
    """Budgets that differ, with the sequences that the cache then holds."""
    tokens: dict[int | None, int] = {}
    rooms = []
    for setting, foot in fitting.items():
        budget = foot.limits.max_num_batched_tokens * foot.replicas
        if budget not in tokens.values():
            tokens[setting] = budget
            rooms.append(foot.kv_capacity_tokens(float(requests.table_context)) / length)
    return tokens, tuple(rooms)


def _nominal(requests: Requests) -> float:
    stretch = STEADY.stretch(requests.prompt.law)
    return float(max(1, round(requests.new * stretch)))


def _nominal_output(requests: Requests) -> float:
    return float(max(1, round(requests.mean_output * STEADY.stretch(requests.output.law))))


def _bounds(replica: Deployed, step: Step) -> StepBounds:
    return step_bounds(replica.ops(step), replica.cluster)


def _floors(replica: Deployed, requests: Requests, most: int) -> Curve:
    """Least decode time by batch, interpolated between powers of two (it is close to linear)."""
    counts = np.unique(np.concatenate([2.0 ** np.arange(0, 24, 0.5).round(3), [float(most)]]))
    counts = np.unique(np.round(counts[counts <= most]))
    step = decode_step(sequences=counts, context=requests.decode_context)
    least = np.broadcast_to(np.asarray(_bounds(replica, step).lower, float), counts.shape)
    faster = requests.draft.tokens_per_step if requests.draft else 1.0
    return Curve(np.interp(np.arange(most + 2.0), counts, least / faster))


def _cached_seconds(replica: Deployed, requests: Requests) -> float:
    """What a cached token costs a prompt: its share of the attention over the past."""
    past = requests.mean_prompt - requests.new
    if past < 1:
        return 0.0
    grid = replica.table.prefill
    return max(0.0, grid(requests.new, past) - grid(requests.new, 0.0)) / past
