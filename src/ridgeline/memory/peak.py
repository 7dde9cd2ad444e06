"""Peak memory of one run of a framework: generation, fine-tuning, training, item by item.

Every item is a count; a framework adds a few constants of its own (copies it keeps, libraries),
fitted on published measurements. Intervals are the spread of what is left, one model left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ridgeline.deployment import Deployment
from ridgeline.deployment.sharding import WeightFormats, fullest_weights
from ridgeline.errors import UnknownName
from ridgeline.memory import activations, engines, training
from ridgeline.memory.layout import cache_layout
from ridgeline.model.architecture import Architecture
from ridgeline.model.parts import DenseFfn, ExpertFfn
from ridgeline.numeric import Numeric, minimum, where
from ridgeline.quantity import Basis, Quantity

GIB = engines.GIB
ELEMENTS = WeightFormats(8.0, 8.0, 8.0, 8.0)     # one byte an element: bytes are elements


@dataclass(frozen=True)
class Framework:
    """Constants of one framework.

    Attributes:
        fixed: libraries, context, fragmentation [bytes] (fitted).
        spread: (low, high) of measured over predicted, 80 % interval (fitted).
        weight_copies: resident copies of the weights [1].
        kv_copies: copies of the cache alive at once [1].
        min_cache_tokens: tokens the cache is allocated for at least.
        forward: share of the counted transient of a forward pass [1].
        logit_bytes: bytes of each logit of the prompt or of the loss [bytes].
        activation_copies: saved activations over the counted ones [1] (fitted).
        grad_bytes: bytes of a gradient [bytes].
        shard_bytes: sharded bytes of a parameter beside the optimizer [bytes] (fitted).
        pipeline_bytes: bytes of a parameter that a fully sharded model keeps whole between the
            microbatches of a pipeline: 16-bit weights and gradients [bytes].
        source: measurements behind the constants.
    """

    fixed: float
    spread: tuple[float, float]
    source: str
    weight_copies: float = 1.0
    kv_copies: float = 1.0
    min_cache_tokens: int = 0
    forward: float = 1.0
    logit_bytes: float = 0.0
    activation_copies: float = 1.0
    grad_bytes: float = 2.0
    shard_bytes: float = 0.0
    pipeline_bytes: float = 0.0


FRAMEWORKS = {
    "ideal": Framework(0.0, (1.0, 1.0), "counts alone: no library, no fragmentation",
                       logit_bytes=4.0),
    "transformers": Framework(0.6 * GIB, (0.93, 1.05), "Qwen README", kv_copies=2.0),
    "litgpt": Framework(0.3 * GIB, (0.96, 1.34), "LitGPT resource tables", logit_bytes=12.0,
                        activation_copies=1.12),
    "autoawq": Framework(0.1 * GIB, (0.9, 1.22), "AutoAWQ README", min_cache_tokens=2048,
                         logit_bytes=6.0),
    "autoawq_cpu": Framework(0.0, (0.91, 1.1), "AutoAWQ README, Xeon rows", weight_copies=2.6),
    "llamacpp": Framework(0.55 * GIB, (0.975, 1.065), "llama.cpp sweeps on Strix Halo"),
    "megatron_deepspeed": Framework(10.0 * GIB, (0.87, 1.06), "BLOOM chronicles (prequel)",
                                    shard_bytes=8.0, logit_bytes=8.0, activation_copies=2.0),
    "deepspeed_peft": Framework(3.7 * GIB, (0.98, 1.15), "Qwen fine-tuning profile",
                                logit_bytes=8.0),
    "deepspeed_zero3": Framework(10.7 * GIB, (0.95, 1.03), "ml-engineering, Llama-3.1-8B",
                                 activation_copies=1.1),
    "torchtitan": Framework(12.0 * GIB, (0.85, 1.2), "torchtitan benchmarks", grad_bytes=4.0,
                            logit_bytes=12.0, pipeline_bytes=6.0),
}


@dataclass(frozen=True)
class Peak:
    """Peak memory of the fullest device, with its interval and its items [bytes]."""

    total: Quantity
    items: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingRun:
    """What a training step keeps.

    Attributes:
        micro_batch: sequences in a microbatch; it, `n_microbatches`, `zero_stage`, `dp` and
            `chunks` may be arrays.
        seq_len: tokens of a sequence (of this rank's share under context parallelism).
        n_microbatches: microbatches of a step; bounds what a pipeline keeps in flight.
        chunks: model chunks on a stage; more than one interleaves them.
        recompute: "none" (flash attention, everything else kept) or "full".
        optimizer: name in `training.OPTIMIZERS`; "offload": none of it on the device.
        zero_stage, dp: how the state is sharded.
        weight_bytes: bytes of a trained weight.
        trainable: trained parameters when the rest is frozen; None: all.
        sequence_parallel: whether activations between blocks are split over tp.
        flash_attention: whether scores are never stored.
    """

    micro_batch: Numeric
    seq_len: int
    n_microbatches: Numeric = 1
    recompute: Literal["none", "full"] = "full"
    optimizer: str = "adamw"
    zero_stage: Numeric = 0
    dp: Numeric = 1
    weight_bytes: float = 2.0
    trainable: float | None = None
    sequence_parallel: bool = True
    flash_attention: bool = True
    chunks: Numeric = 1


def get_framework(name: str) -> Framework:
    """The framework of that name.

    Raises:
        UnknownName: not in `FRAMEWORKS`.
    """
    try:
        return FRAMEWORKS[name]
    except KeyError:
        raise UnknownName.among("framework", name, FRAMEWORKS) from None


def generation_bytes(*, weight_bytes: Numeric, kv_bytes: Numeric, prompt_tokens: Numeric,
                     forward_bytes_per_token: Numeric, vocab_size: Numeric,
                     weight_copies: Numeric = 1.0, kv_copies: Numeric = 1.0,
                     logit_bytes: Numeric = 0.0, matrix_bytes: Numeric = 0.0,
                     fixed: Numeric = 0.0) -> Numeric:
    """Peak of generating with one batch.

        bytes = copies W + copies KV + T (forward + V logit_bytes) + matrix + fixed

    Args:
        weight_bytes: W [bytes].
        kv_bytes: cache at the end [bytes].
        prompt_tokens: T, tokens of the prompt step, all sequences [tokens].
        forward_bytes_per_token: transient of a layer [bytes].
        vocab_size: V [1].
        weight_copies: resident copies of the weights [1].
        kv_copies: copies of the cache alive at once (2: grown by concatenation) [1].
        logit_bytes: of every prompt logit, 0 when only the last is made [bytes].
        matrix_bytes: largest matrix in 16 bit, when quantised weights are expanded [bytes].
        fixed: libraries and context [bytes].

    Returns:
        bytes.

    Sources: derivation; constants in `FRAMEWORKS`.
    >>> generation_bytes(weight_bytes=10.0, kv_bytes=2.0, prompt_tokens=0.0, vocab_size=5.0,
    ...                  forward_bytes_per_token=1.0, kv_copies=2.0)
    14.0
    """
    return (weight_copies * weight_bytes + kv_copies * kv_bytes
            + prompt_tokens * (forward_bytes_per_token + vocab_size * logit_bytes)
            + matrix_bytes + fixed)


def inference_peak(architecture: Architecture, *, framework: str, batch: int, seq_len: int,
                   prompt_tokens: int | None = None, formats: WeightFormats | None = None,
                   weight_bytes: float | None = None, kv_bytes: float = 2.0,
                   flash_attention: bool = True) -> Peak:
    """Peak memory of generating up to `seq_len` tokens on one device.

    Args:
        architecture: the model.
        framework: a name in `FRAMEWORKS`.
        batch: sequences.
        seq_len: tokens of each at the end.
        prompt_tokens: of each; None: as many as `seq_len`.
        formats: bits of the weights; None: as the model declares.
        weight_bytes: size of the weight file, when known better.
        kv_bytes: bytes of a cached value.
        flash_attention: llama.cpp: without, scores of a physical batch are stored.

    Raises:
        UnknownName: no such framework or format.
    """
    constants = get_framework(framework)
    deployment = Deployment()
    size = weight_bytes or fullest_weights(architecture, deployment, formats).total
    layout = cache_layout(architecture, deployment, kv_bytes=kv_bytes)
    tokens = max(batch * seq_len, constants.min_cache_tokens)
    cache = layout.sequence_bytes(tokens / batch) * batch
    prompt = batch * (seq_len if prompt_tokens is None else prompt_tokens)
    quantised = formats is not None and formats.dense < 16.0
    items = {"weights": constants.weight_copies * size, "kv_cache": constants.kv_copies * cache,
             "fixed": constants.fixed}
    if framework == "llamacpp":
        items |= _llamacpp_items(architecture, formats, size, seq_len, flash_attention)
    else:
        per_token = (constants.forward * engines.forward_bytes_per_token(architecture, deployment)
                     + constants.logit_bytes * architecture.vocab_size)
        items["activation"] = prompt * per_token
        items["matrix"] = _largest_matrix(architecture) if quantised else 0.0
    return _peak(items, constants)


def training_peak(architecture: Architecture, deployment: Deployment, run: TrainingRun, *,
                  framework: str, formats: WeightFormats | None = None) -> Peak:
    """Peak memory of a training step on the fullest device.

    Args:
        architecture: the model.
        deployment: tp, pp, cp and ep count; data parallelism is `run.dp`.
        run: batch, recomputation, optimizer and sharding.
        framework: a name in `FRAMEWORKS`.
        formats: bits of frozen weights (adapters on a quantised model).

    Raises:
        UnknownName: no such framework, optimizer or format.
        BadInput: an impossible layout or ZeRO stage.
    """
    constants = get_framework(framework)
    items = state_items(architecture, deployment, run, constants, formats)
    items |= activation_items(architecture, deployment, run, constants)
    items["fixed"] = constants.fixed
    return _peak(items, constants)


def state_items(architecture: Architecture, deployment: Deployment, run: TrainingRun,
                constants: Framework, formats: WeightFormats | None = None) -> dict[str, Any]:
    """Weights, gradients and optimizer on the fullest device [bytes]."""
    held = fullest_weights(architecture, deployment, ELEMENTS).total
    shards = training.zero_shards(run.zero_stage, run.dp)
    optimizer = (0.0 if run.optimizer == "offload"
                 else training.get_optimizer(run.optimizer).bytes_per_param)
    grads = 0.0 if run.optimizer == "offload" else constants.grad_bytes
    trained = held if run.trainable is None else run.trainable
    frozen = 0.0
    if run.trainable is not None:
        frozen = fullest_weights(architecture, deployment, formats or WeightFormats(16, 16, 16)
                                 ).total
    whole = where(run.zero_stage == 3, held, 0.0) if deployment.pp > 1 else 0.0
    return {"frozen_weights": frozen,
            "unsharded": whole * constants.pipeline_bytes,
            "weights": trained * run.weight_bytes / shards.weights,
            "gradients": trained * grads / shards.grads,
            "optimizer": trained * (optimizer + constants.shard_bytes) / shards.optimizer}


def activation_items(architecture: Architecture, deployment: Deployment, run: TrainingRun,
                     constants: Framework) -> dict[str, Any]:
    """Activations and logits kept on the fullest device [bytes]."""
    layer = constants.activation_copies * sum(
        layer_activation(architecture, index, deployment.tp, run) * count
        for index, (_, count) in enumerate(architecture.blocks)) / architecture.n_layers
    tokens = run.micro_batch * run.seq_len
    layers, pp = float(architecture.n_layers), float(deployment.pp)
    in_flight = activations.stage_layers(n_layers=layers, pp=pp,
                                         n_microbatches=run.n_microbatches * 1.0)
    if deployment.pp > 1:
        interleaved = activations.interleaved_layers(n_layers=layers, pp=pp,
                                                     chunks=run.chunks * 1.0)
        in_flight = where(run.chunks > 1,
                          minimum(interleaved, layers / pp * run.n_microbatches), in_flight)
    entry = activations.layer_input(
        seq_len=float(run.seq_len), batch_size=run.micro_batch * 1.0,
        d_model=float(architecture.d_model),
        shards=float(deployment.tp if run.sequence_parallel else 1))
    stored = (in_flight * layer * tokens if run.recompute == "none"
              else activations.full_recompute(n_layers=in_flight, layer_bytes=layer * tokens,
                                              input_bytes=entry))
    loss = activations.logits(seq_len=float(run.seq_len), batch_size=run.micro_batch * 1.0,
                              vocab_size=float(architecture.vocab_size), tp=float(deployment.tp),
                              bytes_per_logit=constants.logit_bytes)
    return {"activations": stored, "logits": loss}


def layer_activation(architecture: Architecture, index: int, tp: int, run: TrainingRun) -> float:
    """Bytes that one token leaves in a stored layer of run `index` of the blocks.

    Without sequence parallelism the inputs and outputs of both norms are whole on each device;
    without flash attention there are 5 bytes of each score (scores, softmax, dropout).
    """
    block = architecture.blocks[index][0]
    mixer, ffn = block.mixer, block.ffn
    heads = float(getattr(mixer, "n_heads", 0))
    width = 0.0
    if isinstance(ffn, DenseFfn):
        width = ffn.d_ff * (1.0 if ffn.gated else 0.5)
    elif isinstance(ffn, ExpertFfn):
        width = float(ffn.top_k * ffn.d_expert + ffn.shared_d_ff + ffn.dense_d_ff)
    split = float(activations.gated_layer(
        seq_len=1.0, batch_size=1.0, d_model=float(architecture.d_model), d_ff=width,
        n_heads=heads, n_kv_heads=float(getattr(mixer, "n_kv_heads", heads)),
        head_dim=float(getattr(mixer, "head_dim", getattr(mixer, "v_head_dim", 0))),
        tp=float(tp)))
    whole = 0.0 if run.sequence_parallel else 8.0 * architecture.d_model * (1.0 - 1.0 / tp)
    scores = 0.0 if run.flash_attention else 5.0 * heads * run.seq_len / tp
    return split + whole + scores


def _llamacpp_items(architecture: Architecture, formats: WeightFormats | None, size: float,
                    seq_len: int, flash_attention: bool) -> dict[str, float]:
    """Compute buffer, scores, and the input embedding, which stays in host memory."""
    batch = 512
    items = {"activation": 4.0 * batch * (architecture.vocab_size + architecture.d_model)}
    if not architecture.tied:
        elements = architecture.vocab_size * architecture.d_model
        total = fullest_weights(architecture, Deployment(), ELEMENTS).total
        bits = formats.embedding if formats else 8.0 * size / total
        items["embedding_on_host"] = -elements * bits / 8
    if not flash_attention:
        heads = max(getattr(block.mixer, "n_heads", 0) for block, _ in architecture.blocks)
        items["scores"] = 4.0 * heads * batch * seq_len
    return items


def _largest_matrix(architecture: Architecture) -> float:
    """Largest matrix of a layer in 16 bit [bytes]."""
    return 2.0 * max((math.prod(weight.shape) for block, _ in architecture.blocks
                      for weight in block.weights(architecture.d_model)), default=0)


def _peak(items: dict[str, float], constants: Framework) -> Peak:
    total = sum(items.values())
    low, high = constants.spread
    basis: Basis = "derived" if low == high else "calibrated"
    return Peak(Quantity(total, low * total, high * total, "B", basis), items)
