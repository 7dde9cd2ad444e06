"""Peak memory of runs others published: what a row says, as a call of `memory.peak`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ridgeline.errors import BadInput
from ridgeline.measure.truth.names import architecture_named
from ridgeline.measure.truth.reader import Table
from ridgeline.measure.validate.prediction import Advance, Interval, Predictions, each_row
from ridgeline.measure.validate.startup import PHASE, startup_memory

if TYPE_CHECKING:
    from ridgeline.memory.peak import Peak
    from ridgeline.model.architecture import Architecture

GIB = 2.0**30
# Bits of a stored matrix element with its scales (group 128 for AWQ and GPTQ, 64 for NF4).
_BITS = {"fp32": 32.0, "bf16": 16.0, "fp16": 16.0, "int8": 8.3, "int4": 4.16, "int4 (awq)": 4.16,
         "bnb.nf4": 4.5, "bnb.nf4-dq": 4.127}
# LitGPT's tables train on Alpaca: longest sequence under Llama's tokens. Its generation script
# makes 50 tokens from a short prompt.
_ALPACA_TOKENS, _LITGPT_TOKENS = 1304, 128
_QWEN_RANK = 64                    # of the adapters in Qwen's script, on every matrix of a layer
_MEGATRON_VOCABULARY = 51200       # GPT-2's, padded; the runs' own 250k is in their names
_SWEEP_TOKENS = 4096 + 128         # llama.cpp sweeps: longest prompt and what follows it


def predict(table: Table, advance: Advance) -> Predictions:
    """Peak memory of every row, or the reason why not."""
    return each_row(table, advance, lambda row: {"memory": _of_row(row)})


def _of_row(row: dict[str, Any]) -> Interval:
    return startup_memory(row) if row["phase"] == PHASE else _interval(peak_of(row))


def _interval(peak: Peak) -> Interval:
    total = peak.total
    return Interval(total.value, total.low, total.high)


def peak_of(row: dict[str, Any]) -> Peak:
    """Predicted peak of one row.

    Raises:
        BadInput: a framework without a memory model, or a row that does not say enough.
    """
    framework = row["framework"].lower()
    for part, answer in _FRAMEWORKS.items():
        if part in framework:
            return answer(row)
    raise BadInput(f"no memory model of framework {row['framework']!r}")


def _bits(row: dict[str, Any]) -> float:
    name = row["weight_dtype"].lower()
    if name not in _BITS:
        raise BadInput(f"weight format {row['weight_dtype']!r} is not one of: {', '.join(_BITS)}")
    return _BITS[name]


def _number(pattern: str, text: str, what: str) -> int:
    found = re.search(pattern, text)
    if found is None:
        raise BadInput(f"the row does not say its {what}")
    return int(float(found[1].replace(",", "")))


def _tokens(row: dict[str, Any], usual: int | None = None) -> int:
    text = row["seq_len_tokens"]
    if text.isdigit():
        return int(text)
    if usual is None or text:
        raise BadInput(f"sequence length {text!r} is not a number of tokens")
    return usual


def _generation(framework: str, row: dict[str, Any], seq_len: int, prompt: int) -> Peak:
    from ridgeline.deployment.sharding import WeightFormats
    from ridgeline.memory.peak import inference_peak

    bits = _bits(row)
    return inference_peak(architecture_named(row["model"]), framework=framework,
                          batch=int(row["batch_seqs"] or 1), seq_len=seq_len,
                          prompt_tokens=prompt, formats=WeightFormats(bits, bits, 16.0),
                          kv_bytes=1.0 if "int8 kv" in row["config"].lower() else 2.0)


def _autoawq(row: dict[str, Any]) -> Peak:
    on_cpu = any(cpu in row["gpu"] for cpu in ("Xeon", "EPYC", "Core", "Ryzen"))
    seq_len = _tokens(row)
    return _generation("autoawq_cpu" if on_cpu else "autoawq", row, seq_len, seq_len)


def _transformers(row: dict[str, Any]) -> Peak:
    return _generation("transformers", row, _tokens(row), 1)


def _litgpt(row: dict[str, Any]) -> Peak:
    if row["phase"] == "inference":
        return _generation("litgpt", row, _tokens(row, _LITGPT_TOKENS), 1)
    if (row["n_gpus"] or 1) != 1:
        raise BadInput("sharded over several devices with settings the row does not say")
    from ridgeline.deployment import Deployment
    from ridgeline.deployment.sharding import WeightFormats
    from ridgeline.memory.peak import TrainingRun, training_peak

    trained = _number(r"trainable params ([\d,]+)", row["config"], "trainable parameters")
    bits = _bits(row)
    run = TrainingRun(int(row["batch_seqs"]), _ALPACA_TOKENS, recompute="none",
                      trainable=float(trained), sequence_parallel=False)
    return training_peak(architecture_named(row["model"]), Deployment(), run, framework="litgpt",
                         formats=WeightFormats(bits, bits, 16.0))


def _adapter_params(architecture: Architecture, rank: int) -> float:
    """Parameters of low-rank adapters on every matrix of every layer."""
    return float(sum(
        rank * sum(weight.shape) * weight.count * repeats
        for block, repeats in architecture.blocks for weight in block.weights(architecture.d_model)
        if len(weight.shape) == 2 and weight.role in ("attention", "ffn")))


def _peft(row: dict[str, Any]) -> Peak:
    from ridgeline.deployment import Deployment
    from ridgeline.deployment.sharding import WeightFormats
    from ridgeline.memory.peak import Peak, TrainingRun, training_peak
    from ridgeline.quantity import Quantity

    kind, bits = row["phase"], _bits(row)
    if "multinode" in kind:
        raise BadInput("a sum over devices of a sharding the row does not say")
    architecture = architecture_named(row["model"])
    trained: float | None = _adapter_params(architecture, _QWEN_RANK)
    if "(emb)" in kind and trained is not None:
        trained += 2.0 * architecture.vocab_size * architecture.d_model
    full = "Full" in kind
    devices = int(row["n_gpus"] or 1) if full else 1
    # On one device the script trains with plain AdamW: no master copy.
    run = TrainingRun(int(row["batch_seqs"]), _tokens(row), zero_stage=3 if full else 0,
                      dp=devices, trainable=None if full else trained, sequence_parallel=False,
                      optimizer="adamw" if devices > 1 else "adamw_fp32")
    one = training_peak(architecture, Deployment(), run, framework="deepspeed_peft",
                        formats=WeightFormats(bits, bits, 16.0))
    if "sum over" not in row["quantity"]:
        return one
    total = one.total  # the row adds up all devices
    return Peak(Quantity(devices * total.value, devices * total.low, devices * total.high, "B",
                         total.basis), one.items)


def _zero3(row: dict[str, Any]) -> Peak:
    from ridgeline.deployment import Deployment
    from ridgeline.memory.peak import TrainingRun, training_peak

    optimizer = "offload" if "offload" in row["config"].lower() else "adamw"
    run = TrainingRun(int(row["batch_seqs"]), _tokens(row), zero_stage=3, dp=int(row["n_gpus"]),
                      optimizer=optimizer, sequence_parallel=False)
    return training_peak(architecture_named(row["model"]), Deployment(), run,
                         framework="deepspeed_zero3")


def _torchtitan(row: dict[str, Any]) -> Peak:
    from ridgeline.deployment import Deployment
    from ridgeline.memory.peak import TrainingRun, training_peak

    fsdp, tp, pp, cp = (_number(rf"{name} (\d+)", row["config"], name)
                        for name in ("FSDP", "TP", "PP", "CP"))
    batch = int(row["batch_seqs"])
    micro = 1 if pp > 1 else batch  # a pipeline splits the local batch into single sequences
    run = TrainingRun(micro, _tokens(row) // cp, n_microbatches=batch // micro, zero_stage=3,
                      dp=fsdp * cp, optimizer="adamw_fp32", weight_bytes=4.0)
    return training_peak(architecture_named(row["model"]), Deployment(tp=tp, pp=pp), run,
                         framework="torchtitan")


def _megatron(row: dict[str, Any]) -> Peak:
    from ridgeline.deployment import Deployment
    from ridgeline.memory.peak import TrainingRun, training_peak

    dp, tp, pp, mbs, gbs = (_number(rf"\b{name}(\d+)", row["config"], name)
                            for name in ("DP", "TP", "PP", "MBS", "GBS"))
    hidden = _number(r"hidden (\d+)", row["config"], "hidden size")
    found = re.search(r"layers (\d+)", row["config"])
    layers = int(found[1]) if found else _layers(row, hidden)
    run = TrainingRun(mbs, _tokens(row), n_microbatches=max(1, gbs // dp // mbs), zero_stage=1,
                      dp=dp, sequence_parallel=False, flash_attention=False)
    return training_peak(_gpt(hidden, layers), Deployment(tp=tp, pp=pp), run,
                         framework="megatron_deepspeed")


def _layers(row: dict[str, Any], hidden: int) -> int:
    """Layers of a GPT of this width and size: 12 hidden^2 parameters each."""
    if row["params_b"] is None:
        raise BadInput("the row says neither its layers nor its parameters")
    matrices = float(row["params_b"]) * 1e9 - _MEGATRON_VOCABULARY * hidden
    return max(1, round(matrices / (12 * hidden**2)))


def _gpt(hidden: int, layers: int) -> Architecture:
    """A GPT with heads of 128 and a tied embedding, for runs that only state a shape."""
    from ridgeline.model.architecture import Architecture
    from ridgeline.model.parts import Attention, Block, DenseFfn, Weight

    heads = max(1, hidden // 128)
    block = Block(Attention(heads, heads, 128), DenseFfn(4 * hidden, gated=False),
                  (Weight("norms", (4 * hidden,), "norm"),))
    embedding = Weight("embed", (_MEGATRON_VOCABULARY, hidden), "embedding", "vocab")
    return Architecture("gpt", "gpt", hidden, _MEGATRON_VOCABULARY, 2048, ((block, layers),),
                        (embedding,), (), True, (Weight("norm", (2 * hidden,), "norm"),))


def _llamacpp(row: dict[str, Any]) -> Peak:
    from ridgeline.memory.peak import inference_peak

    found = re.search(r"weights file ([\d.]+) GiB", row["notes"])
    if found is None:
        raise BadInput("the row does not say the size of its weight file")
    return inference_peak(architecture_named(row["model"]), framework="llamacpp",
                          batch=int(row["batch_seqs"] or 1), seq_len=_SWEEP_TOKENS,
                          weight_bytes=float(found[1]) * GIB,
                          flash_attention="-fa 1" in row["config"])


# Part of the framework column -> what reads such rows; more special ones first.
_FRAMEWORKS: dict[str, Callable[[dict[str, Any]], Peak]] = {
    "autoawq": _autoawq, "litgpt": _litgpt, "megatron": _megatron, "peft": _peft,
    "zero-3": _zero3, "torchtitan": _torchtitan, "llama.cpp": _llamacpp,
    "transformers": _transformers,
}
