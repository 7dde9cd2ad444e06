"""Steady state of a closed loop in closed form: what the replay of the loop settles to.

`batch` requests are always in flight on a replica. Of these n decode and the rest wait for their
prompts to be computed. Every step gives each decoding sequence one token, so r = n / (O - 1)
prompts enter a step on average; an engine that mixes puts them into the decoding steps up to its
token budget, one that runs prompts first puts steps of their own between.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ridgeline.search.curves import Array, StepCurves

__all__ = ["Steady", "Traffic", "steady_times"]

_ROUNDS = 2


@dataclass(frozen=True)
class Traffic:
    """What a replica's requests look like.

    Attributes:
        prompt: mean new prompt tokens.
        output: mean tokens out.
        first_wave: share of the requests that find all others waiting too (the replay starts
            with everybody at once).
        output_cv: standard deviation of the tokens out over their mean.
        regular: requests keep their turns, and whatever random arrivals wait is counted elsewhere
            (see goal.prompt_wait).
    """

    prompt: float
    output: float
    first_wave: Any = 0.0
    output_cv: float = 0.0
    regular: bool = False

    @property
    def gaps(self) -> float:
        """Tokens after the first."""
        return max(self.output - 1.0, 1.0)


@dataclass(frozen=True)
class Steady:
    """Mean times of a request before corrections [s], sequences decoding, the share of the time
    that prompts take, and the time one prompt keeps all others waiting [s]."""

    wait: Array
    tpot: Array
    decoding: Array
    prompt_share: Array
    service: Array


def steady_times(curves: StepCurves, traffic: Traffic, *, batch: Any, budget: Any,
                 mixed: bool) -> Steady:
    """Times of a request with `batch` in flight and a token budget a step.

        B = n + X W,  X = n / ((O - 1) t),  t = t_decode(n) + prompts' share of a step

    Args:
        curves: step times.
        traffic: the requests.
        batch: requests in flight on a replica, an array.
        budget: tokens of a step, broadcast with it.
        mixed: whether prompts share steps with decoding.

    Returns:
        wait for the first token, time per output token.

    Sources: own derivation; the queue for prompts by Schweitzer's approximate mean-value analysis
    (1979). How far it is from the replay is tested and stated in docs/decisions.
    """
    batch = np.asarray(batch, float)
    form = _mixed if mixed else _first
    seen = (batch - 1.0) / batch                   # a request never meets its own prompt
    n = batch
    for _ in range(_ROUNDS):
        plain, prompts, wait, _ = form(curves, traffic, n, batch, budget)
        away = traffic.gaps * (plain + seen * prompts)
        n = 0.5 * (n + batch * away / (away + wait))
    plain, prompts, wait, service = form(curves, traffic, n, batch, budget)
    if traffic.regular:
        wait = wait + 0.5 * plain              # who comes at random meets a step half done
    first, burst = traffic.first_wave, _burst(curves, traffic, n, batch, budget, mixed)
    # The last requests of a run are not replaced: they decode in five sixths of the batch and
    # meet half of the prompts.
    few = np.maximum(n * (5 / 6), 1.0)
    ending = curves.decode(few)
    met = seen * (1 - 0.5 * first)
    return Steady(wait=(1 - first) * wait + first * np.maximum(burst, wait),
                  tpot=(1 - first) * plain + first * ending + met * prompts, decoding=n,
                  prompt_share=prompts / (plain + prompts), service=service)


def _together(traffic: Traffic, batch: Array, budget: Any, mixed: bool) -> Array:
    """Share of the steps in which prompts enter: requests that began together end together.

    The spread of their lengths takes them apart: over the waves of a replay, 4.7 standard
    deviations (a uniform law of width w spreads w, sqrt(2) w, sqrt(3) w, ...), and so does the
    time their prompts took.
    """
    apart = batch * traffic.prompt / budget / traffic.gaps if mixed else 0.0
    return np.asarray(np.minimum(1.0, 4.7 * traffic.output_cv + apart + 1.0 / traffic.gaps))


def _mixed(curves: StepCurves, traffic: Traffic, n: Array, batch: Array, budget: Any
           ) -> tuple[Array, Array, Array, Array]:
    """A decoding step, what prompts add to it, the wait for the first token, and the time that one
    prompt keeps others waiting."""
    prompt = traffic.prompt
    room = np.maximum(budget - n, 1.0)
    active = _together(traffic, batch, budget, mixed=True)
    entering = np.minimum(n / traffic.gaps, room / prompt)
    busy = active * -np.expm1(-entering / active)
    share = np.minimum(1.0, np.maximum(busy, entering * prompt / room))
    chunk = np.minimum(entering * prompt / np.maximum(share, 1e-9), room)
    size = np.minimum(prompt, room)
    attention, step, plain = curves.prompt(size), curves.decode(n), curves.tokens(n)
    added = (share * (curves.spread(n + chunk, n + curves.fullest(chunk, prompt)) - plain)
             + _at_once(curves, entering, share) * attention)
    whole = np.floor(prompt / room)
    rest = prompt - whole * room
    # A step of prompts without its own tokens' linear layers, which `tokens` counts together.
    around = step - plain
    full = around + curves.tokens(n + room)
    chunks = around + curves.spread(n + room, n + curves.fullest(room, prompt))
    last = around + curves.spread(n + rest, n + curves.fullest(rest, prompt))
    alone = whole * chunks + (rest > 0) * last + attention
    service = prompt / room * full + attention / curves.copies
    away = traffic.gaps * (step + added)
    return step, added, _visit(alone, service, away, batch, traffic.regular), service


def _first(curves: StepCurves, traffic: Traffic, n: Array, batch: Array, budget: Any
           ) -> tuple[Array, Array, Array, Array]:
    prompt = traffic.prompt
    active = _together(traffic, batch, budget, mixed=False)
    entering = n / traffic.gaps
    busy = active * -np.expm1(-entering / active)
    own = np.maximum(busy, entering * prompt / budget)
    chunk = np.minimum(entering * prompt / np.maximum(own, 1e-9), budget)
    size = np.minimum(prompt, budget)
    attention, fixed = curves.prompt(size), curves.fixed + curves.logits(1.0)
    added = (own * (fixed + curves.spread(chunk, curves.fullest(chunk, prompt)))
             + _at_once(curves, entering, own) * attention)
    whole = np.floor(prompt / budget)
    rest = prompt - whole * budget
    full = fixed + curves.tokens(np.asarray(budget, float))
    chunks = fixed + curves.spread(budget, curves.fullest(budget, prompt))
    last = fixed + curves.spread(rest, curves.fullest(rest, prompt))
    alone = whole * chunks + (rest > 0) * last + attention
    service = prompt / budget * full + attention / curves.copies
    step = curves.decode(n)
    away = traffic.gaps * (step + added)
    return step, added, _visit(alone, service, away, batch, traffic.regular), service


def _at_once(curves: StepCurves, entering: Array, steps: Array) -> Array:
    """Prompts that follow one another on a copy in a step, when so many enter in a share of the
    steps."""
    if curves.copies == 1:
        return entering
    return np.minimum(entering, np.maximum(steps, entering / curves.copies))


def _visit(alone: Array, service: Array, away: Array, batch: Array, regular: bool) -> Array:
    """Time at the queue for prompts, between two laws of arrival.

    Requests that keep their turns meet no queue until prompts fill all the time: R = max(alone,
    service B - away). At random instants R = alone + service (B - 1) R / (R + away), solved for R.
    A replay that starts with everybody at once is half way between.
    """
    turns = np.maximum(alone, service * batch - away)
    if regular:
        return np.asarray(turns)
    half = 0.5 * (away - alone - service * (batch - 1.0))
    random = np.sqrt(half * half + alone * away) - half
    return np.asarray(0.5 * (random + turns))


def _burst(curves: StepCurves, traffic: Traffic, n: Array, batch: Array, budget: Any, mixed: bool
           ) -> Array:
    """Mean wait of requests that all arrive at once: half of the way through their prompts."""
    prompt = traffic.prompt
    room = np.maximum(budget - (0.5 * n if mixed else 0.0), 1.0)
    attention = curves.prompt(np.minimum(room, prompt))
    pieces = prompt / room
    decode = (curves.decode(0.5 * n) - curves.tokens(0.5 * n) if mixed
              else curves.fixed + curves.logits(1.0))
    each = (decode + curves.tokens(np.minimum(budget, batch * prompt))
            + attention * np.minimum(room / prompt, batch) / curves.copies)
    return np.asarray((np.maximum(batch * pieces, 1.0) + np.maximum(pieces, 1.0)) / 2 * each)
