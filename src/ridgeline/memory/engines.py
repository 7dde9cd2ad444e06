"""How each engine shares out device memory: its fractions, defaults and fixed costs.

Counts that come from an engine's documented behaviour carry no error; the constants marked
"fitted" are least-squares values on the public start-up logs in tests/memory/data, whose
leave-one-out error the tests report.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ridgeline.catalog import load_engine
from ridgeline.deployment import Deployment
from ridgeline.errors import BadInput
from ridgeline.machine import Chip
from ridgeline.model.architecture import Architecture
from ridgeline.model.parts import DenseFfn, ExpertFfn, LatentAttention
from ridgeline.numeric import Numeric, maximum

if TYPE_CHECKING:
    from ridgeline.catalog.schema import EngineFile

GIB = 2.0**30
MIB = 2.0**20

@dataclass(frozen=True)
class Limits:
    """Scheduling limits in force: what the deployment says, else the engine's default."""

    max_num_seqs: int
    max_num_batched_tokens: int
    block_size: int


def device_memory(chip: Chip) -> float:
    """Memory the driver reports as total [bytes], or the nominal where that is not known."""
    return chip.usable_memory_bytes or chip.memory_bytes


def version_tuple(text: str) -> tuple[int, ...]:
    """Numbers of a version text; empty text is newer than all.

    Raises:
        BadInput: a text that does not start with a number.

    >>> version_tuple("0.11.2rc1"), version_tuple("v0.9")
    ((0, 11, 2), (0, 9))
    """
    if not text:
        return (1_000_000,)
    parts = []
    for part in text.lstrip("v").split("."):
        digits = ""
        for letter in part:
            if not letter.isdigit():
                break
            digits += letter
        if not digits:
            break
        parts.append(int(digits))
    if not parts:
        raise BadInput(f"cannot read version {text!r}; write for instance 0.11.2")
    return tuple(parts)


def limits(deployment: Deployment, chip: Chip, max_model_len: int = 0,
           engine: EngineFile | None = None) -> Limits:
    """What the deployment says, else the engine's defaults for the device from the catalog.

    vLLM before 0.8 took 256 sequences, and as many tokens as the longest sequence, or 2,048 beyond
    32,768 where it split prompts.

    Raises:
        UnknownName: an engine that is not known.
    """
    engine = engine or load_engine(deployment.engine)
    row = engine.limits(chip.name, device_memory(chip))
    seqs, tokens = row.max_num_seqs, row.max_num_batched_tokens
    if engine.name == "vllm" and version_tuple(deployment.engine_version) < (0, 8):
        seqs, tokens = 256, 2048 if max_model_len > 32768 else max(2048, max_model_len)
    tokens = deployment.max_num_batched_tokens or tokens
    return Limits(deployment.max_num_seqs or min(seqs, tokens), tokens,
                  deployment.block_size or engine.block_size)


def sampler_bytes_per_logit(version: str) -> float:
    """Bytes of every logit at the peak of vLLM's dummy sampling step, fitted by version band.

    39 before 0.8, which is the count of its tensors: 16-bit logits 2, fp32 copy 4, sorted values 4
    and indices 8, their softmax 4 and cumulative sum 4, mask 1, scattered result 4, probabilities
    4, log-probabilities 4. 36 without log-probabilities, and 18 since 0.15 (logits, copy, values
    and indices). `startup_logs.csv` beside the tests has the logs.
    """
    number = version_tuple(version)
    return 39.0 if number < (0, 8) else 36.0 if number < (0, 15) else 18.0


def forward_bytes_per_token(architecture: Architecture, deployment: Deployment) -> float:
    """Largest transient of one layer for one token of a forward pass, 16 bit [bytes].

        2 (4 d_model + widest of feed-forward and attention)

    A gated feed-forward holds gate, up and their product: 3 d_ff / tp. Experts hold, for each of
    the top-k copies of a token, the wider of both projections and the product. Four d_model-wide
    buffers: hidden state, residual, normalised input and attention output.
    """
    widest = 0.0
    for block, _ in architecture.blocks:
        ffn, mixer = block.ffn, block.mixer
        if isinstance(ffn, DenseFfn):
            widest = max(widest, (3.0 if ffn.gated else 2.0) * ffn.d_ff / deployment.tp)
        elif isinstance(ffn, ExpertFfn):
            d_expert = ffn.d_expert / deployment.expert_tp
            copies = ffn.top_k * (max((2.0 if ffn.gated else 1.0) * d_expert,
                                      float(ffn.latent or architecture.d_model)) + d_expert)
            widest = max(widest, copies, 3.0 * ffn.shared_d_ff / deployment.tp)
        if isinstance(mixer, LatentAttention):
            qk = mixer.qk_nope_head_dim + mixer.qk_rope_head_dim
            widest = max(widest, mixer.n_heads * (2.0 * qk + 2.0 * mixer.v_head_dim)
                         / deployment.tp)
    return 2.0 * (4.0 * architecture.d_model + widest)


def profile_peak(*, max_num_batched_tokens: Numeric, max_num_seqs: Numeric, d_model: Numeric,
                 vocab_size: Numeric, forward_bytes_per_token: Numeric,
                 bytes_per_logit: Numeric) -> Numeric:
    """Peak of a profile run: the largest forward pass, or the sampler with hidden states kept.

        bytes = max(T * forward_bytes_per_token, S V bytes_per_logit + 2 T d_model)

    Args:
        max_num_batched_tokens: T [tokens].
        max_num_seqs: S [1].
        d_model: width [1].
        vocab_size: V [1].
        forward_bytes_per_token: see the function of that name [bytes].
        bytes_per_logit: see `sampler_bytes_per_logit` [bytes].

    Returns:
        bytes above the weights.

    Sources: derivation from the tensors alive at once. Meta-Llama-3-8B with 8,192 tokens and 256
    sequences: 1.26 GiB in the log.
    >>> peak = profile_peak(max_num_batched_tokens=8192, max_num_seqs=256, d_model=4096,
    ...     vocab_size=128256, forward_bytes_per_token=118784.0, bytes_per_logit=39)
    >>> round(peak / 2**30, 2)
    1.26
    """
    sampling = (max_num_seqs * vocab_size * bytes_per_logit
                + 2.0 * max_num_batched_tokens * d_model)
    return maximum(max_num_batched_tokens * forward_bytes_per_token, sampling)


# Fitted: memory outside PyTorch that a profile run sees (cuBLAS, NCCL and all-reduce buffers).
NON_TORCH_ONE = 0.06 * GIB
NON_TORCH_PER_RANK = 0.115 * GIB
# Fitted: pool of all captured graphs, one layer of the model.
GRAPH_PER_LAYER = 0.0165 * GIB
# Fitted: CUDA context before weights load, and NCCL for each rank of a group.
CONTEXT = 0.75 * GIB
CONTEXT_PER_RANK = 0.23 * GIB


def non_torch(*, tp: Numeric) -> Numeric:
    """Memory outside the framework's allocator.

        bytes = base + per_rank * (tp - 1)

    Args:
        tp: tensor-parallel degree [1].

    Returns:
        bytes on one device.

    Sources: fitted on public start-up logs.
    >>> non_torch(tp=1) == NON_TORCH_ONE
    True
    """
    return NON_TORCH_ONE + NON_TORCH_PER_RANK * (tp - 1.0)


def sglang_graph_batch(memory: float, ranks: int) -> int:
    """SGLang's largest captured batch, by device memory: more where the model is divided."""
    gib = memory / GIB
    few = ranks < 4
    if gib < 35:
        return 24 if few else 80
    if gib < 60:
        return 32 if few else 160
    return 256 if few and gib < 160 else 512


def sglang_fraction(*, memory_mib: Numeric, chunked_prefill_size: Numeric,
                    cuda_graph_max_bs: Numeric, ranks: Numeric) -> Numeric:
    """SGLang's default share of memory for weights and cache together.

        fraction = 1 - (512 + 1.5 chunk + 2 graph_batch + 128 ranks) / memory_mib

    Args:
        memory_mib: of one device [MiB].
        chunked_prefill_size: tokens of a prefill chunk [tokens].
        cuda_graph_max_bs: largest captured batch [1].
        ranks: tp * pp [1].

    Returns:
        share [1].

    Sources: SGLang's documented heuristic (releases of 2025). H200, tp 8: 0.896 in its log.
    >>> round(sglang_fraction(memory_mib=143771, chunked_prefill_size=8192,
    ...                       cuda_graph_max_bs=512, ranks=8), 3)
    0.897
    """
    reserved = 512.0 + 1.5 * chunked_prefill_size + 2.0 * cuda_graph_max_bs + 128.0 * ranks
    return 1.0 - reserved / memory_mib


def memory_fraction(deployment: Deployment, chip: Chip, chunk: int,
                    engine: EngineFile | None = None) -> float:
    """Share of memory in force: the deployment's, else the engine's default.

    Args:
        deployment: engine, degrees and the share asked for.
        chip: the device.
        chunk: tokens of a step; SGLang's default depends on them.
        engine: the engine's entry, when it is at hand.

    Raises:
        UnknownName: an engine that is not known.
    """
    engine = engine or load_engine(deployment.engine)
    if deployment.memory_fraction is not None:
        return deployment.memory_fraction
    if engine.name != "sglang":
        return engine.memory_fraction
    memory = device_memory(chip)
    ranks = deployment.expert_group * deployment.pp
    return float(sglang_fraction(memory_mib=memory / MIB, ranks=ranks, chunked_prefill_size=chunk,
                                 cuda_graph_max_bs=sglang_graph_batch(memory, ranks)))
