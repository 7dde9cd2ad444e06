"""Claims that compare: one chip with another, one format with another, a part with the whole.

A check raises `BadInput` when the claim does not say what it needs.
"""

from __future__ import annotations

import math
import re

from ridgeline.errors import BadInput
from ridgeline.explain.claims import Case, Claimed, judge
from ridgeline.quantity import Quantity
from ridgeline.questions.answer import Value
from ridgeline.questions.claim_facts import compared
from ridgeline.questions.claim_names import find_format, find_machine
from ridgeline.questions.claim_subject import Checked, Subject
from ridgeline.questions.claim_text import Amount, TextClaim

__all__ = ["check_active_share", "check_count", "check_needed", "check_ratio_of"]

_WORDS = {"twice": 2.0, "double": 2.0, "doubles": 2.0, "triple": 3.0, "triples": 3.0, "half": 0.5,
          "halves": 0.5, "quarter": 0.25}
# What makes the first of two the smaller one.
_INVERSE = ("smaller", "slower", "less", "lower", "narrower", "fewer", "cheaper", "shrinks")


def ratio_amount(claim: TextClaim) -> Amount | None:
    """The ratio a sentence states, in digits or as a word."""
    found = claim.amount("ratio")
    if found is not None:
        return found
    for word, value in _WORDS.items():
        if claim.says(rf"{word}\b"):
            return Amount("ratio", value, word, value)
    return None


def check_ratio_of(claim: TextClaim, subject: Subject) -> Checked | None:
    """Two chips or two formats named, and a ratio; None when there are no two."""
    amount = ratio_amount(claim)
    if amount is None:
        return None
    first, left = find_machine(claim.text)
    second = find_machine(left)[0] if first else None
    if first and second:
        return _chips(claim, amount, first, second)
    one, rest = find_format(claim.text)
    other = find_format(rest)[0] if one else None
    if one and other and one != other:
        return _formats(claim, amount, one, other)
    return None


def _chips(claim: TextClaim, amount: Amount, first: str, second: str) -> Checked:
    """The first machine over the second, by what the words speak of, else by all of it."""
    from ridgeline.machine.parse import parse_machine

    one, other = parse_machine(first), parse_machine(second)
    ratios = {"memory bandwidth": one.n_chips * one.chip.memory_bandwidth
              / (other.n_chips * other.chip.memory_bandwidth),
              "memory": one.n_chips * one.chip.memory_bytes
              / (other.n_chips * other.chip.memory_bytes)}
    for name in one.chip.peaks:
        if name in other.chip.peaks and name in ("bf16", "fp16", "fp8", "fp4", "int8"):
            ratios[f"{name} FLOP/s"] = (one.n_chips * one.chip.peaks[name]
                                        / (other.n_chips * other.chip.peaks[name]))
    wanted = _wanted(claim, ratios)
    cases = tuple(Case(name, 1 / ratios[name] if claim.says(*_INVERSE) else ratios[name])
                  for name in wanted)
    return _judged(amount, cases, f"{first} over {second}", about=len(cases) > 1)


def _wanted(claim: TextClaim, ratios: dict[str, float]) -> list[str]:
    """Which of the ratios a sentence speaks of."""
    if claim.says("bandwidth"):
        return ["memory bandwidth"]
    if claim.says("memory", "capacity", "vram", "hbm"):
        return ["memory"]
    rates = [n for n in ratios if n.endswith("FLOP/s")]
    if claim.format:
        return [n for n in rates if n.startswith(claim.format)] or rates
    if claim.says("flop", "compute", "ops"):
        return [n for n in rates if n.startswith(("bf16", "fp16"))][:1] or rates
    return list(ratios)


def _formats(claim: TextClaim, amount: Amount, one: str, other: str) -> Checked:
    """Bits of one format over another: sizes, and times of what waits for memory."""
    from ridgeline.formats import get_format
    from ridgeline.memory.weights import size_ratio

    ratio = float(size_ratio(from_bits=get_format(one).bits, to_bits=get_format(other).bits))
    larger = max(ratio, 1 / ratio)
    if amount.value < 1:
        larger = 1 / larger
    nominal = {8: 8.0, 4: 4.0, 2: 2.0, 16: 16.0, 32: 32.0}
    ideal = [min(nominal, key=lambda b: abs(b - get_format(n).bits)) for n in (one, other)]
    bare = max(ideal) / min(ideal)
    cases = [Case("bits with scales", larger)]
    if not math.isclose(bare, larger, rel_tol=0.005):
        cases.insert(0, Case("bare bits", bare if amount.value >= 1 else 1 / bare))
    return _judged(amount, tuple(cases), f"bits of {one} against {other}", about=False)


def _judged(amount: Amount, cases: tuple[Case, ...], what: str, *, about: bool) -> Checked:
    digits = 0 if amount.low != amount.value else len(re.sub(r"\D", "", amount.text).strip("0")
                                                      ) or 1
    verdict = judge(cases, Claimed(amount.low, amount.value, "", digits),
                    mode="about" if about else "equals")
    shown = ", ".join(f"{c.label} {c.value:.3g}" for c in cases)
    quantities: dict[str, Value] = {
        "claimed": Quantity(amount.value, amount.low, amount.value, "x", "assumed")}
    quantities |= {re.sub(r"\W+", "_", c.label): Quantity.exact(float(c.value), "x")
                   for c in cases}
    return Checked(verdict.name, f"{verdict.name}: {what}: {shown} times", quantities)


def check_active_share(claim: TextClaim, subject: Subject) -> Checked:
    """Share of its parameters that a model uses for a token."""
    share = claim.amount("share")
    assert share is not None
    return compared(f"active share of {subject.label}", share,
                    subject.active_params / subject.total_params, "share")


def check_count(claim: TextClaim, subject: Subject) -> Checked:
    """Layers, heads, KV heads, experts or vocabulary of a known model."""
    from ridgeline.model.parts import Attention

    found = subject.architecture
    if found is None:
        raise BadInput("of which model? name a known one, such as Llama-3-70B")
    mixers = [b.mixer for b, _ in found.blocks if isinstance(b.mixer, Attention)]
    routed = [ffn for ffn, _ in found.mixtures]
    known = {"layers": float(found.n_layers), "vocab": float(found.vocab_size),
             "experts": float(routed[0].n_experts) if routed else 0.0,
             "heads": float(mixers[0].n_heads) if mixers else 0.0,
             "kv_heads": float(mixers[0].n_kv_heads) if mixers else 0.0}
    amount = claim.amount(*known)
    assert amount is not None
    ratios = ({"query heads counted instead of KV heads": known["heads"] / known["kv_heads"]}
              if amount.kind == "kv_heads" and known["kv_heads"] else None)
    if not known[amount.kind]:
        return Checked("wrong", f"wrong: {subject.label} has no {amount.kind.replace('_', ' ')}")
    return compared(f"{amount.kind.replace('_', ' ')} of {subject.label}", amount,
                    known[amount.kind], "1", stored=True, ratios=ratios)


def check_needed(claim: TextClaim, subject: Subject) -> Checked:
    """How many chips the weights need."""
    chip = subject.hardware
    need = subject.weight_bytes
    least, claimed = math.ceil(need / chip.memory_bytes), subject.n_chips
    verdict = "correct" if least == claimed else "wrong"
    if claim.says("at least") and least > claimed:
        verdict = "wrong"
    return Checked(verdict, f"{verdict}: the weights of {subject.label} in {subject.weights} need "
                   f"{least} {chip.name}, cache and activations not counted",
                   {"least_chips": least, "weights_bytes": Quantity.exact(need, "B"),
                    "memory_bytes": Quantity.exact(chip.memory_bytes, "B", "datasheet")})
