"""Claims about training: operations, days, chip-hours, dollars, tokens a parameter.

A check raises `BadInput` when the claim does not say what it needs.
"""

from __future__ import annotations

from ridgeline.errors import BadInput
from ridgeline.explain.derivation import derive
from ridgeline.quantity import Quantity, format_si
from ridgeline.questions.answer import Value
from ridgeline.questions.claim_facts import compared, said
from ridgeline.questions.claim_rates import rate_factor
from ridgeline.questions.claim_subject import Checked, Subject
from ridgeline.questions.claim_text import TextClaim

__all__ = ["check_flop", "check_ratio", "check_training_rate", "check_training_time"]

# Published dense runs reach 30-57 % of the peak.
_BEST_TRAINING, _POOR_TRAINING = 0.60, 0.05


def check_ratio(claim: TextClaim, subject: Subject) -> Checked:
    """Training tokens for each parameter."""
    amount, tokens = claim.amount("tokens_per_param"), claim.value("tokens")
    assert amount is not None
    if not tokens:
        raise BadInput("trained on how many tokens? add for instance 'on 15T tokens'")
    return compared(f"training tokens a parameter of {subject.label}", amount,
                    tokens / subject.total_params, "1")


def check_flop(claim: TextClaim, subject: Subject) -> Checked:
    """Operations of a training run, or of a token."""
    from ridgeline.memory.activations import training_flop
    from ridgeline.timing.textbook import decode_flop

    amount, tokens = claim.amount("flop", "flop_days"), claim.value("tokens")
    assert amount is not None
    if tokens and tokens > 1e6:
        inputs = {"n_params": subject.active_params, "tokens": tokens}
        return compared(f"training {subject.label} on {tokens:.4g} tokens", amount,
                        float(training_flop(**inputs)), "FLOP", topic="training",
                        derivation=(derive(training_flop, inputs),),
                        notes=("6 for each active parameter and token; attention adds a few per "
                               "cent at usual lengths.",))
    if claim.says("train"):
        raise BadInput("trained on how many tokens? add for instance 'on 15T tokens'")
    inputs = {"active_params": subject.active_params, "batch_size": tokens or 1.0}
    what = "a forward pass of one token" if not tokens else f"{tokens:,.0f} tokens"
    return compared(f"{what} of {subject.label}", amount, float(decode_flop(**inputs)), "FLOP",
                    topic="flop", derivation=(derive(decode_flop, inputs),))


def check_training_time(claim: TextClaim, subject: Subject) -> Checked:
    """Days, chip-hours or dollars of a training run: the MFU they imply."""
    from ridgeline.memory.activations import training_flop

    chip, tokens = subject.hardware, claim.value("tokens")
    if not tokens:
        raise BadInput("trained on how many tokens? add for instance 'on 15T tokens'")
    chip_seconds, words = _chip_seconds(claim, subject)
    compute = subject.compute(subject.format or "bf16")
    flop = float(training_flop(n_params=subject.active_params, tokens=tokens))
    mfu = flop / (chip_seconds * chip.peak(compute))
    verdict = ("impossible" if mfu > 1.005 else
               "implausible" if mfu > _BEST_TRAINING or mfu < _POOR_TRAINING else "possible")
    stated = claim.value("share")
    quantities: dict[str, Value] = {
        "implied_mfu": Quantity.exact(mfu, "1"), "flop": Quantity.exact(flop, "FLOP"),
        "chip_hours": Quantity.exact(chip_seconds / 3600, "chip-h", "assumed"),
        "least_chip_hours": Quantity.exact(flop / chip.peak(compute) / 3600, "chip-h")}
    sentence = (f"{verdict}: {said(flop, 'FLOP')} in {words} is an MFU of {100 * mfu:.3g} % of "
                f"the {compute} peak of {chip.name}; good runs reach 30-55 %")
    if stated:
        checked = compared("MFU", stated, mfu, "share", topic="training")
        verdict = verdict if verdict == "impossible" else checked.verdict
        sentence = f"{checked.sentence}; " + sentence.split(": ", 1)[1]
    return Checked(verdict, sentence, quantities, derivation=(
        derive(training_flop, {"n_params": subject.active_params, "tokens": tokens}),))


def check_training_rate(claim: TextClaim, subject: Subject) -> Checked:
    """Tokens a second in training: the MFU they imply, attention counted when the length is known.

    6 for each active parameter and token; for a known model with a context, the exact count.
    """
    from ridgeline.timing.textbook import model_flops_utilisation
    from ridgeline.training.work import flop_per_token

    rate, chip = (claim.value("token_rate") or 0.0) * rate_factor(claim, subject), subject.hardware
    compute = subject.compute(subject.format or "bf16")
    context = claim.value("context")
    per_token = 6.0 * subject.active_params
    if context and subject.architecture is not None:
        per_token = flop_per_token(subject.architecture, int(context))
    inputs = {"throughput": rate, "flop_per_token": per_token, "n_chips": float(subject.n_chips),
              "peak_flops_per_s": chip.peak(compute)}
    mfu = float(model_flops_utilisation(**inputs))
    derivation = (derive(model_flops_utilisation, inputs),)
    if (stated := claim.value("share")) is not None and mfu <= 1:
        return compared("MFU", stated, mfu, "share", topic="training", derivation=derivation)
    verdict = "impossible" if mfu > 1.005 else "implausible" if mfu > _BEST_TRAINING else "possible"
    return Checked(verdict, f"{verdict}: training {subject.label} at {rate:,.0f} token/s is an MFU "
                   f"of {100 * mfu:.3g} % of the {compute} peak of {subject.machine}; good runs "
                   "reach 30-55 %",
                   {"implied_mfu": Quantity.exact(mfu, "1"),
                    "limit_tokens_per_s": Quantity.exact(rate / mfu, "token/s"),
                    "share_of_limit": Quantity.exact(mfu, "1")}, derivation=derivation)


def _chip_seconds(claim: TextClaim, subject: Subject) -> tuple[float, str]:
    """Chips times seconds of the run, and the words for it."""
    if (hours := claim.value("chip_hours")) is not None:
        return hours, f"{hours / 3600:,.4g} chip-hours"
    seconds = claim.value("seconds")
    if seconds is not None:
        return seconds * subject.n_chips, f"{format_si(seconds, 's')} on {subject.machine}"
    dollars, price = claim.value("usd"), claim.value("usd_per_hour")
    if dollars is None or price is None:
        raise BadInput("how long did it train? give days, GPU-hours, or dollars with '$2/h'")
    return dollars / price * 3600, f"{dollars / price:,.4g} chip-hours ({dollars:,.4g} USD)"
