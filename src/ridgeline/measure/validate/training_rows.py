"""What a published training run says, as a case of the training step model."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from ridgeline.errors import BadInput
from ridgeline.measure.truth.names import architecture_named
from ridgeline.memory.training import adapter_params
from ridgeline.model.architecture import Architecture
from ridgeline.training.layout import Batch, Layout
from ridgeline.training.step_time import TrainingCase

__all__ = ["case_of", "framework_of", "reported_flop_per_token"]

# Part of the framework column -> key of the fitted factors; earlier ones win.
_FRAMEWORKS = (("megatron-bridge", "megatron_bridge"), ("megatron-deepspeed", "megatron_deepspeed"),
               ("megatron-lm", "megatron_lm"), ("llm-foundry", "llm_foundry"),
               ("torchtitan", "torchtitan"), ("maxtext", "maxtext"), ("peft", "peft"),
               ("deepspeed", "deepspeed"), ("nemo", "nemo"))
_UNFUSED = ("megatron_deepspeed", "megatron_lm")
_PACKED_BYTES = 0.52                   # of a 4-bit weight with its scales
_ADAPTER_RANK = 64.0                   # default of Qwen's fine-tuning script
_HEAD_DIM = 128                        # of shapes that do not state their heads


def framework_of(text: str) -> str:
    """The framework's key, "" for one that was never measured."""
    low = text.lower()
    return next((key for part, key in _FRAMEWORKS if part in low), "")


@cache
def _gpt(name: str, hidden: int, layers: int, heads: int, gated: bool = False) -> Architecture:
    """A GPT of a stated shape; the vocabulary is the one its runs used."""
    from ridgeline.model.parts import Attention, Block, DenseFfn, Weight

    vocabulary = 250880 if "250k" in name else 50368 if "MPT" in name else 51200
    heads = heads or max(1, hidden // _HEAD_DIM)
    block = Block(Attention(heads, heads, hidden // heads), DenseFfn(4 * hidden, gated=gated),
                  (Weight("norm1", (hidden,), "norm"), Weight("norm2", (hidden,), "norm")))
    embedding = Weight("embed", (vocabulary, hidden), "embedding", "vocab")
    return Architecture(name, "gpt", hidden, vocabulary, 0, ((block, layers),), (embedding,), (),
                        True, (Weight("norm", (hidden,), "norm"),))


def _architecture(row: dict[str, Any]) -> Architecture:
    try:
        return architecture_named(row["model"])
    except BadInput:
        if not row["hidden"]:
            raise
    hidden = int(row["hidden"])
    layers = row["layers"]
    if not layers and row["params_b"]:
        vocabulary = 250880 if "250k" in row["model"] else 51200
        layers = round((row["params_b"] * 1e9 - vocabulary * hidden) / (12 * hidden**2))
    if not layers:
        raise BadInput("the row states neither its layers nor its parameters")
    return _gpt(row["model"], hidden, int(layers), int(row["heads"] or 0))


def _precision(text: str) -> str:
    low = text.lower()
    return ("nvfp4" if "fp4" in low and "nf4" not in low else "mxfp8" if "mx" in low
            else "fp8" if "fp8" in low else "bf16")


def case_of(row: dict[str, Any]) -> TrainingCase:
    """The run of a row.

    Raises:
        BadInput: the row does not say enough, or its kind of tuning is not modelled.
    """
    from ridgeline.machine.parse import parse_machine

    framework, task = framework_of(row["framework"]), row["task"]
    if not framework:
        raise BadInput(f"no training model of framework {row['framework']!r}: the row states no "
                       "parallel layout")
    if "multinode" in task:
        raise BadInput(f"{task}: the row does not state how the nodes share the model")
    if not row["n_gpus"] or not row["seq_len_tokens"]:
        raise BadInput("the row states neither its chips nor its sequence length")
    architecture, n = _architecture(row), int(row["n_gpus"])
    cluster = parse_machine(f"{n}x{_chip(row['gpu'])}")
    layout, sequences = _layout(row, framework, n)
    return TrainingCase(
        architecture, cluster, layout, Batch(sequences, int(row["seq_len_tokens"])),
        _precision(row["precision"]), backward=1.0 if "LoRA" in task else 2.0,
        trained=adapter_params(architecture, _ADAPTER_RANK) if "LoRA" in task else None,
        flash=framework not in _UNFUSED,
        sequence_parallel="sequence" in row["recompute"] or framework not in _UNFUSED,
        framework=framework, packed_bytes=_PACKED_BYTES if "Q-LoRA" in task else 0.0,
        offload="offload" in row["framework"],
        async_tp=True if "async" in row["notes"].lower() else None)


def _chip(text: str) -> str:
    from ridgeline.catalog.loader import default_catalog

    return default_catalog().chip(text).name


def _layout(row: dict[str, Any], framework: str, n: int) -> tuple[Layout, int]:
    tpu = re.search(r'"ici_tensor_parallelism": "(\d+)"', row["notes"])
    tp = int(row["tp"] or (tpu[1] if tpu else 1 if framework == "maxtext" else 0))
    if not tp or not (row["micro_batch_seqs"] or row["tp"]):
        raise BadInput("the row does not state its parallel layout")
    pp, cp = int(row["pp"] or 1), int(row["cp"] or 1)
    dp = int(row["dp"] or n // (tp * pp * cp))
    micro = int(row["micro_batch_seqs"] or 1)
    if framework == "maxtext":
        micro *= tp                    # its batch is counted per chip
    if framework == "torchtitan" and pp > 1:
        micro = 1                      # a pipeline splits the local batch
    sequences = int(row["global_batch_seqs"] or micro * dp)
    if framework == "megatron_lm" and not row["micro_batch_seqs"]:
        micro = _tuned_micro_batch(sequences // dp, pp)
    # DeepSpeed's fine-tuning of all weights on several devices shards them.
    sharded = (framework in ("llm_foundry", "torchtitan", "maxtext")
               or (framework == "peft" and n > 1 and "LoRA" not in row["task"])
               or row["fsdp"] not in ("", "0", "ZeRO-1", "ZeRO-2"))
    recompute = "full" if row["recompute"].startswith("full") or framework == "peft" else "none"
    return Layout(tp, pp, dp, cp, int(row["ep"] or 1), max(1, int(row["vpp"] or 1)), micro,
                  3 if sharded and pp == 1 else 1, recompute), sequences


def _tuned_micro_batch(sequences: int, pp: int) -> int:
    """An unstated micro-batch of a tuned run: the largest with a bubble under an eighth."""
    return next((size for size in (4, 2) if sequences % size == 0 and sequences // size >= 8 * pp),
                1)


def reported_flop_per_token(case: TrainingCase) -> float:
    """FLOP a token by the source's own count: attention causal, or whole as older ones do."""
    from ridgeline.training.work import flop_per_token

    whole = case.framework in ("llm_foundry", "megatron_deepspeed", "megatron_lm", "nemo")
    return flop_per_token(case.architecture, case.batch.seq, causal=not whole)
