"""Claims about the price, the energy and the utilisation of tokens.

A check raises `BadInput` when the claim does not say what it needs.
"""

from __future__ import annotations

from ridgeline.errors import BadInput
from ridgeline.quantity import Quantity, format_si
from ridgeline.questions.answer import Value
from ridgeline.questions.claim_facts import compared
from ridgeline.questions.claim_rates import (
    bound_verdict,
    ceiling_derivation,
    decode_seconds,
    described,
    largest_batch,
    phase_of,
    prefill_limit,
    rate_factor,
    step_derivation,
    step_inputs,
)
from ridgeline.questions.claim_subject import Checked, Subject
from ridgeline.questions.claim_text import TextClaim
from ridgeline.timing import textbook

__all__ = ["check_cost", "check_energy", "check_utilisation"]


def _best_rate(claim: TextClaim, subject: Subject) -> tuple[float, str]:
    """Most tokens a second of the phase, and the words for it."""
    if phase_of(claim) == "prefill":
        return prefill_limit(subject, None, claim.value("prompt")), "of input"
    batch, context = claim.value("batch"), claim.value("context", "prompt") or 0.0
    size = batch or largest_batch(subject, context)
    words = f"at batch {batch:,.0f}" if batch else "at the best batch"
    return size / decode_seconds(subject, size, context), f"{words}, context {context:,.0f}"


def check_cost(claim: TextClaim, subject: Subject) -> Checked:
    """Dollars per million tokens against the least a full machine can do."""
    cost = claim.value("usd_per_mtok")
    assert cost is not None
    price, notes = claim.value("usd_per_hour"), []
    if price is None:
        rent = subject.hardware.usd_per_hour
        if rent is None:
            raise BadInput("at which rent? add for instance 'at $2/h' for each chip")
        price = rent[0]
        notes.append(f"Rent taken from the catalog: {price:g} USD/h for each "
                     f"{subject.hardware.name} (the lowest listed).")
    limit, words = _best_rate(claim, subject)
    least = subject.n_chips * price / 3600 / limit * 1e6
    share = least / cost
    verdict = bound_verdict(share, phase_of(claim))
    quantities: dict[str, Value] = {
        "claimed_usd_per_mtok": Quantity.exact(cost, "USD/Mtok", "assumed"),
        "least_usd_per_mtok": Quantity.exact(least, "USD/Mtok"),
        "share_of_limit": Quantity.exact(share, "1"),
        "tokens_per_s_needed": Quantity.exact(share * limit, "token/s")}
    sentence = (f"{verdict}: {described(subject)} at {price:g} USD/h a chip costs at least "
                f"{least:.3g} USD/Mtok {words}; the claim needs {100 * share:.0f} % of that rate")
    return Checked(verdict, sentence, quantities, notes=tuple(notes))


def check_energy(claim: TextClaim, subject: Subject) -> Checked:
    """Joules per token against board power over the best rate."""
    joules = claim.value("joules_per_token")
    assert joules is not None
    if not subject.hardware.tdp:
        raise BadInput(f"the catalog has no power for {subject.hardware.name}")
    limit, words = _best_rate(claim, subject)
    least = subject.n_chips * subject.hardware.tdp / limit
    share = least / joules
    verdict = bound_verdict(share, phase_of(claim))
    return Checked(verdict, f"{verdict}: at board power {described(subject)} spends at least "
                   f"{format_si(least, 'J')} a token {words}",
                   {"least_joules_per_token_j": Quantity.exact(least, "J"),
                    "share_of_limit": Quantity.exact(share, "1")},
                   notes=("Board power at full load, without cooling.",))


def check_utilisation(claim: TextClaim, subject: Subject) -> Checked:
    """An MFU: recomputed when a rate stands beside it, else against the ceiling of the phase."""
    share = claim.value("share")
    assert share is not None
    rate = claim.value("token_rate")
    training = claim.says("train")
    if rate is not None:
        per_token = (6 if training else 2) * subject.active_params
        right = float(textbook.model_flops_utilisation(
            throughput=rate * rate_factor(claim, subject), flop_per_token=per_token,
            n_chips=float(subject.n_chips),
            peak_flops_per_s=subject.hardware.peak(subject.compute())))
        return compared("MFU", share, right, "share", topic="flop",
                        derivation=ceiling_derivation(subject, rate))
    batch, context = claim.value("batch") or 1.0, claim.value("context") or 0.0
    if training or phase_of(claim) == "prefill":
        raise BadInput("an MFU needs the rate behind it; add for instance 'at 3200 tok/s'")
    inputs = step_inputs(subject, batch, context)
    busy = batch * 2 * inputs["active_params"] / (inputs["n_chips"] * inputs["peak_flops_per_s"])
    ceiling = busy / decode_seconds(subject, batch, context)
    verdict = bound_verdict(share / ceiling, "decode")
    return Checked(verdict, f"{verdict}: decoding a batch of {batch:,.0f} with "
                   f"{described(subject)} reaches an MFU of {100 * ceiling:.3g} % at most",
                   {"claimed_mfu": Quantity.exact(share, "1", "assumed"),
                    "mfu_ceiling": Quantity.exact(ceiling, "1"),
                    "share_of_limit": Quantity.exact(share / ceiling, "1")},
                   derivation=step_derivation(subject, batch, context))
