"""Claims that state a figure: sizes, counts, ridges, datasheets.

A check raises `BadInput` when the claim does not say what it needs.
"""

from __future__ import annotations

import math
import re
from typing import Any

from ridgeline.errors import BadInput
from ridgeline.explain.claims import Case, Claimed, judge
from ridgeline.explain.derivation import Given, derive
from ridgeline.explain.slips import Topic, likely_slips
from ridgeline.quantity import Quantity, format_si
from ridgeline.questions.answer import Value
from ridgeline.questions.claim_subject import Checked, Subject
from ridgeline.questions.claim_text import Amount, TextClaim
from ridgeline.timing import bounds, critical_batch
from ridgeline.work import matmul_roofline

__all__ = ["check_batch", "check_fit", "check_kv", "check_link", "check_params", "check_peak",
           "check_power", "check_ridge", "check_weights", "compared", "said"]


def compared(what: str, claimed: float | Amount, right: float, unit: str, *,
             topic: Topic = "any", stored: bool = False, derivation: tuple[Any, ...] = (),
             ratios: dict[str, float] | None = None, notes: tuple[str, ...] = (),
             others: dict[str, float] | None = None) -> Checked:
    """A stated figure against the computed one.

    Args:
        what: name of the figure.
        claimed: the figure, or its amount with a range.
        right: computed, in the same SI unit.
        unit: that unit; "share" is shown in per cent.
        topic, ratios: where to look for slips.
        stored: the figure is stored bytes, known exactly.
        derivation, notes: to pass on.
        others: the same figure under other conventions, which are named when one fits.
    """
    low = claimed.low if isinstance(claimed, Amount) else claimed
    high = claimed.value if isinstance(claimed, Amount) else claimed
    digits = _digits(claimed) if isinstance(claimed, Amount) and low == high else 0
    verdict = judge((Case("", right),), Claimed(low, high, "", digits), stored=stored)
    middle = (low + high) / 2
    slips = () if verdict.name == "correct" else tuple(
        likely_slips(middle, right, topic, ratios=ratios))
    stated = said(high, unit) if low == high else f"{said(low, unit)} to {said(high, unit)}"
    sentence = f"{verdict.name}: {what}: {said(right, unit)}, not {stated}"
    if verdict.name == "correct":
        sentence = f"correct: {what}: {said(right, unit)}"
    elif right and middle:
        ratio = middle / right
        sentence += (f" ({100 * (ratio - 1):+.3g} %)" if 0.5 < ratio < 2
                     else f" ({ratio:.4g} times)")
    if slips:
        sentence += f"; {slips[0]}"
    unit = "1" if unit == "share" else unit
    fits = [name for name, value in (others or {}).items()
            if verdict.name != "correct" and value and abs(middle / value - 1) < 0.01]
    quantities: dict[str, Value] = {"claimed": Quantity(middle, low, high, unit, "assumed"),
                                    "computed": Quantity.exact(right, unit)}
    return Checked(verdict.name, sentence + "".join(f"; it is the figure {f}" for f in fits),
                   quantities, slips=slips, notes=notes, derivation=derivation)


def said(value: float, unit: str) -> str:
    """A figure as a person reads it; shares in per cent, budgets of FLOP with their exponent."""
    if unit == "share":
        return f"{100 * value:.4g} %"
    if unit == "FLOP" and value >= 1e18:
        return f"{value:.4g} FLOP"
    return format_si(value, unit, 4)


def _digits(amount: Amount) -> int:
    """Digits a figure is stated to, from the text of its amount."""
    from ridgeline.explain.claims.claimed import read_claimed

    number = re.match(r"[\d.,]+(?:e[-+]?\d+)?", amount.text.replace("$", "").strip())
    try:
        return read_claimed(number[0].rstrip(".,")).digits if number else 0
    except BadInput:
        return 0


def check_weights(claim: TextClaim, subject: Subject) -> Checked:
    """Bytes of the weights, or of the KV cache when the words say so."""
    from ridgeline.memory.weights import weight_bytes

    amount = claim.amount("bytes")
    assert amount is not None
    if claim.says("kv", "cache"):
        return check_kv(claim, subject)
    if claim.says("optimi[sz]er", "training state", "to train", "gradients?"):
        return _training_state(claim, subject, amount)
    if subject.architecture is None and subject.params is None:
        return _chip_memory(subject, amount)
    right = subject.weight_bytes
    derivation = (derive(weight_bytes, {
        "n_params": Given(subject.total_params, "derived", subject.label),
        "bits": Given(8 * right / subject.total_params, "datasheet",
                      f"format {subject.stored}")}),)
    return compared(f"weights of {subject.label} in {subject.stored}", amount, right, "B",
                    topic="bytes", stored=True, derivation=derivation,
                    ratios={"counted in fp16 where a narrower format is stored":
                            16 / subject.weight_bits,
                            "active parameters counted instead of all":
                            subject.active_params / subject.total_params})


def _chip_memory(subject: Subject, amount: Amount) -> Checked:
    """Bytes without a model are the memory of the machine."""
    have = subject.n_chips * subject.hardware.memory_bytes
    return compared(f"memory of {subject.machine}", amount, have, "B", topic="bytes", stored=True)


def check_power(claim: TextClaim, subject: Subject) -> Checked:
    """Watts of a chip against its board power."""
    amount = claim.amount("watts")
    assert amount is not None
    if not subject.hardware.tdp:
        raise BadInput(f"the catalog has no power for {subject.hardware.name}")
    return compared(f"board power of {subject.machine}", amount,
                    subject.n_chips * subject.hardware.tdp, "W")


def _training_state(claim: TextClaim, subject: Subject, amount: Amount) -> Checked:
    from ridgeline.memory.training import state_bytes

    only = claim.says("optimi[sz]er") and not claim.says("weights", "training state")
    grads = claim.says("gradients?") and not claim.says("weights", "optimi[sz]er")
    inputs = {"n_params": subject.total_params, "weight_bytes": 0.0 if only or grads else 2.0,
              "grad_bytes": 0.0 if only else 2.0, "optimizer_bytes": 0.0 if grads else 12.0}
    what = "AdamW state" if only else "gradients" if grads else "training state"
    return compared(f"{what} of {subject.label}", amount, float(state_bytes(**inputs)), "B",
                    topic="bytes", stored=True, derivation=(derive(state_bytes, inputs),))


def check_kv(claim: TextClaim, subject: Subject) -> Checked:
    """Cache bytes per token, per thousand tokens, or of a request or batch."""
    per_token = claim.amount("bytes_per_token")
    kv = subject.kv_per_token
    ratios = _kv_ratios(subject)
    notes = (f"A cached value takes {subject.kv_format or '2 bytes (bf16)'}.",)
    if per_token is not None:
        return compared(f"KV cache of a token of {subject.label}", per_token, kv, "B", topic="kv",
                        stored=True, ratios=ratios, notes=notes)
    amount = claim.amount("bytes")
    assert amount is not None and subject.architecture is not None
    context = claim.value("context", "prompt", "tokens")
    if not context:
        raise BadInput("a KV cache of how many tokens? add for instance 'at 32k context' or give "
                       "it per token")
    batch = claim.value("batch") or 1.0
    scale = kv / float(subject.architecture.kv_bytes_per_token())
    right = batch * float(subject.architecture.cache_bytes(context)) * scale
    return compared(f"KV cache of {batch:,.0f} x {context:,.0f} tokens of {subject.label}",
                    amount, right, "B", topic="kv", stored=True, ratios=ratios, notes=notes)


def _kv_ratios(subject: Subject) -> dict[str, float]:
    from ridgeline.model.parts import Attention

    found = {b.mixer.n_heads / b.mixer.n_kv_heads for b, _ in subject.architecture.blocks
             if isinstance(b.mixer, Attention)} if subject.architecture else set()
    out = {}
    for ratio in found:
        out["query heads counted instead of KV heads"] = ratio
        out["query heads counted, and at fp32"] = 2 * ratio
    return out


def check_ridge(claim: TextClaim, subject: Subject) -> Checked:
    """FLOP per byte at which a chip turns compute-bound."""
    amount = claim.amount("intensity", "count", "batch", "tokens")
    if amount is None:
        raise BadInput("which ridge point is claimed? write for instance '295 FLOP/byte'")
    chip, name = subject.hardware, subject.compute(subject.format or "bf16")
    derivation = (derive(bounds.ridge_point, {
        "peak_flops_per_s": Given(chip.peak(name), "datasheet", chip.name),
        "memory_bandwidth": Given(chip.memory_bandwidth, "datasheet", chip.name)}),)
    return compared(f"{name} ridge point of {chip.name}", amount, chip.ridge(name), "FLOP/B",
                    topic="peak", derivation=derivation, others=_other_ridges(chip, name))


def _other_ridges(chip: Any, name: str) -> dict[str, float]:
    return {f"of {other}": chip.ridge(other) for other in chip.peaks if other != name}


def check_batch(claim: TextClaim, subject: Subject) -> Checked:
    """The batch from which a matmul, or a model's decoding, is compute-bound."""
    amount = claim.amount("batch", "tokens", "count")
    if amount is None:
        raise BadInput("which critical batch is claimed? write for instance 'batch 295'")
    chip = subject.hardware
    weights = subject.format or "bf16"
    compute = subject.compute(weights)
    bits = subject.weight_bits if subject.format else 16.0
    ridge = chip.ridge(compute)
    if subject.architecture is not None or subject.params:
        inputs = {"ridge": ridge, "bytes_per_param": bits / 8,
                  "total_params": subject.total_params, "active_params": subject.active_params}
        right, formula = float(critical_batch.critical_batch_rule(**inputs)), (
            derive(critical_batch.critical_batch_rule, inputs),)
    else:
        inputs = {"ridge": ridge, "bytes_weight": bits / 8}
        right, formula = float(matmul_roofline.critical_batch_asymptotic(**inputs)), (
            derive(matmul_roofline.critical_batch_asymptotic, inputs),)
    notes = ("Asymptotic: layers much wider than the batch, no KV cache. For one layer exactly: "
             "`ridgeline roofline --matmul B=?,D=4096,F=4096`.",)
    first = math.ceil(right)
    claimed = amount.value if amount.value != first else right
    return compared(f"critical batch on {chip.name} with {weights} weights",
                    amount if claimed == amount.value else right, right, "1", topic="batch",
                    derivation=formula, notes=notes,
                    ratios={"active parameters taken for all": subject.active_params
                            / subject.total_params} if subject.architecture else None)


def check_peak(claim: TextClaim, subject: Subject) -> Checked:
    """FLOP/s of a chip against its dense peak."""
    amount = claim.amount("flop_rate")
    assert amount is not None
    chip = subject.hardware
    name = subject.compute(subject.format or "bf16")
    achieved = claim.says("achiev", "sustain", "reach", "measured", "train", "get")
    n = 1 if claim.says(r"per (?:gpu|chip|device)", "/gpu", "/chip") else subject.n_chips
    others = {f"of {other}": n * rate for other, rate in chip.peaks.items() if other != name}
    others |= {f"of {other} with 2:4 sparsity": 2 * n * rate
               for other, rate in chip.peaks.items() if 2 * rate not in chip.peaks.values()
               or other == name}
    of = f"{n} {chip.name}" if n > 1 else chip.name
    if achieved:
        share = amount.value / (n * chip.peak(name))
        verdict = "impossible" if share > 1.005 else "possible"
        return Checked(verdict, f"{verdict}: {100 * share:.3g} % of the dense {name} peak of {of}",
                       {"share_of_limit": Quantity.exact(share, "1"),
                        "peak_flop_per_s": Quantity.exact(n * chip.peak(name), "FLOP/s",
                                                          "datasheet")})
    return compared(f"dense {name} peak of {of}", amount, n * chip.peak(name), "FLOP/s",
                    topic="peak", others=others)


def check_link(claim: TextClaim, subject: Subject) -> Checked:
    """Bandwidth of a chip's memory, or of an interconnect."""
    amount = claim.amount("bandwidth")
    assert amount is not None
    name = _link_name(claim)
    if name is None:
        chip = subject.hardware
        memory = subject.n_chips * chip.memory_bandwidth
        return compared(f"memory bandwidth of {subject.machine}", amount, memory, "B/s",
                        topic="bandwidth")
    from ridgeline.catalog import load_link

    link = load_link(name)
    # Scale-up links are sold by the sum of both directions, network ports by one.
    if "NVLink" in link.name:
        both = compared(f"{link.name}, both directions", amount, 2 * link.bandwidth, "B/s", notes=(
            f"One way, which formulas use: {format_si(link.bandwidth, 'B/s')}.",))
        if both.verdict == "correct":
            return both
    return compared(f"{link.name}, one way", amount, link.bandwidth, "B/s", topic="bandwidth")


def _link_name(claim: TextClaim) -> str | None:
    """The interconnect a claim names."""
    words = claim.words
    if found := re.search(r"nvlink[ -]?(\d)", words):
        return f"NVLink {found[1]}"
    if "nvlink" in words and claim.machine:
        from ridgeline.machine.parse import parse_machine

        link = parse_machine(claim.machine).chip.scale_up
        return link.name if link else None
    if found := re.search(r"pcie[ -]?(?:gen ?)?(\d)", words):
        return f"PCIe {found[1]} x16"
    for name in ("NDR", "XDR", "HDR", "EDR"):
        if name.lower() in words.split() or f"infiniband {name.lower()}" in words:
            return f"InfiniBand {name}"
    return "InfiniBand NDR" if "infiniband" in words else None


def check_params(claim: TextClaim, subject: Subject) -> Checked:
    """Parameters of a known model, all of them or those a token uses."""
    amounts = [a for a in claim.amounts if a.kind in ("params", "count")]
    if subject.architecture is None or not amounts:
        raise BadInput("parameters of which model? name a known one, such as DeepSeek-V3")
    active = claim.says("active", "activated", "activates") and len(amounts) == 1
    if active:
        return _active(subject, amounts[0])
    first = compared(f"parameters of {subject.label}", amounts[0], subject.total_params, "param")
    if len(amounts) < 2 or not claim.says("active", "activated", "activates"):
        return first
    second = _active(subject, amounts[1])
    worse = max((first, second), key=lambda c: ("correct", "approximately", "wrong").index(
        c.verdict))
    return Checked(worse.verdict, f"{first.sentence}; {second.sentence}",
                   {**first.quantities, "computed_active": second.quantities["computed"]})


def _active(subject: Subject, amount: Amount) -> Checked:
    """Parameters a token uses: by our rule, or as the publisher counts them."""
    from ridgeline.model.published import published_sizes

    what = f"active parameters of {subject.label}"
    stated = published_sizes().get(subject.architecture.name if subject.architecture else "")
    if stated is not None and stated.active:
        by_publisher = compared(what, amount, float(stated.active), "param", notes=(
            f"Counted as the publisher does; with embedding and head as we count, "
            f"{subject.active_params:,.0f}.",))
        if by_publisher.verdict == "correct":
            return by_publisher
    return compared(what, amount, subject.active_params, "param")


def check_fit(claim: TextClaim, subject: Subject) -> Checked:
    """Whether the weights fit the memory of a machine, and with how much left."""
    chip = subject.hardware
    need = subject.weight_bytes
    have = subject.n_chips * chip.memory_bytes
    denied = claim.says(r"not fit", r"n't fit", r"cannot fit", "too (?:big|large)")
    fits = need <= have
    verdict = "correct" if fits is not denied else "wrong"
    chips = math.ceil(need / chip.memory_bytes)
    state = "fit" if fits else "do not fit"
    sentence = (f"{verdict}: {format_si(need, 'B')} of weights ({subject.label} in "
                f"{subject.stored}) {state} in {format_si(have, 'B')} of {subject.machine}")
    if not fits:
        sentence += f"; {chips} of them would hold the weights"
    quantities: dict[str, Value] = {
        "weights_bytes": Quantity.exact(need, "B"), "memory_bytes": Quantity.exact(have, "B",
                                                                                   "datasheet"),
        "left_bytes": Quantity.exact(have - need, "B"), "least_chips": chips}
    return Checked(verdict, sentence, quantities, notes=(
        "Weights only; `ridgeline fit` counts cache, activations and the engine's own.",))
