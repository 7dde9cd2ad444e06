"""What one user's request asks of a device: FLOP, bytes and kernel launches of a prompt or a token.

Counted from the op list of the model (`work.step`), with weights at the bits of the file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from ridgeline.deployment import Deployment
from ridgeline.deployment.operands import Format, Formats
from ridgeline.formats import NumberFormat
from ridgeline.machine import Chip
from ridgeline.model.architecture import Architecture
from ridgeline.model.parts import Attention, LatentAttention
from ridgeline.work.op import Op
from ridgeline.work.step import Step, step_ops

__all__ = ["StreamCase", "generation_columns", "prompt_columns", "quant_kind", "stream_keys"]

# Engines that split every matrix over their devices; the others run devices one after another.
TENSOR_PARALLEL = frozenset({"gptfast", "mlc", "vllm", "exllama", "llamacpp-2023"})
# Engines on ggml: prompts in passes of 512 tokens, latent attention in its absorbed form.
GGML = frozenset({"llamacpp", "ik", "ollama"})
_PASS, _WHOLE_PROMPT = 512, 4096   # tokens of one pass; in engines without a physical batch
_PACKED = (8, 4, 2)    # query heads that ggml's flash attention takes through one read of keys
# 16-bit experts up to so many tokens run as one kernel in ggml on CUDA and ROCm, by width of the
# output; beyond, every expert is a library call of its own (ggml-cuda/mmf.cu, read in 2026).
_TOGETHER = ((1024.0, 512.0), (float("inf"), 128.0))
_WIDE_ROWS = 1e9       # tokens an expert sees, where there are none
_LARGE = 3e10          # parameters from which a model counts as large


@dataclass(frozen=True)
class StreamCase:
    """One user on one machine.

    Attributes:
        architecture, chip: what runs where.
        engine: "llamacpp", "ollama", "ik", "exllamav2", "autoawq", "transformers", ...
        backend: "cuda", "metal", "rocm", "vulkan", "cpu".
        format: of the weights; the mean of a file for a mix.
        file_bytes: size of the weight file; None: from the format.
        prompt_tokens, gen_tokens, depth: of the test; tokens already in the cache.
        batch: requests side by side.
        n_devices: devices of the machine.
        flash_attention: whether scores stay on the chip.
        ubatch: tokens of one pass; 0: the engine's default.
        variant: driver or kernels, then settings, by "+" ("rocm/rocwmma", "vulkan/amdvlk", "t2",
            "gemv", "rocm/plain+hblt0" without hipBLASLt); "" when unknown.
        host: kind of a host that slows the device down ("pi"), else "".
    """

    architecture: Architecture
    chip: Chip
    engine: str
    backend: str
    format: NumberFormat
    file_bytes: float | None = None
    prompt_tokens: float = 512.0
    gen_tokens: float = 128.0
    depth: float = 0.0
    batch: float = 1.0
    n_devices: int = 1
    flash_attention: bool = True
    ubatch: int = 0
    variant: str = ""
    host: str = ""


def quant_kind(format: NumberFormat) -> str:
    """Formats whose kernels are alike: "f16", "k", "iq", "legacy", "mxfp4" or the format's name."""
    if format.bits >= 16:
        return "f16"
    for kind, pattern in (("iq", r"iq\d"), ("k", r"q\d_k"), ("legacy", r"q\d_\d"),
                          ("mxfp4", r".*mxfp4")):
        if re.match(pattern, format.name):
            return kind
    return format.name


def stream_keys(case: StreamCase) -> dict[str, str]:
    """Level -> value of a case, for the fitted constants."""
    arch, chip, at = case.architecture, case.chip, case.backend
    place = f"{case.engine}/{at}"
    kind = quant_kind(case.format)
    flash = "fa" if case.flash_attention else "plain"
    size = "large" if arch.total_params > _LARGE else "small"
    variant, *settings = case.variant.split("+")
    family = (chip.architecture.split() or [""])[0]
    return {"engine": place, "arch": f"{at}/{chip.vendor}/{family}",
            "quant": f"{place}/{kind}", "kind": f"{at}/{kind}",
            "format": f"{place}/{case.format.name}", "device": f"{at}/{chip.name}",
            "model": f"{at}/{arch.model_type}", "variant": variant,
            "blas": f"{at}/hblt0" if "hblt0" in settings else "",
            "head": f"{at}/{flash}/{_head(arch)}", "size": f"{place}/{kind}/{size}",
            "host": f"{at}/{case.host}" if case.host else ""}


def _head(architecture: Architecture) -> str:
    """Width of attention heads, or "latent"."""
    widths = [b.mixer.head_dim for b, _ in architecture.blocks if isinstance(b.mixer, Attention)]
    if any(isinstance(b.mixer, LatentAttention) for b, _ in architecture.blocks):
        return "latent"
    return str(min(256, widths[-1])) if widths else "none"


def _packed(architecture: Architecture) -> float:
    """Query heads that share one read of keys and values in ggml's flash attention."""
    ratio = 1
    for block, _ in architecture.blocks:
        mixer = block.mixer
        if isinstance(mixer, Attention):
            ratio = mixer.n_heads // max(1, mixer.n_kv_heads)
        elif isinstance(mixer, LatentAttention):
            ratio = mixer.n_heads
    return float(next((p for p in _PACKED if ratio % p == 0), 1))


def _bits(case: StreamCase) -> tuple[float, float]:
    """Mean bits of (dense, expert) weights.

    Files of mixtures keep the dense tensors wider than the experts: 8 bit in MXFP4 files, about a
    bit and a half more in K-quant mixes; the file size then gives the experts.
    """
    arch, format = case.architecture, case.format
    experts = arch.params_by_role.get("expert", 0)
    dense = arch.total_params - experts
    wide = None
    if experts and "mxfp4" in format.name:
        wide = 8.5
    elif experts and format.bits < 8:
        wide = format.bits + 1.5
    if case.file_bytes is None:
        return wide or format.bits, format.bits
    bits = 8 * case.file_bytes
    if wide is None:
        return bits / arch.total_params, bits / arch.total_params
    return wide, max(0.5, (bits - wide * dense) / experts)


def prompt_columns(case: StreamCase) -> dict[str, float]:
    """Work of the prompt: columns of `timing.single_stream.prompt_seconds`."""
    tokens = case.prompt_tokens * case.batch
    ggml = case.engine in GGML
    most = case.ubatch or (_PASS if ggml else _WHOLE_PROMPT)
    each = min(tokens, float(most))
    # Attention is linear in the tokens before: a pass in the middle of the prompt is the mean one.
    before = case.depth + (case.prompt_tokens - min(each, case.prompt_tokens)) / 2
    work = _work(case.architecture, *_bits(case), ggml,
                 Step(prefill_tokens=each, prefill_sequences=1.0, prefill_past=before))
    loop = ggml and case.format.bits >= 16 and case.backend in ("cuda", "rocm")
    # The kernels of other backends pack all heads of a group, or none whatever their number.
    packs = case.flash_attention and case.backend == "rocm"
    return {**work, **_machine(case), "passes": tokens / each, "pass_tokens": each,
            "expert_calls": work["expert_calls"] if loop else 0.0,
            "reread": _PACKED[0] / _packed(case.architecture) - 1.0 if packs else 0.0,
            "plain": 0.0 if case.flash_attention else 1.0}


def generation_columns(case: StreamCase) -> dict[str, float]:
    """Work of a token: columns of `timing.single_stream.generation_seconds`."""
    context = max(1.0, case.depth + case.prompt_tokens + case.gen_tokens / 2)
    work = _work(case.architecture, *_bits(case), True,
                 Step(decode_sequences=case.batch, decode_context=context))
    return {**work, **_machine(case), "batch": case.batch,
            "params": float(case.architecture.active_params)}


def _machine(case: StreamCase) -> dict[str, float]:
    chip = case.chip
    sixteen = max(chip.peaks.get("fp16", 0.0), chip.peaks.get("bf16", 0.0),
                  chip.peaks.get("int8", 0.0) / 2) or chip.peaks.get("fp32", 1e12)
    # Cores and clocks limit how many bytes are in flight on NVIDIA's chips, where both are known.
    known = case.backend == "cuda" and chip.n_cores > 0
    return {"bandwidth": chip.memory_bandwidth, "peak": sixteen,
            "fp32": chip.peaks.get("fp32", sixteen / 4),
            "issue_rate": chip.n_cores * (chip.clock or 1.4e9) if known else float("inf"),
            "devices": float(case.n_devices), "layers": float(case.architecture.n_layers),
            "split": float(case.n_devices) if case.engine in TENSOR_PARALLEL else 1.0}


@lru_cache(maxsize=4096)
def _work(architecture: Architecture, dense_bits: float, expert_bits: float, absorbed: bool,
          step: Step) -> dict[str, float]:
    """Sums over the ops of a step, one device."""
    dense, experts = (Format("weights", b / 8, "fp16") for b in (dense_bits, expert_bits))
    sixteen = Format("bf16", 2.0, "fp16")
    formats = Formats(dense, experts, dense, dense, sixteen, sixteen)
    names = ("dense_flop", "expert_flop", "attention_flop", "scan_flop", "dense_bytes",
             "expert_bytes", "activation_bytes", "state_bytes", "launches", "expert_ramp",
             "expert_calls")
    total = dict.fromkeys(names, 0.0)
    total["expert_rows"] = _WIDE_ROWS
    for op in step_ops(architecture, Deployment(), formats, step):
        if op.flop + op.memory_bytes > 0:
            _add(total, op, _absorbed(architecture, op, step) if absorbed else 1.0)
    return total


def _absorbed(architecture: Architecture, op: Op, step: Step) -> float:
    """FLOP of a prompt's op in absorbed latent attention, over those with keys expanded.

    The expansion of the cached tokens becomes one of the new tokens' queries and outputs, and
    scores are as wide as a cache entry.
    """
    if op.name == "kv_b_proj":
        return float(step.prefill_tokens / (step.prefill_tokens + step.prefill_past))
    if op.name != "prefill_latent_attention":
        return 1.0
    for block, _ in architecture.blocks:
        if isinstance(m := block.mixer, LatentAttention):
            heads = m.qk_nope_head_dim + m.qk_rope_head_dim + m.v_head_dim
            return (2 * m.kv_lora_rank + m.qk_rope_head_dim) / heads
    return 1.0


_FLOP = {"matmul": "dense_flop", "grouped_matmul": "expert_flop", "attention": "attention_flop",
         "scan": "scan_flop"}


def _add(total: dict[str, float], op: Op, scale: float) -> None:
    repeats = float(op.repeats)
    if op.kind in _FLOP:
        total[_FLOP[op.kind]] += repeats * float(op.flop) * scale
    total["expert_bytes" if op.kind == "grouped_matmul" else "dense_bytes"] += (
        repeats * float(op.weight_bytes))
    total["activation_bytes"] += repeats * float(op.activation_bytes)
    total["state_bytes"] += repeats * float(op.state_bytes)
    total["launches"] += repeats
    if op.kind == "grouped_matmul":
        _add_experts(total, op, repeats)


def _add_experts(total: dict[str, float], op: Op, repeats: float) -> None:
    """Rows of an expert, its FLOP over contracted widths, and calls where each has its own."""
    tokens, hidden, inter = op.shape["tokens"], op.shape["hidden"], op.shape["inter"]
    share = op.shape["top_k"] / op.shape["experts"]
    total["expert_rows"] = max(1.0, float(tokens * share))
    up = 2 if op.labels["gated"] == "1" else 1     # matrices before the one back
    total["expert_ramp"] += (repeats * float(op.flop) * float(up / hidden + 1 / inter) / (up + 1))
    touched = op.shape["experts"] * (1 - (1 - share) ** tokens)
    alone = sum(number for number, width in ((up, inter), (1, hidden))
                if tokens > next(most for wide, most in _TOGETHER if width <= wide))
    total["expert_calls"] += repeats * float(touched) * alone
