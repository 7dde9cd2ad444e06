"""How a model is laid over chips and served: parallel degrees, formats, engine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Deployment:
    """One way to run a model.

    A replica spans `tp * attention_dp * cp * pp` chips; `dp` replicas run side by side. Dense
    layers are split `tp` ways; attention runs `attention_dp` copies on different sequences; the
    experts are split over the whole `tp * attention_dp` group: `ep` ways by expert and the rest
    of the group inside each expert.

    Attributes:
        tp: tensor-parallel degree.
        pp: pipeline stages.
        ep: expert-parallel degree.
        dp: replicas side by side.
        cp: context-parallel degree.
        attention_dp: copies of attention, each on its own sequences.
        weights: number format of dense matrices; None: as the model declares.
        experts: number format of expert matrices; None: as `weights`, else as declared.
        kv: number format of the KV cache; None: the engine's default (16 bit).
        engine: "vllm", "sglang", "trtllm", "llamacpp", "transformers".
        engine_version: version text, "" when unknown.
        memory_fraction: share of device memory the engine may use; None: its default.
        max_num_seqs: sequences in one step at most; None: the engine's default.
        max_num_batched_tokens: token budget of one step; None: the engine's default.
        block_size: tokens in a KV block; None: the engine's default.
        cuda_graphs: whether steps are captured in graphs.
    """

    tp: int = 1
    pp: int = 1
    ep: int = 1
    dp: int = 1
    cp: int = 1
    attention_dp: int = 1
    weights: str | None = None
    experts: str | None = None
    kv: str | None = None
    engine: str = "vllm"
    engine_version: str = ""
    memory_fraction: float | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    block_size: int | None = None
    cuda_graphs: bool = True

    @property
    def chips_per_replica(self) -> int:
        """Chips one copy of the model spans."""
        return self.tp * self.attention_dp * self.cp * self.pp

    @property
    def chips(self) -> int:
        """Chips in all."""
        return self.chips_per_replica * self.dp

    @property
    def expert_group(self) -> int:
        """Chips that share the experts of one layer."""
        return self.tp * self.attention_dp

    @property
    def expert_tp(self) -> int:
        """Ways each expert itself is split."""
        return self.expert_group // self.ep
