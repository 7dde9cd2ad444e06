"""Memory of a serving deployment, item by item, by the rules of its own engine."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ridgeline.catalog import load_engine
from ridgeline.deployment import Deployment
from ridgeline.deployment.sharding import DeviceWeights, WeightFormats, device_weights
from ridgeline.errors import BadInput
from ridgeline.machine import Chip
from ridgeline.memory import engines
from ridgeline.memory.layout import CacheLayout, cache_layout
from ridgeline.model.architecture import Architecture
from ridgeline.quantity import Quantity

# Tokens of one physical batch that llama.cpp reserves its compute buffer for (its default).
LLAMACPP_UBATCH = 512
# 80 % of logged caches lie between these shares of the usable memory below and above the
# prediction (start-up logs beside the tests).
POOL_BELOW, POOL_ABOVE = 0.024, 0.005
# Since this version vLLM counts its graphs inside the memory fraction.
GRAPHS_INSIDE = (0, 21)
# Weights and cache layout of each pipeline stage.
Holdings = tuple[tuple[DeviceWeights, CacheLayout], ...]


@dataclass(frozen=True)
class Footprint:
    """Memory of the device that binds, in bytes, and what its cache holds.

    Attributes:
        engine: whose rules were used.
        stage: pipeline stage of the device.
        device_memory: total the driver reports.
        usable: what the engine lets itself use.
        weights: parameters.
        activation: peak of a step above the weights.
        graphs: captured graphs.
        non_torch: communication buffers and libraries inside the engine's share.
        outside: context and graphs that lie outside the engine's share.
        kv_pool: left for the cache; negative when the model does not fit.
        layout: what one sequence caches on this device.
        limits: scheduling limits in force.
        replicas: attention copies in a replica; each has its own cache.
        max_model_len: longest sequence the model takes; 0 when unlimited.
        unified: whether the cache is one pool of equal pages (vLLM).
        weights_by_role: bytes of weights by role.
    """

    engine: str
    stage: int
    device_memory: float
    usable: float
    weights: float
    activation: float
    graphs: float
    non_torch: float
    outside: float
    kv_pool: float
    layout: CacheLayout
    limits: engines.Limits
    replicas: int
    max_model_len: int
    unified: bool
    weights_by_role: Mapping[str, float]

    @property
    def items(self) -> dict[str, float]:
        """Every item inside the engine's share; they add up to `usable`."""
        return {"weights": self.weights, "activation": self.activation, "graphs": self.graphs,
                "non_torch": self.non_torch, "kv_cache": self.kv_pool}

    @property
    def fits(self) -> bool:
        """Whether the model loads and one block of cache is left."""
        return self.kv_pool >= self.sequence_bytes(1) and self.missing == 0.0

    @property
    def missing(self) -> float:
        """Bytes short on this device; 0 when the model loads."""
        spare = self.device_memory - self.usable - self.outside
        return max(0.0, -self.kv_pool, -spare)

    @property
    def kv_pool_quantity(self) -> Quantity:
        """Memory left for the cache with its interval."""
        return Quantity(self.kv_pool, self.kv_pool - POOL_BELOW * self.usable,
                        self.kv_pool + POOL_ABOVE * self.usable, "B", "calibrated")

    @property
    def kv_bytes_per_token(self) -> float:
        """Bytes each further token of a long sequence adds on this device."""
        return self.layout.bytes_per_token

    @property
    def state_bytes_per_sequence(self) -> float:
        """Constant state of one sequence on this device."""
        return self.layout.state_bytes_per_sequence

    def sequence_bytes(self, context_length: float) -> float:
        """Cache that a sequence of that length reserves on this device [bytes]."""
        if self.unified:
            return self.layout.unified_bytes(context_length, self.limits.block_size,
                                             self.limits.max_num_batched_tokens)
        return self.layout.sequence_bytes(context_length, self.limits.block_size)

    def max_concurrency(self, context_length: float) -> float:
        """Sequences of that length a replica holds at once (not rounded).

        Raises:
            BadInput: a context of less than one token.
        """
        if context_length < 1:
            raise BadInput(f"a context of {context_length:g} tokens; it must be at least 1")
        per_sequence = self.sequence_bytes(context_length)
        if per_sequence == 0.0:
            return math.inf
        return max(0.0, self.kv_pool) / per_sequence * self.replicas

    def kv_capacity_tokens(self, context_length: float | None = None) -> float:
        """Tokens of cache in a replica when every sequence has that length, whole blocks.

        Args:
            context_length: None: the longest the model takes, else 8,192.
        """
        length = context_length or self.max_model_len or 8192
        block = self.limits.block_size
        tokens = self.max_concurrency(length) * length
        return tokens if math.isinf(tokens) else math.floor(tokens / block) * block

    @property
    def max_context(self) -> float:
        """Longest single sequence the cache holds, at most what the model takes; may be endless."""
        if self.kv_pool < self.sequence_bytes(1):
            return 0.0
        high = float(self.max_model_len or 2**40)
        if self.sequence_bytes(high) <= self.kv_pool:
            return high if self.max_model_len else math.inf
        low = 1.0
        while high - low > 1:
            middle = (low + high) // 2
            low, high = ((middle, high) if self.sequence_bytes(middle) <= self.kv_pool
                         else (low, middle))
        return low

    def binding(self, context_length: float) -> str:
        """What stops more sequences of that length: an item, "kv_cache" or "max_num_seqs"."""
        if self.kv_pool < self.sequence_bytes(1):
            used = {name: size for name, size in self.items.items() if name != "kv_cache"}
            return max(used, key=lambda name: used[name])
        full = self.max_concurrency(context_length) >= self.limits.max_num_seqs * self.replicas
        return "max_num_seqs" if full else "kv_cache"


def footprint(architecture: Architecture, deployment: Deployment, chip: Chip, *,
              max_model_len: int | None = None, formats: WeightFormats | None = None,
              kv_bytes: float | None = None, held: Holdings | None = None) -> Footprint:
    """Memory of the pipeline stage that holds the fewest sequences.

    vLLM: cache = fraction * total - weights - profile peak - libraries (- graphs since 0.21).
    SGLang: cache = fraction * (free before loading) - weights. TensorRT-LLM: cache = fraction *
    (total - weights - activations). llama.cpp and transformers: all that is left.

    Args:
        architecture: the model.
        deployment: layout, formats, engine and limits.
        chip: the device.
        max_model_len: longest sequence served; None: what the model takes.
        formats: bits of weights; None: as deployment and model say.
        kv_bytes: bytes of a cached value; None: as the deployment says.
        held: what the stages hold, where another deployment of the same layout found it out.

    Returns:
        the footprint of the binding device; see `Footprint.fits`.

    Raises:
        BadInput: degrees that cannot be laid out.
        UnknownName: an engine or format that is not known.
    Sources: the engines' documented rules; constants and their error in `engines`.
    """
    length = architecture.max_context if max_model_len is None else max_model_len
    memory = engines.device_memory(chip)
    engine = load_engine(deployment.engine)
    limits = engines.limits(deployment, chip, length, engine)
    fraction = engines.memory_fraction(deployment, chip, limits.max_num_batched_tokens, engine)
    # An engine of a user's own shares memory as the one that reserves it in the same way.
    share = _SHARE[_MODEL_OF.get(engine.kv_reserved, "vllm")
                   if engine.name not in _SHARE else engine.name]
    stages = []
    for weights, layout in held or holdings(architecture, deployment, formats, kv_bytes):
        base = _base(engine.name, deployment, weights, layout, limits, memory, length)
        stages.append(share(base, architecture, deployment, fraction))
    probe = float(min(length or 8192, 8192))
    return min(stages, key=lambda stage: (stage.fits, stage.max_concurrency(probe)))


def holdings(architecture: Architecture, deployment: Deployment,
             formats: WeightFormats | None = None, kv_bytes: float | None = None) -> Holdings:
    """What the fullest device of every pipeline stage holds and caches, whatever the limits.

    Args:
        architecture, deployment, formats, kv_bytes: as in `footprint`.
    """
    return tuple((held, cache_layout(architecture, deployment, held.layers, kv_bytes))
                 for held in device_weights(architecture, deployment, formats))


def _base(engine: str, deployment: Deployment, held: DeviceWeights, layout: CacheLayout,
          limits: engines.Limits, memory: float, length: int) -> Footprint:
    """Everything but the engine's own sharing."""
    return Footprint(
        engine=engine, stage=held.stage, device_memory=memory, usable=0.0,
        weights=held.total, activation=0.0, graphs=0.0, non_torch=0.0, outside=0.0, kv_pool=0.0,
        layout=layout, limits=limits, replicas=deployment.attention_dp, max_model_len=length,
        unified=engine == "vllm", weights_by_role=held.by_role)


def _shared(base: Footprint, usable: float, *, activation: float = 0.0, graphs: float = 0.0,
            non_torch: float = 0.0, outside: float = 0.0) -> Footprint:
    """The footprint with its items and what they leave for the cache."""
    return replace(base, usable=usable, activation=activation, graphs=graphs,
                   non_torch=non_torch, outside=outside,
                   kv_pool=usable - base.weights - activation - graphs - non_torch)


def _profile(base: Footprint, architecture: Architecture, deployment: Deployment,
             bytes_per_logit: float) -> float:
    limits = base.limits
    last = base.stage == deployment.pp - 1
    return float(engines.profile_peak(
        max_num_batched_tokens=float(limits.max_num_batched_tokens),
        max_num_seqs=float(min(limits.max_num_seqs, limits.max_num_batched_tokens) if last else 0),
        d_model=float(architecture.d_model), vocab_size=float(architecture.vocab_size),
        forward_bytes_per_token=engines.forward_bytes_per_token(architecture, deployment),
        bytes_per_logit=bytes_per_logit))


def _graphs(architecture: Architecture, deployment: Deployment) -> float:
    layers = math.ceil(architecture.n_layers / deployment.pp)
    return engines.GRAPH_PER_LAYER * layers if deployment.cuda_graphs else 0.0


def _vllm(base: Footprint, architecture: Architecture, deployment: Deployment,
          fraction: float) -> Footprint:
    version = deployment.engine_version
    graphs = _graphs(architecture, deployment)
    inside = engines.version_tuple(version) >= GRAPHS_INSIDE
    return _shared(base, fraction * base.device_memory,
                   activation=_profile(base, architecture, deployment,
                                       engines.sampler_bytes_per_logit(version)),
                   graphs=graphs if inside else 0.0,
                   non_torch=float(engines.non_torch(tp=float(deployment.tp))),
                   outside=0.0 if inside else graphs)


def _sglang(base: Footprint, architecture: Architecture, deployment: Deployment,
            fraction: float) -> Footprint:
    before = (base.device_memory - engines.CONTEXT
              - engines.CONTEXT_PER_RANK * (deployment.expert_group - 1))
    return _shared(base, fraction * before, non_torch=engines.NON_TORCH_ONE,
                   outside=base.device_memory - before)


def _trtllm(base: Footprint, architecture: Architecture, deployment: Deployment,
            fraction: float) -> Footprint:
    activation = _profile(base, architecture, deployment, bytes_per_logit=6.0)
    fixed = (engines.CONTEXT + engines.CONTEXT_PER_RANK * (deployment.tp - 1)
             + _graphs(architecture, deployment))
    free = base.device_memory - fixed - base.weights - activation
    return _shared(base, base.weights + activation + (fraction * free if free > 0 else free),
                   activation=activation, outside=fixed)


def _llamacpp(base: Footprint, architecture: Architecture, deployment: Deployment,
              fraction: float) -> Footprint:
    """One compute buffer: fp32 logits and a hidden state for a physical batch."""
    buffer = 4.0 * LLAMACPP_UBATCH * (architecture.vocab_size + architecture.d_model)
    return _shared(base, fraction * (base.device_memory - engines.CONTEXT), activation=buffer,
                   outside=engines.CONTEXT * fraction)


def _transformers(base: Footprint, architecture: Architecture, deployment: Deployment,
                  fraction: float) -> Footprint:
    """A prompt of a physical batch at once, and logits of its last token in fp32."""
    tokens = min(base.limits.max_num_batched_tokens, 4096)
    forward = tokens * engines.forward_bytes_per_token(architecture, deployment)
    return _shared(base, fraction * (base.device_memory - engines.CONTEXT),
                   activation=forward + 4.0 * architecture.vocab_size,
                   outside=engines.CONTEXT * fraction)


_SHARE = {"vllm": _vllm, "sglang": _sglang, "trtllm": _trtllm, "llamacpp": _llamacpp,
          "transformers": _transformers}
_MODEL_OF = {"start": "vllm", "context": "llamacpp", "growth": "transformers"}
