"""Is this number possible? A claim in words against limits and formulas."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from ridgeline.errors import BadInput, UnknownName
from ridgeline.questions import claim_facts as facts
from ridgeline.questions import claim_prices as prices
from ridgeline.questions import claim_rates as rates
from ridgeline.questions import claim_ratios as ratios
from ridgeline.questions import claim_training as training_claims
from ridgeline.questions.answer import Answer, Table
from ridgeline.questions.claim_subject import Checked, Subject, subject_of
from ridgeline.questions.claim_text import ACCEPTED, Amount, TextClaim, read_claim
from ridgeline.questions.claim_units import check_conversion

__all__ = ["check", "check_text", "kind_of"]

_CONDITIONS = ("prompt", "context", "batch")
_LARGEST = 1e9
Check = Callable[[TextClaim, Subject], Checked]


def check(text: str, *, model: str | None = None, machine: str | None = None,
          weights: str | None = None, **numbers: float | None) -> Answer:
    """Is a claim possible, and if not, what would make it so?

    Args:
        text: the claim, such as "100k tok/s prefill of Llama-3-70B on 8xH100 in bf16".
        model, machine, weights: what the text leaves out; they win over the text.
        **numbers: further conditions in SI: `prompt`, `context`, `batch` (tokens, sequences).

    Returns:
        an Answer with `verdict` (impossible, implausible, possible; or correct, approximately,
        wrong for a stated figure), `share_of_limit` where there is a limit, the numbers behind
        it, and table "ways" of what would make it possible.

    Raises:
        BadInput: the claim cannot be read, or leaves out what it needs (the message says what).

    >>> check("100k tok/s prefill of Llama-3-70B on 8xH100 in bf16")["verdict"]
    'impossible'
    """
    converted = check_conversion(text)
    if converted is not None:
        return _answer({"claim": text, "kind": "units"}, converted)
    claim = read_claim(text)
    claim = _completed(claim, model, machine, weights, numbers)
    name, checked = check_text(claim)
    return _answer({"claim": claim.text, "kind": name, "model": claim.model,
                    "machine": claim.machine, "weights": claim.format,
                    "amounts": {a.kind: a.value for a in claim.amounts}}, checked)


def _answer(scenario: dict[str, Any], checked: Checked) -> Answer:
    """A verdict as an Answer: the sentence first, then the numbers, ways and slips."""
    tables = [Table.of("ways", {"would need": "1", "that is": "1"}, checked.ways,
                       title="What would make it possible")] if checked.ways else []
    if checked.slips:
        tables.append(Table.of("slips", {"likely slip": "1"}, [(s,) for s in checked.slips],
                               title="Where the figure may come from"))
    return Answer("check", scenario, {"bound": checked.sentence, "verdict": checked.verdict,
                                      **checked.quantities}, tuple(tables), checked.notes,
                  checked.derivation)


def check_text(claim: TextClaim) -> tuple[str, Checked]:
    """Kind and verdict of a claim that has been read.

    Raises:
        BadInput: nothing in it can be checked, or something is missing.
    """
    subject = subject_of(claim)
    for amount in claim.amounts:
        if not 0 < amount.value < math.inf:
            raise BadInput(f"{amount.text!r} is not a positive amount")
        if amount.kind in _CONDITIONS and amount.value > _LARGEST:
            raise BadInput(f"{amount.text!r} is more than any machine holds; at most {_LARGEST:g}")
    compared = ratios.check_ratio_of(claim, subject)
    if compared is not None:
        return "ratio", compared
    name, ask = kind_of(claim)
    return name, ask(claim, subject)


def _completed(claim: TextClaim, model: str | None, machine: str | None, weights: str | None,
               numbers: dict[str, Any]) -> TextClaim:
    """The claim with what was given beside it."""
    from ridgeline.formats import get_format
    from ridgeline.machine.parse import parse_machine
    from ridgeline.model.load import load_architecture

    for name in numbers:
        if name not in _CONDITIONS:
            raise UnknownName.among("condition of a claim", name, _CONDITIONS,
                                    "There are: " + ", ".join(_CONDITIONS))
    if model:
        load_architecture(model)
    if machine:
        parse_machine(machine)
    extra = tuple(Amount(kind, float(value), f"{kind} {value:g}", float(value))
                  for kind, value in numbers.items() if value is not None)
    given = {a.kind for a in extra}
    amounts = (*extra, *(a for a in claim.amounts if a.kind not in given))
    return dataclasses.replace(
        claim, model=model or claim.model, machine=machine or claim.machine, amounts=amounts,
        format=get_format(weights).name if weights else claim.format)


def kind_of(claim: TextClaim) -> tuple[str, Check]:
    """Which check a claim asks for, by its unit first and its words next.

    Raises:
        BadInput: none does.
    """
    has = {a.kind for a in claim.amounts}
    says = claim.says
    training = says("train", "pre-?train", "run took")
    # (kind, does it apply, check); the first that applies is taken.
    kinds: list[tuple[str, bool, Check]] = [
        ("price of tokens", "usd_per_mtok" in has, prices.check_cost),
        ("training rate", training and "token_rate" in has,
         training_claims.check_training_rate),
        ("utilisation", "share" in has and says("mfu", "utili", "of peak", "of the peak")
         and not (training and has & {"seconds", "chip_hours"}), prices.check_utilisation),
        ("active share", "share" in has and claim.model is not None
         and says("active", "activat", "of its param"), ratios.check_active_share),
        ("energy", "joules_per_token" in has, prices.check_energy),
        ("token rate", "token_rate" in has, rates.check_rate),
        ("critical batch", says("critical batch", "compute[- ]bound", "batch threshold",
                                "optimal batch", "ideal batch")
         and bool(has & {"batch", "count", "tokens"}), facts.check_batch),
        ("ridge point", "intensity" in has or says("ridge", "critical intensity"),
         facts.check_ridge),
        ("tokens per parameter", "tokens_per_param" in has, training_claims.check_ratio),
        ("KV cache", "bytes_per_token" in has, facts.check_kv),
        ("training time", (training and bool(has & {"chip_hours", "seconds", "usd"}))
         or "chip_hours" in has, training_claims.check_training_time),
        ("peak rate", "flop_rate" in has, facts.check_peak),
        ("bandwidth", "bandwidth" in has, facts.check_link),
        ("power", "watts" in has, facts.check_power),
        ("operations", bool(has & {"flop", "flop_days"}), training_claims.check_flop),
        ("count", claim.model is not None
         and bool(has & {"layers", "heads", "kv_heads", "experts", "vocab"}),
         ratios.check_count),
        ("chips needed", says("needs?", "requires?") and claim.machine is not None
         and not has & {"bytes", "seconds", "batch"}, ratios.check_needed),
        ("fit", says("fits?", "needs? (?:at least )?\\d+ (?:gpus|chips|cards)"),
         facts.check_fit),
        ("bytes", "bytes" in has, facts.check_weights),
        ("run time", "seconds" in has and "tokens" in has and not claim.says("per token", "ttft"),
         training_claims.check_training_time),
        ("latency", "seconds" in has, rates.check_latency),
        ("parameters", claim.model is not None and bool(has & {"params", "count"}),
         facts.check_params),
    ]
    for name, applies, ask in kinds:
        if applies:
            return name, ask
    seen = ", ".join(a.text for a in claim.amounts)
    raise BadInput(f"nothing to check in {claim.text[:60]!r}: it gives {seen or 'no amount'}; "
                   f"write {ACCEPTED}")
