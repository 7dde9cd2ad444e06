"""Claims with a physical limit in serving: rates and latencies."""

from __future__ import annotations

import math
from typing import Any

from ridgeline.errors import BadInput
from ridgeline.explain.derivation import Given, derive
from ridgeline.quantity import Quantity, format_si
from ridgeline.questions.claim_subject import Checked, Subject
from ridgeline.questions.claim_text import TextClaim
from ridgeline.timing import textbook

__all__ = ["bound_verdict", "ceiling_derivation", "check_latency", "check_rate", "decode_seconds",
           "described", "largest_batch", "phase_of", "prefill_limit", "rate_factor",
           "step_derivation", "step_inputs"]

# Shares of a limit that real engines seldom pass: prompts reach 50-75 % of the peak, decoding
# 60-90 % of the bandwidth.
_SELDOM = {"prefill": 0.80, "decode": 0.92}
# Rounded figures may stand this far above a limit.
_ROUNDING = 1.005
_NARROWER = ("fp8", "int8", "nvfp4", "int4_g128")


def phase_of(claim: TextClaim) -> str:
    """prefill when the words speak of prompts, else decode."""
    if claim.says("prefill", "prompt processing", "prompt tok", "input", "context processing",
                  "prompt throughput", "prompt eval", r"pp\d"):
        return "prefill"
    return "decode"


def check_rate(claim: TextClaim, subject: Subject) -> Checked:
    """Tokens per second against the roofline of the whole machine."""
    amount = claim.amount("token_rate")
    assert amount is not None
    rate = amount.value * rate_factor(claim, subject)
    if phase_of(claim) == "prefill":
        return _prefill_rate(claim, subject, rate)
    return _decode_rate(claim, subject, rate)


def rate_factor(claim: TextClaim, subject: Subject) -> float:
    """A rate "per GPU" counts for each chip, "per user" for each sequence."""
    if claim.says(r"per (?:gpu|chip|card|device)", r"/(?:gpu|chip)"):
        return float(subject.n_chips)
    if claim.says(r"per (?:user|stream|request|sequence)", r"/user"):
        return claim.value("batch") or 1.0
    return 1.0


# --- prompts -------------------------------------------------------------------------------------

def _prefill_rate(claim: TextClaim, subject: Subject, rate: float) -> Checked:
    prompt = claim.value("prompt", "context")
    limit = prefill_limit(subject, None, prompt)
    share = rate / limit
    quantities = _quantities(rate, limit, share, "token/s")
    ways = _prefill_ways(subject, rate, prompt, share) if share > _ROUNDING else ()
    verdict = bound_verdict(share, "prefill")
    peak = f"{subject.compute()} peak of {subject.machine}"
    sentence = (f"{verdict}: {100 * share:.0f} % of the {peak} "
                f"({format_si(limit, 'token/s')} at most)")
    if ways:
        sentence += ", would need " + " or ".join(way for way, _ in ways[:2])
    notes = ["Attention over the context is neglected; say 'prompt of 8k' to count it."
             ] if not prompt else []
    if verdict == "implausible":
        notes.append("Engines seldom pass 75 % of the peak in prefill.")
    return Checked(verdict, sentence, quantities, ways, notes=tuple(notes),
                   derivation=ceiling_derivation(subject, rate))


def prefill_limit(subject: Subject, weights: str | None, prompt: float | None = None) -> float:
    """Most prompt tokens a second of the machine, with attention when the prompt is known."""
    whole = subject.whole(weights)
    if not prompt:
        return float(textbook.prefill_ceiling(active_params=whole.active_params,
                                              n_chips=whole.chips, peak_flops_per_s=whole.peak))
    flop = float(textbook.prefill_flop(active_params=whole.active_params, prompt_tokens=prompt,
                                       n_layers=whole.n_layers, d_attention=whole.d_attention))
    return prompt * whole.chips * whole.peak / flop


def _prefill_ways(subject: Subject, rate: float, prompt: float | None, share: float
                  ) -> tuple[tuple[str, str], ...]:
    """Formats that would do, cache hits that would do, chips that would do."""
    ways = []
    now = subject.compute()
    for name in _NARROWER[:3]:
        other = subject.compute(name) if _runs(subject, name) else now
        if other == now:
            continue
        then = rate / prefill_limit(subject, name, prompt)
        if then <= 1:
            ways.append((f"{name} ({100 * then:.0f} %)", f"weights and arithmetic in {name}"))
            break
    hits = 1 - 1 / share
    ways.append((f"prefix cache hits on {100 * hits:.0f} % of the tokens",
                 "cached tokens are counted in the rate and never computed"))
    chips = math.ceil(subject.n_chips * share)
    ways.append((f"{chips} chips instead of {subject.n_chips}", "at the full peak of each"))
    return tuple(ways)


def _runs(subject: Subject, name: str) -> bool:
    try:
        subject.compute(name)
    except BadInput:
        return False
    return True


def ceiling_derivation(subject: Subject, rate: float) -> tuple[Any, ...]:
    """The compute ceiling, and the MFU of a rate."""
    whole, chip = subject.whole(), subject.hardware
    shared = {"n_chips": Given(float(whole.chips), "assumed", "machine"),
              "peak_flops_per_s": Given(whole.peak, "datasheet", f"{chip.name} "
                                        f"{subject.compute()}, dense")}
    return (derive(textbook.prefill_ceiling, {
                "active_params": Given(whole.active_params, "derived", subject.label), **shared}),
            derive(textbook.model_flops_utilisation, {
                "throughput": Given(rate, "assumed", "the claim"),
                "flop_per_token": Given(2 * whole.active_params, "derived", "2 * P_active"),
                **shared}))


# --- generation ----------------------------------------------------------------------------------

def _decode_rate(claim: TextClaim, subject: Subject, rate: float) -> Checked:
    batch, context = claim.value("batch"), claim.value("context", "prompt") or 0.0
    if claim.says("single[- ]stream", "single[- ]user", "one user", "for one stream"):
        batch = 1.0
    if batch is None and context == 0.0 and _one_stream(subject, rate):
        batch = 1.0
    if batch is None:
        return _unbatched(subject, rate, context)
    limit = batch / decode_seconds(subject, batch, context)
    share = rate / limit
    verdict = bound_verdict(share, "decode")
    quantities = _quantities(rate, limit, share, "token/s") | {
        "batch_size": Quantity.exact(batch, "1"),
        "context_tokens": Quantity.exact(context, "token")}
    sentence = (f"{verdict}: {100 * share:.0f} % of what {described(subject)} allows at batch "
                f"{batch:,.0f} and context {context:,.0f} ({format_si(limit, 'token/s')})")
    ways = _decode_ways(subject, rate, batch, context, share) if share > _ROUNDING else ()
    if ways:
        sentence += ", would need " + " or ".join(way for way, _ in ways[:2])
    return Checked(verdict, sentence, quantities, ways,
                   notes=_memory_notes(subject, batch, context),
                   derivation=step_derivation(subject, batch, context))


def _one_stream(subject: Subject, rate: float) -> bool:
    """Whether one sequence alone may go that fast: then nothing more needs to be said."""
    return rate <= 1 / decode_seconds(subject, 1.0, 0.0)


def _unbatched(subject: Subject, rate: float, context: float) -> Checked:
    """No batch was named: what batch would it take, and does its cache fit?"""
    most = largest_batch(subject, context)
    limit = max(b / decode_seconds(subject, b, context) for b in (1.0, most))
    share = rate / limit
    verdict = bound_verdict(share, "decode")
    need = _batch_for(subject, rate, context, most) if share <= 1 else math.inf
    quantities = _quantities(rate, limit, share, "token/s") | {
        "largest_batch": Quantity.exact(most, "1"), "batch_needed": Quantity.exact(need, "1"),
        "context_tokens": Quantity.exact(context, "token")}
    where = f"at context {context:,.0f}" if context else "with no context at all"
    if share > _ROUNDING:
        ways = _decode_ways(subject, rate, most, context, share)
        return Checked(verdict, f"{verdict}: {100 * share:.0f} % of what {described(subject)} "
                       f"allows {where} at any batch ({format_si(limit, 'token/s')}), would need "
                       + " or ".join(way for way, _ in ways[:2]), quantities, ways,
                       derivation=ceiling_derivation(subject, rate))
    alone = 1 / decode_seconds(subject, 1.0, context)
    return Checked(verdict, f"{verdict}: {100 * share:.1f} % of the limit {where}; takes at least "
                   f"{need:,.0f} sequences at once (one alone: {format_si(alone, 'token/s')} at "
                   "most)", quantities, derivation=step_derivation(subject, need, context),
                   notes=("Say 'at batch 64' or 'single stream', and the context, for a tighter "
                          "limit.",))


def largest_batch(subject: Subject, context: float) -> float:
    """Batch whose weights and cache fill the memory, at most 65,536."""
    if not context or subject.architecture is None:
        return 65536.0
    whole = subject.whole()
    room = subject.n_chips * subject.hardware.memory_bytes - whole.params_bytes
    cache = float(subject.architecture.cache_bytes(context)) + float(
        subject.architecture.state_bytes())
    return min(65536.0, max(1.0, math.floor(room / cache))) if cache else 65536.0


def _batch_for(subject: Subject, rate: float, context: float, most: float) -> float:
    """Least batch that allows the rate, by bisection: throughput grows with the batch."""
    low, high = 1.0, most
    while high - low > 1e-4 * high:
        middle = (low + high) / 2
        if middle / decode_seconds(subject, middle, context) >= rate:
            high = middle
        else:
            low = middle
    return float(math.ceil(high * (1 - 1e-4)))


def decode_seconds(subject: Subject, batch: float, context: float,
                   weights: str | None = None) -> float:
    """Least time of a decode step of the whole machine [s]."""
    return float(textbook.decode_step(**step_inputs(subject, batch, context, weights)))


def step_inputs(subject: Subject, batch: float, context: float, weights: str | None = None
                 ) -> dict[str, float]:
    """Arguments of `textbook.decode_step` for the whole machine."""
    whole = subject.whole(weights)
    kv = 0.0
    if context and subject.architecture is not None:
        kv = float(subject.architecture.cache_bytes(context)) / context
    per_token = float(textbook.attention_flop_per_cached_token(
        n_layers=whole.n_layers, n_heads=1.0, head_dim=whole.d_attention))
    return {"params_read": whole.params_read(batch),
            "bytes_per_param": whole.read_bytes_per_param(batch),
            "active_params": whole.active_params, "batch_size": batch, "context_length": context,
            "kv_bytes_per_token": kv, "attention_flop_per_token": per_token,
            "n_chips": float(whole.chips), "peak_flops_per_s": whole.peak,
            "memory_bandwidth": whole.bandwidth}


def _decode_ways(subject: Subject, rate: float, batch: float, context: float, share: float, *,
                 latency: bool = False) -> tuple[tuple[str, str], ...]:
    """Narrower weights, speculation, a larger batch (for a rate, not a latency), more chips."""
    ways = []
    for name in _NARROWER:
        if not _runs(subject, name) or get_bits(name) >= subject.weight_bits:
            continue
        then = rate * decode_seconds(subject, batch, context, name) / batch
        if then <= 1:
            ways.append((f"{name} weights ({100 * then:.0f} %)", "quantise and check quality"))
            break
    if batch <= 8:
        ways.append((f"speculation that lands {share:.2g} tokens a step",
                     "a draft of that quality"))
    most = 0.0 if latency else largest_batch(subject, context)
    if batch < most and most / decode_seconds(subject, most, context) >= rate:
        need = _batch_for(subject, rate, context, most)
        ways.append((f"a batch of {need:,.0f}", "slower for each user"))
    ways.append((f"{math.ceil(subject.n_chips * share)} chips instead of {subject.n_chips}",
                 "at the full bandwidth of each"))
    return tuple(ways)


def get_bits(name: str) -> float:
    """Bits of a format."""
    from ridgeline.formats import get_format

    return get_format(name).bits


def _memory_notes(subject: Subject, batch: float, context: float) -> tuple[str, ...]:
    if subject.architecture is None:
        return ()
    cache = float(subject.architecture.cache_bytes(context)) if context else 0.0
    need = subject.whole().params_bytes + batch * cache
    have = subject.n_chips * subject.hardware.memory_bytes
    if need <= have:
        return ()
    what = "Weights and cache of that batch" if cache else "The weights"
    return (f"{what} take {format_si(need, 'B')}; the machine holds "
            f"{format_si(have, 'B')}.",)


def step_derivation(subject: Subject, batch: float, context: float) -> tuple[Any, ...]:
    """The step's formula with where each value comes from."""
    chip = subject.hardware
    sources = {"peak_flops_per_s": Given(0.0, "datasheet", chip.name),
               "memory_bandwidth": Given(0.0, "datasheet", chip.name),
               "batch_size": Given(0.0, "assumed", "the claim"),
               "context_length": Given(0.0, "assumed", "the claim")}
    given = {name: Given(value, sources[name].basis, sources[name].source) if name in sources
             else Given(value, "derived", subject.label)
             for name, value in step_inputs(subject, batch, context).items()}
    return (derive(textbook.decode_step, given, title="Least time of a decode step"),)


# --- latency -------------------------------------------------------------------------------------

def check_latency(claim: TextClaim, subject: Subject) -> Checked:
    """Milliseconds per token or to the first token against the floor."""
    seconds = claim.value("seconds")
    assert seconds is not None
    if claim.says("ttft", "first token", "prefill", "prompt"):
        return _first_token(claim, subject, seconds)
    batch, context = claim.value("batch") or 1.0, claim.value("context", "prompt") or 0.0
    floor = decode_seconds(subject, batch, context)
    share = floor / seconds
    verdict = bound_verdict(share, "decode")
    ways = _decode_ways(subject, batch / seconds, batch, context, share, latency=True) \
        if share > _ROUNDING else ()
    sentence = (f"{verdict}: no step of {described(subject)} takes less than "
                f"{format_si(floor, 's')} at batch {batch:,.0f} and context {context:,.0f}; "
                f"{format_si(seconds, 's')} is {seconds / floor:.3g} times that floor")
    if ways:
        sentence += ", would need " + " or ".join(way for way, _ in ways[:2])
    return Checked(verdict, sentence, {"claimed_s": Quantity.exact(seconds, "s", "assumed"),
                                       "floor_s": Quantity.exact(floor, "s"),
                                       "share_of_limit": Quantity.exact(share, "1")}, ways,
                   notes=_memory_notes(subject, batch, context),
                   derivation=step_derivation(subject, batch, context))


def _first_token(claim: TextClaim, subject: Subject, seconds: float) -> Checked:
    prompt = claim.value("prompt", "context", "tokens")
    if not prompt:
        raise BadInput("how long is the prompt? add for instance 'for an 8k prompt'")
    whole = subject.whole()
    inputs = {"active_params": whole.active_params, "params_read": whole.params_read(prompt),
              "bytes_per_param": whole.read_bytes_per_param(prompt), "prompt_tokens": prompt,
              "n_chips": float(whole.chips), "peak_flops_per_s": whole.peak,
              "memory_bandwidth": whole.bandwidth, "n_layers": whole.n_layers,
              "d_attention": whole.d_attention}
    floor = float(textbook.prefill(**inputs))
    share = floor / seconds
    verdict = bound_verdict(share, "prefill")
    ways = _prefill_ways(subject, prompt / seconds, prompt, share) if share > _ROUNDING else ()
    sentence = (f"{verdict}: a prompt of {prompt:,.0f} tokens takes {described(subject)} at least "
                f"{format_si(floor, 's')}; {format_si(seconds, 's')} is {seconds / floor:.3g} "
                "times that floor")
    if ways:
        sentence += ", would need " + " or ".join(way for way, _ in ways[:2])
    return Checked(verdict, sentence, {"claimed_s": Quantity.exact(seconds, "s", "assumed"),
                                       "floor_s": Quantity.exact(floor, "s"),
                                       "share_of_limit": Quantity.exact(share, "1")}, ways,
                   derivation=(derive(textbook.prefill, inputs),))


# --- words ---------------------------------------------------------------------------------------

def bound_verdict(share: float, phase: str) -> str:
    """impossible beyond the limit, implausible where engines seldom come, else possible."""
    if share > _ROUNDING:
        return "impossible"
    return "implausible" if share > _SELDOM[phase] else "possible"


def _quantities(value: float, limit: float, share: float, unit: str) -> dict[str, Any]:
    return {"claimed_tokens_per_s": Quantity.exact(value, unit, "assumed"),
            "limit_tokens_per_s": Quantity.exact(limit, unit),
            "share_of_limit": Quantity.exact(share, "1")}


def described(subject: Subject) -> str:
    """Model, format and machine in words."""
    return f"{subject.label} in {subject.stored} on {subject.machine}"
